package scrape

import "time"

// heap keeps the targets by when they are due. It is written out, as container/heap would box every target at each of thousands of moves a second; and the times
// stand in it, as nanoseconds, so that a move does not fetch the targets that it passes.
type heap struct {
	epoch time.Time // of the times; set by the first one
	items []entry
}

type entry struct {
	due int64
	t   *target
}

func (h *heap) len() int { return len(h.items) }

// dueBy is the target that is due first, if it is due by now.
func (h *heap) dueBy(now time.Time) *target {
	if len(h.items) == 0 || h.items[0].due > int64(now.Sub(h.epoch)) {
		return nil
	}
	return h.items[0].t
}

// wait is how long it is until the first is due.
func (h *heap) wait(now time.Time) time.Duration {
	if len(h.items) == 0 {
		return time.Hour
	}
	return time.Duration(h.items[0].due) - now.Sub(h.epoch)
}

// place puts e at i.
func (h *heap) place(i int, e entry) {
	h.items[i] = e
	e.t.at = int32(i)
}

func (h *heap) up(i int) {
	e := h.items[i]
	for i > 0 {
		p := (i - 1) / 2
		if e.due >= h.items[p].due {
			break
		}
		h.place(i, h.items[p])
		i = p
	}
	h.place(i, e)
}

func (h *heap) down(i int) {
	e := h.items[i]
	for {
		c := 2*i + 1
		if c >= len(h.items) {
			break
		}
		if c+1 < len(h.items) && h.items[c+1].due < h.items[c].due {
			c++
		}
		if h.items[c].due >= e.due {
			break
		}
		h.place(i, h.items[c])
		i = c
	}
	h.place(i, e)
}

// set moves t, which may be outside, to where due puts it.
func (h *heap) set(t *target, due time.Time) {
	if h.epoch.IsZero() {
		h.epoch = due
	}
	t.due = due
	at := int64(due.Sub(h.epoch))
	if t.at < 0 {
		t.at = int32(len(h.items))
		h.items = append(h.items, entry{at, t})
	}
	h.items[t.at].due = at
	h.up(int(t.at))
	h.down(int(t.at))
}

// remove takes t out, if it is in.
func (h *heap) remove(t *target) {
	i := int(t.at)
	if i < 0 {
		return
	}
	t.at = -1
	last := len(h.items) - 1
	e := h.items[last]
	h.items[last] = entry{}
	if h.items = h.items[:last]; i < last {
		h.place(i, e)
		h.up(i)
		h.down(int(e.t.at))
	}
}

// slot is one turn of a target: when it is due, and the interval by which turns were counted out then. No interval: it is none of these turns.
type slot struct {
	due   time.Time
	every time.Duration
}

// slot is the start of the first slot after now: slots begin where the wall clock, modulo the interval, is at the target's phase. The result carries now's
// monotonic reading, so that a clock that jumps meanwhile does not move it.
func (t *target) slot(now time.Time, interval time.Duration) time.Time {
	return now.Add(t.behind(now, interval))
}

// behind is how long after now the next slot begins: more than 0, at most interval.
func (t *target) behind(now time.Time, interval time.Duration) time.Duration {
	d := (int64(t.phase%interval) - now.UnixNano()%int64(interval)) % int64(interval)
	if d <= 0 {
		d += int64(interval)
	}
	return time.Duration(d)
}

// slotOf is the start of the slot that a pull due at that moment belongs to, by the wall clock. One that was due a little before its slot, as clocks that are put
// right see it, belongs to it.
func (t *target) slotOf(due time.Time, interval time.Duration) time.Time {
	wall := due.UnixNano() + int64(interval)/8
	into := (wall - int64(t.phase%interval)) % int64(interval)
	return time.Unix(0, wall-into)
}

// next is the slot after the one that began at due. It is an interval later by the monotonic clock, and then moved to where the wall clock says the slot is, by
// less than half an interval: a clock that jumps shortens or stretches one gap, and makes none of two intervals and no burst. lost is the number of slots that have
// passed unseen, as when the machine slept.
func (t *target) next(due, now time.Time, interval time.Duration) (next time.Time, lost int) {
	wall := now.Add(-now.Sub(due)) // now's idea of what time it was when the slot began
	adjust := (int64(t.phase%interval) - wall.UnixNano()%int64(interval)) % int64(interval)
	switch half := int64(interval) / 2; {
	case adjust > half:
		adjust -= int64(interval)
	case adjust <= -half:
		adjust += int64(interval)
	}
	next = due.Add(interval + time.Duration(adjust))
	if late := now.Sub(next); late >= 0 {
		lost = int(late/interval) + 1
		next = next.Add(time.Duration(lost) * interval)
	}
	return next, lost
}

// bucket lets 100 first scrapes a second begin at once.
type bucket struct {
	tokens float64
	filled time.Time
}

const bucketRate, bucketSize = 100, 100

// take takes n tokens, all or none.
func (b *bucket) take(n int, now time.Time) bool {
	if b.filled.IsZero() {
		b.tokens = bucketSize
	} else {
		b.tokens = min(bucketSize, b.tokens+max(0, now.Sub(b.filled).Seconds())*bucketRate)
	}
	b.filled = now
	if float64(n) > b.tokens {
		return false
	}
	b.tokens -= float64(n)
	return true
}
