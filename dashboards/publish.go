package dashboards

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// made is what a tick shows of one service.
type made struct {
	row      *Row // nil: nothing
	parts    []*Row
	regions  []string
	interval time.Duration
}

// publish makes the rows and strips of a tick and wakes who waits for it.
func (b *Board) publish(services []*service, findings []Finding, now time.Time, known int64) {
	why := map[[2]string][]Finding{}
	for _, f := range findings {
		if f.Ended != nil || f.Silenced != nil || f.Metric == MetricCanary {
			continue
		}
		for _, s := range f.about() {
			k := [2]string{s, f.Env}
			why[k] = append(why[k], f)
		}
	}
	b.mu.RLock()
	old, oldParts, followed := b.rows, b.partRows, map[[2]string]bool{}
	for k := range b.following {
		followed[k] = true
	}
	b.mu.RUnlock()
	all := make([]made, len(services))
	Split(len(services), func(worker, i int) {
		s := services[i]
		all[i] = b.make(s, now, known, why[[2]string{s.name, s.env}], old, oldParts, b.shares[worker].late)
	})
	late := lateness{}
	for i := range b.shares {
		late.join(b.shares[i].late)
	}
	rows := make([]*Row, 0, len(services))
	strips := map[string]Strip{}
	ages := map[string][]aged{}
	parts := inParts{map[string]map[string]bool{}, map[string][]*Row{}}
	var shortest time.Duration
	add := func(r *Row) {
		rows = append(rows, r)
		for _, env := range []string{"", r.Env} {
			st := strips[env]
			st.sum(r)
			strips[env] = st
			if r.AgeMS.Known() {
				ages[env] = append(ages[env], aged{float64(r.AgeMS), max(r.Answering, 1)})
			}
		}
	}
	for i := range all {
		m := &all[i]
		if m.row == nil {
			continue
		}
		add(m.row)
		parts.add(m.row.Env, m.regions, m.parts)
		if m.interval > 0 && (shortest == 0 || m.interval < shortest) {
			shortest = m.interval
		}
	}
	own := strips[""].Expected
	if foreign := b.foreign(now, rows); len(foreign) > 0 {
		for _, r := range foreign {
			add(r)
		}
		slices.SortFunc(rows, (*Row).compare)
	}
	for env, st := range strips {
		st.AgeMS = Num(medianAge(ages[env]))
		strips[env] = st
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late, b.shown = late.exceptions(), b.asOf
	b.rows, b.findings, b.strips, b.shortest, b.ownExpected = rows, findings, strips, shortest, own
	b.regions, b.followed, b.partRows = parts.regions, followed, parts.rows
	close(b.ticked)
	b.ticked = make(chan struct{})
}

// make is what is shown of a service, if it is this process' own and anything is known of it.
func (b *Board) make(s *service, now time.Time, known int64, why []Finding, old []*Row, oldParts map[string][]*Row, late lateness) (m made) {
	if !b.owned(s.name, s.env) {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.instances)+len(s.broken) == 0 || s.newest == 0 && b.others.has(s.group()) {
		return m
	}
	t := now.UnixMilli()
	m = made{row: s.row(t, known, why, rowOf(old, s), ""), parts: s.partRows(t, known, why, oldParts), regions: s.regions, interval: s.interval}
	late.add(s, known)
	s.remember(m.row, t, now.Add(-b.opts.Window).UnixMilli())
	return m
}

// compare orders rows by service and environment.
func (r *Row) compare(o *Row) int {
	return cmp.Or(strings.Compare(r.Service, o.Service), strings.Compare(r.Env, o.Env))
}

// rowOf is the row of a service among rows in order, nil if there is none.
func rowOf(rows []*Row, s *service) *Row {
	i, there := slices.BinarySearchFunc(rows, s, func(r *Row, s *service) int {
		return cmp.Or(strings.Compare(r.Service, s.name), strings.Compare(r.Env, s.env))
	})
	if !there {
		return nil
	}
	return rows[i]
}
