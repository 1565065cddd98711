package kafka

import (
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// forgets is the age at which a broker may have forgotten who wrote a record: it then takes the same bytes again without a word.
const forgets = 12 * time.Hour

// acknowledged settles a batch that is in the topic.
func (l *backlog) acknowledged(b *batch, kind sink.Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(b)
	if b.inherited && l.disk.doubt || b.unclear && time.Since(time.UnixMilli(b.newest)) > forgets {
		l.metrics.maybeDouble.Add(b.n)
	}
	l.done(b)
	l.ledger.Acknowledged(kind, b.counts...)
	if b.q.s.numbered {
		n := uint64(0)
		for _, c := range b.counts {
			n += c.N
		}
		l.metrics.acked(kind, n)
	}
	if b.start == l.id.Start && b.q.previous != (wire.ID{}) {
		b.q.previous = wire.ID{}
		l.previous.Add(-1)
	}
	l.reuse(b.counts)
	b.counts = nil
}

// maxReused is how many lists of counts are kept for the next batches.
const maxReused = 64

// reuse keeps the counts of a batch that is settled for another.
func (l *backlog) reuse(c []sink.Count) {
	if len(l.counts) < maxReused && cap(c) > 0 && cap(c) <= 4096 {
		clear(c)
		l.counts = append(l.counts, c[:0])
	}
}

// done tells the disk that a batch needs nothing any more.
func (l *backlog) done(b *batch) {
	if b.spooled {
		l.disk.spool.Done(b.entry.Pos)
	}
}

// drop settles a batch that will not be in the topic.
func (l *backlog) drop(b *batch, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLocked(b, reason)
}

func (l *backlog) dropLocked(b *batch, reason string) {
	l.forget(b)
	if b.unclear && (reason == sink.DroppedBudget || reason == sink.DroppedShutdown) {
		reason = sink.DroppedUnclear
	}
	l.done(b)
	l.lose(l.loss(b, reason), b.counts...)
}

// loss is what the ledger is told of a batch that is lost.
func (l *backlog) loss(b *batch, reason string) sink.Loss {
	loss := sink.Loss{Reason: reason, Partition: b.q.part, First: b.first, Last: b.last, Oldest: b.oldest, Newest: b.newest}
	if b.start != l.id.Start {
		loss.Start = b.start
	}
	if !b.q.s.numbered {
		loss.Topic = b.q.s.topics[0]
	}
	return loss
}

// lossAside is the reason in the ledger of sequences that are set aside. They are not lost.
const lossAside = "set_aside"

// setAside keeps a batch that was refused for good on disk. It reports false where there is none that takes it.
func (l *backlog) setAside(b *batch, topic, reason string) bool {
	l.mu.Lock()
	sp := l.disk.spool
	if sp == nil {
		l.mu.Unlock()
		return false
	}
	e := b.entry
	if !b.spooled {
		e = spool.Entry{Meta: l.meta(b, nil)}
	}
	l.mu.Unlock()
	gone, err := sp.SetAside(e, unstamped(b.wire), topic, reason, time.Now().UnixMilli())
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(b)
	l.ledger.SetAside(reason, b.counts...)
	l.metrics.asided(reason, b.counts)
	l.lose(l.loss(b, lossAside)) // its sequences are missed by readers
	for i := range gone {
		l.asideGone(&gone[i], sink.DroppedAside)
	}
	return true
}

// asideGone notes in the ledger that what was set aside is lost after all.
func (l *backlog) asideGone(a *spool.Aside, reason string) {
	counts := l.countsOf(a.Kind, a.Counts)
	l.ledger.Unaside(a.Reason, counts...)
	l.lose(l.loss(&batch{q: &queue{s: l.streams[min(int(a.Kind), len(l.streams)-1)], part: a.Partition}, first: a.First, last: a.Last, oldest: a.Oldest, newest: a.Newest, start: a.Start},
		reason), counts...)
}

// lose writes a loss into the ledger.
func (l *backlog) lose(loss sink.Loss, counts ...sink.Count) {
	loss.At = time.Now().UnixMilli()
	l.ledger.Dropped(loss, counts...)
	n := uint64(0)
	for _, c := range counts {
		n += c.N
	}
	l.metrics.dropped(loss.Reason, n)
}

// forget takes a batch out of memory's sums.
func (l *backlog) forget(b *batch) {
	b.gone = true
	l.bytes -= b.bytes()
	l.batches--
	delete(l.taken, b)
	if b.spooled {
		delete(l.disk.listed, b.entry.Pos)
	}
	signal(l.changed)
}

// makeRoom drops the oldest batches that were never attempted and are in memory only until the rest is within the budget. The roster's go before any
// snapshot: its full states come again.
func (l *backlog) makeRoom() {
	if l.bytes > l.budget {
		l.trim()
	}
	for l.bytes > l.budget {
		b := l.victim(func(s *stream) bool { return s.yields })
		if b == nil {
			b = l.victim(nil)
		}
		if b == nil {
			return
		}
		l.remove(b)
		l.dropLocked(b, sink.DroppedBudget)
	}
}

// victim is the batch that has waited longest in memory only and was never attempted, of the streams that of names; nil: of all.
func (l *backlog) victim(of func(*stream) bool) (old *batch) {
	older := func(b *batch) {
		if b != nil && !b.spooled && (of == nil || of(b.q.s)) && (old == nil || b.oldest < old.oldest) {
			old = b
		}
	}
	for q := range l.all() {
		for _, list := range [][]*batch{q.late, q.ready} {
			if i := slices.IndexFunc(list, func(b *batch) bool { return !b.spooled }); i >= 0 {
				older(list[i])
			}
		}
	}
	for _, b := range l.moved {
		older(b)
	}
	if old == nil {
		for q := range l.all() {
			older(q.open)
		}
	}
	return old
}

// remove takes a batch that was never attempted out of its queue.
func (l *backlog) remove(b *batch) {
	if b.q.open == b {
		b.q.open = nil
		l.open--
		return
	}
	b.q.ready = without(b.q.ready, b)
	b.q.late = without(b.q.late, b)
	l.sealing.drop(b)
	l.moved = without(l.moved, b)
	l.wake(b.q) // another may be first in line now
}

func without(from []*batch, b *batch) []*batch {
	for i, x := range from {
		if x == b {
			return append(from[:i], from[i+1:]...)
		}
	}
	return from
}

// drain closes what is open and lets nothing wait any more.
func (l *backlog) drain() {
	l.mu.Lock()
	l.draining = true
	l.mu.Unlock()
	signal(l.opened)
}

// empty reports that nothing is left that an end would lose, or that is fresh: what is late and on disk can wait for the next start, where late ones have a lane
// of their own. Of a topic that has none, events among them, all that is at hand goes first.
func (l *backlog) empty(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disk.spool == nil {
		return l.batches == 0
	}
	limit := now.Add(-l.maxAge).UnixMilli()
	if len(l.taken) > len(l.disk.orphans) || len(l.sealing.batches) > 0 {
		return false
	}
	for q := range l.all() {
		for _, list := range [][]*batch{q.late, q.ready} {
			for _, b := range list {
				if !b.spooled || b.newest >= limit || len(q.s.topics) == 1 {
					return false
				}
			}
		}
		if q.open != nil {
			return false
		}
	}
	return true
}

// end takes nothing in any more and has what is open sealed.
func (l *backlog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.ended = true, true
	for q := range l.all() {
		if q.open != nil {
			l.close(q)
		}
	}
	l.sealed.Broadcast()
}

// shut ends it all, once nothing is sealed any more: what is on disk stays there for the next start, the rest is dropped and counted.
func (l *backlog) shut() (lost, kept int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.ended = true, true
	l.sealed.Broadcast()
	for b := range l.taken {
		if b.spooled {
			kept++
			l.forget(b)
			continue
		}
		lost++
		l.dropLocked(b, sink.DroppedShutdown)
	}
	for b := l.victim(nil); b != nil; b = l.victim(nil) {
		lost++
		l.remove(b)
		l.dropLocked(b, sink.DroppedShutdown)
	}
	kept += l.batches
	return lost, kept
}

// waiting is what is in memory: bytes, batches; and the age of the oldest record, wherever it waits.
func (l *backlog) waiting(now time.Time) (bytes int64, batches int, oldest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest = l.age(nil, now)
	if sp := l.disk.spool; sp != nil {
		if at := sp.Status().Oldest; at > 0 {
			oldest = max(oldest, now.Sub(time.UnixMilli(at)))
		}
	}
	return l.bytes, l.batches, oldest
}

// waited is the age of the oldest record of another topic that is at hand.
func (l *backlog) waited(topic string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.others[topic]
	return l.age(func(of *stream) bool { return of == s }, now)
}

func (l *backlog) age(of func(*stream) bool, now time.Time) time.Duration {
	at := now.UnixMilli()
	older := func(b *batch) {
		if b != nil && (of == nil || of(b.q.s)) {
			at = min(at, b.oldest)
		}
	}
	for q := range l.all() {
		older(q.open)
		for _, list := range [][]*batch{q.late, q.ready} {
			if len(list) > 0 {
				older(list[0])
			}
		}
	}
	for _, b := range l.moved {
		older(b)
	}
	for b := range l.taken {
		older(b)
	}
	return time.Duration(now.UnixMilli()-at) * time.Millisecond
}
