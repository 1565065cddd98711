package rules

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// The health of rules, as Prometheus calls it.
const (
	healthUnknown = "unknown"
	healthOK      = "ok"
	healthErr     = "err"
)

// groupState is a group that is evaluated.
type groupState struct {
	m   *Manager
	def *Group

	rules []*ruleState
	stale []labels.Labels // of rules that are no more, to be ended

	cancel  context.CancelFunc // the Manager's lock holds these three; nil: it does not run
	stopped chan struct{}
	ended   bool

	mu      sync.Mutex // of what follows
	mine    bool       // it was ours at its last turn
	waits   string     // why it is not evaluated; empty: it is
	took    time.Duration
	last    time.Time
	evals   *metrics.Counter
	fails   *metrics.Counter
	missed  *metrics.Counter
	lastLog map[int]string
}

// ruleState is a rule that is evaluated. Only its group's goroutine writes it.
type ruleState struct {
	rule *Rule
	prev map[string]labels.Labels // series that it gave the last time

	mu      sync.Mutex
	active  map[uint64]*alert // by the hash of labels; those that were over of late, too
	common  int64             // of the room that all rules share, what is taken for these
	gone    []*alert          // pending ones that are no more, until the others know
	health  string
	err     string
	badText string // of a template
	took    time.Duration
	last    time.Time
}

func newGroupState(m *Manager, def *Group) *groupState {
	g := &groupState{m: m, def: def, lastLog: map[int]string{}}
	for _, r := range def.Rules {
		g.rules = append(g.rules, &ruleState{rule: r, active: map[uint64]*alert{}, health: healthUnknown})
	}
	label := "{group=" + promtext.Quote(def.Key()) + "}"
	g.evals = m.cfg.Metrics.GetOrCreateCounter("rollcall_ruler_evaluations_total" + label)
	g.fails = m.cfg.Metrics.GetOrCreateCounter("rollcall_ruler_evaluation_failures_total" + label)
	g.missed = m.cfg.Metrics.GetOrCreateCounter("rollcall_ruler_iterations_missed_total" + label)
	return g
}

// take takes over the state of the same group as it was before, rule by rule.
func (g *groupState) take(old *groupState) (left []*ruleState) {
	old.mu.Lock()
	g.mine, g.took, g.last = old.mine, old.took, old.last
	old.mu.Unlock()
	g.stale = old.stale
	by := map[string][]*ruleState{}
	for _, r := range old.rules {
		k := r.rule.identity()
		by[k] = append(by[k], r)
	}
	for i, r := range g.rules {
		k := r.rule.identity()
		if len(by[k]) == 0 {
			continue
		}
		was := by[k][0]
		by[k] = by[k][1:]
		was.mu.Lock()
		was.rule = r.rule
		was.mu.Unlock()
		g.rules[i] = was
	}
	for _, rs := range by {
		for _, r := range rs {
			for _, ls := range r.prev {
				g.stale = append(g.stale, ls)
			}
			left = append(left, r)
		}
	}
	return left
}

// run evaluates a group in its slots until ctx ends.
func (g *groupState) run(ctx context.Context) {
	slot := g.slot(time.Now()).Add(g.def.Interval)
	t := time.NewTimer(g.wait(slot, time.Now()))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if now := time.Now(); slot.After(now) { // the clock was set back, or goes slower than the timer's
			slot = g.slot(now).Add(g.def.Interval)
			t.Reset(g.wait(slot, now))
			continue
		}
		g.turn(ctx, slot)
		slot = slot.Add(g.def.Interval)
		if late := time.Since(slot); late >= 0 {
			n := late/g.def.Interval + 1
			g.missed.Add(int(n))
			slot = slot.Add(n * g.def.Interval)
		}
		t.Reset(g.wait(slot, time.Now()))
	}
}

// wait is how long to wait for a slot: no longer than it takes from one to the next, even where the clock was set back.
func (g *groupState) wait(slot, now time.Time) time.Duration {
	return min(slot.Sub(now), g.def.Interval)
}

// slot is the last time before now at which the group is evaluated: each group at an offset of its own, the same in every replica and after each start.
func (g *groupState) slot(now time.Time) time.Time {
	h := fnv.New64a()
	h.Write([]byte(g.def.Key()))
	every := int64(g.def.Interval)
	offset := int64(h.Sum64() % uint64(every))
	adj := now.UnixNano() - offset
	return time.Unix(0, adj-adj%every+offset)
}

// turn is one slot: the group is evaluated if it is ours, and if what it asks for is there.
func (g *groupState) turn(ctx context.Context, ts time.Time) {
	mine := g.m.cfg.Owns(g.def.Key())
	wait := ""
	if mine {
		wait = g.m.cfg.Wait(g.def.reach)
	}
	g.mu.Lock()
	was, waited := g.mine, g.waits
	g.mine, g.waits = mine, wait
	g.mu.Unlock()
	switch {
	case !mine:
		if was {
			g.leave(ts)
		}
	case wait != "":
		if waited == "" {
			g.m.cfg.Log.Info("rules wait", "file", g.def.File, "group", g.def.Name, "why", wait)
		}
		if !was {
			g.mu.Lock()
			g.mine = false // it is taken over when it is evaluated
			g.mu.Unlock()
		}
	default:
		if !was {
			g.adopt(ts)
		}
		g.eval(ctx, ts)
	}
}

// adopt takes up the alerts of the group that fire by what was told: by this process before its last end, or by who evaluated the group until now. Those whose condition
// holds no more are over then, as any other; those that no rule of the group can have given are over at once. One that two rules can have given is nobody's until one
// gives it.
func (g *groupState) adopt(ts time.Time) {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	var orphans []dashboards.Alert
	for _, w := range g.m.known.by {
		if w.Group != g.def.Key() || w.State != dashboards.AlertFiring || !fresh(w, ts) {
			continue
		}
		switch owners := g.def.owners(&w.Alert); len(owners) {
		case 0:
			orphans = append(orphans, w.Alert)
		case 1:
			r, x := g.rules[owners[0]], of(&w.Alert)
			r.mu.Lock()
			if h := x.labels.Hash(); r.active[h] == nil && len(r.active) < MaxAlerts && g.m.room.take(&r.common, len(r.active)+1) {
				r.active[h] = x
			}
			r.mu.Unlock()
		}
	}
	for _, a := range orphans {
		a.State, a.ResolvedAt = dashboards.AlertInactive, ts.UnixMilli()
		g.m.sayLocked(a, ts)
		g.m.ended(a)
	}
}

// owners is which rules of the group, by their places, can have given an alert.
func (g *Group) owners(a *dashboards.Alert) (out []int) {
	for _, i := range g.named[a.Rule] {
		if g.Rules[i].may(a) {
			out = append(out, i)
		}
	}
	return out
}

// may reports whether an alert can be one of the rule.
func (r *Rule) may(a *dashboards.Alert) bool {
	for k, v := range r.static {
		if a.Labels[k] != v && k != "alertname" {
			return false
		}
	}
	return true
}

// eval evaluates all rules of the group, in their order, as of ts.
func (g *groupState) eval(ctx context.Context, ts time.Time) {
	begun := time.Now()
	for i, r := range g.rules {
		if ctx.Err() != nil {
			return
		}
		g.evals.Inc()
		at := time.Now()
		err := g.evalRule(ctx, r, ts)
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		r.took, r.last = time.Since(at), ts
		r.health, r.err = healthOK, ""
		if err != nil {
			r.health, r.err = healthErr, clip(err.Error())
		}
		bad := r.err
		r.mu.Unlock()
		if err != nil {
			g.fails.Inc()
		}
		if was := g.lastLog[i]; was != bad {
			g.lastLog[i] = bad
			if bad != "" {
				g.m.cfg.Log.Warn("a rule cannot be evaluated", "file", g.def.File, "group", g.def.Name, "rule", r.rule.Name, "index", i, "err", bad)
			} else {
				g.m.cfg.Log.Info("a rule can be evaluated again", "file", g.def.File, "group", g.def.Name, "rule", r.rule.Name, "index", i)
			}
		}
		g.m.tell(g, r, ts)
	}
	g.endStale(ts)
	g.mu.Lock()
	g.took, g.last = time.Since(begun), ts
	g.mu.Unlock()
}

func (g *groupState) evalRule(ctx context.Context, r *ruleState, ts time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, g.m.cfg.Timeout)
	defer cancel()
	answer, err := g.m.cfg.Query(ctx, r.rule.ask, ts.Add(-g.def.Offset))
	if err != nil {
		return err
	}
	var vec promql.Vector
	if r.rule.Alert {
		vec, err = r.evalAlert(ctx, g, ts, answer)
	} else {
		vec, err = r.evalRecord(g, answer)
	}
	if err != nil {
		return err
	}
	return g.keep(r, ts, vec)
}

// evalRecord gives the answer its new name and labels.
func (r *ruleState) evalRecord(g *groupState, answer promql.Vector) (promql.Vector, error) {
	lb := labels.NewBuilder(labels.EmptyLabels())
	for i := range answer {
		if answer[i].H != nil {
			return nil, errors.New("the expression gives native histograms, which are not kept here")
		}
		lb.Reset(answer[i].Metric)
		lb.Set(model.MetricNameLabel, r.rule.Name)
		r.rule.Labels.Range(func(l labels.Label) { lb.Set(l.Name, l.Value) })
		answer[i].Metric = lb.Labels()
	}
	if answer.ContainsSameLabelset() {
		return nil, errSame
	}
	if n := g.def.Limit; n > 0 && len(answer) > n {
		return nil, fmt.Errorf("exceeded limit of %d with %d series", n, len(answer))
	}
	return answer, nil
}

// keep keeps the series that a rule gave, and ends those that it does not give any more.
func (g *groupState) keep(r *ruleState, ts time.Time, vec promql.Vector) (err error) {
	at := ts.Add(-g.def.Offset).UnixMilli()
	given := make(map[string]labels.Labels, len(vec))
	var buf [1024]byte
	for _, s := range vec {
		if e := g.m.cfg.Store.Append(s.Metric, at, s.F); e != nil {
			err = e // of all of them the same
			continue
		}
		given[string(s.Metric.Bytes(buf[:0]))] = s.Metric
	}
	for k, ls := range r.prev {
		if _, ok := given[k]; !ok {
			_ = g.m.cfg.Store.Append(ls, at, math.Float64frombits(value.StaleNaN)) // another rule may give it now
		}
	}
	r.prev = given
	return err
}

// endStale ends the series of rules that are no more.
func (g *groupState) endStale(ts time.Time) {
	for _, ls := range g.stale {
		_ = g.m.cfg.Store.Append(ls, ts.Add(-g.def.Offset).UnixMilli(), math.Float64frombits(value.StaleNaN)) // another rule may give it now
	}
	g.stale = nil
}

// leave gives the group up, as another replica has it now, or nobody: its series end, its alerts are the other's.
func (g *groupState) leave(ts time.Time) {
	for _, r := range g.rules {
		for _, ls := range r.prev {
			g.stale = append(g.stale, ls)
		}
		r.prev = nil
		r.mu.Lock()
		clear(r.active)
		g.m.room.take(&r.common, 0)
		r.gone, r.health, r.err, r.badText = nil, healthUnknown, "", ""
		r.mu.Unlock()
	}
	g.endStale(ts)
}
