package quantile

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

var nan = math.NaN()

func host4(name string, n, p50, p90, p99, most float64) dashboards.Dist {
	return dashboards.Dist{Host: name, N: n, Min: nan, Max: most, Q: []dashboards.Quantile{{P: .5, V: p50}, {P: .9, V: p90}, {P: .99, V: p99}}}
}

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		name   string
		p      float64
		ds     []dashboards.Dist
		lo, hi float64
		worst  string
	}{
		{"one host is its own word", .99, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80)}, 50, 50, "a"},
		{"hosts that agree", .99, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80), host4("b", 7, 10, 20, 50, 90)}, 50, 50, "a"},
		{"a busy host outweighs", .5, []dashboards.Dist{host4("a", 1e6, 10, 20, 50, 80), host4("b", 1, 1000, 2000, 5000, 8000)}, 10, 20, "b"},
		{"between two", .99, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80), host4("b", 100, 10, 20, 90, 120)}, 50, 90, "b"},
		{"greatest of all", 1, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80), host4("b", 100, 10, 20, 90, 120)}, 120, 120, "b"},
		{"beyond what is told", .999, []dashboards.Dist{host4("a", 100, 10, 20, 50, nan)}, 50, nan, "a"},
		{"below what is told", .2, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80)}, nan, 10, "a"},
		{"counts missing", .99, []dashboards.Dist{host4("a", nan, 10, 20, 50, 80), host4("b", 5, 10, 20, 90, 120)}, 50, 90, "b"},
		{"idle hosts say nothing", .99, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80), host4("b", 0, 1, 2, 9, 9)}, 50, 50, "a"},
		{"a contradiction is lifted", .99, []dashboards.Dist{host4("a", 100, 10, 60, 50, 80)}, 60, 60, "a"},
		{"nobody", .99, nil, nan, nan, ""},
		{"no such percentile", 1.5, []dashboards.Dist{host4("a", 100, 10, 20, 50, 80)}, nan, nan, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := Of(tc.ds, tc.p)
			same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
			if !same(a.Lo, tc.lo) || !same(a.Hi, tc.hi) || a.Worst != tc.worst {
				t.Errorf("got [%v, %v] worst %q, want [%v, %v] worst %q", a.Lo, a.Hi, a.Worst, tc.lo, tc.hi, tc.worst)
			}
			if a.Est < a.Lo || a.Est > a.Hi {
				t.Errorf("estimate %v is outside [%v, %v]", a.Est, a.Lo, a.Hi)
			}
		})
	}
}

// exact is the least of the sorted values that p of them do not exceed.
func exact(sorted []float64, p float64) float64 {
	return sorted[max(int(math.Ceil(p*float64(len(sorted))-1e-9))-1, 0)]
}

// mixture makes hosts with values of their own, their reports, and all values.
func mixture(r *rand.Rand, reported []float64) (ds []dashboards.Dist, all []float64) {
	hosts := 1 + r.IntN(40)
	shape := r.IntN(3)
	sick := r.IntN(hosts)
	for i := range hosts {
		n := 1 + r.IntN(300)
		mid, sigma := math.Exp(r.NormFloat64()), 0.2+r.Float64()
		v := make([]float64, n)
		for k := range v {
			x := 40 * mid * math.Exp(sigma*r.NormFloat64())
			switch {
			case shape == 1 && r.IntN(3) == 0:
				x += 400 // a cache missed
			case shape == 2 && i == sick:
				x *= 50
			}
			if r.IntN(20) == 0 {
				x = math.Round(x) // ties
			}
			v[k] = x
		}
		slices.Sort(v)
		d := dashboards.Dist{Host: string(rune('a' + i)), N: float64(n), Min: nan, Max: nan}
		if r.IntN(2) == 0 {
			d.Min, d.Max = v[0], v[n-1]
		}
		for _, p := range reported {
			d.Q = append(d.Q, dashboards.Quantile{P: p, V: exact(v, p)})
		}
		ds, all = append(ds, d), append(all, v...)
	}
	slices.Sort(all)
	return ds, all
}

var reports = [][]float64{{.5, .9, .95, .99, .999}, {.5, .99}, {.5, .75, .95, .98, .99, .999}, {.99}}

func TestTruthIsInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		ds, all := mixture(r, reports[rapid.IntRange(0, len(reports)-1).Draw(t, "report")])
		p := rapid.SampledFrom([]float64{.01, .5, .75, .9, .95, .99, .999, 1}).Draw(t, "p")
		a, truth := Of(ds, p), exact(all, p)
		if a.Lo > truth || a.Hi < truth {
			t.Fatalf("p %v: the truth %v is outside [%v, %v]", p, truth, a.Lo, a.Hi)
		}
		if a.Est < a.Lo || a.Est > a.Hi || math.IsNaN(a.Est) && !math.IsNaN(a.Lo) && !math.IsNaN(a.Hi) {
			t.Fatalf("p %v: the estimate %v is outside [%v, %v]", p, a.Est, a.Lo, a.Hi)
		}
	})
}

// Averaging is what everybody else does. The estimate has to be worth its code.
func TestEstimateBeatsAveraging(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var ours, theirs []float64
	for range 2000 {
		ds, all := mixture(r, reports[0])
		truth := exact(all, .99)
		var sum float64
		for _, d := range ds {
			sum += d.Q[3].V
		}
		ours = append(ours, math.Abs(Of(ds, .99).Est-truth)/truth)
		theirs = append(theirs, math.Abs(sum/float64(len(ds))-truth)/truth)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	a, b := ours[len(ours)/2], theirs[len(theirs)/2]
	t.Logf("median error %.4f, of averaging %.4f", a, b)
	if a > b/5 {
		t.Errorf("median error %.4f is more than a fifth of averaging's %.4f", a, b)
	}
}

func BenchmarkOver(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var ds []dashboards.Dist
	for len(ds) < 312 {
		more, _ := mixture(r, reports[0])
		ds = append(ds, more...)
	}
	ds = ds[:312]
	b.ReportAllocs()
	for b.Loop() {
		Over(ds, .99)
	}
}

func TestAbove(t *testing.T) {
	ds := []dashboards.Dist{host4("a", 100, 10, 20, 50, 80), host4("b", 7, 10, 20, 60, 90), host4("idle", 0, 10, 20, 900, 900), {Host: "c", N: 5, Min: nan, Max: nan}}
	for _, tc := range []struct {
		p, threshold float64
		want         int
	}{{.99, 40, 2}, {.99, 50, 1}, {.99, 60, 0}, {1, 85, 1}, {.5, 9, 2}, {.95, 19, 2}, {.95, 51, 0}, {2, 0, 0}, {.99, nan, 0}} {
		if got := Above(ds, tc.p, tc.threshold); got != tc.want {
			t.Errorf("%d hosts are above %v at %v, want %d", got, tc.threshold, tc.p, tc.want)
		}
	}
}
