package dashboards

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// aheadFrom is how far ahead of this machine's a collector's clock must be for its times not to be taken as they are.
	aheadFrom = 2 * time.Second
	// aheadMore is by how much a time that was corrected may still be ahead before the clock is taken to be further ahead than it was.
	aheadMore = time.Second
	// aheadOver is how many records in a row must fit a clock that is right, and not one that is ahead, for it to be right again.
	aheadOver = 3
	// maxClocks bounds the collectors whose clocks are remembered.
	maxClocks = 10_000
)

// clocks is how far the clocks of collectors are ahead of this machine's. What comes cannot be from a time to come: a record that says so is put back by as much as its
// collector's clock is ahead, so that it stands where it belongs and the times between records are what they were. Else an instance would answer for as long as its
// clock is ahead, whatever becomes of it, and have no figures until then.
type clocks struct {
	mu      sync.Mutex
	of      map[uint64]*skew
	refused uint64 // records of a past from which it cannot be told by how much they are wrong
}

type skew struct {
	by    time.Duration
	turn  uint64    // 1 or 2, another one when by is another
	fits  int       // records in a row that fit a clock that is right
	heard time.Time // of the newest record that was put back
}

// right gives a record the time at which it was made by this machine's clock. false: it is from a time to come, and was read with others of its past, so that nothing
// tells by how much; it is left out.
func (c *clocks) right(r *Record) bool {
	if r.Seen.IsZero() {
		return true
	}
	early := r.Time.Sub(r.Seen)
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.of[r.ID.Collector]
	if a == nil && early <= aheadFrom {
		return true
	}
	past := r.History || r.Backfill // it was made at any time before it was seen
	switch {
	case a == nil && past:
		c.refused++
		return false
	case a == nil:
		if c.of == nil {
			c.of = map[uint64]*skew{}
		}
		if len(c.of) >= maxClocks {
			c.refused++
			return false
		}
		a = &skew{by: early, turn: 1}
		c.of[r.ID.Collector] = a
	case early > a.by+aheadMore && past:
		c.refused++
		return false
	case early > a.by+aheadMore:
		a.by, a.turn, a.fits = early, 3-a.turn, 0
	case past:
	case early > aheadFrom:
		a.fits = 0
	case early > -aheadFrom && a.by-early > aheadFrom:
		// By a clock that is ahead it would have been under way for long: more likely the clock is right.
		if a.fits++; a.fits >= aheadOver {
			delete(c.of, r.ID.Collector)
			return true
		}
	}
	a.heard = r.Seen
	r.Time = r.Time.Add(-a.by)
	r.Slot = 0 // slots are told by that clock, too: with those of others it has none in common
	r.ahead = a.turn
	return true
}

// list is by how much whose clocks are ahead, of those heard of lately.
func (c *clocks) list(now time.Time) (out map[uint64]time.Duration, refused uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out = map[uint64]time.Duration{}
	for id, a := range c.of {
		if now.Sub(a.heard) > time.Hour {
			delete(c.of, id)
		} else if now.Sub(a.heard) < time.Minute {
			out[id] = a.by
		}
	}
	return out, c.refused
}

// exception tells of clocks that are ahead; "" where none is.
func (c *clocks) exception(now time.Time) string {
	of, _ := c.list(now)
	if len(of) == 0 {
		return ""
	}
	ids := slices.Sorted(maps.Keys(of))
	by := of[ids[0]].Round(time.Second)
	if len(ids) == 1 {
		return fmt.Sprintf("The clock of collector %016x is %s ahead of this machine's: what it says is shown %s earlier", ids[0], by, by)
	}
	return fmt.Sprintf("The clocks of %d collectors are ahead of this machine's, that of %016x by %s: what they say is shown so much earlier", len(ids), ids[0], by)
}
