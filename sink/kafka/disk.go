package kafka

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

const (
	maxListed = 512      // batches ready in memory a partition: of older ones the disk alone knows
	readAhead = 32       // batches that are read from the index at once
	maxCache  = 32 << 20 // bytes of batches that are on disk and in memory
	recentMax = 4096     // batches of the start before that go on as if nothing had happened
)

// disk is the backlog's hold on the spool.
type disk struct {
	spool   *spool.Spool // nil: there is none, or not yet
	doubt   bool         // what earlier starts attempted is not known for sure
	cache   int64
	listed  map[spool.Pos]*batch // those in memory
	cached  []*batch             // those with their bytes in memory, the oldest first; others among them
	limit   int                  // of cached, before it is tidied
	orphans []*batch             // attempts of earlier starts, until Kafka's partitions are known
	strays  bool                 // there may be batches of partitions that are no more
	counts  []spool.Count        // scratch
}

// shelf is what of a queue is on disk only.
type shelf struct {
	from  spool.Pos // where to read on
	empty bool      // there is nothing from there on
	puts  int       // counts what was put back
}

// behind reports that q has batches on disk that are older than those that are ready.
func (l *backlog) behind(q *queue) bool { return l.disk.spool != nil && !q.shelf.empty }

// old reports that the lane sends what is oldest first: the backfill, and where there is only one lane.
func (n *lane) old() bool { return n.kind == sink.Backfill || len(n.q.lanes) == 1 }

// adopt takes an opened spool: from now on batches go there. What earlier starts left is sent like our own; their open attempts become orphans.
func (l *backlog) adopt(sp *spool.Spool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disk.spool, l.disk.doubt, l.disk.listed = sp, sp.Before().Doubtful, map[spool.Pos]*batch{}
	l.disk.cache, l.disk.limit, l.disk.strays = min(maxCache, l.budget/2), 256, true
	for _, a := range sp.Attempts() {
		e, ok := sp.Hold(a.Pos, l.stock)
		if !ok || int(e.Kind) >= len(l.streams) {
			continue
		}
		b := l.list(&queue{s: l.streams[e.Kind], part: a.Partition}, e)
		b.stamped, b.journaled, b.unclear, b.producer, b.sequence = true, true, true, producer{a.Producer, a.Epoch}, a.Sequence
		b.to = a.Topic
		l.taken[b] = true
		l.disk.orphans = append(l.disk.orphans, b)
	}
	for _, e := range sp.Recent(now.Add(-l.maxAge).UnixMilli(), recentMax, l.stock) {
		if int(e.Kind) >= len(l.streams) || int(e.Of) != len(l.streams[e.Kind].queues) || int(e.Partition) >= int(e.Of) {
			sp.Release(e) // refill finds it, once Kafka's partitions are known
			continue
		}
		q := l.streams[e.Kind].queues[e.Partition]
		q.late = append(q.late, l.list(q, e))
	}
	l.wakeAll()
	signal(l.unpacks)
}

// foster gives the orphans of a stream whose partitions are known: each goes out as it went before, by a lane of its own.
func (l *backlog) foster(s *stream) (lanes []*lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disk.orphans = slices.DeleteFunc(l.disk.orphans, func(b *batch) bool {
		if b.q.s != s || !s.learned {
			return false
		}
		kind := slices.Index(s.topics, b.to)
		if kind < 0 || int(b.q.part) >= len(s.queues) {
			if kind < 0 {
				l.metrics.maybeDouble.Add(b.n) // the topics have other names now
			}
			delete(l.taken, b)
			b.stamped, b.journaled, b.unclear, b.q.gone = false, false, false, true
			l.move(b)
			signal(l.unpacks)
			return true
		}
		b.q = s.queues[b.q.part]
		lanes = append(lanes, &lane{topic: b.to, kind: sink.Lane(kind), q: b.q, wake: make(chan struct{}, 1), stop: b.q.lanes[kind].stop, orphan: b})
		return true
	})
	return lanes
}

// list makes the batch of an entry.
func (l *backlog) list(q *queue, e spool.Entry) *batch {
	b := &batch{q: q, opened: e.Oldest, first: e.First, last: e.Last, oldest: e.Oldest, newest: e.Newest, n: e.Records, counts: l.countsOf(e.Kind, e.Counts),
		of: int(e.Of), start: e.Start, offered: true, spooled: true, entry: e, inherited: l.disk.spool.Inherited(e.Pos), unclear: e.Unclear}
	l.disk.listed[e.Pos] = b
	l.batches++
	return b
}

// countsOf are the counts of an entry in the ledger.
func (l *backlog) countsOf(kind uint8, counts []spool.Count) []sink.Count {
	out := make([]sink.Count, 0, len(counts))
	for _, c := range counts {
		a := l.ledger.Topic
		if kind == 0 {
			a = l.ledger.Service
		}
		out = append(out, sink.Count{Account: a(c.Key), N: c.N, Disk: true})
	}
	return out
}

// stock notes in the ledger what an earlier start left. It is called with the spool's lock, and with or without ours.
func (l *backlog) stock(e spool.Entry) { l.ledger.Inherited(l.countsOf(e.Kind, e.Counts)...) }

// diskLost notes in the ledger what was on disk only and cannot be had any more. It is called with a lock of the spool's, and with or without ours.
func (l *backlog) diskLost(w spool.Lost) {
	if w.Aside != nil {
		l.asideGone(w.Aside, sink.DroppedDamaged)
		return
	}
	loss := sink.Loss{Reason: sink.DroppedDamaged, Partition: -1, Oldest: w.Oldest, Newest: w.Newest}
	if int(w.Kind) < len(l.streams) && !l.streams[w.Kind].numbered {
		loss.Topic = l.streams[w.Kind].topics[0]
	}
	l.lose(loss, l.countsOf(w.Kind, w.Counts)...)
}

// meta is what the disk is told of a batch. The counts are put together on the way; those of the disk are appended to scratch, which may be nil.
func (l *backlog) meta(b *batch, scratch []spool.Count) spool.Meta {
	m := spool.Meta{Kind: b.q.s.kind, Partition: b.q.part, Of: int32(b.of), Start: b.start, First: b.first, Last: b.last, Oldest: b.oldest, Newest: b.newest,
		Records: b.n, Unclear: b.unclear}
	slices.SortFunc(b.counts, func(a, c sink.Count) int { return strings.Compare(a.Account.Key(), c.Account.Key()) })
	together := b.counts[:0]
	for _, c := range b.counts {
		if n := len(together); n > 0 && together[n-1].Account == c.Account {
			together[n-1].N += c.N
			continue
		}
		together = append(together, c)
	}
	b.counts = together
	m.Counts = scratch
	for _, c := range b.counts {
		m.Counts = append(m.Counts, spool.Count{Key: c.Account.Key(), N: c.N})
	}
	return m
}

// offer asks the disk to take a sealed batch, and then lets it be sent in any case. The lock is given up meanwhile.
func (l *backlog) offer(b *batch) {
	if sp := l.disk.spool; sp != nil && !b.gone {
		l.excess(int64(len(b.wire)) + 1<<10)
		m, w := l.meta(b, l.disk.counts[:0]), b.wire
		l.disk.counts = nil // they are this batch's, until they are written
		b.offering, b.offered = true, false
		l.mu.Unlock()
		e, err := sp.Append(m, w)
		l.mu.Lock()
		l.disk.counts = m.Counts
		b.offering = false
		if err == nil && b.gone {
			sp.Done(e.Pos)
		} else if err == nil {
			l.onDisk(b, e)
		}
	}
	b.offered = true
	if len(l.moved) > 0 {
		signal(l.unpacks)
	}
	l.wake(b.q)
}

// onDisk notes that a batch is on disk: its memory can be had back.
func (l *backlog) onDisk(b *batch, e spool.Entry) {
	b.spooled, b.entry = true, e
	l.ledger.Spooled(b.counts)
	l.disk.listed[e.Pos] = b
	l.disk.cached = append(l.disk.cached, b)
	l.trim()
	q := b.q
	for len(q.ready) > maxListed && q.ready[0].spooled && q.ready[0].offered && !q.ready[0].unclear {
		old := q.ready[0]
		q.ready = slices.Delete(q.ready, 0, 1)
		l.unlist(old)
	}
}

// trim gives memory back that the disk has, the oldest batches' first.
func (l *backlog) trim() {
	d := &l.disk
	useless := func(b *batch) bool { return b.gone || b.wire == nil || l.taken[b] }
	for l.bytes > d.cache && len(d.cached) > 0 {
		b := d.cached[0]
		d.cached = slices.Delete(d.cached, 0, 1)
		if !useless(b) {
			l.bytes -= b.bytes()
			b.wire = nil
		}
	}
	if len(d.cached) > d.limit {
		d.cached = slices.DeleteFunc(d.cached, useless)
		d.limit = max(256, 2*len(d.cached))
	}
}

// unlist forgets a batch that is in no list any more but on disk, where refill finds it again.
func (l *backlog) unlist(b *batch) {
	l.forget(b)
	l.disk.spool.Release(b.entry)
	s := &b.q.shelf
	if s.empty || b.entry.Before(s.from) {
		s.from = b.entry.Pos
	}
	s.empty = false
	s.puts++
	for _, n := range b.q.lanes {
		if n.old() {
			signal(n.wake)
		}
	}
}

// refill lists what comes next on disk for a lane that sends the oldest first.
func (l *backlog) refill(n *lane) {
	q := n.q
	l.mu.Lock()
	defer l.mu.Unlock()
	if !n.old() || len(q.late) > 0 || !l.behind(q) || !q.s.learned || q.gone || len(l.moved) > readAhead {
		return
	}
	sp, s := l.disk.spool, q.shelf
	l.mu.Unlock()
	es, next := sp.Next(q.s.kind, q.part, s.from, readAhead, l.stock)
	l.mu.Lock()
	for _, e := range es {
		if b := l.list(q, e); b.of != len(q.s.queues) && !b.unclear {
			l.move(b) // it was keyed for another number of partitions
			signal(l.unpacks)
		} else {
			q.late = append(q.late, b)
		}
	}
	if q.shelf.puts == s.puts {
		q.shelf.from, q.shelf.empty = next, len(es) == 0
	}
}

// stray lists batches of partitions that are no more, to be keyed again. It reports false when there are none.
func (l *backlog) stray() bool {
	l.mu.Lock()
	sp := l.disk.spool
	some := l.disk.strays && sp != nil
	l.disk.strays = false
	var known []*stream
	for _, s := range l.streams {
		if s.learned {
			known = append(known, s)
		}
	}
	l.mu.Unlock()
	if !some {
		return false
	}
	found := false
	for _, s := range known {
		for _, part := range sp.Partitions(s.kind, l.stock) {
			l.mu.Lock()
			gone := int(part) >= len(s.queues)
			l.mu.Unlock()
			if !gone {
				continue
			}
			es, _ := sp.Next(s.kind, part, spool.Pos{}, readAhead, l.stock)
			l.mu.Lock()
			for _, e := range es {
				found = true
				l.move(l.list(&queue{s: s, part: part, gone: true}, e))
			}
			l.mu.Unlock()
		}
	}
	if found {
		l.mu.Lock()
		l.disk.strays = true // perhaps there are more
		l.mu.Unlock()
	}
	return found
}

// excess drops the oldest batches never attempted that are on disk until it has room for more bytes.
func (l *backlog) excess(more int64) {
	if l.disk.spool == nil {
		return
	}
	keep := func(p spool.Pos) bool {
		b := l.disk.listed[p]
		return b != nil && (l.taken[b] || b.unclear)
	}
	for _, e := range l.disk.spool.Excess(more, keep, l.stock) {
		if b := l.disk.listed[e.Pos]; b != nil {
			l.remove(b)
			l.dropLocked(b, sink.DroppedBudget)
			continue
		}
		b := &batch{q: &queue{s: l.streams[min(int(e.Kind), len(l.streams)-1)], part: e.Partition}, first: e.First, last: e.Last, oldest: e.Oldest, newest: e.Newest, start: e.Start}
		l.lose(l.loss(b, sink.DroppedBudget), l.countsOf(e.Kind, e.Counts)...)
	}
}

// reoffer asks the disk once more to take what it did not take.
func (l *backlog) reoffer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disk.spool == nil {
		return
	}
	var left []*batch
	for q := range l.all() {
		for _, list := range [][]*batch{q.late, q.ready} {
			for _, b := range list {
				if !b.spooled && b.offered && b.wire != nil {
					left = append(left, b)
				}
			}
		}
	}
	for _, b := range left {
		if b.gone || l.taken[b] || b.spooled || !b.offered {
			continue
		}
		if l.offer(b); !b.spooled {
			return
		}
	}
}

// load reads a batch back that is on disk only. With its stamp it is, byte for byte, what was sent before.
func (l *backlog) load(b *batch) error {
	w, err := l.disk.spool.Read(b.entry)
	if err == nil && len(w) < 4+batchHeader {
		err = errors.New("read batch: it is none")
	}
	if err != nil {
		return err
	}
	if b.stamped {
		stamp(w, b.producer, b.sequence)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b.wire = w
	l.bytes += b.bytes()
	return nil
}

func (l *backlog) wake(q *queue) {
	for _, n := range q.lanes {
		signal(n.wake)
	}
}

func (l *backlog) wakeAll() {
	for q := range l.all() {
		l.wake(q)
	}
}
