package pick

import (
	"fmt"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"errors", "errors", true}, {"errors", "errors/5xx", false}, {"errors*", "errors/5xx", true}, {"*", "", true}, {"", "", true}, {"", "a", false},
		{"*.p99", "latency_ms.p99", true}, {"*.p99", "latency_ms.p999", false}, {"a*b*c", "abc", true}, {"a*b*c", "a-b-b-c", true}, {"a*b*c", "acb", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"**", "x", true}, {"us-*", "us-east-1c", true}, {"us-*", "eu-us-1", false}, {"*ab*ab", "ab", false},
	} {
		if got := Like(c.pattern, c.text); got != c.want {
			t.Errorf("%q is like %q: %v", c.text, c.pattern, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	samples := []collector.Sample{
		{Name: "requests", Kind: collector.Counter, Value: "12"},
		{Name: "requests", Kind: collector.Counter, Value: "3", Labels: []collector.LabelPair{{Name: "code", Value: "200"}, {Name: "path", Value: `a"b`}}},
		{Name: "latency_ms", Kind: collector.Distribution, Fields: []collector.Field{{Name: "p50", Value: "1.50"}, {Name: "p99", Value: "9"}}},
		{Name: "size", Kind: collector.Histogram, Hist: &collector.NativeHistogram{Count: 4, Sum: 10.5}},
		{Name: "mode", Kind: collector.Label, Value: "leader"},
	}
	for _, c := range []struct{ pattern, want string }{
		{"requests", `[{requests 12 false} {requests{code="200",path="a\"b"} 3 false}]`},
		{`requests{code="200"*`, `[{requests{code="200",path="a\"b"} 3 false}]`},
		{"latency_ms", "[{latency_ms.p50 1.50 false} {latency_ms.p99 9 false}]"},
		{"*.p99", "[{latency_ms.p99 9 false}]"},
		{"size", "[{size.count 4 false} {size.sum 10.5 false}]"},
		{"mode", "[{mode leader true}]"},
		{"nothing", "[]"},
	} {
		if got := fmt.Sprint(Numbers(samples, []string{c.pattern})); got != c.want {
			t.Errorf("%s: %s, want %s", c.pattern, got, c.want)
		}
	}
	if got := len(Numbers(samples, []string{"mode", "*"})); got != 7 {
		t.Errorf("%d, each counted once, want 7", got)
	}
}
