package kafka

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// stream is all queues of one kind of record: the snapshots, with two lanes, or another topic, with one.
type stream struct {
	kind     uint8    // its number on disk
	topics   []string // by lane
	schema   []header
	numbered bool // snapshots: records have ids
	yields   bool // over the budget it goes first: what is said in it is said again
	queues   []*queue
	learned  bool             // the number of queues is Kafka's, not a belief
	gone     map[int32]uint64 // next sequence of partitions that are no more, in case they come again
}

// queue is what waits for one partition.
type queue struct {
	s     *stream
	part  int32
	next  uint64 // sequence of the next snapshot
	open  *batch
	late  []*batch // read back from disk, older than what is ready; and the halves of one that was attempted
	ready []*batch // closed and never attempted, oldest first
	lanes []*lane
	shelf shelf
	held  int  // bytes of the last batch that was closed, and
	rows  int  // its records: the next one may need as much
	began bool // something was attempted
	gone  bool // Kafka has fewer partitions
	// previous is the last id of the start before; it is told in every record until one of ours is acknowledged.
	previous wire.ID
}

// backlog is all that waits, under one lock: what is in memory, and which part of the spool on disk is at hand.
type backlog struct {
	ledger  *sink.Ledger
	id      sink.Identity
	budget  int64
	maxAge  time.Duration
	linger  time.Duration
	metrics *meters

	opened  chan struct{} // a batch was opened: the closer may have to wake earlier
	unpacks chan struct{} // moved has something
	changed chan struct{} // something left

	previous atomic.Int32 // queues that have a previous id to tell
	recalled state        // what the start before left

	mu         sync.Mutex
	snapshots  *stream
	others     map[string]*stream
	streams    []*stream // by their numbers on disk
	bytes      int64
	batches    int     // in memory, taken ones too
	sealing    sealing // closed, to be compressed
	spare      []room  // memory of sealed batches, for new ones
	spareBytes int
	counts     [][]sink.Count // of settled batches, for new ones
	open       int            // batches that are
	sealed     sync.Cond
	moved      []*batch // never attempted; to be keyed again
	round      int      // counts the changes of partitions
	parts      struct { // of snapshots whose parts are being keyed again: their new ids
		round int
		ids   map[partID]wire.ID
	}
	taken    map[*batch]bool
	disk     disk
	draining bool // close at once
	closed   bool // take nothing more
	ended    bool // sealers go home
}

func newBacklog(c *Config, m *meters) *backlog {
	l := &backlog{ledger: c.Ledger, id: c.Ledger.Identity(), budget: c.MemoryBytes, maxAge: c.LiveMaxAge, linger: c.Linger, metrics: m,
		opened: make(chan struct{}, 1), unpacks: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		others: map[string]*stream{}, taken: map[*batch]bool{}}
	l.sealed.L = &l.mu
	t := c.Topics
	l.snapshots = &stream{topics: []string{t.Snapshots, t.Backfill}, schema: headers(wire.SnapshotSchema), numbered: true}
	l.streams = []*stream{l.snapshots}
	for _, o := range [][2]string{{t.Roster, wire.RosterSchema}, {t.Rollups, "rollup/1"}, {t.Findings, "finding/1"}} {
		s := &stream{kind: uint8(len(l.streams)), topics: []string{o[0]}, schema: headers(o[1]), yields: o[0] == t.Roster}
		l.others[o[0]] = s
		l.streams = append(l.streams, s)
	}
	return l
}

// room is memory that a batch is filled in.
type room struct {
	rows []row
	buf  []byte
}

const maxSpare = 8 << 20 // bytes of it that are kept

// resize gives a stream n queues. It returns those that are new.
func (s *stream) resize(n int) (added []*queue) {
	for p := len(s.queues); p < n; p++ {
		q := &queue{s: s, part: int32(p), next: max(1, s.gone[int32(p)])}
		for kind, topic := range s.topics {
			q.lanes = append(q.lanes, &lane{topic: topic, kind: sink.Lane(kind), q: q, wake: make(chan struct{}, 1), stop: make(chan struct{})})
		}
		s.queues = append(s.queues, q)
		added = append(added, q)
	}
	for _, q := range s.queues[n:] {
		if s.gone == nil {
			s.gone = map[int32]uint64{}
		}
		s.gone[q.part] = q.next
	}
	s.queues = s.queues[:n]
	return added
}

func (s *stream) queue(key string) *queue { return s.queues[wire.Partition(key, len(s.queues))] }

// signal wakes whoever waits on c, once.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell is the previous id that a snapshot with this key has to carry; zero for almost all.
func (l *backlog) tell(key string) wire.ID {
	if l.previous.Load() == 0 {
		return wire.ID{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshots.queue(key).previous
}

// snapshot takes the bodies of one snapshot: one, or its parts. The sequence is given here.
func (l *backlog) snapshot(a *sink.Account, ts int64, bodies [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.lose(sink.Loss{Reason: sink.DroppedClosed, Partition: -1}, sink.Count{Account: a, N: 1})
		return
	}
	q := l.snapshots.queue(a.Key())
	id := l.number(q)
	for i, body := range bodies {
		if len(bodies) > 1 {
			id.Part = i + 1
		}
		var head [128]byte
		b := l.append(q, a.Key(), ts, wire.AppendHead(head[:0], id), body)
		b.number(id.Sequence)
		if i == len(bodies)-1 {
			b.count(a, 1)
		}
	}
	l.makeRoom()
}

// number gives the next id of a queue.
func (l *backlog) number(q *queue) wire.ID {
	id := wire.ID{Collector: l.id.Collector, Start: l.id.Start, Partition: q.part, Sequence: q.next}
	q.next++
	return id
}

// publish takes a record of another topic.
func (l *backlog) publish(a *sink.Account, topic, key string, ts int64, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.others[topic]
	if s == nil {
		l.lose(sink.Loss{Reason: sink.DroppedTopic, Topic: topic, Partition: -1}, sink.Count{Account: a, N: 1})
		return
	}
	if l.closed {
		l.lose(sink.Loss{Reason: sink.DroppedClosed, Topic: topic, Partition: -1}, sink.Count{Account: a, N: 1})
		return
	}
	l.append(s.queue(key), key, ts, nil, value).count(a, 1)
	l.makeRoom()
}

// append puts a record into the open batch of q and returns the batch.
func (l *backlog) append(q *queue, key string, ts int64, head, body []byte) *batch {
	if q.open != nil && !q.open.room(key, len(head)+len(body)) {
		l.close(q)
	}
	if q.open == nil {
		q.open = &batch{q: q, opened: time.Now().UnixMilli(), of: len(q.s.queues), round: l.round, start: l.id.Start}
		if n := len(l.spare); n > 0 {
			q.open.rows, q.open.buf = l.spare[n-1].rows, l.spare[n-1].buf
			l.spare = l.spare[:n-1]
			l.spareBytes -= cap(q.open.buf)
		} else if q.rows > 0 {
			q.open.rows, q.open.buf = make([]row, 0, q.rows+q.rows/16+1), make([]byte, 0, q.held+q.held/16)
		}
		if n := len(l.counts); n > 0 {
			q.open.counts = l.counts[n-1]
			l.counts = l.counts[:n-1]
		}
		l.batches++
		if l.open++; l.open == 1 { // else the closer wakes for an older one, and sees to this, too
			signal(l.opened)
		}
	}
	b := q.open
	before := b.bytes()
	b.add(key, ts, head, body)
	l.bytes += b.bytes() - before
	return b
}

// close ends the filling of q's open batch.
func (l *backlog) close(q *queue) {
	b := q.open
	q.open = nil
	q.held, q.rows = len(b.buf), len(b.rows)
	l.open--
	q.ready = append(q.ready, b)
	l.sealing.push(b)
	l.sealed.Signal()
}

// closeDue closes every batch that has waited long enough, and with it those that have waited half as long: a few wake-ups that do much cost less than many that do
// little. It says how long the next one has to wait.
func (l *backlog) closeDue(now time.Time) (next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = time.Hour
	left := func(q *queue) time.Duration {
		d := time.UnixMilli(q.open.opened).Add(l.linger).Sub(now)
		if d > l.linger {
			return 0 // somebody has set the clock back: who knows how long it has waited
		}
		return d
	}
	due := l.draining
	for q := range l.all() {
		due = due || q.open != nil && left(q) <= 0
	}
	for q := range l.all() {
		switch {
		case q.open == nil:
		case due && (l.draining || left(q) <= l.linger/2):
			l.close(q)
		default:
			next = min(next, left(q))
		}
	}
	return next
}

// all walks every queue.
func (l *backlog) all() func(yield func(*queue) bool) {
	return func(yield func(*queue) bool) {
		for _, q := range l.snapshots.queues {
			if !yield(q) {
				return
			}
		}
		for _, s := range l.others {
			for _, q := range s.queues {
				if !yield(q) {
					return
				}
			}
		}
	}
}

// sealOne waits for a closed batch and compresses it; false means that there will be none.
func (l *backlog) sealOne(p *packer) bool {
	l.mu.Lock()
	for len(l.sealing.batches) == 0 && !l.ended {
		l.sealed.Wait()
	}
	if len(l.sealing.batches) == 0 {
		l.mu.Unlock()
		return false
	}
	b := l.sealing.pop()
	gone, buf := b.gone || b.kept, b.buf
	p.rows = append(p.rows[:0], b.rows...) // which are sorted without the lock
	l.mu.Unlock()
	if gone {
		return true
	}
	w := p.pack(p.rows, buf, b.q.s.schema)
	clear(p.rows)
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.gone || b.kept {
		return true
	}
	l.metrics.packed(len(p.records), len(w))
	before := b.bytes()
	if c := cap(b.buf); l.spareBytes+c <= maxSpare {
		l.spareBytes += c
		l.spare = append(l.spare, room{b.rows[:0], b.buf[:0]})
	}
	b.wire, b.rows, b.buf = w, nil, nil
	l.bytes += b.bytes() - before
	l.offer(b)
	return true
}

// take gives a lane its next batch: the oldest that is fresh enough for the live lane, the oldest that is too old for it for the other. Without
// one it says how long until age alone may bring one. A batch that is taken is about to be attempted: it is never dropped or moved.
func (l *backlog) take(n *lane, now time.Time) (*batch, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, i, wait := l.eligible(n, now)
	if list == nil {
		return nil, wait
	}
	b := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	l.taken[b] = true
	n.q.began = true
	return b, 0
}

// waits reports whether take would give n a batch.
func (l *backlog) waits(n *lane, now time.Time) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, _, wait := l.eligible(n, now)
	return list != nil, wait
}

func (l *backlog) eligible(n *lane, now time.Time) (list *[]*batch, at int, wait time.Duration) {
	wait = time.Hour
	if !n.q.s.learned {
		return nil, 0, wait // the partition may turn out to be another; learn wakes us
	}
	limit := now.Add(-l.maxAge).UnixMilli()
	for _, list := range []*[]*batch{&n.q.late, &n.q.ready} {
		if list == &n.q.ready && n.old() && l.behind(n.q) {
			break // what is on disk is older
		}
		for i, b := range *list {
			fresh := b.newest >= limit || len(n.q.lanes) == 1
			if fresh != (n.kind == sink.Live) {
				if fresh {
					wait = min(wait, time.Duration(b.newest-limit+1)*time.Millisecond)
				}
				continue
			}
			if !b.offered {
				break // is being compressed, or written to disk; its lane is woken then, and nothing overtakes it
			}
			return list, i, 0
		}
	}
	return nil, 0, wait
}
