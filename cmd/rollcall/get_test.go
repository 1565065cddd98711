package main

import "testing"

func TestRank(t *testing.T) {
	all := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{.5: 5, .9: 9, .99: 10, 1: 10} {
		if got := rank(all, q); got != want {
			t.Errorf("%g: %g, want %g", q, got, want)
		}
	}
	if got := rank(all[:1], .5); got != 1 {
		t.Errorf("of one: %g", got)
	}
}

func TestAdds(t *testing.T) {
	for name, want := range map[string]bool{"requests": true, "latency_ms.count": true, "latency_ms.sum": true, "latency_ms.p99": false, "latency_ms.p999": false,
		"latency_ms.average": false, "jvm.pool": true, "a.p": true, `x{le="0.5"}`: true, "latency_ms.maximum": false} {
		if got := adds(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
