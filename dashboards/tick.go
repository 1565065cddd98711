package dashboards

import (
	"sync/atomic"
	"time"
)

// pastAtOnce is how long a tick works on what follows from records of the past, for all services together: the present does not wait for it.
const pastAtOnce = 250 * time.Millisecond

// pastWork is what a tick may still do of the past: until when, and how much of rolling up.
type pastWork struct {
	until time.Time
	rolls atomic.Int64
}

func (w *pastWork) over() bool { return w.rolls.Load() <= 0 || time.Now().After(w.until) }

// tick is what is the same for all services of one tick.
type tick struct {
	now, cutoff int64 // Unix ms
	known       int64 // see Board.known
	live, asked bool
	watched     map[string][]string // regions that somebody looks at, by environment
	past        pastWork
}

// share is what one of those who do the work of a tick has done of it.
type share struct {
	packer packer
	rolled []Rollup
	bytes  int
	gone   NamesGone
	over   string // a service that has more names than may be
	empty  []*service
	late   lateness
}

// Tick brings everything derived up to now: late rows to their places, old ones into blocks or away, figures, findings, rows. Services are divided among the processors,
// but the judgement is one. Calls must not overlap.
func (b *Board) Tick(now time.Time) {
	services := b.all()
	b.tickOrders(now)
	t := tick{now: now.UnixMilli(), cutoff: now.Add(-b.opts.Window).UnixMilli(), known: b.known(now), live: b.Feed().State == FeedLive, asked: b.renew.Swap(false),
		watched: b.watching(services), past: pastWork{until: time.Now().Add(pastAtOnce)}}
	t.past.rolls.Store(rollWork)
	b.turn++
	for i := range b.shares {
		b.shares[i] = share{packer: b.shares[i].packer, rolled: b.shares[i].rolled[:0], empty: b.shares[i].empty[:0], late: lateness{}}
	}
	Split(len(services), func(worker, i int) { // each comes first at some time: the past's work ends with its time
		b.tickService(services[(i+b.turn)%len(services)], &t, &b.shares[worker])
	})
	b.settleShares(services, now)
	var findings []Finding
	if b.opts.Judge != nil {
		findings = b.opts.Judge(now, b)
	}
	b.publish(services, b.settleFindings(now, findings), now, t.known)
	for i := range b.shares {
		b.tellRolled(b.shares[i].rolled, t.now)
	}
}

// tickService is the tick of one service.
func (b *Board) tickService(s *service, t *tick, sh *share) {
	owned := b.owned(s.name, s.env)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(t.cutoff, t.now)
	s.locate(t.now, t.watched[s.env])
	if owned {
		if t.asked || s.aboutAt == 0 || t.now-s.aboutAt >= askAbout.Milliseconds() {
			s.learn(&b.opts, t.now)
		}
		s.tick(&b.opts, &sh.packer, t.now, t.known, &t.past)
	}
	if b.opts.Roll != nil && t.live && owned {
		sh.rolled = append(sh.rolled, s.rollDue(&b.opts, t.now, &t.past)...)
	}
	sh.bytes += s.bytes()
	if s.namesGone.Names > 0 {
		sh.gone = sh.gone.and(s.namesGone)
		s.namesGone = NamesGone{}
	}
	if s.overAt > 0 && t.now-s.overAt < forgottenFor.Milliseconds() && len(s.cols) >= b.opts.MaxColumns {
		sh.over = s.group()
	}
	if len(s.instances)+len(s.broken) == 0 {
		sh.empty = append(sh.empty, s)
	}
}

// settleShares puts together what was found of all services, and keeps them within the budget.
func (b *Board) settleShares(services []*service, now time.Time) {
	bytes, over := 0, ""
	var gone NamesGone
	for i := range b.shares {
		sh := &b.shares[i]
		bytes += sh.bytes
		if sh.over != "" {
			over = sh.over
		}
		if sh.gone.Names > 0 {
			gone = gone.and(sh.gone)
		}
	}
	if bytes > b.opts.MaxBytes {
		bytes = b.evict(services, bytes)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.asOf.IsZero() && now.Sub(b.asOf) > stall {
		b.woke = now
	}
	b.bytes, b.asOf, b.overNames = bytes, now, over
	if gone.Names > 0 {
		b.namesGone = b.namesGone.and(gone)
	}
	for i := range b.shares {
		for _, s := range b.shares[i].empty {
			if s.gone() { // still
				delete(b.services, s.group())
				b.ordered = nil
			}
		}
	}
}

// and is both, of which the other came last.
func (g NamesGone) and(last NamesGone) NamesGone {
	last.Names, last.Values = g.Names+last.Names, g.Values+last.Values
	return last
}
