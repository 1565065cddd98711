package stats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/exemplar"
	plabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// FuzzOpenMetrics holds the verdict, every number, time and exemplar against Prometheus' own parser.
func FuzzOpenMetrics(f *testing.F) {
	seeds(f, []string{"openmetrics.txt"}, "# TYPE a counter\na_total 1\n# EOF\n", "a{b=\"c\"} 1 2.5\n# EOF", "{\"a b\",\"c d\"=\"e\",} 1 # {x=\"y\",\"z z\"=\"\"} .5 1e3\n# EOF",
		"# TYPE a info\na_info{v=\"1\"} 1\n# HELP a \\n\n# UNIT a_s s\n# TYPE s stateset\ns{s=\"a\"} 1\n# TYPE \"q q\" histogram\n{le=\"1\",\"q q_bucket\"} NaN\n# EOF\n", "a{a=\"\",b=\"\\n\\\"\"} -Inf 1\n# EOF")
	f.Fuzz(againstOpenMetrics)
}

// FuzzOpenMetricsLines lets the bytes choose among the words of the format, so that most bodies are sound.
func FuzzOpenMetricsLines(f *testing.F) {
	for i := range 16 {
		b := make([]byte, 64)
		for j := range b {
			b[j] = byte(i*41 + j*j*(i+3))
		}
		f.Add(b)
	}
	words := []string{"a", "a_total", "{", "}", "\"b c\"", "x=\"y\"", "le=\"1\"", ",", " 1", " 2.5e3", " NaN", " # {", "\n", "\n", "\n# EOF", "# TYPE a counter\n", "# TYPE a histogram\n", "# HELP a x\n", "# UNIT a_s s\n", "z=\"\\n\"", "a{x=\"y\"} 1\n", " ", "\t", "="}
	f.Fuzz(func(t *testing.T, choices []byte) {
		var b []byte
		for _, c := range choices[:min(len(choices), 200)] {
			b = append(b, words[int(c)%len(words)]...)
		}
		againstOpenMetrics(t, append(b, "# EOF\n"...))
	})
}

// omSeen is a series as either parser reads it.
type omSeen struct {
	Value    float64
	Exemplar string
}

func againstOpenMetrics(t *testing.T, body []byte) {
	p, s, err := parse(t, body, "application/openmetrics-text")
	if bytes.IndexByte(body, 0) >= 0 || bytes.HasPrefix(body, bom) {
		return // Prometheus' lexer gives NUL a meaning of its own, and does not know the byte order mark
	}
	var le *LimitError
	if errors.As(err, &le) {
		return
	}
	want, stamps, werr := omOracle(body)
	switch {
	case werr != nil && err == nil:
		t.Fatalf("Prometheus says %v, we take it", werr)
	case werr == nil && err != nil && strings.Contains(err.Error(), "has no name"):
		return // an empty one, which Prometheus refuses later
	case werr == nil && err != nil:
		t.Fatalf("Prometheus takes it, we say %v", err)
	case err != nil || bytes.Contains(body, []byte("__name__")):
		return
	}
	got := map[string]omSeen{}
	for i := range s.Samples {
		x := &s.Samples[i]
		id := x.Name
		for i, l := range x.Labels {
			if i > 0 && l.Name <= x.Labels[i-1].Name {
				t.Fatalf("labels of %+v are not sorted", x)
			}
			id += fmt.Sprintf(" %q=%q", l.Name, normal(l.Name, l.Value))
		}
		v, err := x.Float()
		if err != nil {
			t.Fatal(err)
		}
		seen := omSeen{Value: v}
		if e := x.Exemplar; e != nil {
			seen.Exemplar = fmt.Sprint(e.Value, e.Time, e.Labels)
		}
		got[id] = seen
	}
	if bytes.IndexByte(body, '\\') >= 0 || s.LeftOut+s.Invalid > 0 { // Prometheus leaves the escapes of exemplars as they are
		for _, m := range []map[string]omSeen{got, want} {
			for id, x := range m {
				m[id] = omSeen{Value: x.Value}
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s\n%s", d, dump(p, s))
	}
	// At a time of which all speak nothing is left out; at another one all that have a time are.
	now := time.UnixMilli(1764000000000)
	for _, ms := range stamps {
		var q Parser
		var s2 collector.Snapshot
		if err := q.Parse(&s2, body, "application/openmetrics-text", Options{Now: now}); err != nil {
			t.Fatal(err)
		}
		if d := ms - now.UnixMilli(); (d > 300_000 || d < -300_000) && s2.Stale == 0 {
			t.Fatalf("a sample of %d counts as of %d", ms, now.UnixMilli())
		}
	}
}

// omOracle is what Prometheus takes of a body: the last of equal series, if it is a number, and the times of those that are.
func omOracle(body []byte) (said map[string]omSeen, stamps []int64, err error) {
	said = map[string]omSeen{}
	tp := textparse.NewOpenMetricsParser(bytes.Clone(body), plabels.NewSymbolTable())
	for {
		e, err := tp.Next()
		if errors.Is(err, io.EOF) {
			return said, stamps, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if e != textparse.EntrySeries {
			continue
		}
		_, at, v := tp.Series()
		var ls plabels.Labels
		tp.Labels(&ls)
		name, last := "", map[string]string{}
		ls.Range(func(l plabels.Label) {
			if l.Name == "__name__" && name == "" {
				name = strings.ToValidUTF8(l.Value, "\ufffd")
				return
			}
			last[strings.ToValidUTF8(l.Name, "\ufffd")] = l.Value
		})
		id := name
		for _, n := range slices.Sorted(maps.Keys(last)) {
			if last[n] != "" {
				id += fmt.Sprintf(" %q=%q", n, normal(n, last[n]))
			}
		}
		delete(said, id)
		var x exemplar.Exemplar
		seen := omSeen{Value: v}
		if tp.Exemplar(&x) && finites(x.Value) {
			var pairs []collector.LabelPair
			x.Labels.Range(func(l plabels.Label) { pairs = append(pairs, collector.LabelPair{Name: l.Name, Value: l.Value}) })
			seen.Exemplar = fmt.Sprint(x.Value, x.Ts, pairs)
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			said[id] = seen
			if at != nil {
				stamps = append(stamps, *at)
			}
		}
	}
}
