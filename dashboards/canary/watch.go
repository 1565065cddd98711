package canary

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Verdict is what a canary comes to so far.
type Verdict string

// The verdicts.
const (
	Pass Verdict = "pass" // harm as large as the margins is excluded
	Hold Verdict = "hold" // neither
	Fail Verdict = "fail" // it does harm, and enough to matter
)

// Found is what is known of one measure.
type Found struct {
	Name    string
	Kind    Kind
	Action  Action
	Verdict Verdict // Fail of a measure that only warns: it is told
	Effect  float64 // of a ratio the difference of shares; else the change in parts of the baseline's: 0.1 is a tenth more
	Lo, Hi  float64 // holds the effect at all polls at once
	Most    float64 // the greatest harm that is not excluded; NaN before there was enough to judge
	Margin  float64 // as much as matters; like Most negative where less is harm
	// The levels of both, on the measure's own scale: shares, values.
	Baseline, Canary float64
	Sigmas           float64 // standard errors that the effect is from none
	Polls            int
	Hosts            [2]int // of baseline and canary
	Requests         [2]float64
	FailedAt         int // poll; -1: never. A fail stays, whatever the measure is like by now
	Failed           time.Time
	FailedAs         string // Words at that poll
	unit             string // of the levels, where it is known
}

// Report is a verdict with what it rests on.
type Report struct {
	Verdict  Verdict
	Reason   string
	At       time.Time // of the poll that decided a fail, else of the last one
	Polls    int
	Measures []Found // those with most evidence of harm first
	Turns    []Turn  // how it came to be, oldest first
}

// Turn is a change of the verdict.
type Turn struct {
	At      time.Time
	Verdict Verdict
}

// maxTurns bounds them: past it those in the middle are left out.
const maxTurns = 100

// Watch looks at each poll of the study in turn, as somebody does who waits for an end, and gives the verdict of the last. A fail stays: evidence that held once
// held at its time. What has passed may still fail.
func Watch(s *Study, r Rules) (Report, error) {
	r.defaults()
	if err := r.validate(); err != nil {
		return Report{}, fmt.Errorf("watch canary: %w", err)
	}
	if err := s.validate(); err != nil {
		return Report{}, fmt.Errorf("watch canary: %w", err)
	}
	w := newWatch(s, r)
	var turns []Turn
	for k := range s.Polls {
		w.poll(k)
		if v, _ := w.stand(k); len(turns) == 0 || turns[len(turns)-1].Verdict != v {
			if turns = append(turns, Turn{s.at(k), v}); len(turns) > maxTurns {
				turns = slices.Delete(turns, 1, 2)
			}
		}
	}
	report := w.report()
	report.Turns = turns
	return report, nil
}

func (s *Study) validate() error {
	for i := range s.Members {
		if len(s.Members[i].Series) != len(s.Measures) {
			return fmt.Errorf("%q has %d series, want one for each of %d measures", s.Members[i].Name, len(s.Members[i].Series), len(s.Measures))
		}
	}
	for i := range s.Measures {
		switch m := &s.Measures[i]; {
		case m.Kind != Ratio && m.Kind != Level && m.Kind != Gauge:
			return fmt.Errorf("%q is of kind %q; give ratio, level or gauge", m.Name, m.Kind)
		case !(m.Margin >= 0) || !(m.Floor >= 0) || !(m.Spread >= 0):
			return fmt.Errorf("%q has a margin, a floor or a spread that is negative", m.Name)
		case m.Action != Fails && m.Action != Warns:
			return fmt.Errorf("%q has the action %q; give fail or warn", m.Name, m.Action)
		}
	}
	return nil
}

// watch is a study under way.
type watch struct {
	s        *Study
	r        Rules
	measures []watched
	deciding int // measures that may fail
	failed   int // the first poll at which one did; -1
}

type watched struct {
	*gathered
	found Found
	est   estimate
	known bool
}

func newWatch(s *Study, r Rules) *watch {
	w := &watch{s: s, r: r, failed: -1}
	for i := range s.Measures {
		m := &s.Measures[i]
		w.measures = append(w.measures, watched{gathered: newGathered(m, s.Members), found: Found{Name: m.Name, Kind: m.Kind, Action: m.Action, Verdict: Hold, FailedAt: -1, unit: m.unit()}})
		if m.Action == Fails {
			w.deciding++
		}
	}
	return w
}

// poll takes poll k in and judges.
func (w *watch) poll(k int) {
	for i := range w.measures {
		d := &w.measures[i]
		if d.add(k, w.s.Members, i) {
			d.judge(k, w.r, max(w.deciding, 1))
		}
		if d.found.FailedAt == k {
			d.found.Failed = w.s.at(k)
		}
		if d.found.FailedAt == k && d.m.Action == Fails && w.failed < 0 {
			w.failed = k
		}
	}
}

// judge reads the evidence of one measure at poll k. The chance of a false fail is shared among those that may fail; that of a false pass is not, as all have to.
func (d *watched) judge(k int, r Rules, deciding int) {
	d.est, d.known = d.estimate()
	e := &d.est
	if !d.known {
		return
	}
	f := &d.found
	margin := d.m.margin(e)
	wide := boundary(d.polls, r.FalseFail/float64(deciding), e.df) * e.se
	f.set(d.m, e, wide, margin)
	f.Polls = d.polls
	if d.polls < r.MinPolls || e.hosts[baseline] < r.MinBaseline || e.hosts[canaries] < r.MinCanary {
		return
	}
	if d.m.Kind == Ratio && (e.n[baseline] < r.MinRequests || e.n[canaries] < r.MinRequests) {
		return
	}
	harm := d.m.harm()
	effect, far := e.effect*harm, wide
	if harm == 0 {
		effect, far = math.Abs(e.effect), boundary(d.polls, r.FalseFail/float64(2*deciding), e.df)*e.se // either way is harm: half of the chance each
	}
	narrow := boundary(d.polls, r.FalsePass, e.df) * e.se
	switch {
	case effect-far > 0 && effect >= margin:
		f.Verdict = Fail
		if f.FailedAt < 0 {
			f.FailedAt, f.FailedAs = k, f.Words()
		}
	case effect+narrow < margin:
		f.Verdict = Pass
	default:
		f.Verdict = Hold
	}
	most := effect + narrow
	if harm < 0 {
		most = -most
	}
	f.Most = d.m.told(e, most)
}

// set fills in what is told of a measure.
func (f *Found) set(m *Measure, e *estimate, wide, margin float64) {
	f.Effect, f.Lo, f.Hi, f.Margin, f.Most = m.told(e, e.effect), m.told(e, e.effect-wide), m.told(e, e.effect+wide), m.told(e, margin), math.NaN()
	if m.harm() < 0 {
		f.Margin = m.told(e, -margin)
	}
	f.Sigmas, f.Hosts, f.Requests = e.effect/e.se, e.hosts, [2]float64{math.NaN(), math.NaN()}
	switch m.Kind {
	case Ratio:
		f.Baseline, f.Canary, f.Requests = e.level, e.level+e.effect, e.n
	case Level:
		f.Baseline, f.Canary = math.Exp(e.level), math.Exp(e.level+e.effect)
	default:
		f.Baseline, f.Canary = e.level, e.level+e.effect
	}
}

// told is a difference as people are told it.
func (m *Measure) told(e *estimate, x float64) float64 {
	switch m.Kind {
	case Ratio:
		return min(max(x, -1), 1)
	case Level:
		return math.Expm1(x)
	}
	return x / e.unit
}

// why is what a verdict rests on.
type why int

const (
	whyOpen   why = iota // measures are undecided
	whyFailed            // a measure did, at some poll
	whyUntold            // nothing to compare yet
	whyIdle              // nothing to compare for long
	whyNone              // no measure that may fail is known
	whyPassed
)

// stand is what it has come to by poll k, the last one that was taken in.
func (w *watch) stand(k int) (Verdict, why) {
	passing, deciding, known := 0, 0, false
	for i := range w.measures {
		d := &w.measures[i]
		known = known || d.known
		if d.m.Action == Fails && d.known {
			deciding++
			if d.found.Verdict == Pass {
				passing++
			}
		}
	}
	switch {
	case w.failed >= 0:
		return Fail, whyFailed
	case !known:
		return Hold, whyUntold
	case k-w.newest() > max(3, (k+1)/4):
		return Hold, whyIdle
	case deciding == 0:
		return Hold, whyNone
	case passing == deciding:
		return Pass, whyPassed
	}
	return Hold, whyOpen
}

// newest is the last poll that had traffic of both; -1: none.
func (w *watch) newest() int {
	k := -1
	for i := range w.measures {
		k = max(k, w.measures[i].last)
	}
	return k
}

// report puts all measures together, as of the last poll.
func (w *watch) report() Report {
	r := Report{Polls: w.s.Polls, At: w.s.at(w.s.Polls - 1)}
	for i := range w.measures {
		if d := &w.measures[i]; d.known {
			r.Measures = append(r.Measures, d.found)
		}
	}
	rank(r.Measures, w.s.Measures)
	var of why
	switch r.Verdict, of = w.stand(w.s.Polls - 1); of {
	case whyFailed:
		r.At, r.Reason = w.s.at(w.failed), w.failure()
	case whyUntold:
		r.Reason = "no poll yet has traffic of both cohorts"
	case whyIdle:
		r.Reason = "no traffic of both cohorts since " + clock(w.s.at(w.newest()))
	case whyNone:
		r.Reason = "nothing that may fail a canary is known of it"
	case whyPassed:
		r.Reason = passed(r.Measures)
	default:
		r.Reason = w.undecided(r.Measures)
	}
	return r
}

func (s *Study) at(k int) time.Time { return s.Begin.Add(time.Duration(k+1) * s.Width) }
