package canary

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// latency is a study of one level: value gives what host i says at poll k; the last `canary` of n hosts are the canary.
func latency(n, canary, polls int, value func(i, k int) float64) *Study {
	s := &Study{Measures: []Measure{Golden()[1]}, Polls: polls, Width: 10 * time.Second, Begin: time.Unix(1000, 0)}
	for i := range n {
		m := Member{Canary: i >= n-canary, Series: []Series{{X: make([]float64, polls)}}}
		for k := range polls {
			m.Series[0].X[k] = value(i, k)
		}
		s.Members = append(s.Members, m)
	}
	return s
}

func watched1(t testing.TB, s *Study, r Rules) Report {
	t.Helper()
	rep, err := Watch(s, r)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestWatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	noise := func(mid float64) float64 { return mid * math.Exp(0.05*rng.NormFloat64()) }
	calm := func(int, int) float64 { return noise(40) }
	slow := func(from int) func(i, k int) float64 {
		return func(i, k int) float64 {
			if i >= 8 && k >= from {
				return noise(80)
			}
			return noise(40)
		}
	}
	errors := func(n, canary int, requests, base, of float64) *Study {
		s := latency(n, canary, 60, calm)
		s.Measures = Golden()[:1]
		for i := range s.Members {
			x, reqs := s.Members[i].Series[0].X, make([]float64, 60)
			for k := range x {
				reqs[k] = requests
				x[k] = requests * base
				if s.Members[i].Canary {
					x[k] = requests * of
				}
			}
			s.Members[i].Series[0].N = reqs
		}
		return s
	}
	for _, tc := range []struct {
		name    string
		study   *Study
		rules   Rules
		verdict Verdict
		says    string
	}{
		{"nothing at all", &Study{}, Rules{}, Hold, "no poll yet"},
		{"no harm", latency(10, 2, 60, calm), Rules{}, Pass, "excluded"},
		{"twice as slow", latency(10, 2, 60, slow(0)), Rules{}, Fail, "latency"},
		{"faster", latency(10, 2, 60, func(i, k int) float64 { return noise(40 - 3*float64(i)) }), Rules{}, Pass, "excluded"},
		{"no canary", latency(10, 0, 60, calm), Rules{}, Hold, "no poll yet has traffic of both"},
		{"no baseline", latency(2, 2, 60, calm), Rules{}, Hold, "no poll yet has traffic of both"},
		{"one host of the baseline", latency(2, 1, 60, calm), Rules{}, Hold, "the baseline has 1 host,"},
		{"fewer canaries than asked for", latency(10, 2, 60, calm), Rules{MinCanary: 3}, Hold, "the canary has 2 hosts, and 3"},
		{"too early", latency(10, 2, 9, slow(0)), Rules{}, Hold, "9 polls of at least 10"},
		{"the canary gets no traffic any more", latency(10, 2, 60, func(i, k int) float64 {
			if i >= 8 && k > 30 {
				return nan
			}
			return noise(40)
		}), Rules{}, Hold, "no traffic of both cohorts since 00:21:50 UTC"},
		{"a fail stays", latency(10, 2, 400, func(i, k int) float64 {
			if k >= 60 {
				return noise(40)
			}
			return slow(0)(i, k)
		}), Rules{}, Fail, "latency"},
		{"one canary of many is sick", latency(40, 4, 120, func(i, k int) float64 {
			if i == 39 {
				return noise(200)
			}
			return noise(40)
		}), Rules{}, Hold, "latency may be worse"},
		{"errors", errors(10, 2, 100, 0.001, 0.05), Rules{}, Fail, "errors 0.10 % → 5.00 % (+4.90 points"},
		{"no more errors", errors(10, 2, 400, 0.001, 0.001), Rules{}, Pass, "excluded"},
		{"too few requests to tell", errors(10, 2, 0.5, 0, 0), Rules{}, Hold, "60 requests of the canary and 240 of the baseline, and 100"},
	} {
		got := watched1(t, tc.study, tc.rules)
		if got.Verdict != tc.verdict || !strings.Contains(got.Reason, tc.says) {
			t.Errorf("%s: %s: %s\n%+v", tc.name, got.Verdict, got.Reason, got.Measures)
		}
	}
	warns := latency(10, 2, 60, slow(0))
	warns.Measures[0].Action = Warns
	if got := watched1(t, warns, Rules{}); got.Verdict != Hold || got.Measures[0].Verdict != Fail {
		t.Errorf("what only warns fails: %+v", got)
	}
	late := watched1(t, latency(10, 2, 200, slow(100)), Rules{})
	if late.Verdict != Fail || !late.At.After(time.Unix(1000+1000, 0)) || late.At.After(time.Unix(1000+1500, 0)) {
		t.Errorf("harm that begins at poll 100 of 200 is found at %s: %s", late.At, late.Reason)
	}
}

// A fail is told as it was when it came, with what all polls come to beside it.
func TestFailIsToldAsItWas(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	got := watched1(t, latency(10, 2, 400, func(i, k int) float64 {
		if x := 40 * math.Exp(0.05*rng.NormFloat64()); i < 8 || k >= 30 {
			return x
		}
		return 80
	}), Rules{})
	f := &got.Measures[0]
	if got.Verdict != Fail || f.Verdict == Fail || f.FailedAs == f.Words() || f.Failed != got.At {
		t.Fatalf("%+v", got)
	}
	want := "failed at " + got.At.UTC().Format("15:04:05 UTC") + " with " + f.FailedAs + ", over all polls " + strings.TrimPrefix(f.Words(), "latency ")
	if got.Reason != want {
		t.Errorf("%s, want %s", got.Reason, want)
	}
}

// The turns and the report are of one mind, also where the traffic ends.
func TestTurnsEndInTheVerdict(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, ends := range []int{5, 20, 60, 100, 119, 120} {
		got := watched1(t, latency(10, 2, 120, func(i, k int) float64 {
			if i >= 8 && k >= ends {
				return nan
			}
			return 40 * math.Exp(0.05*rng.NormFloat64())
		}), Rules{})
		if last := got.Turns[len(got.Turns)-1].Verdict; last != got.Verdict {
			t.Errorf("traffic until poll %d: %s, and the last turn is %s", ends, got.Verdict, last)
		}
	}
}

func TestRefused(t *testing.T) {
	ok := func() *Study { return latency(4, 1, 20, func(int, int) float64 { return 1 }) }
	bad := func(f func(*Study)) *Study { s := ok(); f(s); return s }
	for _, tc := range []struct {
		study *Study
		rules Rules
		says  string
	}{
		{ok(), Rules{FalseFail: 2}, "false fails of 2"},
		{ok(), Rules{FalsePass: -1}, "false passes"},
		{ok(), Rules{MinBaseline: 1}, "two hosts"},
		{bad(func(s *Study) { s.Members[0].Series = nil }), Rules{}, "has 0 series"},
		{bad(func(s *Study) { s.Measures[0].Kind = "" }), Rules{}, "kind"},
		{bad(func(s *Study) { s.Measures[0].Margin = nan }), Rules{}, "margin"},
		{bad(func(s *Study) { s.Measures[0].Action = "page" }), Rules{}, "action"},
	} {
		if _, err := Watch(tc.study, tc.rules); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v", tc.rules, err)
		}
	}
}

// The boundary holds at all polls at once: of walks that go nowhere, at most the chance asked for ever leaves it on one side.
func TestBoundary(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	const walks, steps, a = 2000, 1000, 0.05
	var c [steps + 1]float64
	for k := 1; k <= steps; k++ {
		c[k] = boundary(k, a, 1e6) * math.Sqrt(float64(k))
	}
	left := 0
	for range walks {
		x := 0.0
		for k := 1; k <= steps; k++ {
			if x += r.NormFloat64(); x > c[k] {
				left++
				break
			}
		}
	}
	if share := float64(left) / walks; share > a || share < a/20 {
		t.Errorf("%.4f of the walks leave it, asked for %g", share, a)
	}
	// Student's quantile of the same tail, by table: at 0.0005 of one side 3.29 sigmas, t(4) 8.61, t(10) 4.59, t(30) 3.65.
	for df, want := range map[float64]float64{4: 8.61, 10: 4.587, 30: 3.646, 1e6: 3.291} {
		g := 3.2905 * (8*df + 3) / (8*df + 1)
		if got := math.Sqrt(df * math.Expm1(g*g/df)); got < want*0.995 || got > want*1.08 {
			t.Errorf("df %g: %v, the table has %v", df, got, want)
		}
	}
	if !math.IsInf(boundary(1, 1e-300, 1), 1) {
		t.Error("a boundary beyond numbers is not infinite")
	}
}

func TestWatchProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		n, polls := 6+r.IntN(8), 12+r.IntN(40)
		canaries := 1 + r.IntN(4)
		values := make([][]float64, n)
		for i := range values {
			values[i] = make([]float64, polls)
			for k := range values[i] {
				values[i][k] = 40 * math.Exp(0.3*r.NormFloat64())
				if r.IntN(20) == 0 {
					values[i][k] = nan
				}
			}
		}
		of := func(f func(i, k int) float64) Found {
			rep, err := Watch(latency(n, canaries, polls, f), Rules{})
			if err != nil || len(rep.Measures) != 1 {
				t.Fatal(rep, err)
			}
			return rep.Measures[0]
		}
		a := of(func(i, k int) float64 { return values[i][k] })
		near := func(x, y float64) bool { return math.Abs(x-y) < 1e-9*(1+math.Abs(x)) }
		// What moves all hosts alike is no difference.
		moves := make([]float64, polls)
		for k := range moves {
			moves[k] = math.Exp(2 * r.NormFloat64())
		}
		b := of(func(i, k int) float64 { return values[i][k] * moves[k] })
		if !near(a.Effect, b.Effect) || !near(a.Lo, b.Lo) || !near(a.Hi, b.Hi) || a.Verdict != b.Verdict {
			t.Fatalf("moved: %+v, %+v", a, b)
		}
		if a.Lo > a.Effect || a.Hi < a.Effect {
			t.Fatalf("%v is outside [%v, %v]", a.Effect, a.Lo, a.Hi)
		}
		// Hosts of a cohort may change places.
		c := of(func(i, k int) float64 {
			if i < n-canaries {
				i = n - canaries - 1 - i
			}
			return values[i][k]
		})
		if !near(a.Effect, c.Effect) || !near(a.Sigmas, c.Sigmas) {
			t.Fatalf("turned: %+v, %+v", a, c)
		}
		// A canary that is slower by a factor has an effect that is greater by that factor.
		d := of(func(i, k int) float64 {
			if i >= n-canaries {
				return 1.5 * values[i][k]
			}
			return values[i][k]
		})
		if !near((1+a.Effect)*1.5, 1+d.Effect) {
			t.Fatalf("slower: %+v, %+v", a, d)
		}
	})
}

func TestWatchHostile(t *testing.T) {
	odd := []float64{nan, inf, -inf, 0, -1, 1, math.MaxFloat64, math.SmallestNonzeroFloat64, 2, 1e-300}
	rapid.Check(t, func(t *rapid.T) {
		s := latency(rapid.IntRange(0, 6).Draw(t, "hosts"), rapid.IntRange(0, 6).Draw(t, "canaries"), rapid.IntRange(0, 20).Draw(t, "polls"), func(int, int) float64 {
			return 0
		})
		kind := rapid.SampledFrom([]Kind{Ratio, Level, Gauge}).Draw(t, "kind")
		dir := rapid.SampledFrom([]Direction{Increase, Decrease, Either}).Draw(t, "direction")
		s.Measures[0].Kind, s.Measures[0].Direction = kind, dir
		draw := rapid.SampledFrom(odd)
		for i := range s.Members {
			x := s.Members[i].Series[0].X
			for k := range x {
				x[k] = draw.Draw(t, "x")
			}
			if kind == Ratio && len(x) > 0 {
				s.Members[i].Series[0].N = rapid.SliceOfN(draw, 1, len(x)).Draw(t, "n")
			}
		}
		rep, err := Watch(s, Rules{MinPolls: 1, MinRequests: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range rep.Measures {
			_ = f.Words()
			if f.Verdict == Fail && !(f.Sigmas*f.Sigmas > 0) {
				t.Fatalf("failed by nothing: %+v", f)
			}
		}
	})
}

func BenchmarkWatch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	s := latency(312, 14, 360, func(int, int) float64 { return math.Exp(r.NormFloat64()) })
	b.ReportAllocs()
	b.SetBytes(312 * 360 * 8)
	for b.Loop() {
		if _, err := Watch(s, Rules{}); err != nil {
			b.Fatal(err)
		}
	}
}
