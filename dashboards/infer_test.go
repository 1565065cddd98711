package dashboards

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestKindOfUntyped(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []float64
		beside []float64 // a typed counter of the same instance
		uptime []float64
		want   collector.Kind
	}{
		{"rises four times", []float64{1, 2, 3, 5}, nil, nil, collector.Counter},
		{"too few", []float64{1, 2, 3}, nil, nil, collector.Untyped},
		{"stands still", []float64{4, 4, 4, 4, 4, 4}, nil, nil, collector.Untyped},
		{"rises once", []float64{4, 4, 4, 5}, nil, nil, collector.Counter},
		{"a fraction", []float64{1, 2.5, 3, 4, 5}, nil, nil, collector.Gauge},
		{"negative", []float64{-1, 2, 3, 4, 5}, nil, nil, collector.Gauge},
		{"falls", []float64{10, 11, 9, 12, 13, 14, 15}, nil, nil, collector.Gauge},
		{"falls to less than the usual step", []float64{100, 110, 120, 130, 5, 15}, nil, nil, collector.Counter},
		{"falls far with the uptime", []float64{10, 20, 30, 40, 39, 50}, nil, []float64{5, 6, 7, 8, 1, 2}, collector.Counter},
		{"falls far with the other counters", []float64{10, 20, 30, 40, 39, 50}, []float64{100, 101, 102, 103, 2, 3}, nil, collector.Counter},
		{"falls far alone", []float64{10, 20, 30, 40, 39, 50}, []float64{100, 101, 102, 103, 104, 105}, nil, collector.Gauge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, Options{})
			for i, v := range tc.values {
				r := f.record("10.0.0.1:80", float64(i), untyped("x", v))
				if tc.beside != nil {
					r.Samples = append(r.Samples, counter("a", tc.beside[i]), counter("b", tc.beside[i]), counter("c", tc.beside[i]))
				}
				if tc.uptime != nil {
					r.Samples = append(r.Samples, gauge("jvm_uptime", tc.uptime[i]))
				}
				f.b.Add(r)
			}
			if got := f.b.find("checkout", "prod").cols[0].kindNow(); got != tc.want {
				t.Errorf("kind is %s, want %s", got, tc.want)
			}
		})
	}
}

// One instance that counts backwards does not make a gauge of everybody's counter.
func TestKindByVote(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 6 {
		for _, in := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
			v := float64(100 + 10*s)
			if in == "10.0.0.3:80" {
				v = float64(100 - 10*s)
			}
			f.add(in, float64(s), untyped("requests", v))
		}
	}
	f.tick(5.5)
	if got := f.b.find("checkout", "prod").cols[0].kindNow(); got != collector.Counter {
		t.Errorf("kind is %s", got)
	}
	if r := f.row(); !r.Rate.Known() || r.Rate < 20 {
		t.Errorf("rate is %v", r.Rate)
	}
}
