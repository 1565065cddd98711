package dashboards

import (
	"fmt"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestFigures(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 60 {
		for i := range 3 {
			at := float64(s) + float64(i)*0.3
			f.add(fmt.Sprintf("10.0.0.%d:80", i), at, counter("requests", 1000+at*10), counter("errors", at),
				dist("latency_ms", collector.Lifetime, "count", 10*at, "sum", 70*at, "p99", 12))
		}
		f.tick(float64(s) + 0.95)
	}
	r := f.row()
	if !near(r.Rate, 30) || !near(r.Errors, 3) || !near(r.ErrorRatio, 0.1) || r.Answering != 3 || r.Expected != 3 {
		t.Errorf("row is %+v", r)
	}
	if r.Latency == nil || r.Latency.Name != "mean" || !near(r.Latency.Est, 7) {
		t.Errorf("latency is %+v", r.Latency)
	}
	q := Query{Service: "checkout", Env: "prod", Metric: "requests", By: "instance"}
	if _, err := f.b.Series(q); err != nil {
		t.Fatal(err)
	}
}
