package scrape

import "time"

// heap keeps the targets by when they are due. It is written out, as container/heap would box every target at each of thousands of moves a second.
type heap []*target

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h heap) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !h[i].due.Before(h[p].due) {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h heap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].due.Before(h[c].due) {
			c++
		}
		if !h[c].due.Before(h[i].due) {
			return
		}
		h.swap(i, c)
		i = c
	}
}

// set moves t, which may be outside, to where due puts it.
func (h *heap) set(t *target, due time.Time) {
	t.due = due
	if t.at < 0 {
		t.at = len(*h)
		*h = append(*h, t)
	}
	h.up(t.at)
	h.down(t.at)
}

// remove takes t out, if it is in.
func (h *heap) remove(t *target) {
	i := t.at
	if i < 0 {
		return
	}
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.at = -1
	if i < last {
		h.up(i)
		h.down(i)
	}
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
