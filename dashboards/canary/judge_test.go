package canary

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var nan, inf = math.NaN(), math.Inf(1)

func ptr(x float64) *float64 { return &x }

// What is not among the public cases, by the words of their README.
func TestClassify(t *testing.T) {
	mw := Test{Method: MannWhitneyMethod, Tolerance: 0.1, Confidence: 0.95}
	with := func(f func(*Test)) Test { c := mw; f(&c); return c }
	ten, tens := []float64{1, 2, 3, 4, 5}, []float64{10, 20, 30, 40, 50}
	for _, tc := range []struct {
		name         string
		control, exp []float64
		test         Test
		label        Label
		critical     bool
		reason       bool
		deviation    float64
	}{
		{"nothing to compare with", nil, ten, mw, LabelNodata, false, true, 1},
		{"nothing, of a critical metric", ten, nil, with(func(t *Test) { t.Critical = true }), LabelNodata, true, true, 1},
		{"nothing, and there must be some", ten, nil, with(func(t *Test) { t.MustHaveData = true }), LabelMissed, false, true, 1},
		{"nothing, there must be some, and it is critical", ten, nil, with(func(t *Test) { t.MustHaveData, t.Critical = true, true }), LabelNodata, true, true, 1},
		{"nothing is zeros", ten, nil, with(func(t *Test) { t.NaN, t.MustHaveData, t.Critical = ReplaceNaN, true, true }), LabelPass, false, true, 1},
		{"an unknown word removes", ten, nil, with(func(t *Test) { t.NaN = "ignore" }), LabelNodata, false, true, 1},
		{"nothing, by means", nil, ten, Test{Method: MeanInequalityMethod, MustHaveData: true}, LabelMissed, false, true, 1},
		{"identical in another order", ten, []float64{5, 4, 3, 2, 1}, mw, LabelPass, false, true, 1},
		{"one value, of other numbers", []float64{7, 7}, []float64{7, 7, 7}, mw, LabelPass, false, false, 1},
		{"two constants, higher", []float64{1, 1, 1}, []float64{2, 2, 2}, mw, LabelHigh, false, true, 2},
		{"two constants, lower", []float64{2, 2}, []float64{1, 1, 1}, mw, LabelLow, false, true, 0.5},
		{"a single sample each", []float64{2}, []float64{3}, mw, LabelHigh, false, true, 1.5},
		{"from nothing to something: no ratio, so any passes", []float64{0, 0}, []float64{3, 3}, with(func(t *Test) { t.AllowedIncrease = ptr(9) }), LabelHigh, false, true, nan},
		{"higher, but not by enough", ten, tens, with(func(t *Test) { t.AllowedIncrease = ptr(10.5) }), LabelPass, false, false, 10},
		{"higher by just enough", ten, tens, with(func(t *Test) { t.AllowedIncrease = ptr(10) }), LabelHigh, false, true, 10},
		{"lower by just enough", tens, ten, with(func(t *Test) { t.AllowedDecrease = ptr(0.1) }), LabelLow, false, true, 0.1},
		{"lower, but not by enough", tens, ten, with(func(t *Test) { t.AllowedDecrease = ptr(0.09) }), LabelPass, false, false, 0.1},
		{"critical by its own threshold", ten, tens, with(func(t *Test) { t.Critical, t.CriticalIncrease = true, ptr(10) }), LabelHigh, true, true, 10},
		{"a lesser one of a critical metric", ten, tens, with(func(t *Test) { t.Critical, t.CriticalIncrease = true, ptr(11) }), LabelHigh, false, true, 10},
		{"critical and lower", tens, ten, with(func(t *Test) { t.Critical, t.CriticalDecrease = true, ptr(0.5) }), LabelLow, true, true, 0.1},
		{"critical thresholds do not replace the allowed ones", ten, tens, with(func(t *Test) { t.Critical, t.AllowedIncrease = true, ptr(20) }), LabelPass, false, false, 10},
		{"CLES has thresholds of a half", ten, tens, with(func(t *Test) { t.Effect = CLESEffect }), LabelHigh, false, true, 10},
		{"CLES cannot be above 1", ten, tens, with(func(t *Test) { t.Effect, t.AllowedIncrease = CLESEffect, ptr(1.01) }), LabelPass, false, false, 10},
		{"deviation is of means, whatever the effect", tens, ten, with(func(t *Test) { t.Effect = CLESEffect }), LabelLow, false, true, 0.1},
		{"only decreases count", ten, tens, with(func(t *Test) { t.Direction = Decrease }), LabelPass, false, false, 10},
		{"an unknown direction is either", ten, tens, with(func(t *Test) { t.Direction = "up" }), LabelHigh, false, true, 10},
		{"NaN among the samples", []float64{1, nan}, tens, mw, LabelError, false, true, 1},
		{"infinity among the samples", []float64{1, inf}, tens, mw, LabelError, false, true, 1},
		{"constants, one of them infinite", []float64{1, 1}, []float64{inf, inf}, mw, LabelError, false, true, 1},
		{"further apart than numbers go", []float64{-math.MaxFloat64, 1}, []float64{math.MaxFloat64, 2}, mw, LabelError, false, true, 1},
		{"an error is never critical", []float64{1, inf}, tens, with(func(t *Test) { t.Critical = true }), LabelError, false, true, 1},
		{"a confidence that is none", ten, tens, with(func(t *Test) { t.Confidence = 1 }), LabelError, false, true, 1},
		{"means, only increases count", tens, ten, Test{Method: MeanInequalityMethod, Direction: Increase}, LabelPass, false, false, 0.1},
		{"means, only decreases count", ten, tens, Test{Method: MeanInequalityMethod, Direction: Decrease}, LabelPass, false, false, 10},
	} {
		got := Classify(tc.control, tc.exp, tc.test)
		if got.Label != tc.label || got.Critical != tc.critical || (got.Reason != "") != tc.reason || got.Deviation != tc.deviation && !(math.IsNaN(tc.deviation) && math.IsNaN(got.Deviation)) {
			t.Errorf("%s: got %+v", tc.name, got)
		}
	}
}

func TestScoreOf(t *testing.T) {
	m := func(l Label, groups ...string) Labelled { return Labelled{Name: "m", Label: l, Groups: groups} }
	crit := func(l Labelled) Labelled { l.Critical = true; return l }
	mute := func(l Labelled) Labelled { l.Muted = true; return l }
	for _, tc := range []struct {
		name    string
		metrics []Labelled
		weights map[string]float64
		score   float64
	}{
		{"nothing at all", nil, nil, 0},
		{"muted metrics count nowhere", []Labelled{m(LabelPass, "a"), mute(crit(m(LabelHigh, "a")))}, nil, 100},
		{"a metric of several groups counts in each", []Labelled{m(LabelHigh, "a", "b"), m(LabelPass, "a")}, nil, 25},
		{"errors are in neither number", []Labelled{m(LabelPass, "a"), m(LabelError, "a")}, nil, 100},
		{"nothing but errors is no data for the group", []Labelled{m(LabelError, "a")}, nil, 100},
		{"must have data counts as a failure", []Labelled{m(LabelPass, "a"), m(LabelMissed, "a")}, nil, 50},
		{"and is not among those without data", []Labelled{m(LabelMissed, "a"), m(LabelMissed, "a"), m(LabelPass, "a")}, nil, 33.33},
		{"half without data is too much", []Labelled{m(LabelPass, "a"), m(LabelNodata, "b")}, nil, 0},
		{"a critical error is the end", []Labelled{m(LabelPass, "a"), m(LabelPass, "a"), crit(m(LabelError, "a"))}, nil, 0},
		{"a weighted group that does not occur takes its share with it", []Labelled{m(LabelPass, "a")}, map[string]float64{"a": 60, "b": 40}, 60},
		{"the others share what is left", []Labelled{m(LabelPass, "a"), m(LabelHigh, "b"), m(LabelPass, "c")}, map[string]float64{"a": 40}, 70},
		{"thirds", []Labelled{m(LabelPass, "a"), m(LabelPass, "b"), m(LabelHigh, "c")}, nil, 66.67},
		{"weights are not scaled", []Labelled{m(LabelPass, "a"), m(LabelPass, "b")}, map[string]float64{"a": 100, "b": 100}, 200},
	} {
		if got := ScoreOf(tc.metrics, tc.weights); got.Score != tc.score {
			t.Errorf("%s: got %+v", tc.name, got)
		}
	}
	for in, want := range map[float64]float64{2.675: 2.68, 1.005: 1.01, 33.333333: 33.33, 66.666: 66.67, 99.995: 100, 5: 5, 0.125: 0.13, -2.675: -2.68} {
		if got := halfUp(in); got != want {
			t.Errorf("%v is rounded to %v, want %v", in, got, want)
		}
	}
	for score, want := range map[float64]Outcome{100: OutcomePass, 95: OutcomePass, 94.99: OutcomeMarginal, 75: OutcomeMarginal, 74.99: OutcomeFail, 0: OutcomeFail} {
		s := Score{Score: score}
		if got := s.Outcome(95, 75); got != want {
			t.Errorf("a score of %v is %s, want %s", score, got, want)
		}
	}
}

func TestJudgeOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	sample := func(mid float64) []float64 {
		v := make([]float64, 60)
		for i := range v {
			v[i] = mid + r.NormFloat64()
		}
		v[7] = nan
		return v
	}
	odd := sample(10)
	odd[3] = 1e6
	j := JudgeOnce([]Metric{
		{Name: "same", Control: sample(10), Experiment: sample(10), Groups: []string{"a"}},
		{Name: "higher", Control: sample(10), Experiment: sample(20), Groups: []string{"a"}},
		{Name: "an outlier", Control: sample(10), Experiment: odd, Groups: []string{"b"}, RemoveOutliers: true},
		{Name: "muted", Control: sample(10), Experiment: sample(50), Groups: []string{"a"}, Muted: true},
	}, map[string]float64{"a": 40, "b": 60}, 95, 75)
	if j.Score.Score != 80 || j.Outcome != OutcomeMarginal || j.Metrics[1].Label != LabelHigh || j.Metrics[2].Deviation > 1.1 {
		t.Errorf("got %+v", j)
	}
	if got := Prepare([]float64{1, nan, 2}, ReplaceNaN, false, 0); !slices.Equal(got, []float64{1, 0, 2}) {
		t.Errorf("NaNs become %v", got)
	}
}

// pairs counts the pairs of which x lies above y by more than mu, half of those that lie just so: the statistic's W by another way.
func pairs(x, y []float64, mu float64) (w float64) {
	for _, a := range x {
		for _, b := range y {
			switch d := a - mu; {
			case d > b:
				w++
			case d == b:
				w += 0.5
			}
		}
	}
	return w - float64(len(x)*len(y))/2
}

func samples(t *rapid.T, name string) []float64 {
	if rapid.Bool().Draw(t, name+" tied") {
		return rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 12), func(i int) float64 { return float64(i) / 4 }), 2, 40).Draw(t, name)
	}
	return rapid.SliceOfN(rapid.Float64Range(-100, 100), 2, 40).Draw(t, name)
}

func TestMannWhitneyProperties(t *testing.T) {
	const near = 2.5e-4 // two stops of the root finder
	rapid.Check(t, func(t *rapid.T) {
		x, y := samples(t, "x"), samples(t, "y")
		if slices.Min(x) == slices.Max(x) && slices.Min(y) == slices.Max(y) {
			return
		}
		s, err := MannWhitney(x, y, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		// The estimate is where as many pairs lie above as below.
		if before, after := pairs(x, y, s.Estimate-near), pairs(x, y, s.Estimate+near); before < -0.5 || after > 0.5 {
			t.Fatalf("around the estimate %v W goes from %v to %v", s.Estimate, before, after)
		}
		a, b := slices.Min(x)-slices.Max(y), slices.Max(x)-slices.Min(y)
		if s.Low < a-near || s.High > b+near || s.Low > s.High+near {
			t.Fatalf("[%v, %v] is not within [%v, %v]", s.Low, s.High, a, b)
		}
		if c, d := CLES(y, x), CLES(x, y); math.Abs(c+d-1) > 1e-12 || math.Abs(c-(pairs(x, y, 0)/float64(len(x)*len(y))+0.5)) > 1e-12 {
			t.Fatalf("CLES %v and %v", c, d)
		}
	})
}

// Without ties the statistic has one step at a time, and both ways lead to the same.
func TestSymmetry(t *testing.T) {
	const near, by = 2.5e-4, 64
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		draw := func() []float64 {
			v := make([]float64, 3+r.IntN(40))
			for i := range v {
				v[i] = 10 * r.NormFloat64()
			}
			return v
		}
		x, y := draw(), draw()
		s, err := MannWhitney(x, y, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		back, err := MannWhitney(y, x, 0.95)
		if err != nil || math.Abs(back.Low+s.High) > near || math.Abs(back.High+s.Low) > near {
			t.Fatalf("swapped: %+v, %+v, %v", s, back, err)
		}
		for i := range x {
			x[i] += by
		}
		m, err := MannWhitney(x, y, 0.95)
		if err != nil || math.Abs(m.Low-by-s.Low) > near || math.Abs(m.High-by-s.High) > near {
			t.Fatalf("shifted: %+v, %+v, %v", s, m, err)
		}
	})
}

func TestHostile(t *testing.T) {
	values := []float64{nan, inf, -inf, 0, 1, -1, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 2}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []float64 { return rapid.SliceOfN(rapid.SampledFrom(values), 0, 12).Draw(t, name) }
		x, y := draw("x"), draw("y")
		for _, effect := range []string{MeanRatioEffect, CLESEffect} {
			Classify(y, x, Test{Effect: effect, Tolerance: 0.25})
		}
		Summarise(x)
		CohenD(y, x)
		Percentile(x, rapid.Float64().Draw(t, "p"))
		if got := Prepare(x, RemoveNaN, true, 0); slices.ContainsFunc(got, math.IsNaN) {
			t.Fatalf("NaN is left of %v", x)
		}
		KSigma(3)(x)
	})
}

// 100,000 samples a side: ranking is merging, so that it is a matter of moments however many steps the root finder takes.
func TestLarge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, draw := range map[string]func() float64{"noise": r.NormFloat64, "ties": func() float64 { return float64(r.IntN(3)) }} {
		x, y := make([]float64, 100_000), make([]float64, 100_000)
		for i := range x {
			x[i], y[i] = draw(), draw()
		}
		begun := time.Now()
		for range 4 {
			slices.Sort(slices.Clone(x))
		}
		sorts := time.Since(begun)
		begun = time.Now()
		c := Classify(y, x, Test{Tolerance: 0.25})
		if took := time.Since(begun); took > 20*sorts+2*time.Second {
			t.Errorf("%s: it took %s, four sorts took %s", name, took, sorts)
		}
		if c.Label != LabelPass {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x, y := make([]float64, 360), make([]float64, 360)
	for i := range x {
		x[i], y[i] = r.NormFloat64(), r.NormFloat64()
	}
	b.ReportAllocs()
	b.SetBytes(8 * 720)
	for b.Loop() {
		Classify(y, x, Test{Tolerance: 0.25})
	}
}
