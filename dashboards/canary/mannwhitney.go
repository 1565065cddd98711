package canary

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Shift is by how much an experiment lies above its control: the estimate of Hodges and Lehmann, and an interval. Where the data are tied the interval may be
// inverted (Low above High) by as much as the root finder's tolerance.
type Shift struct{ Low, High, Estimate float64 }

var unknownShift = Shift{math.NaN(), math.NaN(), math.NaN()}

// MannWhitney inverts the test of Mann, Whitney and Wilcoxon, as R's wilcox.test does with ties: mid-ranks, the correction for continuity, the variance
// corrected for ties, and Brent's root finder to 1e-4. x is the experiment, y the control.
func MannWhitney(x, y []float64, confidence float64) (Shift, error) {
	x, y = slices.Clone(x), slices.Clone(y)
	slices.Sort(x)
	slices.Sort(y)
	return shiftSorted(x, y, confidence)
}

func shiftSorted(x, y []float64, confidence float64) (Shift, error) {
	t, err := newRankTest(x, y, confidence)
	if err != nil {
		return unknownShift, err
	}
	var s Shift
	s.Low = t.bound(-t.z)
	s.High = t.bound(t.z)
	s.Estimate = zeroin(func(mu float64) float64 { return t.diff(mu, 0) }, t.a, t.b)
	if t.tied || !finite(s.Low) || !finite(s.High) || !finite(s.Estimate) {
		return unknownShift, errors.New("all samples tie once they are shifted: their ranks say nothing")
	}
	return s, nil
}

// rankTest holds two sorted samples.
type rankTest struct {
	x, y []float64
	z    float64 // the normal quantile of half of what confidence leaves: negative
	a, b float64 // the least and the greatest shift there can be
	tied bool    // for some shift that was tried all samples were equal
}

func newRankTest(x, y []float64, confidence float64) (*rankTest, error) {
	n, m := len(x), len(y)
	switch {
	case n == 0 || m == 0:
		return nil, errors.New("a side has no samples")
	case !(confidence > 0 && confidence < 1):
		return nil, fmt.Errorf("a confidence of %g is not between 0 and 1", confidence)
	case !finite(x[0]) || !finite(x[n-1]) || !finite(y[0]) || !finite(y[m-1]):
		return nil, errors.New("a sample is not finite")
	}
	t := &rankTest{x: x, y: y, z: NormalQuantile((1 - confidence) / 2), a: x[0] - y[m-1], b: x[n-1] - y[0]}
	if !finite(t.a) || !finite(t.b) {
		return nil, errors.New("the samples lie further apart than numbers go")
	}
	return t, nil
}

// diff is the test's statistic for a shift of mu, less q. It falls, in steps, as mu grows. Both samples are sorted and stay so when one is shifted, so that
// ranking them is merging them.
func (t *rankTest) diff(mu, q float64) float64 {
	n, m := float64(len(t.x)), float64(len(t.y))
	var ranks, ties float64 // of x; Σ(t³-t)
	rank := 0.0             // how many came before
	for i, j := 0, 0; i < len(t.x) || j < len(t.y); {
		v := math.Inf(1)
		if i < len(t.x) {
			v = t.x[i] - mu
		}
		if j < len(t.y) {
			v = math.Min(v, t.y[j])
		}
		var nx, ny float64
		for ; i < len(t.x) && t.x[i]-mu == v; i++ {
			nx++
		}
		for ; j < len(t.y) && t.y[j] == v; j++ {
			ny++
		}
		k := nx + ny
		if k == 0 { // an overflow of the shift: nothing can be said
			t.tied = true
			return math.NaN()
		}
		ranks += nx * (rank + (k+1)/2)
		ties += k*k*k - k
		rank += k
	}
	w := ranks - n*(n+1)/2 - n*m/2
	correction := 0.0
	switch {
	case w > 0:
		correction = 0.5
	case w < 0:
		correction = -0.5
	}
	sigma := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	if !(sigma > 0) {
		t.tied = true
	}
	return (w-correction)/sigma - q
}

// bound is the shift at which the statistic is q, or the end of what is possible where it is never so far.
func (t *rankTest) bound(q float64) float64 {
	switch {
	case t.diff(t.a, q) <= 0:
		return t.a
	case t.diff(t.b, q) >= 0:
		return t.b
	}
	return zeroin(func(mu float64) float64 { return t.diff(mu, q) }, t.a, t.b)
}

// The root finder's tolerance, the distance between 1 and the next number, and how many rounds it is given.
const (
	rootTolerance = 1e-4
	epsilon       = 1.0 / (1 << 52)
	rootRounds    = 1001
)

// zeroin is Brent's root finder in the form of Netlib's zeroin (Brent, Algorithms for Minimization without Derivatives, 1973), as R has it. Where f is a
// staircase the answer is where it stops near a step, so each comparison has to be as it is there.
func zeroin(f func(float64) float64, a, b float64) float64 {
	fa, fb := f(a), f(b)
	if fa == 0 {
		return a
	}
	if fb == 0 {
		return b
	}
	c, fc := a, fa
	for range rootRounds {
		prev := b - a
		if math.Abs(fc) < math.Abs(fb) { // b is to be the best so far
			a, b, c = b, c, b
			fa, fb, fc = fb, fc, fb
		}
		tol := 2*epsilon*math.Abs(b) + rootTolerance/2
		step := (c - b) / 2
		if math.Abs(step) <= tol || fb == 0 {
			return b
		}
		if math.Abs(prev) >= tol && math.Abs(fa) > math.Abs(fb) {
			var p, q float64
			if a == c { // the secant
				s := fb / fa
				p, q = (c-b)*s, 1-s
			} else { // inverse quadratic
				u, v, w := fa/fc, fb/fc, fb/fa
				p = w * ((c-b)*u*(u-v) - (b-a)*(v-1))
				q = (u - 1) * (v - 1) * (w - 1)
			}
			if p > 0 {
				q = -q
			} else {
				p = -p
			}
			if p < 0.75*(c-b)*q-math.Abs(tol*q)/2 && p < math.Abs(prev*q/2) {
				step = p / q
			}
		}
		if math.Abs(step) < tol {
			if step > 0 {
				step = tol
			} else {
				step = -tol
			}
		}
		a, fa = b, fb
		b += step
		fb = f(b)
		if fb > 0 && fc > 0 || fb < 0 && fc < 0 {
			c, fc = a, fa
		}
	}
	return b
}

// MannWhitneySteps is MannWhitney with what lies between, by the names that Kayenta's tests give it.
func MannWhitneySteps(x, y []float64, confidence float64) (map[string]float64, error) {
	x, y = slices.Clone(x), slices.Clone(y)
	slices.Sort(x)
	slices.Sort(y)
	t, err := newRankTest(x, y, confidence)
	if err != nil {
		return nil, err
	}
	s, err := shiftSorted(x, y, confidence)
	if err != nil {
		return nil, err
	}
	low, high := -t.z, t.z
	return map[string]float64{"muMin": t.a, "muMax": t.b, "zLow": low, "zHigh": high, "low": s.Low, "high": s.High, "estimate": s.Estimate,
		"diff(muMin,zLow)": t.diff(t.a, low), "diff(muMax,zLow)": t.diff(t.b, low), "diff(muMin,zHigh)": t.diff(t.a, high), "diff(muMax,zHigh)": t.diff(t.b, high)}, nil
}
