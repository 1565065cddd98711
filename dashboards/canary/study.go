package canary

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind is how a measure is compared.
type Kind string

// The kinds of measures.
const (
	Ratio Kind = "ratio" // X of N, such as errors of requests: the difference of the shares
	Level Kind = "level" // positive values, such as latencies and rates: the ratio, on the scale of logarithms
	Gauge Kind = "gauge" // any values: the difference, in parts of the baseline's mean
)

// Action is what harm to a measure leads to.
type Action string

// The actions.
const (
	Fails Action = "fail"
	Warns Action = "warn" // it is told, and decides nothing
)

// Measure is one thing to compare. Its Direction says what is harm: Increase where more is worse, Decrease where less is, Either where any change is.
type Measure struct {
	Name      string
	Kind      Kind
	Direction Direction
	Action    Action
	// Margin is how much harm matters: below it no canary fails, and one passes where more is excluded. Of a ratio and a gauge in parts of the baseline's, of a
	// level as a change of that share (0.25: a quarter slower). Floor is the least margin of a ratio, a share of requests.
	Margin, Floor float64
	// Spread is how much hosts are taken to differ before any was seen, in parts of the level: with few hosts it keeps three that happen to agree from being
	// taken for proof that all do.
	Spread float64
	// Metric is what is read of the Board, with Field of a distribution; empty: Name is errors, latency or rate, as they are recognised.
	Metric, Field string
}

// unit is what the levels of a golden signal are in, with the space before it; of other metrics it is not known.
func (m *Measure) unit() string {
	switch {
	case m.Metric != "" || m.Kind != Level:
		return ""
	case m.Name == "latency":
		return " ms"
	case m.Name == "rate":
		return "/s"
	}
	return ""
}

// The golden signals as a canary is judged by. Fewer requests are told and fail nobody: how much a canary is given is not its own doing.
func Golden() []Measure {
	return []Measure{
		{Name: "errors", Kind: Ratio, Direction: Increase, Action: Fails, Margin: 0.25, Floor: 0.002, Spread: 0.5},
		{Name: "latency", Kind: Level, Direction: Increase, Action: Fails, Margin: 0.25, Spread: 0.1},
		{Name: "rate", Kind: Level, Direction: Decrease, Action: Warns, Margin: 0.25, Spread: 0.1},
	}
}

// Series is what one host says of one measure, poll by poll. X is NaN where it says nothing; N is the weight of a ratio (requests), and nil for others.
type Series struct{ X, N []float64 }

// Member is one host of a cohort with a Series for each measure, in order.
type Member struct {
	Name   string
	Zone   string
	Canary bool
	Series []Series
}

func cohortOf(m *Member) int {
	if m.Canary {
		return canaries
	}
	return baseline
}

// Study is all that a verdict rests on: hosts over the same polls since both cohorts were there and warm.
type Study struct {
	Measures []Measure
	Members  []Member
	Polls    int
	Width    time.Duration // of a poll
	Begin    time.Time     // of the first
}

// Rules say how sure a verdict must be. The zero value is what was tested.
type Rules struct {
	FalseFail   float64 // chance that a canary that does no harm is ever failed, over all its measures and polls; default 0.02
	FalsePass   float64 // chance that one that does as much harm as its margin is ever passed; default 0.1
	MinPolls    int     // before any verdict, default 10
	MinRequests float64 // of each cohort, where requests are known; default 100
	MinCanary   int     // hosts, default 1
	MinBaseline int     // hosts, default 2
}

func (r *Rules) defaults() {
	r.FalseFail = cmp.Or(r.FalseFail, 0.02)
	r.FalsePass = cmp.Or(r.FalsePass, 0.1)
	r.MinPolls = cmp.Or(r.MinPolls, 10)
	r.MinRequests = cmp.Or(r.MinRequests, 100)
	r.MinCanary = cmp.Or(r.MinCanary, 1)
	r.MinBaseline = cmp.Or(r.MinBaseline, 2)
}

func (r *Rules) validate() error {
	var errs []error
	for name, p := range map[string]float64{"false fails": r.FalseFail, "false passes": r.FalsePass} {
		if !(p > 0 && p < 0.5) {
			errs = append(errs, fmt.Errorf("a chance of %s of %g is not between 0 and 0.5", name, p))
		}
	}
	if r.MinPolls < 1 || r.MinCanary < 1 || r.MinBaseline < 2 || !(r.MinRequests >= 0) {
		errs = append(errs, errors.New("a verdict needs a poll, a canary and two hosts of the baseline at least"))
	}
	return errors.Join(errs...)
}

// harm is the sign by which an effect becomes harm: +1, -1, or 0 for either.
func (m *Measure) harm() float64 {
	switch m.Direction {
	case Increase:
		return 1
	case Decrease:
		return -1
	}
	return 0
}

func (m *Measure) scale(x float64) float64 {
	if m.Kind == Level {
		if !(x > 0) {
			return math.NaN()
		}
		return math.Log(x)
	}
	return x
}
