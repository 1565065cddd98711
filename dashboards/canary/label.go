package canary

import (
	"fmt"
	"math"
	"slices"
)

// Label is what the judge makes of one metric.
type Label string

// The labels, by their names in Kayenta.
const (
	LabelPass   Label = "Pass"
	LabelHigh   Label = "High"
	LabelLow    Label = "Low"
	LabelNodata Label = "Nodata"
	LabelMissed Label = "NodataFailMetric" // no data, where there must be some
	LabelError  Label = "Error"
)

// Direction says which changes of a metric count.
type Direction string

// The directions. Any other word is Either.
const (
	Either   Direction = "either"
	Increase Direction = "increase"
	Decrease Direction = "decrease"
)

// What may be done about NaNs, and how the size of an effect is measured.
const (
	RemoveNaN  = "remove" // the default, and what any unknown word means
	ReplaceNaN = "replace"

	MeanRatioEffect = "meanRatio" // the default
	CLESEffect      = "cles"
)

// Methods of the classifier.
const (
	MannWhitneyMethod    = "mannWhitney" // the default
	MeanInequalityMethod = "meanInequality"
)

// Test is how one metric is classified. The zero value tests with a tolerance of 0 at a confidence of 0.98 in either direction.
type Test struct {
	Method     string
	Tolerance  float64 // what share of the estimate the interval must be away from zero
	Confidence float64 // of the interval, default 0.98
	Effect     string  // MeanRatioEffect or CLESEffect
	// How large the effect must be at least (at most, for a decrease) to be called High (Low), and to be critical; nil: 1 for the ratio of means, 0.5 for
	// CLES.
	AllowedIncrease, AllowedDecrease   *float64
	CriticalIncrease, CriticalDecrease *float64
	Direction                          Direction
	NaN                                string
	Critical                           bool // the whole canary falls with this metric
	MustHaveData                       bool
}

// Classified is a metric's label with what belongs to it.
type Classified struct {
	Label     Label
	Critical  bool
	Reason    string  // why, in words; empty for most that pass
	Deviation float64 // mean(experiment) / mean(control); 1 where nothing was compared
	Shift     Shift   // of the test, NaN where there was none
	Effect    float64
}

// thresholds are a Test's, filled in.
type thresholds struct{ up, down, criticalUp, criticalDown float64 }

func (t *Test) thresholds() thresholds {
	def := 1.0
	if t.Effect == CLESEffect {
		def = 0.5
	}
	or := func(p *float64) float64 {
		if p == nil {
			return def
		}
		return *p
	}
	return thresholds{or(t.AllowedIncrease), or(t.AllowedDecrease), or(t.CriticalIncrease), or(t.CriticalDecrease)}
}

// Classify compares an experiment with its control. The data are taken as they are: see Prepare for what the judge does to them before.
func Classify(control, experiment []float64, t Test) Classified {
	if len(control) == 0 || len(experiment) == 0 {
		return t.noData(len(control) == 0, len(experiment) == 0)
	}
	if t.Method == MeanInequalityMethod {
		return t.byMeans(control, experiment)
	}
	out := Classified{Label: LabelPass, Deviation: 1, Shift: unknownShift, Effect: math.NaN()}
	c, x := slices.Clone(control), slices.Clone(experiment)
	slices.Sort(c)
	slices.Sort(x)
	if slices.Equal(c, x) {
		out.Reason = "experiment and control are identical"
		return out
	}
	constC, constX := c[0] == c[len(c)-1], x[0] == x[len(x)-1]
	if constC && constX && c[0] == x[0] {
		return out
	}
	confidence := t.Confidence
	if confidence == 0 {
		confidence = JudgeConfidence
	}
	switch {
	case constC && constX && finite(c[0]) && finite(x[0]):
		// No test is defined for two constants. They are as far apart as two samples can be.
		d := x[0] - c[0]
		out.Shift = Shift{Low: d, High: d, Estimate: d}
	default:
		var err error
		if out.Shift, err = shiftSorted(x, c, confidence); err != nil {
			out.Label, out.Reason = LabelError, "the test cannot be made: "+err.Error()
			return out
		}
	}
	out.Deviation = MeanRatio(control, experiment)
	out.Effect = out.Deviation
	if t.Effect == CLESEffect {
		out.Effect = clesSorted(c, x)
	}
	t.label(&out)
	return out
}

// label reads a shift and an effect as High, Low or Pass.
func (t *Test) label(c *Classified) {
	th := t.thresholds()
	atLeast := func(limit float64) bool { return math.IsNaN(c.Effect) || c.Effect >= limit }
	atMost := func(limit float64) bool { return math.IsNaN(c.Effect) || c.Effect <= limit }
	band := t.Tolerance * math.Abs(c.Shift.Estimate)
	switch {
	case t.Direction != Decrease && c.Shift.Low > band && atLeast(th.up):
		c.Label, c.Critical = LabelHigh, t.Critical && atLeast(th.criticalUp)
		c.Reason = fmt.Sprintf("higher than the control by %.4g, from %.4g to %.4g", c.Shift.Estimate, c.Shift.Low, c.Shift.High)
	case t.Direction != Increase && c.Shift.High < -band && atMost(th.down):
		c.Label, c.Critical = LabelLow, t.Critical && atMost(th.criticalDown)
		c.Reason = fmt.Sprintf("lower than the control by %.4g, from %.4g to %.4g", -c.Shift.Estimate, -c.Shift.High, -c.Shift.Low)
	}
}

// noData is the label of a metric that one side, or both, have nothing of.
func (t *Test) noData(control, experiment bool) Classified {
	out := Classified{Label: LabelNodata, Critical: t.Critical, Deviation: 1, Shift: unknownShift, Effect: math.NaN()}
	switch {
	case control && experiment:
		out.Reason = "neither side has data"
	case control:
		out.Reason = "the control has no data"
	default:
		out.Reason = "the experiment has no data"
	}
	switch {
	case t.NaN == ReplaceNaN:
		out.Label, out.Critical = LabelPass, false
	case t.MustHaveData && !t.Critical:
		out.Label = LabelMissed
	}
	return out
}

// byMeans compares the means and tests nothing: a yardstick.
func (t *Test) byMeans(control, experiment []float64) Classified {
	c, x := mean(control), mean(experiment)
	out := Classified{Label: LabelPass, Deviation: MeanRatio(control, experiment), Shift: unknownShift}
	out.Effect = out.Deviation
	switch {
	case x > c && t.Direction != Decrease:
		out.Label, out.Reason = LabelHigh, fmt.Sprintf("a mean of %.4g is above the control's %.4g", x, c)
	case x < c && t.Direction != Increase:
		out.Label, out.Reason = LabelLow, fmt.Sprintf("a mean of %.4g is below the control's %.4g", x, c)
	}
	return out
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
