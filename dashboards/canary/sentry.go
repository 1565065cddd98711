package canary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// SentryConfig shapes a Sentry; the zero value judges by the golden signals.
type SentryConfig struct {
	// Measures is what a service's canary is judged by, and for how long its processes warm up; nil, or nothing: the golden signals, and five minutes.
	Measures func(service, env string) ([]Measure, time.Duration)
	Every    time.Duration // how often each canary is judged, default 10 s
	Log      *slog.Logger
}

// Sentry judges the canaries of a Board again and again, and makes findings of the verdicts that turn: one a canary, which opens as it fails or passes, changes as that
// turns, and is over when there is no such canary any more. A fail stays for as long as its canary is there. One that has not been decided about is no finding.
type Sentry struct {
	cfg   SentryConfig
	board atomic.Pointer[dashboards.Board]

	mu   sync.Mutex
	open map[[2]string]*guarded // by service and environment
}

// guarded is a canary of which a finding tells.
type guarded struct {
	finding dashboards.Finding
	away    int // looks in a row at which it was not there
}

const (
	guardEvery  = 10 * time.Second
	guardWarmup = 5 * time.Minute
	// awayLooks is at how many looks in a row a canary must not be there to be over: its processes may be started anew.
	awayLooks = 3
)

// NewSentry makes a Sentry; it looks at nothing before it runs and Judge was called.
func NewSentry(c SentryConfig) *Sentry {
	c.Every = cmp.Or(c.Every, guardEvery)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Sentry{cfg: c, open: map[[2]string]*guarded{}}
}

// Judge gives what has been found so far; it costs nothing, and tells Run which Board it is.
func (s *Sentry) Judge(_ time.Time, b *dashboards.Board) []dashboards.Finding {
	s.board.Store(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]dashboards.Finding, 0, len(s.open))
	for _, g := range s.open {
		out = append(out, g.finding)
	}
	return out
}

// Run looks until ctx ends.
func (s *Sentry) Run(ctx context.Context) error {
	t := time.NewTicker(s.cfg.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if b := s.board.Load(); b != nil {
				s.Look(ctx, b)
			}
		}
	}
}

// Look judges every canary once.
func (s *Sentry) Look(ctx context.Context, b *dashboards.Board) {
	there := map[[2]string]bool{}
	for _, n := range b.Names() {
		if ctx.Err() != nil {
			return
		}
		there[n] = true
		if !b.Differ(n[0], n[1]) {
			s.away(n)
			continue
		}
		q := Ask{Service: n[0], Env: n[1], Warmup: guardWarmup}
		if s.cfg.Measures != nil {
			var warmup time.Duration
			q.Measures, warmup = s.cfg.Measures(n[0], n[1])
			q.Warmup = cmp.Or(warmup, guardWarmup)
		}
		a, err := Judge(b, q)
		switch {
		case errors.Is(err, ErrBlind):
			return // what was found stays as it is
		case err != nil:
		case a.By == "":
			s.away(n)
		default:
			s.take(n, a)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.open {
		if !there[n] { // it is gone, or another replica's
			delete(s.open, n)
		}
	}
}

// away notes that a service has no canary at this look.
func (s *Sentry) away(n [2]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.open[n]; g != nil {
		if g.away++; g.away >= awayLooks {
			delete(s.open, n)
		}
	}
}

// take brings an answer and what is known of the canary together.
func (s *Sentry) take(n [2]string, a *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.open[n]
	if g != nil && g.finding.Canary.Version != a.version() {
		delete(s.open, n) // another one
		g = nil
	}
	switch {
	case g != nil && (g.finding.Canary.Verdict == string(Fail) || g.finding.Canary.Verdict == string(a.Verdict)):
		g.away = 0
		if a.Verdict != Fail && g.finding.Canary.Verdict == string(a.Verdict) { // it stands since then, whatever it rests on now; a fail stays as it was found
			since := g.finding.Since
			g.finding = a.Finding()
			g.finding.Since = since
		}
		return
	case g == nil && (a.Verdict == Hold || a.Verdict == Pass && a.Canary.Version == a.Baseline.Version):
		return // nothing is decided, or nothing is new
	}
	f := a.Finding()
	s.open[n] = &guarded{finding: f}
	s.cfg.Log.Info("verdict on a canary", "service", n[0], "env", n[1], "verdict", a.Verdict, "canary", a.version(), "reason", a.Reason)
}

func (a *Answer) version() string { return cmp.Or(a.Canary.Version, a.Canary.Name) }

// Finding is the answer as a finding: its verdict, since when, and what that rests on. There must be cohorts.
func (a *Answer) Finding() dashboards.Finding {
	since := a.At
	if k := len(a.Turns) - 1; k >= 0 && a.Verdict != Fail && a.Turns[k].Verdict == string(a.Verdict) {
		since = a.Turns[k].T
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%s", a.Service, a.Env, a.version()) // the same after a restart, whenever its verdict is found then
	f := dashboards.Finding{ID: fmt.Sprintf("c%010x", h.Sum64()>>24), Level: dashboards.LevelInfo, Service: a.Service, Env: a.Env, Metric: dashboards.MetricCanary, Since: since,
		Cleared: []string{}, Events: []dashboards.Event{}, Canary: &dashboards.CanaryTold{Version: a.version(), Baseline: cmp.Or(a.Baseline.Version, a.Baseline.Name), Verdict: string(a.Verdict),
			Turns: a.Turns}}
	f.News = map[Verdict]string{Fail: "fails", Pass: "passes", Hold: "holds"}[a.Verdict]
	f.Title = fmt.Sprintf("canary %s of %s %s", a.version(), a.Service, f.News)
	f.Why = "canary " + a.version() + " " + f.News
	if a.Verdict == Fail {
		f.Level = dashboards.LevelBad
		f.Canary.Reason, f.Canary.Failed = strings.ToValidUTF8(a.Reason[:min(len(a.Reason), dashboards.MaxWords)], ""), a.harms()
		if i := slices.IndexFunc(a.Metrics, func(m MetricFound) bool { return m.FailedAt > 0 && m.Action == Fails }); i >= 0 {
			m := &a.Metrics[i]
			f.Title += ": " + m.FailedAs
			if m.Zone != "" {
				f.Title += " in " + m.Zone
			}
		}
	} else {
		f.Title += ": " + a.Reason
	}
	side := func(c *Side) string { return fmt.Sprintf("%s (%s)", c.Name, count(c.Instances, "instance")) }
	f.Only = "Against " + side(a.Baseline) + "; the canary has " + count(a.Canary.Instances, "instance") + "."
	return f
}
