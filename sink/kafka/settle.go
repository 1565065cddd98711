package kafka

import (
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// acknowledged settles a batch that is in the topic.
func (l *backlog) acknowledged(b *batch, kind sink.Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(b)
	counts := b.counts
	for _, p := range b.splits {
		sp := p.of
		if sp.left--; sp.left == 0 {
			if sp.lost != "" {
				l.lose(sink.Loss{Reason: sp.lost, Partition: -1}, sink.Count{Account: sp.account, N: 1})
			} else {
				counts = append(counts, sink.Count{Account: sp.account, N: 1})
			}
		}
	}
	l.ledger.Acknowledged(kind, counts...)
	if b.q.s.numbered {
		n := uint64(0)
		for _, c := range counts {
			n += c.N
		}
		l.metrics.acked(kind, n)
	}
	if b.q.previous != (wire.ID{}) {
		b.q.previous = wire.ID{}
		l.previous.Add(-1)
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
	loss := sink.Loss{Reason: reason, Partition: b.q.part, First: b.first, Last: b.last, Oldest: b.oldest, Newest: b.newest}
	if !b.q.s.numbered {
		loss.Topic = b.q.s.topics[0]
	}
	counts := b.counts
	for _, p := range b.splits {
		sp := p.of
		if sp.lost == "" {
			sp.lost = reason
		}
		if sp.left--; sp.left == 0 {
			if sp.lost == reason {
				counts = append(counts, sink.Count{Account: sp.account, N: 1})
			} else {
				l.lose(sink.Loss{Reason: sp.lost, Partition: -1}, sink.Count{Account: sp.account, N: 1})
			}
		}
	}
	l.lose(loss, counts...)
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
	signal(l.changed)
}

// makeRoom drops the oldest batches that were never attempted until the rest is within the budget. The roster's go before any snapshot: its full states come again.
func (l *backlog) makeRoom() {
	for l.bytes > l.budget {
		b := l.oldest(func(s *stream) bool { return s.yields })
		if b == nil {
			b = l.oldest(nil)
		}
		if b == nil {
			return
		}
		l.remove(b)
		l.dropLocked(b, sink.DroppedBudget)
	}
}

// oldest is the batch that has waited longest and was never attempted, of the streams that of names; nil: of all.
func (l *backlog) oldest(of func(*stream) bool) (old *batch) {
	older := func(b *batch) {
		if b != nil && (of == nil || of(b.q.s)) && (old == nil || b.oldest < old.oldest) {
			old = b
		}
	}
	for q := range l.all() {
		if len(q.ready) > 0 {
			older(q.ready[0])
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
	l.sealing.drop(b)
	l.moved = without(l.moved, b)
	for _, n := range b.q.lanes {
		signal(n.wake) // another may be first in line now
	}
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

// empty reports that nothing is left in memory.
func (l *backlog) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.batches == 0
}

// shut ends it all: what is left is dropped and counted, and nothing is taken in any more.
func (l *backlog) shut() (lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.ended = true, true
	l.sealed.Broadcast()
	lost = l.batches
	for b := range l.taken {
		l.dropLocked(b, sink.DroppedShutdown)
	}
	for b := l.oldest(nil); b != nil; b = l.oldest(nil) {
		l.remove(b)
		l.dropLocked(b, sink.DroppedShutdown)
	}
	return lost
}

// waiting is what is in memory: bytes, batches, and the age of the oldest record.
func (l *backlog) waiting(now time.Time) (bytes int64, batches int, oldest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes, l.batches, l.age(nil, now)
}

// waited is the age of the oldest record of another topic that is in memory.
func (l *backlog) waited(topic string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.others[topic]
	return l.age(func(of *stream) bool { return of == s }, now)
}

func (l *backlog) age(of func(*stream) bool, now time.Time) time.Duration {
	at := now.UnixMilli()
	if b := l.oldest(of); b != nil {
		at = min(at, b.oldest)
	}
	for b := range l.taken {
		if of == nil || of(b.q.s) {
			at = min(at, b.oldest)
		}
	}
	return time.Duration(now.UnixMilli()-at) * time.Millisecond
}
