package rules

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// errSame is what a rule fails with two of whose alerts, or series, would be the same one.
var errSame = errors.New("vector contains metrics with the same labelset after applying rule labels")

// alert is one of a rule's. Its state is one of dashboards'.
type alert struct {
	id                                       string
	state                                    string
	labels, annotations                      labels.Labels
	value                                    float64
	activeAt, firedAt, keptSince, resolvedAt time.Time
	told                                     time.Time // when the others last heard of it
	toldState                                string
}

// evalAlert takes the answer to a rule's expression as of ts: what it gives for the first time waits, what it gives for long enough fires, what it does not give any more
// is over. It gives the series of the alerts. The steps are Prometheus'.
func (s *ruleState) evalAlert(ctx context.Context, g *groupState, ts time.Time, answer promql.Vector) (promql.Vector, error) {
	now, err := s.expand(ctx, g, ts, answer)
	if err != nil {
		return nil, err
	}
	for h, x := range now { // only this goroutine writes the map
		x.id = idOf(g.def.Key(), s.rule.Name, x.labels)
		if s.active[h] == nil {
			g.m.resume(x)
		}
	}
	vec, forgot, err := s.advance(g, now, ts)
	g.m.forget(forgot)
	return vec, err
}

// expand makes the alerts that an answer gives, by the hash of their labels. Their templates may ask further questions, so no lock is held.
func (s *ruleState) expand(ctx context.Context, g *groupState, ts time.Time, answer promql.Vector) (map[uint64]*alert, error) {
	r, m := s.rule, g.def.machine
	m.begin(ctx, ts, g.m.cfg.Query)
	now := make(map[uint64]*alert, len(answer))
	lb, notes := labels.NewBuilder(labels.EmptyLabels()), labels.NewScratchBuilder(len(r.notes))
	var trouble error
	for _, smpl := range answer {
		ls := labelMap(smpl.Metric)
		lb.Reset(smpl.Metric)
		lb.Del(model.MetricNameLabel)
		if err := m.expandAll(r.labels, ls, smpl.F, func(name, text string) { lb.Set(name, text) }); err != nil && trouble == nil {
			trouble = fmt.Errorf("label %w", err)
		}
		lb.Set(labels.AlertName, r.Name)
		notes.Reset()
		if err := m.expandAll(r.notes, ls, smpl.F, notes.Add); err != nil && trouble == nil {
			trouble = fmt.Errorf("annotation %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		notes.Sort()
		x := &alert{state: dashboards.AlertPending, labels: lb.Labels(), annotations: notes.Labels(), value: smpl.F, activeAt: ts}
		h := x.labels.Hash()
		if now[h] != nil {
			return nil, errSame
		}
		now[h] = x
	}
	g.m.template(g, s, trouble)
	return now, nil
}

// advance takes the rule's alerts on to ts, where now are those that its expression gives. It gives their series, and how many of those that are over had to give way.
// Where there is no room for those that are new, none of them begins; the others go on.
func (s *ruleState) advance(g *groupState, now map[uint64]*alert, ts time.Time) (vec promql.Vector, forgot int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := make(map[uint64]*alert, len(now))
	for h, x := range now {
		if was := s.active[h]; was != nil && was.state != dashboards.AlertInactive {
			was.value, was.annotations = x.value, x.annotations
		} else {
			begin[h] = x
		}
	}
	n := len(begin)
	for h, x := range s.active {
		if begin[h] == nil && s.step(h, x, now[h] != nil, ts) {
			n++
		}
	}
	limit, own := g.def.Limit, true
	if limit == 0 || limit > MaxAlerts {
		limit, own = MaxAlerts, false
	}
	defer func() { g.m.room.take(&s.common, len(s.active)) }() // no more of it than is needed
	if n <= limit {                                            // else all of them end, which takes none
		var ok bool
		if forgot, ok = s.makeRoom(&g.m.room, begin); !ok {
			return nil, forgot, fmt.Errorf("no room for %d new alerts: all rules have as many together as they may (dashboards.max_alerts: %d)", len(begin), g.m.room.most)
		}
	}
	for h, x := range begin {
		s.active[h] = x
		s.step(h, x, true, ts)
	}
	switch {
	case n <= limit:
		return s.series(ts.Add(-g.def.Offset)), forgot, nil
	case own:
		err = fmt.Errorf("exceeded limit of %d with %d alerts", limit, n)
	default:
		err = fmt.Errorf("%d alerts; %d are the most alerts of a rule", n, limit)
	}
	s.clear(ts)
	return nil, forgot, err
}

// series are those of the alerts that are active.
func (s *ruleState) series(ts time.Time) (vec promql.Vector) {
	at := ts.UnixMilli()
	for _, x := range s.active {
		if x.state != dashboards.AlertInactive {
			vec = append(vec, x.series(s.rule, seriesAlerts, at, 1), x.series(s.rule, seriesFor, at, float64(x.activeAt.Unix())))
		}
	}
	return vec
}

// step takes one alert on to ts; given says whether the expression gives it. It reports whether the alert is active.
func (s *ruleState) step(h uint64, x *alert, given bool, ts time.Time) bool {
	r := s.rule
	if given {
		x.keptSince = time.Time{}
	} else {
		kept := false
		if x.state == dashboards.AlertFiring && r.KeepFiringFor > 0 {
			if x.keptSince.IsZero() {
				x.keptSince = ts
			}
			kept = ts.Sub(x.keptSince) < r.KeepFiringFor
		}
		if x.state == dashboards.AlertPending || !x.resolvedAt.IsZero() && ts.Sub(x.resolvedAt) > resolvedFor {
			delete(s.active, h)
			s.dropped(x, ts)
			return false
		}
		if !kept {
			if x.state != dashboards.AlertInactive {
				x.state, x.resolvedAt = dashboards.AlertInactive, ts
			}
			return false
		}
	}
	if x.activeAt.After(ts) { // the clock was set back
		x.activeAt = ts
	}
	held := ts.Sub(x.activeAt) >= r.For
	switch {
	case x.state == dashboards.AlertPending && held:
		x.state, x.firedAt = dashboards.AlertFiring, ts
	case x.state == dashboards.AlertFiring && !held && !x.firedAt.After(ts): // `for` is longer than it was
		x.state, x.firedAt, x.keptSince = dashboards.AlertPending, time.Time{}, time.Time{}
	}
	return true
}

// dropped notes that an alert is not kept any more, for those who were told of it.
func (s *ruleState) dropped(x *alert, ts time.Time) {
	if x.toldState != "" && x.toldState != dashboards.AlertInactive {
		x.state, x.resolvedAt = dashboards.AlertInactive, ts
		s.gone = append(s.gone, x)
	}
}

// clear ends all alerts of a rule that has too many.
func (s *ruleState) clear(ts time.Time) {
	for h, x := range s.active {
		switch {
		case x.state == dashboards.AlertPending, x.firedAt.Equal(ts): // nobody knows that it fires
			delete(s.active, h)
			s.dropped(x, ts)
		case x.state == dashboards.AlertFiring:
			x.state, x.resolvedAt = dashboards.AlertInactive, ts
		}
	}
}

func (x *alert) series(r *Rule, name string, at int64, v float64) promql.Sample {
	lb := labels.NewBuilder(x.labels)
	lb.Set(model.MetricNameLabel, name)
	lb.Set(labels.AlertName, r.Name)
	if name == seriesAlerts {
		lb.Set(labelState, x.state)
	}
	return promql.Sample{Metric: lb.Labels(), T: at, F: v}
}

// noun is the alert for others.
func (x *alert) noun(g *Group, r *Rule) dashboards.Alert {
	ms := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.UnixMilli()
	}
	return dashboards.Alert{ID: x.id, Group: g.Key(), Rule: r.Name, State: x.state, Labels: x.labels.Map(), Annotations: x.annotations.Map(), Value: valueText(x.value),
		ActiveAt: ms(x.activeAt), FiredAt: ms(x.firedAt), KeptSince: ms(x.keptSince), ResolvedAt: ms(x.resolvedAt)}
}

// of is an alert as it was told.
func of(a *dashboards.Alert) *alert {
	at := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms)
	}
	v, _ := strconv.ParseFloat(a.Value, 64) // what is none is 0, until the next evaluation
	return &alert{id: a.ID, state: a.State, labels: labels.FromMap(a.Labels), annotations: labels.FromMap(a.Annotations), value: v,
		activeAt: at(a.ActiveAt), firedAt: at(a.FiredAt), keptSince: at(a.KeptSince), resolvedAt: at(a.ResolvedAt), toldState: a.State}
}

// valueText is a value as Prometheus writes it of alerts.
func valueText(v float64) string { return strconv.FormatFloat(v, 'e', -1, 64) }
