package series

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// onsets runs a line through a State and gives the points that are told, negative where they go down.
func onsets(n int, at func(i int) float64) (out []int) {
	var s State
	for i := range n {
		switch v := s.Add(at(i)); {
		case v >= Threshold:
			out = append(out, i)
		case v <= -Threshold:
			out = append(out, -i)
		}
	}
	return out
}

func TestOnsets(t *testing.T) {
	noise := func(seed uint64) []float64 {
		r := rand.New(rand.NewPCG(seed, 1))
		v := make([]float64, 6000)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return v
	}(2)
	day := func(i int) float64 { return math.Sin(2 * math.Pi * float64(i) / 288) }
	for _, c := range []struct {
		name  string
		at    func(i int) float64
		first int // the first onset, negative: downwards; 0: none
		until int // it is there until then at the latest
		most  int // onsets in all
	}{
		{"noise", func(i int) float64 { return 100 + noise[i] }, 0, 0, 0},
		{"a day's shape", func(i int) float64 { return 100 + 30*day(i) + noise[i] }, 0, 0, 0},
		{"a constant", func(int) float64 { return 7 }, 0, 0, 0},
		{"nothing at all", func(int) float64 { return 0 }, 0, 0, 0},
		{"a constant, and less than one in a hundred", func(i int) float64 { return 700 + math.Floor(float64(i)/3000) }, 0, 0, 0},
		{"a step", func(i int) float64 { return 100 + noise[i] + 20*math.Floor(float64(i)/3000) }, 3000, 3001, 2},
		{"a step down", func(i int) float64 { return 100 + noise[i] - 20*math.Floor(float64(i)/3000) }, -3000, 3001, 1},
		{"a spike", func(i int) float64 {
			if i == 2000 {
				return 130
			}
			return 100 + noise[i]
		}, 2000, 2000, 1},
		{"spikes from the start, then one that is larger", func(i int) float64 {
			x := 100 + noise[i]
			if i%80 == 0 {
				x += 30
			}
			if i == 5120 {
				x += 90
			}
			return x
		}, 5120, 5120, 1},
		{"a drift out of the noise", func(i int) float64 { return 100 + noise[i] + 20*min(max(float64(i-3000)/300, 0), 1) }, 3000, 3150, 2},
		{"after a constant", func(i int) float64 { return float64(i / 2000 * 5) }, 2000, 2000, 2},
		{"gaps", func(i int) float64 {
			if i%3 == 1 {
				return math.NaN()
			}
			if i%300 == 2 {
				return math.Inf(1)
			}
			return 100 + noise[i]
		}, 0, 0, 0},
		{"too large for anything", func(i int) float64 {
			if i >= 1000 {
				return math.MaxFloat64
			}
			return 1e300 + noise[i]
		}, 0, 0, 0},
	} {
		got := onsets(len(noise), c.at)
		abs := func(i int) int { return max(i, -i) }
		switch {
		case c.first == 0 && len(got) > 0:
			t.Errorf("%s: onsets at %v", c.name, got)
		case c.first != 0 && (len(got) == 0 || got[0]*c.first < 0 || abs(got[0]) < abs(c.first) || abs(got[0]) > c.until || len(got) > c.most):
			t.Errorf("%s: onsets at %v", c.name, got)
		}
	}
}

// Many lines of noise, of any scale and with heavy tails: about one point in two thousand is beyond all that was before it by a third.
func TestCalm(t *testing.T) {
	told, points := 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		scale := math.Exp(4 * r.NormFloat64())
		tail := r.Float64() * 0.4
		points += 5000
		told += len(onsets(5000, func(int) float64 { return scale * (10 + math.Exp(tail*r.NormFloat64())) }))
	}
	if told > points/1_500 {
		t.Errorf("%d onsets in %d points of noise", told, points)
	}
}

func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(State{}); n > 128 {
		t.Errorf("a series takes %d bytes", n)
	}
	var s State
	x := 0.0
	if n := testing.AllocsPerRun(1000, func() { x++; s.Add(math.Sin(x)) }); n > 0 {
		t.Errorf("a point allocates %g times", n)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, 100)
	f.Add(math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 300)
	f.Add(math.NaN(), math.Inf(-1), 0.0, 150)
	f.Fuzz(func(t *testing.T, a, b, c float64, n int) {
		var s State
		for i := range min(max(n, 0), 1000) {
			v := s.Add([]float64{a, b, c}[i%3])
			if math.IsNaN(v) || math.Abs(v) > most {
				t.Fatalf("point %d scores %g", i, v)
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float64, 4096)
	for i := range x {
		x[i] = 100 + r.NormFloat64()
	}
	states := make([]State, 1024) // a fleet's, not one in the nearest cache
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		states[i&1023].Add(x[(i>>3)&4095])
		i++
	}
}
