package dashboards

import (
	"math"
	"testing"
	"time"
)

// What is usual is what was while no finding was about the service; one that fails everywhere is no measure of itself.
func TestUsual(t *testing.T) {
	at := func(s int64) int64 { return t0.UnixMilli() + s*1000 }
	over := at(110)
	for _, tc := range []struct {
		name     string
		findings []Finding
		ratio    float64
		latency  float64
	}{
		{"since a minute", []Finding{{Since: at(240)}}, .002, 100},
		{"over, and another", []Finding{{Since: at(240)}, {Since: at(60), Ended: &over}}, .002, 100},
		{"nothing is wrong", nil, .04, 100}, // all of it counts
		{"always", []Finding{{Since: at(0)}}, math.NaN(), math.NaN()},
	} {
		s := &service{ring: newRing(time.Second, time.Hour)}
		s.golden.set.errors = []uint32{0}
		first := t0.Unix()
		for k := first; k < first+300; k++ {
			f := figures{rate: 100, errs: .2, lat: Interval{Est: 100}, answering: 3}
			if k >= first+60 && k < first+110 && len(tc.findings) == 2 || k >= first+240 {
				f.errs, f.lat.Est = 19.2, 300
			}
			s.ring.advance(k)
			s.ring.set(k, &f)
		}
		u := s.usual(tc.findings)
		if r := float64(u.ErrorRatio); math.Abs(r-tc.ratio) > 1e-4 && !(math.IsNaN(r) && math.IsNaN(tc.ratio)) {
			t.Errorf("%s: errors %v, want %v", tc.name, r, tc.ratio)
		}
		if l := float64(u.Latency); l != tc.latency && !(math.IsNaN(l) && math.IsNaN(tc.latency)) {
			t.Errorf("%s: latency %v, want %v", tc.name, l, tc.latency)
		}
	}
}
