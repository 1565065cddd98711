// Package cases answers the cases of Kayenta's judge, in the layout of bench/cases/canary: what its README says each of them means.
//
// It owns that form and nothing else; dashboards/canary does the work. The tests and the analysis read the same cases by it.
package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// Result is how the cases came out.
type Result struct {
	Passed int
	Failed []string // "kind: name: what differs", as many as there are
}

// Run answers every case of a file: one with lists of cases by kind (judge.json), or one with a list `cases` (mannwhitney.json). A kind that is not known fails each
// of its cases, by name; an error means that the file cannot be read.
func Run(file []byte) (Result, error) {
	var out Result
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(file, &parts); err != nil {
		return out, fmt.Errorf("read cases: %w", err)
	}
	delete(parts, "source")
	kinds := make([]string, 0, len(parts))
	for k := range parts {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		var list []json.RawMessage
		if err := json.Unmarshal(parts[kind], &list); err != nil {
			return out, fmt.Errorf("read cases of %q: %w", kind, err)
		}
		for i, raw := range list {
			var c oneCase
			err := strict(raw, &c)
			if err == nil {
				err = c.check(kind)
			}
			if err == nil {
				out.Passed++
				continue
			}
			out.Failed = append(out.Failed, fmt.Sprintf("%s: %s: %v", kind, nameOf(raw, i), err))
		}
	}
	return out, nil
}

func nameOf(raw []byte, i int) string {
	var n struct{ Name string }
	if json.Unmarshal(raw, &n) == nil && n.Name != "" {
		return n.Name
	}
	return fmt.Sprintf("case %d", i)
}

// strict reads JSON and takes no key that it does not know: a case that says more than we answer is not answered.
func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// numbers may be null, for NaN.
type numbers []float64

func (n *numbers) UnmarshalJSON(b []byte) error {
	var v []*float64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*n = make(numbers, len(v))
	for i, p := range v {
		(*n)[i] = math.NaN()
		if p != nil {
			(*n)[i] = *p
		}
	}
	return nil
}

// number is an expected one with how far off it may be.
type number struct {
	Value     *float64 `json:"value"` // null: NaN
	Tolerance float64  `json:"tolerance"`
}

// rounding is what sums in another order may differ by, where upstream asserts equality.
const rounding = 1e-12

func (n *number) holds(what string, got float64) error {
	if n.Value == nil {
		if !math.IsNaN(got) {
			return fmt.Errorf("%s is %v, not NaN", what, got)
		}
		return nil
	}
	if want := *n.Value; !(math.Abs(got-want) <= max(n.Tolerance, rounding*math.Abs(want))) {
		return fmt.Errorf("%s is %v, not %v", what, got, want)
	}
	return nil
}

type oneCase struct {
	Name string `json:"name"`
	// classifier
	Method     string          `json:"method"`
	Options    json.RawMessage `json:"options"`
	Control    numbers         `json:"control"`
	Experiment numbers         `json:"experiment"`
	// scorer
	GroupWeights map[string]float64 `json:"groupWeights"`
	Metrics      []struct {
		Name           string       `json:"name"`
		Classification canary.Label `json:"classification"`
		Groups         []string     `json:"groups"`
		Critical       bool         `json:"critical"`
		Muted          bool         `json:"muted"`
	} `json:"metrics"`
	// statistic, detector, transform
	Function  string  `json:"function"`
	Transform string  `json:"transform"`
	Data      numbers `json:"data"`
	// cases: of Mann-Whitney
	Kind       string  `json:"kind"`
	Confidence float64 `json:"confidence"`
	X          numbers `json:"x"`
	Y          numbers `json:"y"`
	P          float64 `json:"p"`

	Expect json.RawMessage `json:"expect"`
}

func (c *oneCase) check(kind string) error {
	switch kind {
	case "classifier":
		return c.classifier()
	case "scorer":
		return c.scorer()
	case "statistic":
		return c.statistic()
	case "detector":
		return c.detector()
	case "transform":
		return c.transform()
	case "cases":
		return c.rankTest()
	}
	return fmt.Errorf("kind %q is not known", kind)
}

func (c *oneCase) classifier() error {
	var o struct {
		Tolerance         float64          `json:"tolerance"`
		ConfLevel         float64          `json:"confLevel"`
		EffectSizeMeasure string           `json:"effectSizeMeasure"`
		AllowedDecrease   *float64         `json:"allowedDecrease"`
		AllowedIncrease   *float64         `json:"allowedIncrease"`
		CriticalDecrease  *float64         `json:"criticalDecrease"`
		CriticalIncrease  *float64         `json:"criticalIncrease"`
		Direction         canary.Direction `json:"direction"`
		NaNStrategy       string           `json:"nanStrategy"`
		Critical          bool             `json:"critical"`
		MustHaveData      bool             `json:"mustHaveData"`
	}
	var want struct {
		Classification *canary.Label   `json:"classification"`
		Critical       *bool           `json:"critical"`
		HasReason      *bool           `json:"hasReason"`
		Deviation      json.RawMessage `json:"deviation"`
	}
	if err := c.read(&o, &want); err != nil {
		return err
	}
	switch c.Method {
	case canary.MannWhitneyMethod, canary.MeanInequalityMethod:
	default:
		return fmt.Errorf("method %q is not known", c.Method)
	}
	got := canary.Classify(c.Control, c.Experiment, canary.Test{Method: c.Method, Tolerance: o.Tolerance, Confidence: o.ConfLevel, Effect: o.EffectSizeMeasure,
		AllowedIncrease: o.AllowedIncrease, AllowedDecrease: o.AllowedDecrease, CriticalIncrease: o.CriticalIncrease, CriticalDecrease: o.CriticalDecrease,
		Direction: o.Direction, NaN: o.NaNStrategy, Critical: o.Critical, MustHaveData: o.MustHaveData})
	if w := want.Classification; w != nil && *w != got.Label {
		return fmt.Errorf("classified as %s, not %s (%s)", got.Label, *w, got.Reason)
	}
	if w := want.Critical; w != nil && *w != got.Critical {
		return fmt.Errorf("critical is %t", got.Critical)
	}
	if w := want.HasReason; w != nil && *w != (got.Reason != "") {
		return fmt.Errorf("the reason is %q", got.Reason)
	}
	if want.Deviation == nil {
		return nil
	}
	n, err := numberOf(want.Deviation)
	if err != nil {
		return err
	}
	return n.holds("deviation", got.Deviation)
}

// numberOf reads an expected number with its tolerance, or a bare one.
func numberOf(raw []byte) (number, error) {
	if n := (number{}); strict(raw, &n) == nil && raw[0] == '{' {
		return n, nil
	}
	var n number
	err := json.Unmarshal(raw, &n.Value)
	return n, err
}

// read takes the options and what is expected apart, if they are there.
func (c *oneCase) read(options, expect any) error {
	if len(c.Options) > 0 && options != nil {
		if err := strict(c.Options, options); err != nil {
			return fmt.Errorf("options: %w", err)
		}
	}
	if err := strict(c.Expect, expect); err != nil {
		return fmt.Errorf("expect: %w", err)
	}
	return nil
}

func (c *oneCase) scorer() error {
	var want struct {
		Score       *float64   `json:"score"`
		GroupScores *[]float64 `json:"groupScores"`
	}
	if err := c.read(nil, &want); err != nil {
		return err
	}
	ms := make([]canary.Labelled, len(c.Metrics))
	for i, m := range c.Metrics {
		ms[i] = canary.Labelled{Name: m.Name, Label: m.Classification, Groups: m.Groups, Critical: m.Critical, Muted: m.Muted}
	}
	got := canary.ScoreOf(ms, c.GroupWeights)
	if w := want.Score; w != nil && *w != got.Score {
		return fmt.Errorf("score %v, not %v", got.Score, *w)
	}
	if w := want.GroupScores; w != nil {
		groups := make([]float64, 0, len(got.Groups))
		for _, g := range got.Groups {
			groups = append(groups, g.Score)
		}
		slices.Sort(groups)
		if !slices.EqualFunc(groups, *w, func(a, b float64) bool { return math.Abs(a-b) <= rounding*math.Abs(b) }) {
			return fmt.Errorf("group scores %v, not %v", groups, *w)
		}
	}
	return nil
}

func (c *oneCase) statistic() error {
	if c.Function == "percentile" {
		var want []struct {
			P float64 `json:"p"`
			number
		}
		if err := json.Unmarshal(c.Expect, &want); err != nil {
			return fmt.Errorf("expect: %w", err)
		}
		for _, w := range want {
			if err := w.holds(fmt.Sprintf("percentile %g", w.P), canary.Percentile(c.Data, w.P)); err != nil {
				return err
			}
		}
		return nil
	}
	if c.Function == "summary" {
		want := map[string]number{}
		if err := c.read(nil, &want); err != nil {
			return err
		}
		s := canary.Summarise(c.Data)
		return all(want, map[string]float64{"min": s.Min, "max": s.Max, "mean": s.Mean, "std": s.Std, "count": float64(s.Count)})
	}
	functions := map[string]func(control, experiment []float64) float64{"meanRatio": canary.MeanRatio, "cohenD": canary.CohenD, "cles": canary.CLES}
	f := functions[c.Function]
	if f == nil {
		return fmt.Errorf("function %q is not known", c.Function)
	}
	var want number
	if err := c.read(nil, &want); err != nil {
		return err
	}
	return want.holds(c.Function, f(c.Control, c.Experiment))
}

// all compares figures by name.
func all(want map[string]number, got map[string]float64) error {
	names := make([]string, 0, len(want))
	for n := range want {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, name := range names {
		g, ok := got[name]
		if !ok {
			return fmt.Errorf("%q is not known", name)
		}
		w := want[name]
		if err := w.holds(name, g); err != nil {
			return err
		}
	}
	return nil
}

type detectorOptions struct {
	Detector          string   `json:"detector"`
	Factor            float64  `json:"factor"`
	ReduceSensitivity bool     `json:"reduceSensitivity"`
	K                 float64  `json:"k"`
	Value             *float64 `json:"value"` // of replaceNaNs
}

func (o *detectorOptions) detector() (canary.Detector, error) {
	switch o.Detector {
	case "iqr":
		return canary.IQR(o.Factor, o.ReduceSensitivity), nil
	case "kSigma":
		return canary.KSigma(o.K), nil
	}
	return nil, fmt.Errorf("detector %q is not known", o.Detector)
}

func (c *oneCase) detector() error {
	var o detectorOptions
	var want []bool
	if err := c.read(&o, &want); err != nil {
		return err
	}
	d, err := o.detector()
	if err != nil {
		return err
	}
	if got := d(c.Data); !slices.Equal(got, want) {
		return fmt.Errorf("outliers are %v", got)
	}
	return nil
}

func (c *oneCase) transform() error {
	var o detectorOptions
	var want numbers
	if err := c.read(&o, &want); err != nil {
		return err
	}
	var got []float64
	switch c.Transform {
	case "removeNaNs":
		got = canary.RemoveNaNs(c.Data)
	case "replaceNaNs":
		by := 0.0
		if o.Value != nil {
			by = *o.Value
		}
		got = canary.ReplaceNaNs(c.Data, by)
	case "removeOutliers":
		d, err := o.detector()
		if err != nil {
			return err
		}
		got = canary.RemoveOutliers(c.Data, d)
	default:
		return fmt.Errorf("transform %q is not known", c.Transform)
	}
	if !slices.EqualFunc(got, want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
		return fmt.Errorf("becomes %v", got)
	}
	return nil
}

func (c *oneCase) rankTest() error {
	want := map[string]number{}
	switch c.Kind {
	case "normalQuantile":
		var one number
		if err := c.read(nil, &one); err != nil {
			return err
		}
		return one.holds("quantile", canary.NormalQuantile(c.P))
	case "interval", "steps":
		if err := c.read(nil, &want); err != nil {
			return err
		}
		steps, err := canary.MannWhitneySteps(c.X, c.Y, c.Confidence)
		if err != nil {
			return err
		}
		return all(want, steps)
	}
	return fmt.Errorf("kind %q is not known", c.Kind)
}
