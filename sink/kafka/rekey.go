package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// lossRekeyed is the reason in the ledger of sequences that were given, never used, and given anew in another partition. It loses nothing.
const lossRekeyed = "rekeyed"

// errDisk says that the disk did not take what a batch was made into: it is tried again.
var errDisk = errors.New("the disk takes nothing")

// learn takes Kafka's number of partitions. Where it is another than believed, what was never attempted is keyed again, step by step, by rekey: what is
// at hand from here on, what is on disk when it is read. What was attempted stays where it is. It returns the queues that are new.
func (l *backlog) learn(s *stream, n int) (added []*queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !s.learned {
		s.learned = true
		defer func() {
			for _, q := range s.queues {
				l.wake(q)
			}
			l.disk.strays = true
			signal(l.unpacks)
		}()
	}
	if n == len(s.queues) {
		return nil
	}
	l.round++
	l.disk.strays = true
	was := len(l.moved)
	for _, q := range s.queues {
		if q.open != nil {
			l.close(q)
		}
		unseen := l.disk.spool == nil && s.numbered && !q.began && len(q.ready) > 0 && q.ready[0].first == 1
		for _, list := range []*[]*batch{&q.late, &q.ready} {
			var stay []*batch
			for _, b := range *list {
				switch {
				case (b.unclear || b.of == n) && int(q.part) < n:
					stay = append(stay, b) // half of one that was attempted; or it was keyed by a start that knew better
				case unseen:
					l.moved = append(l.moved, b)
				default:
					l.move(b)
				}
			}
			*list = stay
		}
		if unseen {
			q.next = 1 // none of its sequences was ever seen: they begin again
		}
		if int(q.part) < n {
			continue
		}
		q.gone = true
		for _, b := range l.moved[was:] {
			if b.q == q {
				b.unclear = false // what may have been in the topic went with its partition
			}
		}
		if q.previous != (wire.ID{}) {
			q.previous = wire.ID{}
			l.previous.Add(-1)
		}
		for _, lane := range q.lanes {
			close(lane.stop)
		}
	}
	slices.SortStableFunc(l.moved, func(a, b *batch) int { return int(a.oldest - b.oldest) })
	added = s.resize(n)
	signal(l.unpacks)
	return added
}

// move has a batch keyed again: its sequences will not be used.
func (l *backlog) move(b *batch) {
	l.moved = append(l.moved, b)
	if b.q.s.numbered {
		l.lose(l.loss(b, lossRekeyed))
	}
}

// giveBack returns a batch whose partition is gone with all that it held: nothing of it is in the topic.
func (l *backlog) giveBack(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !b.q.gone {
		return false
	}
	delete(l.taken, b)
	b.stamped, b.journaled, b.unclear = false, false, false
	l.moved = append(l.moved, b)
	signal(l.unpacks)
	return true
}

// rekey takes one batch whose partition has changed and puts its records, with new ids, where they belong. It reports false when there is none.
func (l *backlog) rekey(ctx context.Context, p *packer, unzip func(dst, src []byte) ([]byte, error)) (bool, error) {
	l.mu.Lock()
	i := slices.IndexFunc(l.moved, func(b *batch) bool { return !b.offering })
	if i < 0 {
		l.mu.Unlock()
		return l.stray(), nil
	}
	b := l.moved[i]
	l.moved = slices.Delete(l.moved, i, i+1)
	l.taken[b], b.kept = true, true // neither dropped, moved nor sealed meanwhile
	if len(l.moved) == 0 && l.disk.spool != nil {
		l.disk.strays = true
	}
	l.mu.Unlock()

	var err error
	if b.wire == nil && b.rows == nil {
		err = l.load(b)
	}
	var records []record
	if err == nil {
		records, err = b.records(unzip)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.gone {
		return true, nil
	}
	if err != nil {
		l.dropLocked(b, sink.DroppedDamaged)
		return true, fmt.Errorf("key batch again: %w", err)
	}
	round := l.round
	made := l.regroup(b, records)
	l.mu.Unlock()
	err = l.replace([]*batch{b}, made, p)
	for errors.Is(err, errDisk) && ctx.Err() == nil {
		pause(ctx, time.Second)
		err = l.replace([]*batch{b}, made, p)
	}
	l.mu.Lock()
	if err != nil { // the end has come: the next start does it
		delete(l.taken, b)
		l.moved = append(l.moved, b)
		for _, n := range made {
			if b.q.s.numbered {
				l.lose(l.loss(n, lossRekeyed))
			}
		}
		return false, err
	}
	l.forget(b)
	for _, n := range made {
		l.enlist(n)
		if l.round != round {
			l.move(n)
			continue
		}
		n.q.ready = append(n.q.ready, n)
		l.wake(n.q)
	}
	if l.round != round {
		signal(l.unpacks)
	}
	if len(l.moved) == 0 {
		l.wakeAll() // refill has waited for that
	}
	l.makeRoom()
	return true, nil
}

// regroup makes a batch's records into new ones, a batch for each partition that they belong to.
func (l *backlog) regroup(b *batch, records []record) (made []*batch) {
	s := b.q.s
	of := map[*queue]*batch{}
	for _, r := range records {
		key := string(r.key)
		q := s.queue(key)
		id, body := wire.ID{}, r.value
		if s.numbered {
			var err error
			if id, body, err = wire.CutHead(r.value); err != nil {
				continue // not a record that we made
			}
		}
		n := of[q]
		if n == nil {
			n = &batch{q: q, opened: b.opened, of: len(s.queues), round: l.round, start: l.id.Start, inherited: b.inherited}
			of[q] = n
			made = append(made, n)
		}
		if !s.numbered {
			n.add(key, r.ts, nil, body)
			n.count(b.counts[0].Account, 1)
			continue
		}
		last := lastPart(id, body)
		now := l.renumber(q, id, b.round)
		var head [128]byte
		n.add(key, r.ts, wire.AppendHead(head[:0], now), body)
		n.number(now.Sequence)
		if last {
			n.count(l.ledger.Service(key), 1)
		}
	}
	return made
}

// partID is the id of a snapshot in parts, and in which round it got it: ids that nobody saw are given again.
type partID struct {
	whole wire.ID
	round int
}

// renumber gives a record its id in another partition: the parts of a snapshot keep together.
func (l *backlog) renumber(q *queue, id wire.ID, round int) wire.ID {
	if id.Part == 0 {
		return l.number(q)
	}
	if l.parts.round != l.round || l.parts.ids == nil {
		l.parts.round, l.parts.ids = l.round, map[partID]wire.ID{}
	}
	now, ok := l.parts.ids[partID{id.Whole(), round}]
	if !ok {
		now = l.number(q)
		l.parts.ids[partID{id.Whole(), round}] = now
	}
	now.Part = id.Part
	return now
}

// lastPart reports whether a record is all of a snapshot, or the last part of it.
func lastPart(id wire.ID, body []byte) bool {
	if id.Part == 0 {
		return true
	}
	digits, ok := bytes.CutPrefix(body, []byte(`,"parts":`))
	if !ok {
		return true
	}
	digits, _, _ = bytes.Cut(digits, []byte(","))
	n, err := strconv.Atoi(string(digits))
	return err != nil || id.Part == n
}

// replace seals the batches that others were made into and puts them in their place on disk, if they are there: all of them or none.
func (l *backlog) replace(olds, made []*batch, p *packer) error {
	var old []spool.Pos
	for _, b := range olds {
		old = append(old, b.entry.Pos)
	}
	var ms []spool.Meta
	var ws [][]byte
	for _, n := range made {
		if n.wire == nil {
			n.wire = p.pack(n.rows, n.buf, n.q.s.schema)
			n.rows, n.buf = nil, nil
		}
		n.offered = true
		ms, ws = append(ms, l.meta(n, nil)), append(ws, n.wire)
	}
	if !olds[0].spooled {
		return nil
	}
	es, err := l.disk.spool.Replace(old, ms, ws)
	if err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	for i, n := range made {
		n.spooled, n.entry = true, es[i]
		for j := range n.counts {
			n.counts[j].Disk = true
		}
	}
	return nil
}

// enlist takes a batch that replaces another into memory's sums.
func (l *backlog) enlist(n *batch) {
	l.bytes += n.bytes()
	l.batches++
	if n.spooled {
		l.disk.listed[n.entry.Pos] = n
		l.disk.cached = append(l.disk.cached, n)
		l.trim()
	}
}

// divide replaces a batch that the topic refuses as too large by two of half its records, first in line. Where an earlier attempt may have put the batch into the
// topic, the halves may be there, too. It reports false for a single record.
func (l *backlog) divide(b *batch, p *packer, unzip func(dst, src []byte) ([]byte, error)) (bool, error) {
	if b.n < 2 {
		return false, nil
	}
	records, err := b.records(unzip)
	if err != nil {
		return false, fmt.Errorf("divide batch: %w", err)
	}
	var halves []*batch
	for i, r := range records {
		if i == 0 || i == len(records)/2 {
			halves = append(halves, &batch{q: b.q, opened: b.opened, unclear: b.unclear, apart: true, of: b.of, start: b.start, inherited: b.inherited})
		}
		h := halves[len(halves)-1]
		key := string(r.key)
		h.add(key, r.ts, nil, r.value)
		if !b.q.s.numbered {
			h.count(b.counts[0].Account, 1)
			continue
		}
		id, body, err := wire.CutHead(r.value)
		if err != nil {
			continue
		}
		h.number(id.Sequence)
		if lastPart(id, body) {
			h.count(l.ledger.Service(key), 1)
		}
	}
	if err := l.replace([]*batch{b}, halves, p); err != nil {
		return false, fmt.Errorf("divide batch: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(b)
	for _, h := range halves {
		l.enlist(h)
	}
	b.q.late = slices.Insert(b.q.late, 0, halves...)
	l.wake(b.q)
	return true, nil
}

// records are the batch's records, as views.
func (b *batch) records(unzip func(dst, src []byte) ([]byte, error)) (out []record, err error) {
	if b.wire == nil {
		for _, r := range b.rows {
			out = append(out, record{[]byte(r.key), r.ts, b.buf[r.at:r.to]})
		}
		return out, nil
	}
	err = unpack(b.wire, unzip, func(r record) { out = append(out, r) })
	return out, err
}
