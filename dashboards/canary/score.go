package canary

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Labelled is a metric's label as the score wants it.
type Labelled struct {
	Name     string
	Label    Label
	Groups   []string // it counts in each
	Critical bool     // of the label: with it, everything but Pass is the end
	Muted    bool     // it counts nowhere
}

// GroupScore is what share of a group's metrics pass, in percent; 0 where it has no data.
type GroupScore struct {
	Name   string
	Score  float64
	NoData bool
	Weight float64 // its part of the whole, in percent
}

// Score is what all labels come to.
type Score struct {
	Score  float64      // 0..100, rounded half up to two decimals
	Groups []GroupScore // by name
	Reason string       // why it is 0 whatever the groups say; empty if it is not
}

// noDataLimit is from which share of metrics without data on there is no score.
const noDataLimit = 0.5

// ScoreOf weighs the groups. Those without a weight of their own share equally what the others leave of 100; weights are not scaled, and a group that has one and
// does not occur takes its share with it.
func ScoreOf(metrics []Labelled, weights map[string]float64) Score {
	type tally struct{ pass, counted int }
	groups := map[string]*tally{}
	var out Score
	var n, noData int
	for i := range metrics {
		m := &metrics[i]
		if m.Muted {
			continue
		}
		n++
		if m.Label == LabelNodata {
			noData++
		}
		if m.Critical && m.Label != LabelPass && out.Reason == "" {
			out.Reason = m.Name + ", which is critical, is " + string(m.Label)
		}
		for _, g := range m.Groups {
			t := groups[g]
			if t == nil {
				t = &tally{}
				groups[g] = t
			}
			switch m.Label {
			case LabelPass:
				t.pass++
				t.counted++
			case LabelHigh, LabelLow, LabelMissed:
				t.counted++
			}
		}
	}
	left, shared := 100.0, 0
	for _, g := range slices.Sorted(maps.Keys(weights)) {
		left -= weights[g]
	}
	for g := range groups {
		if _, own := weights[g]; !own {
			shared++
		}
	}
	var sum float64
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		t, w := groups[name], weights[name]
		if _, own := weights[name]; !own {
			w = left / float64(shared)
		}
		g := GroupScore{Name: name, Weight: w, NoData: t.counted == 0}
		counts := 100.0
		if !g.NoData {
			g.Score = 100 * float64(t.pass) / float64(t.counted)
			counts = g.Score
		}
		out.Groups = append(out.Groups, g)
		sum += counts * w / 100
	}
	switch {
	case out.Reason != "":
	case n > 0 && float64(noData) >= noDataLimit*float64(n):
		out.Reason = strconv.Itoa(noData) + " of " + strconv.Itoa(n) + " metrics have no data"
	default:
		out.Score = halfUp(sum)
	}
	return out
}

// halfUp rounds to two decimals, halves away from zero, by the digits that the number is written with: 2.675 becomes 2.68, though its double lies below.
func halfUp(x float64) float64 {
	if !finite(x) {
		return x
	}
	text := strconv.FormatFloat(math.Abs(x), 'f', -1, 64)
	whole, frac, _ := strings.Cut(text, ".")
	if len(frac) <= 2 {
		return x
	}
	out, err := strconv.ParseFloat(whole+"."+frac[:2], 64)
	if err != nil {
		return x
	}
	if frac[2] >= '5' {
		// The next hundredth: one above a whole number of them, divided once.
		n, err := strconv.ParseFloat(whole+frac[:2], 64)
		if err != nil {
			return x
		}
		out = (n + 1) / 100
	}
	return math.Copysign(out, x)
}

// Outcome is a fixed-size judge's word on a whole canary.
type Outcome string

// The outcomes.
const (
	OutcomePass     Outcome = "Pass"
	OutcomeMarginal Outcome = "Marginal"
	OutcomeFail     Outcome = "Fail"
)

// Outcome reads the score by two thresholds; 95 and 75 are common.
func (s *Score) Outcome(pass, marginal float64) Outcome {
	switch {
	case s.Score >= pass:
		return OutcomePass
	case s.Score >= marginal:
		return OutcomeMarginal
	}
	return OutcomeFail
}

// What the judge sets and leaves nobody to change.
const (
	JudgeConfidence = 0.98
	JudgeTolerance  = 0.25
	outlierFactor   = 3.0
)

// Metric is one metric of a canary with its samples.
type Metric struct {
	Name                string
	Control, Experiment []float64
	Test                Test // Confidence and Tolerance are the judge's
	Groups              []string
	Muted               bool
	RemoveOutliers      bool
	OutlierFactor       float64 // default 3
}

// Judgement is a fixed-size judge's word with what it rests on.
type Judgement struct {
	Score
	Outcome Outcome
	Metrics []Classified // as they were given
}

// Prepare is what the judge does to one side's samples before it compares them: NaNs away or 0, then outliers away if wanted. NaNs are there no more.
func Prepare(v []float64, nan string, removeOutliers bool, factor float64) []float64 {
	if nan == ReplaceNaN {
		v = ReplaceNaNs(v, 0)
	} else {
		v = RemoveNaNs(v)
	}
	if removeOutliers {
		v = RemoveOutliers(v, IQR(cmp.Or(factor, outlierFactor), true))
	}
	return v
}

// JudgeOnce judges all metrics as NetflixACAJudge does: once, at the end. Looking at each poll spoils it; for that there is Watch.
func JudgeOnce(metrics []Metric, weights map[string]float64, pass, marginal float64) Judgement {
	var out Judgement
	labels := make([]Labelled, len(metrics))
	for i := range metrics {
		m := &metrics[i]
		t := m.Test
		t.Confidence, t.Tolerance = JudgeConfidence, JudgeTolerance
		prepare := func(v []float64) []float64 { return Prepare(v, t.NaN, m.RemoveOutliers, m.OutlierFactor) }
		c := Classify(prepare(m.Control), prepare(m.Experiment), t)
		out.Metrics = append(out.Metrics, c)
		labels[i] = Labelled{m.Name, c.Label, m.Groups, c.Critical, m.Muted}
	}
	out.Score = ScoreOf(labels, weights)
	out.Outcome = out.Score.Outcome(pass, marginal)
	return out
}
