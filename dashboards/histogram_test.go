package dashboards

import (
	"math"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

// native is a sample with counts in the buckets that begin at index 0 of schema 0: (1/2,1], (1,2], (2,4], …
func native(sum float64, counts ...float64) collector.Sample {
	var n float64
	for _, c := range counts {
		n += c
	}
	return collector.Sample{Name: "latency_ms", Kind: collector.Histogram, Hist: &collector.NativeHistogram{Count: n, Sum: sum,
		PositiveSpans: []collector.Span{{Offset: 0, Length: uint32(len(counts))}}, PositiveCounts: counts}}
}

// A native histogram becomes what was observed in each interval.
func TestNativeHistogram(t *testing.T) {
	f := newFleet(t, Options{Percentile: func(ds []Dist, p float64) Interval {
		for _, q := range ds[0].Q {
			if q.P == p {
				return Interval{q.V, q.V, q.V}
			}
		}
		return Interval{nan, nan, nan}
	}})
	f.add("10.0.0.1:80", 0, native(100, 0, 0, 50))
	f.add("10.0.0.1:80", 1, native(700, 0, 0, 50, 0, 0, 0, 100)) // a hundred more, all in (32, 64]
	f.add("10.0.0.1:80", 2, native(710, 0, 0, 60, 0, 0, 0, 100)) // ten more in (2, 4]
	f.tick(2.5)
	r := f.row()
	if r.Latency == nil || r.Latency.Name != "p99" || r.Latency.Est < 3.9 || r.Latency.Est > 4 {
		t.Errorf("latency is %+v", r.Latency)
	}
	w, _ := f.b.Window("checkout", "prod", "10.0.0.1:80", "latency_ms", "p99", t0, t0.Add(1e12))
	if len(w.Points) != 2 || w.Points[0].V < 63 || w.Points[0].V > 64 {
		t.Errorf("percentiles are %+v", w.Points)
	}
	c, _ := f.b.Window("checkout", "prod", "10.0.0.1:80", "latency_ms", "count", t0, t0.Add(1e12))
	if len(c.Points) != 2 || c.Points[0].V != 100 || c.Points[1].V != 10 {
		t.Errorf("counts are %+v", c.Points)
	}
	// A reset gives nothing to subtract from.
	f.add("10.0.0.1:80", 3, native(1, 1))
	if c, _ := f.b.Window("checkout", "prod", "10.0.0.1:80", "latency_ms", "count", t0, t0.Add(1e12)); len(c.Points) != 2 {
		t.Errorf("counts are %+v", c.Points)
	}
}

func TestNativeQuantile(t *testing.T) {
	for _, tc := range []struct {
		b    []nativeBucket
		p    float64
		want float64
	}{
		{[]nativeBucket{{1, 2, 10}}, .5, math.Sqrt2}, {[]nativeBucket{{1, 2, 10}, {2, 4, 10}}, .75, 2 * math.Sqrt2}, {[]nativeBucket{{-2, -1, 10}}, .5, -math.Sqrt2},
		{[]nativeBucket{{-1, 1, 10}}, .5, 0}, {[]nativeBucket{{1, 2, 10}}, 1, 2}, {nil, .5, nan},
	} {
		if got := nativeQuantile(tc.b, tc.p); math.Abs(got-tc.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(tc.want) {
			t.Errorf("quantile %v of %v is %v, want %v", tc.p, tc.b, got, tc.want)
		}
	}
}

// Classic buckets: what grew between two scrapes, summed over label sets, makes the distribution.
func TestClassicBuckets(t *testing.T) {
	var seen []Dist
	f := newFleet(t, Options{Percentile: func(ds []Dist, p float64) Interval {
		seen = ds
		return Interval{100, 500, 200}
	}})
	b := func(le string, v float64, method string) collector.Sample {
		return labelled(counter("http_request_duration_seconds_bucket", v), "le", le, "method", method)
	}
	for s := range 3 {
		x := float64(s)
		f.add("10.0.0.1:80", x, b("0.1", 90*x, "get"), b("0.5", 99*x, "get"), b("+Inf", 100*x, "get"), b("0.1", 0, "put"), b("0.5", 100*x, "put"), b("+Inf", 100*x, "put"),
			counter("http_request_duration_seconds_sum", 12*x), counter("http_request_duration_seconds_count", 200*x))
	}
	f.tick(2.5)
	r := f.row()
	if r.Latency == nil || r.Latency.Name != "p99" || r.Latency.Est != 200 || !near(r.Rate, 200) {
		t.Fatalf("row is %+v, latency %+v", r, r.Latency)
	}
	if len(seen) != 1 || seen[0].N != 200 || len(seen[0].Q) != 2 || seen[0].Q[0] != (Quantile{.45, 100}) || seen[0].Q[1] != (Quantile{.995, 500}) {
		t.Errorf("distributions are %+v", seen)
	}
}
