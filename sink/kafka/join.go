package kafka

import (
	"slices"
	"time"
)

const (
	maxJoined = 128       // batches that are made into one
	smallWire = 128 << 10 // bytes, compressed, of one that is worth it, and
	smallRaw  = maxBatch / 4
)

// join makes a batch that is about to be sent, and those that wait behind it to go the same way, into one. Where Kafka is far, or was away, many small ones
// wait, and only so many requests are on their way at once. Where that cannot be done it gives back the batch as it was.
func (l *backlog) join(n *lane, b *batch, z *zipper) *batch {
	more := l.follow(n, b, time.Now())
	if len(more) == 0 {
		return b
	}
	all := append([]*batch{b}, more...)
	fit, size := l.fit(all)
	m := &batch{q: b.q, opened: b.opened, of: b.of, round: b.round, start: b.start, inherited: b.inherited}
	used := 0
	for _, x := range all[:fit] {
		records, err := x.records(z.unzip)
		if err != nil {
			break
		}
		if m.buf == nil {
			m.buf, m.rows = make([]byte, 0, size), make([]row, 0, 2*len(records))
		}
		for _, r := range records {
			m.add(string(r.key), r.ts, nil, r.value)
		}
		if b.q.s.numbered {
			m.number(x.first)
			m.number(x.last)
		}
		m.counts = append(m.counts, x.counts...)
		used++
	}
	if used > 1 && l.replace(all[:used], []*batch{m}, &packer{zip: z.zip}) != nil {
		used = 1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if used < 2 {
		l.putBack(more)
		return b
	}
	l.putBack(all[used:])
	for _, x := range all[:used] {
		l.forget(x)
	}
	l.enlist(m)
	l.taken[m] = true
	l.metrics.joined.Add(used)
	return m
}

// fit is how many of these batches, from the first on, make one, and the bytes of their records, which is known without unpacking them: fewer than two are not worth
// the work.
func (l *backlog) fit(all []*batch) (n, size int) {
	for _, b := range all {
		if b.wire == nil && l.load(b) != nil {
			break
		}
		raw, ok := unzippedSize(b.wire)
		if !ok || raw > smallRaw || size+raw > maxBatch {
			break
		}
		n, size = n+1, size+raw
	}
	if n < 2 {
		return 0, 0
	}
	return n, size
}

// follow takes the batches that wait behind b for the same lane, as long as they are small and of one kind with it.
func (l *backlog) follow(n *lane, b *batch, now time.Time) (more []*batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fits := func(x *batch) bool {
		return x.zipped() <= smallWire && !x.unclear && !x.apart && !x.stamped && x.spooled == b.spooled && x.start == b.start && x.inherited == b.inherited && x.of == b.of
	}
	if !fits(b) || b.q.gone {
		return nil
	}
	for len(more) < maxJoined-1 {
		list, i, _ := l.eligible(n, now)
		if list == nil || !fits((*list)[i]) {
			break
		}
		x := (*list)[i]
		*list = slices.Delete(*list, i, i+1)
		l.taken[x] = true
		more = append(more, x)
	}
	return more
}

// putBack returns batches that were taken, first in line.
func (l *backlog) putBack(bs []*batch) {
	for _, b := range bs {
		delete(l.taken, b)
	}
	if len(bs) == 0 {
		return
	}
	q := bs[0].q
	if q.gone {
		for _, b := range bs {
			l.move(b)
		}
		return
	}
	q.late = slices.Insert(q.late, 0, bs...)
	l.wake(q)
}
