package dashboards

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

// A pull that the collector did not make says nothing about the instance: it is no failure of its own.
func TestSkippedIsNoFailure(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 20 {
		f.add("a:1", float64(s), counter("requests", float64(s)))
		r := f.record("b:1", float64(s), counter("requests", float64(s)))
		if s >= 15 {
			r.Outcome, r.Samples = collector.Skipped, nil
		}
		f.b.Add(r)
		r = f.record("c:1", float64(s), counter("requests", float64(s)))
		if s >= 15 {
			r.Outcome, r.Samples = collector.Timeout, nil
		}
		f.b.Add(r)
		f.tick(float64(s) + .5)
	}
	fails := map[string]int{}
	for _, m := range f.b.Signals("checkout", "prod", 10).Silent {
		fails[m.Instance] = m.Fails
	}
	if fails["b:1"] != 0 || fails["c:1"] != 5 {
		t.Errorf("%v: want none of b, which was not asked, and 5 of c", fails)
	}
}
