package dashboards

import (
	"math"
	"strconv"
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

// What is read the short way is what ParseFloat reads, to the last bit.
func TestNumber(t *testing.T) {
	for _, s := range []string{"0", "-0", "7", "-7", "007", "1.5", "-1.50", "0.1", "0.000001", "999999999999999", "9999999999999999", "123456789012.345", "99999999999999.9", "1.", ".5", "-", "", "+1", "1e3", "1.5.2", "1,5", "NaN",
		"18446744073709551616", "3.14159265358979", "0.30000000000000004", "12345678.1234567", "-0.0", "0x1p4", "1_000"} {
		x, ok := number(s)
		want, err := strconv.ParseFloat(s, 64)
		if ok != (err == nil) || ok && math.Float64bits(x) != math.Float64bits(want) {
			t.Errorf("%q is %v %t, not %v %v", s, x, ok, want, err)
		}
	}
	for i := range 100_000 {
		n := uint64(i) * 0x9e3779b97f4a7c15 >> 14 % 1_000_000_000_000_000
		s := strconv.FormatUint(n, 10)
		if p := i % 15; p > 0 && p < len(s) {
			s = s[:p] + "." + s[p:]
		}
		if x, ok := number(s); !ok || strconv.FormatFloat(x, 'g', -1, 64) != strconv.FormatFloat(mustFloat(t, s), 'g', -1, 64) {
			t.Fatalf("%s is %v", s, x)
		}
	}
}

func mustFloat(t *testing.T, s string) float64 {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
