package discovery

import "time"

const (
	// elasticFor is how long a service that grew is known to be one that grows and shrinks.
	elasticFor = 26 * time.Hour
	// bidsFor is how long a service whose members said that they leave is known as one whose members do.
	bidsFor = 7 * 24 * time.Hour
	// lately is how long ago one may have left for its return not to count as growth.
	lately = time.Hour
	// loneWithin is how close to each other those leave who do not leave alone.
	loneWithin = time.Minute
	slowShrink = "a slow shrink across zones: it left alone, from a zone that had the most"
)

// growth is what is known of how a service grows and shrinks.
type growth struct {
	low    int    // the smallest that it should have been since it last grew
	fell   int64  // Unix ns, when low last fell
	grown  int64  // Unix ns, when it last grew
	floors [2]int // what it last grew from, in this era and in the one before; the least in each. 0: it did not
	era    int64  // Unix ns, when this one began: it lasts elasticFor, so that each has a night in it
	bids   int64  // Unix ns, when one last said that it leaves
}

// grow sees whether a service has grown: by newcomers who made up for nobody and have stayed for some minutes. Those who came back after a restart, who were replaced,
// or whom a deploy puts beside their predecessors for a while, are no growth: a service that has them does not shrink when one of it is gone.
func (g *group) grow(now time.Time) (changed bool) {
	size := g.size()
	if g.low == 0 && g.grown == 0 {
		g.low = size
	}
	if should := size + len(g.missing); should < g.low {
		g.low, g.fell, changed = should, nanos(now), true
	}
	settled := size - g.came.len()
	if settled < g.low+max(2, g.low/10) {
		return changed
	}
	if t := nanos(now); t-g.era > int64(elasticFor) {
		if g.floors[1] = g.floors[0]; t-g.grown > int64(elasticFor) {
			g.floors[1] = 0 // long ago
		}
		g.floors[0], g.era = 0, t
	}
	if g.floors[0] == 0 || g.low < g.floors[0] {
		g.floors[0] = max(g.low, 1)
	}
	g.grown, g.low = nanos(now), settled
	return true
}

// floor is the size below which nothing is a shrink: the least that the service grew from.
func (g *group) floor() int {
	if g.floors[1] > 0 {
		return min(g.floors[0], g.floors[1])
	}
	return g.floors[0]
}

type lonely struct {
	rec *record
	at  time.Time
}

// alone excuses one who left a service that is known to grow and shrink, if it looks like a shrinking: few within a minute, so that the zones stay level, and no two
// of one host or rack. The excuse is taken back when others follow: a dead rack is never excused.
func (r *Roster) alone(rec *record, was map[*record]State, now time.Time, out []Change) []Change {
	g := rec.g
	k := 0
	for k < len(g.lone) && now.Sub(g.lone[k].at) > loneWithin {
		k++
	}
	g.lone = append(g.lone[:0:0], g.lone[k:]...)
	g.lone = append(g.lone, lonely{rec, now})
	if g.elastic(now) && g.shrinks() {
		if was[rec] != Failing && rec.x.cause != Expired {
			rec.x.excuse = slowShrink
			g.shrunk = true
		}
		return out
	}
	if !g.shrunk {
		return out
	}
	g.shrunk = false
	for _, l := range g.lone {
		if l.rec.x.excuse != slowShrink {
			continue
		}
		if _, batch := was[l.rec]; batch || l.rec.state != Departed {
			l.rec.x.excuse = ""
			r.touched(l.rec)
			continue
		}
		out = r.miss(l.rec, now, out)
	}
	return out
}

// miss takes the excuse of one who departed back.
func (r *Roster) miss(rec *record, now time.Time, out []Change) []Change {
	rec.x.excuse = ""
	rec.reason = reasonOf(rec)
	rec.g.missing[rec] = struct{}{}
	r.touched(rec)
	return append(out, r.change(rec, Departed, now))
}

// elastic reports whether a service of which one has just left may be shrinking: it grew within a day, it is not smaller than what it grew from, and its members do not
// say goodbye, for then one who did not is no shrink.
func (g *group) elastic(now time.Time) bool {
	t := nanos(now)
	return g.grown != 0 && t-g.grown <= int64(elasticFor) && g.size() >= g.floor() && (g.bids == 0 || t-g.bids > int64(bidsFor))
}

// shrinks reports whether those who left alone look like a service that shrinks.
func (g *group) shrinks() bool {
	limit := 1
	most := 0
	for _, n := range g.zones {
		most = max(most, n)
	}
	if len(g.zones) > 1 {
		limit = max(1, (g.size()+len(g.lone))/10)
	}
	if len(g.lone) > limit {
		return false
	}
	seen := map[string]bool{}
	for _, l := range g.lone {
		tags := l.rec.inst.Tags
		if z := tags.Get(tagZone); len(g.zones) > 1 && g.zones[z] < most-1 {
			return false
		}
		for _, n := range []string{tagHost, tagRack} {
			if v := tags.Get(n); v != "" {
				if seen[n+" "+v] {
					return false
				}
				seen[n+" "+v] = true
			}
		}
	}
	return true
}
