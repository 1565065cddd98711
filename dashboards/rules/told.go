package rules

import (
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

const (
	// sayAgain is how often an alert that stands is told again, so that a reader who goes back for a while finds it, and how fresh its last word is.
	sayAgain = 10 * time.Minute
	// outage is how old the last word of an alert may be that is taken up again, as Prometheus has it.
	outage = time.Hour
	// toldFor is for how long an alert of another replica stands that it does not tell of any more.
	toldFor = sayAgain + 5*time.Minute
)

func fresh(w *word, ts time.Time) bool { return ts.Sub(time.UnixMilli(w.ts)) <= outage }

// resume gives an alert that is new here the past that it has elsewhere, or had before a restart.
func (m *Manager) resume(x *alert) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.known.by[x.id]
	if w == nil || w.State == dashboards.AlertInactive || !fresh(w, x.activeAt) || w.ActiveAt > x.activeAt.UnixMilli() {
		return
	}
	was := of(&w.Alert)
	x.state, x.activeAt, x.firedAt, x.toldState = was.state, was.activeAt, was.firedAt, was.state
	x.told = time.UnixMilli(w.ts)
}

// Take takes in what was told of an alert: of another replica, of one's own last run, or one's own word come back. What is too old for anybody to take it up is passed over.
func (m *Manager) Take(n dashboards.Note) {
	if n.Alert == nil || time.Since(time.UnixMilli(n.TS)) > outage {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takeLocked(n.Alert, n.TS)
}

func (m *Manager) takeLocked(a *dashboards.Alert, ts int64) {
	if w := m.known.put(a, ts); w != nil && w.State != dashboards.AlertInactive && fresh(w, time.UnixMilli(ts)) { // else nobody would have taken it up
		m.forgot.Inc()
	}
}

// sayLocked tells the others of an alert.
func (m *Manager) sayLocked(a dashboards.Alert, now time.Time) {
	ts := now.UnixMilli()
	if w := m.known.by[a.ID]; w != nil {
		ts = max(ts, w.ts+1)
	}
	m.takeLocked(&a, ts)
	long := 0
	for k, v := range a.Annotations {
		long += len(k) + len(v)
	}
	if long > maxTold {
		a.Annotations = nil
	}
	m.cfg.Publish(dashboards.Note{V: 1, Kind: dashboards.NoteAlert, ID: a.ID, TS: ts, Alert: &a})
}

// maxTold bounds the annotations that are told with an alert: the next evaluation makes them anew.
const maxTold = 32 << 10

// tell tells the others what is new of a rule's alerts, and now and then what is not.
func (m *Manager) tell(g *groupState, r *ruleState, ts time.Time) {
	if !r.rule.Alert {
		return
	}
	var say []dashboards.Alert
	r.mu.Lock()
	for _, x := range r.active {
		if x.state == x.toldState && (x.state == dashboards.AlertInactive || ts.Sub(x.told) < sayAgain) {
			continue
		}
		x.toldState, x.told = x.state, ts
		say = append(say, x.noun(g.def, r.rule))
	}
	for _, x := range r.gone {
		say = append(say, x.noun(g.def, r.rule))
	}
	r.gone = nil
	r.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range say {
		m.sayLocked(a, ts)
	}
}

// told is the active alerts that others have told of, that a rule can have given, and that are not among those here: of one group's rule, or of all. The caller holds
// the lock.
func (m *Manager) told(of *Group, rule *Rule, but []dashboards.Alert) (out []dashboards.Alert) {
	now := time.Now().UnixMilli()
	has := map[string]bool{}
	for _, a := range but {
		has[a.ID] = true
	}
	for _, w := range m.known.by {
		if w.State == dashboards.AlertInactive || now-w.ts > toldFor.Milliseconds() || has[w.ID] || of != nil && (w.Group != of.Key() || w.Rule != rule.Name || !rule.may(&w.Alert)) {
			continue
		}
		if g := m.groups[w.Group]; g == nil || len(g.def.owners(&w.Alert)) == 0 {
			continue
		}
		out = append(out, w.Alert)
	}
	return out
}
