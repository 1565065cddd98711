package dashboards

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// promises are two limits of latency, in milliseconds.
func promises(string, string, func(...string) string) About {
	return About{Objectives: []Objective{{Name: "fast", Target: .9, Under: 100, Window: 24 * time.Hour}, {Name: "slow", Target: .99, Under: 300, Window: 24 * time.Hour}}}
}

// counts is what a slot's rollup says of promises.
func counts(x Rollup) (out string) {
	for _, s := range x.Slices {
		if s.Dim == "" && s.Metric != "" {
			out += fmt.Sprintf("%s %.4g; ", s.Metric, float64(s.Rate))
		}
	}
	return out
}

// How many requests took longer than promised is counted from histograms, classic and native, and from nothing else.
func TestPromisesOfLatency(t *testing.T) {
	for _, tc := range []struct {
		name string
		of   func(s float64) []collector.Sample
		want string
	}{
		{"classic buckets, one bound between two", func(s float64) (out []collector.Sample) {
			// Of 100 a second: 80 up to 100 ms, 10 up to 200 ms, 8 up to 400 ms, 2 beyond.
			for le, n := range map[string]float64{"0.1": 80, "0.2": 90, "0.4": 98, "+Inf": 100} {
				out = append(out, labelled(counter("http_request_duration_seconds_bucket", n*s), "le", le))
			}
			return append(out, counter("http_request_duration_seconds_count", 100*s), counter("http_request_duration_seconds_sum", 9*s))
		}, "slo/timed 200; slo/over_100ms 40; slo/over_300ms 12; "},
		{"a native histogram", func(s float64) []collector.Sample {
			// Schema 0: bucket i ends at 2^i seconds. Of 100 a second 50 in (1/16, 1/8], 40 in (1/4, 1/2], 10 in (1/2, 1].
			return []collector.Sample{{Name: "http_request_duration_seconds", Kind: collector.Histogram, Hist: &collector.NativeHistogram{Schema: 0, Count: 100 * s, Sum: 20 * s,
				PositiveSpans: []collector.Span{{Offset: -3, Length: 1}, {Offset: 1, Length: 2}}, PositiveCounts: []float64{50 * s, 40 * s, 10 * s}}}}
		}, "slo/timed 200; slo/over_100ms 132.2; slo/over_300ms 78.96; "},
		{"percentiles do not tell", func(s float64) []collector.Sample {
			return []collector.Sample{counter("requests", 10*s), dist("latency_ms", collector.Interval, "count", 10, "sum", 1000, "p50", 100, "p99", 400)}
		}, ""},
	} {
		r := newRolledUp(t, Options{About: promises})
		for s := 1.0; s <= 60; s++ {
			for _, in := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
				r.add(in, s, tc.of(s)...)
			}
			r.tick(s)
		}
		slot := t0.UnixMilli() + 20_000
		if len(r.out[slot]) == 0 {
			t.Fatalf("%s: no rollup", tc.name)
		}
		if got := counts(r.out[slot][0]); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
