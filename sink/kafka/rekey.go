package kafka

import (
	"fmt"
	"slices"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// lossRekeyed is the reason in the ledger of sequences that were given, never used, and given anew in another partition. It loses nothing.
const lossRekeyed = "rekeyed"

// learn takes Kafka's number of partitions. Where it is another than believed, what was never attempted is keyed again, step by step, by rekey;
// what was attempted stays where it is. It returns the queues that are new.
func (l *backlog) learn(s *stream, n int) (added []*queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !s.learned {
		s.learned = true
		defer func() {
			for _, q := range s.queues {
				for _, lane := range q.lanes {
					signal(lane.wake)
				}
			}
		}()
	}
	if n == len(s.queues) {
		return nil
	}
	l.round++
	for _, q := range s.queues {
		if q.open != nil {
			l.close(q)
		}
		var moved, stay []*batch
		for _, b := range q.ready {
			if b.unclear && int(q.part) < n {
				stay = append(stay, b) // half of one that was attempted
				continue
			}
			moved = append(moved, b)
			if s.numbered && (q.began || q.ready[0].first != 1) {
				l.lose(sink.Loss{Reason: lossRekeyed, Partition: q.part, First: b.first, Last: b.last, Oldest: b.oldest, Newest: b.newest})
			}
		}
		if s.numbered && len(q.ready) > 0 && !q.began && q.ready[0].first == 1 {
			q.next = 1 // none of its sequences was ever seen: they begin again
		}
		l.moved = append(l.moved, moved...)
		q.ready = stay
		if int(q.part) >= n {
			q.gone = true
			for _, b := range moved {
				b.unclear = false // what may have been in the topic went with its partition
			}
			if q.previous != (wire.ID{}) {
				q.previous = wire.ID{}
				l.previous.Add(-1)
			}
			for _, lane := range q.lanes {
				close(lane.stop)
			}
		}
	}
	slices.SortStableFunc(l.moved, func(a, b *batch) int { return int(a.oldest - b.oldest) })
	added = s.resize(n)
	signal(l.unpacks)
	return added
}

// giveBack returns a batch whose partition is gone with all that it held: nothing of it is in the topic.
func (l *backlog) giveBack(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !b.q.gone {
		return false
	}
	delete(l.taken, b)
	b.stamped, b.unclear = false, false
	l.moved = append(l.moved, b)
	signal(l.unpacks)
	return true
}

// rekey takes one batch whose partition has changed and appends its records, with new ids, where they belong. It reports false when there is none.
func (l *backlog) rekey(unzip func(dst, src []byte) ([]byte, error)) (bool, error) {
	l.mu.Lock()
	if len(l.moved) == 0 {
		l.mu.Unlock()
		return false, nil
	}
	b := l.moved[0]
	l.moved = slices.Delete(l.moved, 0, 1)
	l.taken[b], b.kept = true, true // neither dropped, moved nor sealed meanwhile
	l.mu.Unlock()

	records, err := b.records(unzip)
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.gone {
		return true, nil
	}
	if err != nil {
		l.dropLocked(b, "damaged")
		return true, fmt.Errorf("key batch again: %w", err)
	}
	for _, r := range records {
		if !b.q.s.numbered {
			l.append(b.q.s.queue(string(r.key)), string(r.key), r.ts, nil, r.value).count(b.counts[0].Account, 1)
			continue
		}
		a := l.accounts[string(r.key)]
		id, body, err := wire.CutHead(r.value)
		if err != nil || a == nil {
			continue // not a record that we made
		}
		q := b.q.s.queue(a.Key())
		if id.Part == 0 {
			l.place(q, a, l.number(q), r.ts, body, nil)
			continue
		}
		sp := b.split(id)
		if sp == nil {
			continue
		}
		if sp.round != l.round {
			sp.again, sp.round = l.number(q), l.round
		}
		now := sp.again
		now.Part = id.Part
		l.place(q, a, now, r.ts, body, sp)
	}
	for _, p := range b.splits {
		p.of.left--
	}
	l.forget(b)
	l.makeRoom()
	return true, nil
}

// divide replaces a batch that the topic refuses as too large by two of half its records, first in line. Where an earlier attempt may have put the batch into the
// topic, the halves may be there, too. It reports false for a single record.
func (l *backlog) divide(b *batch, unzip func(dst, src []byte) ([]byte, error)) (bool, error) {
	if b.n < 2 {
		return false, nil
	}
	records, err := b.records(unzip)
	if err != nil {
		return false, fmt.Errorf("divide batch: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var halves []*batch
	for i, r := range records {
		if i == 0 || i == len(records)/2 {
			halves = append(halves, &batch{q: b.q, opened: b.opened, unclear: b.unclear})
		}
		h := halves[len(halves)-1]
		key := string(r.key)
		h.add(key, r.ts, nil, r.value)
		if !b.q.s.numbered {
			h.count(b.counts[0].Account, 1)
			continue
		}
		id, _, err := wire.CutHead(r.value)
		if err != nil {
			continue
		}
		h.number(id.Sequence)
		if sp := b.split(id); sp != nil {
			h.part(sp, id)
		} else {
			h.count(l.accounts[key], 1)
		}
	}
	for _, p := range b.splits {
		p.of.left--
	}
	l.forget(b)
	for _, h := range halves {
		l.bytes += h.bytes()
		l.batches++
		l.sealing.push(h)
	}
	b.q.ready = slices.Insert(b.q.ready, 0, halves...)
	l.sealed.Broadcast()
	return true, nil
}

// split is the snapshot in parts that a record with this id belongs to; nil for one that is whole.
func (b *batch) split(id wire.ID) *split {
	for _, p := range b.splits {
		if p.id == id.Whole() {
			return p.of
		}
	}
	return nil
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
