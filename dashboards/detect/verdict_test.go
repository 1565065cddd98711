package detect

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Lines of ticks: n times a value, with Poisson-like noise where seed is not zero.
type stretch struct {
	n     int
	value float64
}

func line(seed uint64, ss ...stretch) (out []float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for _, s := range ss {
		for range s.n {
			v := s.value
			if seed > 0 {
				v = math.Max(0, math.Round(v+math.Sqrt(v)*r.NormFloat64()))
			}
			out = append(out, v)
		}
	}
	return out
}

func all(n int) []bool {
	b := make([]bool, n)
	for i := range b {
		b[i] = true
	}
	return b
}

func TestRatioRisen(t *testing.T) {
	nan := math.NaN()
	for _, tc := range []struct {
		name  string
		n, e  []float64
		ticks int // 0: nothing is found
	}{
		{"clear, after ten seconds", line(0, stretch{12, 1000}), line(0, stretch{10, 2}, stretch{2, 30}), 2},
		{"one tick is not enough", line(0, stretch{13, 1000}), line(0, stretch{12, 2}, stretch{1, 60}), 0},
		{"too little history", line(0, stretch{8, 1000}), line(0, stretch{6, 2}, stretch{2, 60}), 0},
		{"calm", line(3, stretch{300, 1000}), line(4, stretch{300, 2}), 0},
		{"no errors at all", line(0, stretch{60, 1000}), line(0, stretch{60, 0}), 0},
		{"a first error", line(0, stretch{60, 10}), append(line(0, stretch{59, 0}), 1), 0},
		{"certain but too small", line(0, stretch{300, 1e6}), line(0, stretch{285, 2000}, stretch{15, 2300}), 0},
		{"large but not certain", line(0, stretch{60, 20}), line(0, stretch{58, 0}, stretch{2, 1}), 0},
		{"small, over a longer window", line(0, stretch{300, 100}), line(0, stretch{255, .2}, stretch{45, 1.2}), 45},
		{"it is over", line(0, stretch{62, 1000}), line(0, stretch{50, 2}, stretch{8, 60}, stretch{4, 2}), 0},
		{"errors were always many", line(5, stretch{100, 1000}), line(6, stretch{100, 300}), 0},
		{"wild history forgives", line(0, stretch{100, 1000}), append(line(0, stretch{20, 2}, stretch{2, 40}, stretch{20, 2}, stretch{2, 50}, stretch{30, 2}, stretch{2, 40}, stretch{22, 2}), 30, 30), 0},
		{"nobody knows", line(0, stretch{20, 1000}), append(line(0, stretch{18, 2}), nan, nan), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, ok := ratioRisen(tc.n, tc.e, all(len(tc.n)), 6)
			if ok != (tc.ticks > 0) || ok && v.Ticks != tc.ticks {
				t.Errorf("%v: %+v, want %d ticks", ok, v, tc.ticks)
			}
		})
	}
}

func TestSlower(t *testing.T) {
	busy := func(n int) []float64 { return line(0, stretch{n, 500}) }
	wobbly := func(n int, ss ...stretch) []float64 {
		r := rand.New(rand.NewPCG(9, 9))
		out := line(0, ss...)
		for i := range out {
			out[i] *= math.Exp(0.08 * r.NormFloat64())
		}
		return out[:n]
	}
	for _, tc := range []struct {
		name  string
		x, n  []float64
		found bool
	}{
		{"doubled", wobbly(62, stretch{60, 100}, stretch{2, 210}), busy(62), true},
		{"one tick", wobbly(61, stretch{60, 100}, stretch{1, 210}), busy(61), false},
		{"calm", wobbly(300, stretch{300, 100}), busy(300), false},
		{"a fifth more", wobbly(300, stretch{255, 100}, stretch{45, 120}), busy(300), false},
		{"a millisecond", wobbly(62, stretch{60, .5}, stretch{2, 1.5}), busy(62), false},
		{"it has been so before", wobbly(100, stretch{60, 100}, stretch{4, 230}, stretch{34, 100}, stretch{2, 210}), busy(100), false},
		{"hardly any requests", wobbly(62, stretch{60, 100}, stretch{2, 400}), line(0, stretch{62, 3}), false},
		{"much fewer requests", wobbly(62, stretch{60, 100}, stretch{2, 400}), line(0, stretch{60, 500}, stretch{2, 100}), false},
		{"half as much, over a longer window", wobbly(105, stretch{100, 100}, stretch{5, 150}), busy(105), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if v, ok := slower(tc.x, tc.n, .99, all(len(tc.x)), 6); ok != tc.found {
				t.Errorf("%v: %+v", ok, v)
			}
		})
	}
}

func TestCollapsed(t *testing.T) {
	people := func(n, last, then int) []int {
		out := make([]int, n)
		for i := range out {
			out[i] = 10
			if i >= n-last {
				out[i] = then
			}
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		rate  []float64
		there []int
		found bool
	}{
		{"a tenth is left", line(1, stretch{60, 1000}, stretch{3, 100}), people(63, 0, 0), true},
		{"nothing is left", line(1, stretch{60, 1000}, stretch{3, 0}), people(63, 0, 0), true},
		{"two ticks may be a stall", line(1, stretch{60, 1000}, stretch{2, 100}), people(62, 0, 0), false},
		{"two thirds are left", line(1, stretch{60, 1000}, stretch{3, 660}), people(63, 0, 0), false},
		{"fewer instances explain it", line(1, stretch{60, 1000}, stretch{3, 420}), people(63, 3, 4), false},
		{"fewer instances do not explain it", line(1, stretch{60, 1000}, stretch{3, 100}), people(63, 3, 9), true},
		{"few requests come and go", line(3, stretch{60, 3}, stretch{3, 0}), people(63, 0, 0), false},
		{"evening", line(2, stretch{20, 1000}, stretch{20, 800}, stretch{20, 600}, stretch{3, 450}), people(63, 0, 0), false},
		{"unknown is not zero", append(line(1, stretch{60, 1000}), math.NaN(), math.NaN(), math.NaN()), people(63, 3, 0), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if v, ok := collapsed(tc.rate, tc.rate, tc.there, all(len(tc.rate)), 6); ok != tc.found {
				t.Errorf("%v: %+v", ok, v)
			}
		})
	}
}

// What was a finding is no history: neither for the ratio nor for the place.
func TestHistoryWithoutFindings(t *testing.T) {
	e := line(0, stretch{40, 2}, stretch{60, 300}, stretch{20, 2}, stretch{2, 60})
	n := line(0, stretch{len(e), 1000})
	base := all(len(e))
	if _, ok := ratioRisen(n, e, base, 6); ok {
		t.Error("found although the history is as bad")
	}
	for i := 40; i < 100; i++ {
		base[i] = false
	}
	if v, ok := ratioRisen(n, e, base, 6); !ok || v.Was > 0.01 {
		t.Errorf("%v: %+v", ok, v)
	}
}

func BenchmarkVerdicts(b *testing.B) {
	n, e := line(1, stretch{600, 1000}), line(2, stretch{600, 2})
	x := line(3, stretch{600, 200})
	base := all(600)
	there := make([]int, 600)
	b.ReportAllocs()
	for b.Loop() {
		ratioRisen(n, e, base, 6)
		slower(x, n, .99, base, 6)
		collapsed(n, n, there, base, 6)
	}
}
