package dashboards

import (
	"fmt"
	"math"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

// A deploy and its rollback: what was counted, measured and judged meanwhile stays that of the version which ran then.
func TestSeriesByVersionAsItWas(t *testing.T) {
	f := newFleet(t, Options{Percentile: func(of []Dist, _ float64) Interval { return Interval{Est: float64(len(of))} }})
	errors := map[string]float64{}
	for s := range 120 {
		for i := range 3 {
			addr, version, by := fmt.Sprintf("10.0.0.%d:80", i+1), "1.0", 0.0
			if i > 0 && s >= 40 && s < 80 {
				version, by = "1.1", 5
			}
			errors[addr] += by
			r := f.record(addr, float64(s), counter("requests", 10*float64(s)), counter("errors", errors[addr]), gauge("heap", 100+by),
				dist("latency_ms", collector.Latched, "count", 10*float64(s), "p99", 12+by))
			r.Tags = []collector.LabelPair{{Name: TagVersion, Value: version}}
			f.b.Add(r)
		}
	}
	f.tick(120)
	nan := math.NaN()
	for _, tc := range []struct {
		name           string
		q              Query
		line           string
		before, during float64
		after          float64
	}{
		{"errors of the new one", Query{Metric: "errors", By: "version"}, "1.1", nan, 10, nan},
		{"errors of the old one", Query{Metric: "errors", By: "version"}, "1.0", 0, 0, 0},
		{"requests of the new one, by its full name", Query{Metric: "requests", By: TagVersion}, "1.1", nan, 20, nan},
		{"requests of the old one", Query{Metric: "requests", By: "version"}, "1.0", 30, 10, 30},
		{"a gauge", Query{Metric: "heap", By: "version"}, "1.1", nan, 105, nan},
		{"a gauge of the old one", Query{Metric: "heap", By: "version"}, "1.0", 100, 100, 100},
		{"a percentile speaks for so many", Query{Metric: "latency_ms", By: "version"}, "1.1", nan, 2, nan},
		{"a percentile of the old one", Query{Metric: "latency_ms", By: "version"}, "1.0", 3, 1, 3},
		{"where it is the new one", Query{Metric: "errors", Where: []Where{{"version", []string{"1.1"}}}}, "", nan, 10, nan},
		{"where it is the old one", Query{Metric: "requests", Where: []Where{{"version", []string{"1.0"}}}}, "", 30, 10, 30},
		{"where it is either", Query{Metric: "requests", Where: []Where{{"version", []string{"1.0", "1.1"}}}}, "", 30, 30, 30},
		{"by instance, where it is the new one", Query{Metric: "errors", By: "instance", Where: []Where{{"version", []string{"1.1"}}}}, "10.0.0.3:80", nan, 5, nan},
	} {
		q := tc.q
		q.Service, q.Env, q.From, q.To, q.Step = "checkout", "prod", at(0), at(120), 1e9
		out, err := f.b.Series(q)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		found := false
		for _, l := range out.Lines {
			if l.Name != tc.line {
				continue
			}
			found = true
			for at, want := range map[int]float64{20: tc.before, 38: tc.before, 42: tc.during, 60: tc.during, 78: tc.during, 82: tc.after, 110: tc.after} {
				if is := float64(l.Values[at]); is != want && !(math.IsNaN(is) && math.IsNaN(want)) {
					t.Errorf("%s: %v at %d, want %v", tc.name, is, at, want)
				}
			}
		}
		if !found {
			t.Errorf("%s: no line %q among %d", tc.name, tc.line, len(out.Lines))
		}
	}

	// What is compared over a while that is over was of the version that ran most of it.
	for _, tc := range []struct {
		from, cut, to float64
		want          string
	}{{0, 20, 38, "1.0"}, {10, 40, 78, "1.1"}, {10, 40, 90, "1.1"}, {40, 80, 119, "1.0"}, {40, 70, 110, "1.0"}} {
		for _, l := range f.b.Leaves("checkout", "prod", at(tc.from), at(tc.cut), at(tc.to), false) {
			if want := map[bool]string{true: "1.0", false: tc.want}[l.Instance == "10.0.0.1:80"]; l.Tags[TagVersion] != want {
				t.Errorf("from %v to %v %s ran %s, want %s", tc.cut, tc.to, l.Instance, l.Tags[TagVersion], want)
			}
		}
	}
}

// One line of two versions counts nobody twice in the step in which they move.
func TestMoveIsCountedOnce(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 60 {
		r := f.record("10.0.0.1:80", float64(s), counter("requests", 10*float64(s)))
		r.Tags = []collector.LabelPair{{Name: TagVersion, Value: map[bool]string{true: "1.1", false: "1.0"}[s >= 33]}}
		f.b.Add(r)
	}
	f.tick(60)
	out, err := f.b.Series(Query{Service: "checkout", Env: "prod", Metric: "requests", Where: []Where{{"version", []string{"1.0", "1.1"}}}, From: at(5), To: at(55), Step: 10e9})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range out.Lines[0].Values {
		if !near(v, 10) {
			t.Errorf("step %d: %v a second, want 10", k, v)
		}
	}
}

// Who did something before and nothing after counts before, where the two are apart.
func TestLeavesApart(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 100 {
		f.add("10.0.0.1:80", float64(s), counter("requests", 10*float64(s)), counter("errors", 0))
		if s < 40 {
			f.add("10.0.0.2:80", float64(s), counter("requests", 10*float64(s)), counter("errors", 0))
		}
	}
	f.tick(100)
	var before, after float64
	for _, l := range f.b.LeavesApart("checkout", "prod", at(10), at(30), at(60), at(80), false) {
		before, after = before+l.Before.Requests, after+l.After.Requests
	}
	if !near(Num(before), 400) || !near(Num(after), 200) {
		t.Errorf("%v before and %v after, want 400 and 200", before, after)
	}
}
