package dashboards

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// elsewhere is the services that other replicas own, as their rollups tell of them.
type elsewhere struct {
	mu   sync.Mutex
	rows map[string]*Row // by service/env
	asOf map[string]int64
	told map[[2]string][]Event // oldest first, of the last hour
}

// goneAfter is how long a service of another replica is shown after its last rollup.
const goneAfter = 15 * time.Minute

// TakeRollup takes in what another replica says of a service at a glance. Of one's own services it is passed over.
func (b *Board) TakeRollup(r *Rollup) {
	if b.opts.Owns == nil || b.opts.Owns(r.Service, r.Env) {
		return
	}
	b.others.mu.Lock()
	defer b.others.mu.Unlock()
	b.others.hear(r, b.opts.MaxService)
	if r.Row == nil || r.Row.Service != r.Service || r.Row.Env != r.Env {
		return
	}
	if b.others.rows == nil {
		b.others.rows, b.others.asOf = map[string]*Row{}, map[string]int64{}
	}
	k := r.Row.Group()
	old := b.others.rows[k]
	if old != nil && b.others.asOf[k] >= r.AsOf || old == nil && len(b.others.rows) >= b.opts.MaxService {
		return
	}
	row := *r.Row
	at := uint64(r.AsOf)
	row.FigureSeq, row.WordSeq, row.SparkSeq, row.PastSeq = at, at, at, at
	b.others.rows[k], b.others.asOf[k] = &row, r.AsOf
}

const (
	toldElsewhere    = time.Hour
	maxToldElsewhere = 200 // of one service
)

// hear takes the events of a rollup in; the same slot may be told again. It knows those of so many services at most.
func (o *elsewhere) hear(r *Rollup, most int) {
	if len(r.Events) == 0 {
		return
	}
	if o.told == nil {
		o.told = map[[2]string][]Event{}
	}
	k := [2]string{r.Service, r.Env}
	if o.told[k] == nil && len(o.told) >= most {
		o.forget(r.T)
		if len(o.told) >= most {
			return
		}
	}
	all := slices.DeleteFunc(o.told[k], func(e Event) bool { return e.T >= r.T && e.T < r.T+r.Step || e.T < r.T-toldElsewhere.Milliseconds() })
	all = append(all, r.Events...)
	slices.SortStableFunc(all, func(x, y Event) int { return int(x.T - y.T) })
	o.told[k] = all[max(0, len(all)-maxToldElsewhere):]
}

// forget drops the services of which nothing was told for an hour before now: they are gone, or quiet.
func (o *elsewhere) forget(now int64) {
	for k, es := range o.told {
		if len(es) == 0 || es[len(es)-1].T < now-toldElsewhere.Milliseconds() {
			delete(o.told, k)
		}
	}
}

// eventsElsewhere calls fn with each event of a service that others own, within a span.
func (b *Board) eventsElsewhere(from, to int64, fn func(service, env string, e Event)) {
	if b.opts.Owns == nil {
		return
	}
	b.others.mu.Lock()
	defer b.others.mu.Unlock()
	for k, es := range b.others.told {
		if b.opts.Owns(k[0], k[1]) {
			delete(b.others.told, k)
			continue
		}
		for _, e := range es {
			if e.T >= from && e.T <= to {
				fn(k[0], k[1], e)
			}
		}
	}
}

// has reports whether a service of that group is told of by another.
func (o *elsewhere) has(group string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rows[group] != nil
}

// foreign is the rows of services that others own, as of now, and of those that have just been taken over and of which nothing is read yet: all but those that have a row.
func (b *Board) foreign(now time.Time, own []*Row) (out []*Row) {
	if b.opts.Owns == nil {
		return nil
	}
	mine := map[string]bool{}
	for _, r := range own {
		mine[r.Group()] = true
	}
	b.others.mu.Lock()
	defer b.others.mu.Unlock()
	for k, r := range b.others.rows {
		age := now.UnixMilli() - b.others.asOf[k]
		if age > goneAfter.Milliseconds() || mine[k] {
			delete(b.others.rows, k)
			delete(b.others.asOf, k)
			continue
		}
		row := *r
		row.AgeMS += Num(max(age, 0))
		if b.opts.Spark != nil {
			row.Spark = b.opts.Spark(r.Service, r.Env, now.UnixMilli())
			row.SparkSeq = uint64(now.UnixMilli() / sparkStep)
			row.PastSeq = row.SparkSeq // any point of it may be another
		}
		out = append(out, &row)
	}
	slices.SortFunc(out, func(x, y *Row) int { return strings.Compare(x.Group(), y.Group()) })
	return out
}

// owned reports whether this process decides about a service.
func (b *Board) owned(service, env string) bool {
	return b.opts.Owns == nil || b.opts.Owns(service, env)
}

// Forget drops what was read of services that this process does not own any more, and which records of a partition were seen, so that they are read anew if it comes
// back. Who is on the roster stays known.
func (b *Board) Forget(partition int32) {
	b.ledger.forget(partition)
	for _, s := range b.all() {
		if b.owned(s.name, s.env) {
			continue
		}
		s.mu.Lock()
		s.clear()
		s.mu.Unlock()
	}
}

// clear drops all that snapshots have said. The caller holds the lock.
func (s *service) clear() {
	for addr, in := range s.instances {
		if in.roster == nil {
			delete(s.instances, addr)
			continue
		}
		fresh := instance{addr: in.addr, index: map[uint32]int32{}, interval: in.interval, usual: in.usual, roster: in.roster, rosterAt: in.rosterAt, joinNoted: in.joinNoted}
		*in = fresh
	}
	s.cols, s.byKey, s.hists, s.known = nil, map[string]uint32{}, nil, nil
	s.rolling, s.ring, s.golden, s.goldenStale, s.figures = rolling{}, ring{}, plan{seq: s.golden.seq}, true, figures{}
	s.heard = 0
	s.newest, s.dirtyFrom, s.dirtyTo, s.backlog = 0, 0, 0, [2]int64{}
	s.events = nil
	s.parts = nil
}
