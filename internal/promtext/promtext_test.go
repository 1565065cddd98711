package promtext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Whatever a service, a file or a job is called: what is exposed of it can be read, and says so.
func TestQuote(t *testing.T) {
	set := metrics.NewSet()
	want := map[string]bool{}
	for i, tc := range []struct{ value, want string }{
		{"plain", "plain"}, {"a\u00a0b", "a\u00a0b"}, {"a\x00b", "a\uFFFDb"}, {"\xff\xfe", "\uFFFD"}, {`a"b`, `a"b`}, {`a\`, `a\`}, {`\"`, `\"`}, {"a\nb", "a\nb"}, {"a\r\tb\x7f\x1b", "a\r\tb\x7f\x1b"},
		{"", ""}, {"\u202e\u200b\ufeff", "\u202e\u200b\ufeff"}, {"a,b=\"c\"}", "a,b=\"c\"}"}, {"{{", "{{"}, {strings.Repeat("日本", 100), strings.Repeat("日本", 100)}, {"#\n# EOF", "#\n# EOF"},
	} {
		set.GetOrCreateCounter(fmt.Sprintf("x_total{n=\"%d\",v=%s}", i, Quote(tc.value))).Inc()
		set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("y_seconds{n=\"%d\",v=%s}", i, Quote(tc.value)), []float64{1}).Update(0.5)
		want[fmt.Sprint(i, " ", tc.want)] = true
	}
	var b bytes.Buffer
	set.WritePrometheus(&b)
	p, err := textparse.New(b.Bytes(), "text/plain", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		kind, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v of:\n%s", err, b.String())
		}
		if kind == textparse.EntrySeries {
			var ls labels.Labels
			p.Labels(&ls)
			if ls.Get("__name__") == "x_total" {
				delete(want, ls.Get("n")+" "+ls.Get("v"))
			}
		}
	}
	if len(want) != 0 {
		t.Errorf("not there: %v", want)
	}
}
