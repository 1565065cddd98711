package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Config says how rules are evaluated. Query is needed.
type Config struct {
	Query Query
	Store *Store // nil: one that remembers for an hour
	// Owns says whether this process evaluates a group, by its key; nil: all of them.
	Owns func(group string) bool
	// Wait says why rules that look so far back cannot be evaluated now, such as that their values are not there yet; "", or nil: they can.
	Wait func(reach time.Duration) string
	// Publish takes what all others, and this process after a restart, are to know of alerts; it must not block. nil: nobody hears of it.
	Publish func(dashboards.Note)
	Timeout time.Duration // of one rule's evaluation, default 20 s
	// MaxAlerts is how many alerts all rules may have together, with those that were over in the last fifteen minutes; default 50,000. A rule has room for its part of half
	// of them, whatever others give. Past it a rule fails: of its alerts none begins.
	MaxAlerts int
	Log       *slog.Logger
	Metrics   *metrics.Set
}

func (c *Config) defaults() {
	if c.Store == nil {
		c.Store = NewStore(time.Hour)
	}
	if c.Owns == nil {
		c.Owns = func(string) bool { return true }
	}
	if c.Wait == nil {
		c.Wait = func(time.Duration) string { return "" }
	}
	if c.Publish == nil {
		c.Publish = func(dashboards.Note) {}
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	c.Timeout = cmp.Or(c.Timeout, 20*time.Second)
	c.MaxAlerts = cmp.Or(c.MaxAlerts, 5*MaxAlerts)
	c.Log = orDiscard(c.Log)
}

// Manager evaluates rules while it runs.
type Manager struct {
	cfg  Config
	room room

	updating sync.Mutex // one at a time

	mu      sync.Mutex
	ctx     context.Context // while it runs
	running sync.WaitGroup
	set     *Set
	groups  map[string]*groupState
	known   words
	over    map[string]dashboards.Alert // of rules that are no more
	tmplBad *metrics.Counter
	forgot  *metrics.Counter
	overLog time.Time // when it was last said that those that are over are too many
}

// New makes a Manager without rules.
func New(c Config) (*Manager, error) {
	if c.Query == nil {
		return nil, errors.New("make rules: there is nobody to ask")
	}
	if c.MaxAlerts < 0 {
		return nil, fmt.Errorf("make rules: %d alerts at most cannot be", c.MaxAlerts)
	}
	c.defaults()
	m := &Manager{cfg: c, room: room{most: int64(c.MaxAlerts)}, set: &Set{}, groups: map[string]*groupState{}, known: newWords(), over: map[string]dashboards.Alert{}}
	m.forgot = c.Metrics.GetOrCreateCounter("rollcall_ruler_forgotten_alerts_total")
	m.tmplBad = c.Metrics.GetOrCreateCounter("rollcall_ruler_template_failures_total")
	c.Metrics.GetOrCreateGauge("rollcall_ruler_rules", func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(m.set.Rules)
	})
	for _, state := range []string{dashboards.AlertPending, dashboards.AlertFiring} {
		c.Metrics.GetOrCreateGauge(fmt.Sprintf("rollcall_ruler_alerts{state=%q}", state), func() float64 { return float64(m.count(state)) })
	}
	c.Metrics.GetOrCreateGauge("rollcall_ruler_series", func() float64 { n, _ := c.Store.Size(); return float64(n) })
	return m, nil
}

func (m *Manager) count(state string) (n int) {
	for _, a := range m.Alerts() {
		if a.State == state {
			n++
		}
	}
	return n
}

// Run evaluates until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	for _, g := range m.groups {
		if !g.ended {
			m.start(g)
		}
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.ctx = nil
	m.mu.Unlock()
	m.running.Wait()
	return nil
}

// start begins to evaluate a group, if the Manager runs. The caller holds the lock.
func (m *Manager) start(g *groupState) {
	if m.ctx == nil || m.ctx.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(m.ctx)
	g.stopped = make(chan struct{})
	m.running.Go(func() {
		defer close(g.stopped)
		g.run(ctx)
	})
}

// end stops a group and waits until it has. The caller does not hold the lock: an evaluation needs it.
func (m *Manager) end(g *groupState) {
	m.mu.Lock()
	cancel, stopped := g.cancel, g.stopped
	g.ended = true
	m.mu.Unlock()
	if cancel != nil {
		cancel()
		<-stopped
	}
}

// Update replaces the rules. Groups that have not changed go on; of those that have, rules of the same name and labels keep their alerts. Alerts of rules that are no
// more are over.
func (m *Manager) Update(set *Set) {
	m.updating.Lock()
	defer m.updating.Unlock()
	m.mu.Lock()
	old := maps.Clone(m.groups)
	m.mu.Unlock()
	groups, fresh := map[string]*groupState{}, []*groupState{}
	type ended struct {
		def   *Group
		rules []*ruleState
	}
	var gone []ended
	for _, def := range set.Groups {
		key := def.Key()
		was := old[key]
		delete(old, key)
		if was != nil && was.def.same(def) {
			groups[key] = was
			continue
		}
		g := newGroupState(m, def)
		if was != nil {
			m.end(was)
			gone = append(gone, ended{was.def, g.take(was)})
		}
		groups[key] = g
		fresh = append(fresh, g)
	}
	for _, g := range old {
		m.end(g)
		gone = append(gone, ended{g.def, g.rules})
		for _, name := range []string{"evaluations_total", "evaluation_failures_total", "iterations_missed_total"} {
			m.cfg.Metrics.UnregisterMetric(fmt.Sprintf("rollcall_ruler_%s{group=%s}", name, promtext.Quote(g.def.Key())))
		}
	}
	m.mu.Lock()
	m.set, m.groups = set, groups
	m.room.divide(set.alerting())
	now := time.Now()
	for _, e := range gone {
		m.bury(e.def, e.rules, now)
	}
	for _, g := range fresh {
		m.start(g)
	}
	m.mu.Unlock()
	for _, g := range old {
		g.leave(now)
	}
}

// bury ends the alerts of rules that are no more: those who were told of them hear so. The caller holds the lock.
func (m *Manager) bury(g *Group, rules []*ruleState, now time.Time) {
	for _, r := range rules {
		r.mu.Lock()
		for _, x := range r.active {
			fired := x.state == dashboards.AlertFiring
			if x.state != dashboards.AlertInactive {
				x.state, x.resolvedAt = dashboards.AlertInactive, now
			}
			a := x.noun(g, r.rule)
			if fired || x.toldState != "" {
				m.sayLocked(a, now)
			}
			if !x.firedAt.IsZero() {
				m.ended(a)
			}
		}
		m.room.take(&r.common, 0)
		r.mu.Unlock()
	}
}

// ended keeps an alert that is over, and that no rule has any more, for as long as others are told of it. The caller holds the lock.
func (m *Manager) ended(a dashboards.Alert) {
	if len(m.over) >= maxOver && m.over[a.ID].ID == "" {
		m.forgetLocked(1)
		return
	}
	m.over[a.ID] = a
}

// forget notes that alerts that are over are told to nobody any more, as there are too many.
func (m *Manager) forget(n int) {
	if n > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.forgetLocked(n)
	}
}

func (m *Manager) forgetLocked(n int) {
	m.forgot.Add(n)
	if time.Since(m.overLog) > time.Minute {
		m.overLog = time.Now()
		m.cfg.Log.Warn("alerts that are over are forgotten before everybody has heard of it: there are too many", "most", m.room.most, "of a rule", MaxAlerts, "of rules that are no more", maxOver)
	}
}

// template notes that a template of a rule could, or could not, be expanded.
func (m *Manager) template(g *groupState, r *ruleState, err error) {
	bad := ""
	if err != nil {
		bad = clip(err.Error())
		m.tmplBad.Inc()
	}
	r.mu.Lock()
	was := r.badText
	r.badText = bad
	r.mu.Unlock()
	if bad != "" && was == "" {
		m.cfg.Log.Warn("a template of a rule cannot be expanded", "file", g.def.File, "group", g.def.Name, "rule", r.rule.Name, "err", bad)
	}
}

// Alerts is every alert of the groups that are evaluated here, and those that were over in the last fifteen minutes, in no order: what others are told of.
func (m *Manager) Alerts() (out []dashboards.Alert) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	here := map[string]bool{}
	for _, g := range m.groups {
		for _, r := range g.rules {
			r.mu.Lock()
			for _, x := range r.active {
				out = append(out, x.noun(g.def, r.rule))
				here[x.id] = true
			}
			r.mu.Unlock()
		}
	}
	for id, a := range m.over {
		if now.Sub(time.UnixMilli(a.ResolvedAt)) > resolvedFor {
			delete(m.over, id)
		} else if !here[id] {
			out = append(out, a)
		}
	}
	return out
}

// Active is every pending and firing alert that is known, of all replicas: here as they are, elsewhere as they were told last; by group, rule and labels.
func (m *Manager) Active() []dashboards.Alert {
	out := slices.DeleteFunc(m.Alerts(), func(a dashboards.Alert) bool { return a.State == dashboards.AlertInactive })
	m.mu.Lock()
	out = append(out, m.told(nil, nil, out)...)
	m.mu.Unlock()
	slices.SortFunc(out, func(a, b dashboards.Alert) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.ActiveAt, b.ActiveAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// evaluated reports whether a group is evaluated here. The caller holds the lock.
func (m *Manager) evaluated(group string) bool {
	g := m.groups[group]
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mine
}

// Faults is what people have to know of rules that are not evaluated as they were written.
func (m *Manager) Faults() (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, def := range m.set.Groups {
		g := m.groups[def.Key()]
		for _, r := range g.rules {
			r.mu.Lock()
			if r.health == healthErr {
				out = append(out, fmt.Sprintf("rule %s (group %s of %s) cannot be evaluated: %s", r.rule.Name, def.Name, def.File, r.err))
			}
			r.mu.Unlock()
		}
	}
	return out
}
