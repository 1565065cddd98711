package canary

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Ask is a question about one service. The zero value of an option is its default.
type Ask struct {
	Service, Env string
	Version      string        // the canary's; empty: found by itself
	Warmup       time.Duration // what a process does in its first minutes does not count; 0: all counts
	Window       time.Duration // how far back, default one hour
	Measures     []Measure     // nil: Golden
	Rules        Rules
}

// ErrBlind is that nothing can be judged: what is known is not up to date. It says nothing about the canary.
var ErrBlind = errors.New("what is known of the fleet is not up to date")

// Answer is a verdict with all that belongs to it, as the API gives it. Times are Unix ms.
type Answer struct {
	AsOf     int64         `json:"as_of"`
	Service  string        `json:"service"`
	Env      string        `json:"env"`
	Verdict  Verdict       `json:"verdict"`
	Reason   string        `json:"reason"`
	At       int64         `json:"at"` // of the poll that decided a fail, else of the last
	By       string        `json:"by"` // track or version; empty: there are no cohorts
	Canary   *Side         `json:"canary"`
	Baseline *Side         `json:"baseline"`
	Zones    []string      `json:"zones,omitempty"` // the baseline is of these only, as the canary is
	Since    int64         `json:"since"`           // of the first poll; 0: none yet
	EveryMS  int64         `json:"every_ms"`
	Polls    int           `json:"polls"`
	Turns    []Turned      `json:"turns"` // how the verdict came to be, oldest first
	WarmupMS int64         `json:"warmup_ms"`
	Warming  int           `json:"warming"` // instances of the canary that are not warm yet
	Metrics  []MetricFound `json:"metrics"` // those with most evidence of harm first
	Converge Convergence   `json:"convergence"`
}

// Side is one cohort.
type Side struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Instances int    `json:"instances"`
	Answering int    `json:"answering"`
}

// MetricFound is what is known of one measure. Effects, bounds and margins of a ratio are differences of shares, of others parts of the baseline's level.
type MetricFound struct {
	Name     string         `json:"name"`
	Kind     Kind           `json:"kind"`
	Action   Action         `json:"action"`
	Verdict  Verdict        `json:"verdict"`
	Text     string         `json:"text"`
	What     string         `json:"what,omitempty"` // of latency: what it is (p99, mean)
	Zone     string         `json:"zone,omitempty"` // it is so in this zone; else in all
	Effect   dashboards.Num `json:"effect"`
	Lo       dashboards.Num `json:"lo"`
	Hi       dashboards.Num `json:"hi"`
	Most     dashboards.Num `json:"most"`
	Margin   dashboards.Num `json:"margin"`
	Baseline dashboards.Num `json:"baseline"`
	Canary   dashboards.Num `json:"canary"`
	Sigmas   dashboards.Num `json:"sigmas"`
	Polls    int            `json:"polls"`
	Hosts    [2]int         `json:"hosts"`                 // of baseline and canary
	FailedAt int64          `json:"failed_at,omitempty"`   // Unix ms; a fail stays, all else is of the last poll
	FailedAs string         `json:"failed_text,omitempty"` // text at that poll
}

// maxPolls bounds the polls of a study: past it two are taken as one, and so on.
const maxPolls = 720

// Judge answers from what a Board knows, the findings among it: what has been told of a canary that is there stays so, whoever of either side comes or goes. The error is dashboards.ErrNoService, or wraps ErrBlind where the Board's feed is not live.
func Judge(b *dashboards.Board, q Ask) (*Answer, error) {
	q.Window = cmp.Or(q.Window, time.Hour)
	if q.Measures == nil {
		q.Measures = Golden()
	}
	if f := b.Feed(); f.State != dashboards.FeedLive {
		return nil, fmt.Errorf("%w: the feed is %s%s", ErrBlind, f.State, after(": ", f.Error))
	}
	now := b.AsOf()
	if now.IsZero() {
		return nil, fmt.Errorf("%w: nothing has been read yet", ErrBlind)
	}
	traces, latency := b.Traces(q.Service, q.Env, now.Add(-q.Window), now)
	if traces == nil {
		return nil, fmt.Errorf("%w: %s/%s is not known here; /api/v1/search finds services", dashboards.ErrNoService, q.Service, q.Env)
	}
	out := &Answer{AsOf: now.UnixMilli(), Service: q.Service, Env: q.Env, Verdict: Hold, At: now.UnixMilli(), WarmupMS: q.Warmup.Milliseconds(), Metrics: []MetricFound{}, Turns: []Turned{},
		Converge: Converge(traces, "version", q.Version)}
	c := Form(traces, q.Version)
	if out.Reason = c.Reason; c.Reason != "" {
		return out, nil
	}
	out.By, out.Zones = c.By, c.Zones
	out.Canary, out.Baseline = c.Canary.side(), c.Baseline.side()
	s, warming := study(b, &q, &c, now, beginning(traces))
	out.Warming = warming
	zones := strata(s)
	rules := q.Rules
	rules.defaults()
	if len(zones) > 0 {
		rules.FalseFail /= 2 // the other half is for the zones
	}
	r, err := Watch(s, rules)
	if err != nil {
		return nil, err
	}
	rules.FalseFail /= float64(max(len(zones), 1))
	for _, z := range zones {
		one, err := Watch(&z.study, rules)
		if err != nil {
			return nil, err
		}
		if one.Verdict != Fail {
			continue
		}
		for i := range one.Measures {
			if f := &one.Measures[i]; f.FailedAt >= 0 && f.Action == Fails {
				m := f.found(latency)
				m.Zone = z.name
				out.Metrics = append(out.Metrics, m)
			}
		}
		if r.Verdict != Fail {
			r.Verdict, r.Reason, r.At = Fail, "in "+z.name+": "+one.Reason, one.At
			// Before that it was what it was over all zones.
			r.Turns = append(slices.DeleteFunc(r.Turns, func(t Turn) bool { return !t.At.Before(one.At) }), Turn{one.At, Fail})
		}
	}
	out.Verdict, out.Reason, out.Polls, out.EveryMS = r.Verdict, r.Reason, r.Polls, s.Width.Milliseconds()
	for _, t := range r.Turns {
		out.Turns = append(out.Turns, Turned{T: t.At.UnixMilli(), Verdict: string(t.Verdict)})
	}
	if s.Polls > 0 {
		out.Since, out.At = s.Begin.UnixMilli(), r.At.UnixMilli()
	}
	switch silent := out.Canary.Instances - out.Canary.Answering; {
	case r.Verdict == Fail:
	case silent > 0 && 2*silent >= out.Canary.Instances:
		out.Verdict, out.Reason = Hold, fmt.Sprintf("%d of %s of the canary do not answer", silent, count(out.Canary.Instances, "instance"))
	case warming > 0 && s.Polls == 0:
		out.Reason = fmt.Sprintf("%d of %s of the canary are warming up, for %s", warming, count(out.Canary.Instances, "instance"), q.Warmup)
	}
	for i := range r.Measures {
		out.Metrics = append(out.Metrics, r.Measures[i].found(latency))
	}
	out.recall(b.Findings())
	return out, nil
}

func after(sep, s string) string {
	if s == "" {
		return ""
	}
	return sep + s
}

func (c *Cohort) side() *Side {
	s := &Side{Name: c.Name, Version: c.Version, Instances: len(c.Members)}
	for _, t := range c.Members {
		if t.Answering {
			s.Answering++
		}
	}
	return s
}

func (f *Found) found(latency string) MetricFound {
	n := func(x float64) dashboards.Num { return dashboards.Num(x) }
	m := MetricFound{Name: f.Name, Kind: f.Kind, Action: f.Action, Verdict: f.Verdict, Text: f.Words(), Effect: n(f.Effect), Lo: n(f.Lo), Hi: n(f.Hi), Most: n(f.Most),
		Margin: n(f.Margin), Baseline: n(f.Baseline), Canary: n(f.Canary), Sigmas: n(f.Sigmas), Polls: f.Polls, Hosts: f.Hosts}
	if f.FailedAt >= 0 {
		m.FailedAt, m.FailedAs = f.Failed.UnixMilli(), f.FailedAs
	}
	if f.Name == "latency" {
		m.What = latency
	}
	return m
}

// beginning is since when anything is known of the service: who was there then is as old as can be told, and warm.
func beginning(traces []dashboards.Trace) (t time.Time) {
	for i := range traces {
		if b := traces[i].Begun; b.UnixMilli() > 0 && (t.IsZero() || b.Before(t)) {
			t = b
		}
	}
	return t
}

// warm is from when on an instance counts: since it runs what it runs in its track, and past its warming up. Who was there from the beginning is warm.
func warm(t *dashboards.Trace, warmup time.Duration, begin time.Time) time.Time {
	from := t.Begun
	if from.Sub(begin) > sameMoment {
		from = from.Add(warmup)
	}
	for _, m := range t.Moves {
		if at := time.UnixMilli(m.T); (m.Name == dashboards.TagVersion || m.Name == dashboards.TagTrack) && at.Add(warmup).After(from) {
			from = at.Add(warmup)
		}
	}
	for i := range t.Steps {
		if s := &t.Steps[i]; s.Reset {
			if at := time.UnixMilli(s.To).Add(warmup); at.After(from) {
				from = at
			}
		}
	}
	return from
}

// study puts the cohorts' values into polls, from the first moment at which both have a warm instance. A poll that is not over for all is left out.
func study(b *dashboards.Board, q *Ask, c *Cohorts, now, begin time.Time) (s *Study, warming int) {
	type side struct {
		*dashboards.Trace
		canary bool
		from   time.Time
	}
	var all []side
	var first [2]time.Time
	width := time.Second
	for k, cohort := range []Cohort{c.Baseline, c.Canary} {
		for _, t := range cohort.Members {
			m := side{t, k == canaries, warm(t, q.Warmup, begin)}
			if m.canary && m.from.After(now) {
				warming++
			}
			if first[k].IsZero() || m.from.Before(first[k]) {
				first[k] = m.from
			}
			width = max(width, t.Every)
			all = append(all, m)
		}
	}
	from := first[baseline]
	for _, t := range []time.Time{first[canaries], now.Add(-q.Window)} {
		if t.After(from) {
			from = t
		}
	}
	s = &Study{Measures: q.Measures}
	width = width.Truncate(time.Second)
	for now.Sub(from)/width > maxPolls {
		width *= 2
	}
	s.Begin, s.Width = from.Truncate(width), width
	if s.Begin.Before(from) {
		s.Begin = s.Begin.Add(width)
	}
	s.Polls = max(int(now.Add(-width).Sub(s.Begin)/width), 0)
	for _, m := range all {
		out := Member{Name: m.Instance, Zone: m.Tags[dashboards.TagZone], Canary: m.canary, Series: make([]Series, len(s.Measures))}
		for i := range s.Measures {
			ms, p := &s.Measures[i], newPolls(s, m.from)
			if ms.Metric == "" {
				p.golden(m.Steps, ms.Name)
			} else {
				p.metric(b, q, m.Trace, ms)
				if ms.Kind == Ratio { // of requests
					requests := newPolls(s, m.from)
					requests.golden(m.Steps, "rate")
					p.n = requests.x
				}
			}
			out.Series[i] = p.series(ms.Kind)
		}
		s.Members = append(s.Members, out)
	}
	return s, warming
}

// stratum is a study of one zone.
type stratum struct {
	name  string
	study Study
}

// strata are the zones in which both cohorts have two hosts at least, if there are several. A version may fail in one zone only: then most of its hosts are well,
// and over all of them it looks as if some had trouble of their own; in the zone all of them do, and nobody of the baseline's.
func strata(s *Study) (out []stratum) {
	n := map[string]*[2]int{}
	var names []string
	for i := range s.Members {
		m := &s.Members[i]
		if m.Zone == "" {
			continue
		}
		if n[m.Zone] == nil {
			n[m.Zone] = &[2]int{}
			names = append(names, m.Zone)
		}
		n[m.Zone][cohortOf(m)]++
	}
	slices.Sort(names)
	for _, z := range names {
		if n[z][baseline] < 2 || n[z][canaries] < 2 {
			continue
		}
		one := stratum{z, *s}
		one.study.Members = nil
		for _, m := range s.Members {
			if m.Zone == z {
				one.study.Members = append(one.study.Members, m)
			}
		}
		out = append(out, one)
	}
	if len(names) < 2 {
		return nil
	}
	return out
}

// polls sorts one instance's values of one measure into polls.
type polls struct {
	s    *Study
	from time.Time
	x, n []float64 // sums, and weights
}

func newPolls(s *Study, from time.Time) *polls {
	return &polls{s, from, make([]float64, s.Polls), make([]float64, s.Polls)}
}

// add takes a value in that was so over [from, to] (Unix ms), with a weight.
func (p *polls) add(from, to int64, x, n float64) {
	k := (to - p.s.Begin.UnixMilli()) / p.s.Width.Milliseconds()
	if to < p.s.Begin.UnixMilli() || k >= int64(p.s.Polls) || from < p.from.UnixMilli() || !finite(x) || !(n > 0) || !finite(n) {
		return
	}
	p.x[k] += x
	p.n[k] += n
}

// golden takes one of the golden signals.
func (p *polls) golden(steps []dashboards.Step, name string) {
	for i := range steps {
		s := &steps[i]
		seconds := float64(s.To-s.From) / 1000
		switch name {
		case "errors":
			p.add(s.From, s.To, s.Errors, s.Requests)
		case "latency":
			w := s.Requests
			if math.IsNaN(w) {
				w = 1
			}
			p.add(s.From, s.To, s.Latency*w, w)
		case "rate":
			p.add(s.From, s.To, s.Requests, seconds)
		}
	}
}

// metric takes any metric: a total as its rate, all else as it is.
func (p *polls) metric(b *dashboards.Board, q *Ask, t *dashboards.Trace, m *Measure) {
	end := p.s.Begin.Add(time.Duration(p.s.Polls) * p.s.Width)
	w, ok := b.Window(q.Service, q.Env, t.Instance, m.Metric, m.Field, p.s.Begin.Add(-p.s.Width), end)
	switch {
	case !ok:
	case w.Kind == collector.Counter || w.Kind == collector.Delta:
		for inc := range w.Increases {
			p.add(inc.From, inc.To, inc.By, float64(inc.To-inc.From)/1000)
		}
	default:
		for _, pt := range w.Points {
			p.add(pt.T, pt.T, pt.V, 1)
		}
	}
}

// series is what the polls come to: of a ratio the sums, else means.
func (p *polls) series(kind Kind) Series {
	if kind == Ratio {
		return Series{X: p.x, N: p.n}
	}
	x := slices.Clone(p.x)
	for k, n := range p.n {
		x[k] /= n // NaN where there is nothing
	}
	return Series{X: x}
}
