package discovery

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// awayAfter is how long a source may not see until what it saw is unconfirmed.
	awayAfter = 30 * time.Second
	// goingFor is how close together the members of one session go.
	goingFor = 5 * time.Second
	// forgiven is the penalty below which nobody speaks of flaps any more.
	forgiven = 100
)

// Tick does what time does: guards end, those who were quarantined are released, sources that do not see are doubted, and those who departed long ago are forgotten,
// with the oldest of too many. Call it about once a second.
func (r *Roster) Tick(now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endOrders(now)
	var out []Change
	for g := range r.guards {
		out = r.tend(g, now, out)
	}
	for rec := range r.quiet {
		if decayed(rec.x, now, r.opts.Flap) < r.opts.Flap.Release {
			r.number(rec, -1)
			rec.x.quiet = false
			r.number(rec, 1)
			switch {
			case len(rec.holds) > 0:
				out = r.settle(rec, now, out)
			case rec.state == Departed && strings.HasPrefix(rec.x.excuse, wasQuarantined):
				out = r.miss(rec, now, out) // it stays away
			}
		}
	}
	for _, src := range r.sources {
		if away := r.doubt(src, now); src.away == "" && away != "" {
			src.away, src.awaySince = away, src.since
			r.version++
			r.doubts++
		}
	}
	for owner, recs := range r.going {
		if last := recs[len(recs)-1]; now.Sub(clock(last.x.left)) > goingFor {
			delete(r.going, owner)
		}
	}
	r.expire(now)
	if now.Sub(r.swept) > 30*time.Second {
		r.swept = now
		r.sweep(now)
	}
	return r.done(out)
}

// doubt is why what a source saw is unconfirmed, or empty.
func (r *Roster) doubt(src *sourceState, now time.Time) string {
	if src.since.IsZero() || now.Sub(src.since) < awayAfter {
		return ""
	}
	who := "its source"
	for _, h := range src.sets {
		if len(h.members) > 0 {
			who = teller(&h.members[0].Instance)
			break
		}
	}
	if src.Connected {
		return "read from a server without a quorum since " + hms(src.since)
	}
	since := src.since
	if !src.LastHeard.IsZero() {
		since = src.LastHeard
	}
	return who + " has not answered since " + hms(since)
}

// back ends the doubt.
func (r *Roster) back(src *sourceState) {
	if src.away != "" {
		src.away = ""
		r.version++
		r.doubts++
	}
}

// Doubts grows whenever a source comes to be doubted, or is believed again: what it saw reads otherwise then, without a change of each.
func (r *Roster) Doubts() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.doubts
}

// expire forgets those who departed too long ago, and the oldest of too many.
func (r *Roster) expire(now time.Time) {
	k := 0
	for ; k < len(r.gone); k++ {
		d := r.gone[k]
		if d.rec.gone || d.rec.state != Departed || d.rec.since != d.since {
			continue // it came back
		}
		if now.Sub(clock(d.since)) <= r.opts.KeepFor && r.counts[stateIndex(Departed)] <= r.opts.KeepAtMost {
			break
		}
		r.forget(d.rec)
	}
	r.gone = slices.Delete(r.gone, 0, k)
}

// sweep drops what nobody will ask for again. It looks at what moved lately, and at every service.
func (r *Roster) sweep(now time.Time) {
	for rec := range r.flaps {
		if rec.gone || decayed(rec.x, now, r.opts.Flap) < forgiven {
			delete(r.flaps, rec)
			rec.x.flaps, rec.x.penalty = 0, 0
		}
	}
	for _, g := range r.groups {
		g.came.sweep(func(o *record) bool { return o.cameWithin(now) })
		g.left.sweep(func(o *record) bool { return o.leftWithin(now) })
		maps.DeleteFunc(g.missing, func(o *record, _ struct{}) bool { return !o.missing(now) })
		g.lone = slices.DeleteFunc(g.lone, func(l lonely) bool { return now.Sub(l.at) > loneWithin })
		if g.grow(now) {
			r.grew[g] = struct{}{}
		}
	}
	r.bury(now)
	r.fleet.prune(now, r.opts.Guard.Window)
	for name, src := range r.sources {
		for _, h := range src.sets {
			h.prune(now, r.opts.Guard.Window)
		}
		if !src.configured && src.entries == 0 && len(src.sets) == 0 {
			delete(r.sources, name)
		}
	}
}

func (rec *record) missing(now time.Time) bool {
	return !rec.gone && rec.state == Departed && rec.x.excuse == "" && now.Sub(clock(rec.since)) < MissedFor
}

// decayed is the penalty of one as of now.
func decayed(x *extra, now time.Time, o FlapOptions) float64 {
	if x == nil || x.penalty == 0 {
		return 0
	}
	return x.penalty * math.Exp2(-float64(nanos(now)-x.penaltyAt)/float64(o.HalfLife))
}

// flapped is a leave and the join after it.
func (r *Roster) flapped(rec *record, now time.Time, out []Change) []Change {
	x := rec.more()
	switch x.cause {
	case Unconfigured, Accepted, Overdue, PathRemoved: // that was not its own doing
		return out
	}
	o := r.opts.Flap
	x.penalty, x.penaltyAt = decayed(x, now, o)+o.Penalty, nanos(now)
	x.flaps++
	r.flaps[rec] = true
	if x.penalty > o.Quarantine && !x.quiet {
		r.number(rec, -1)
		x.quiet = true
		r.number(rec, 1)
		if rec.g.restless() {
			for o := range r.quiet {
				if o != rec && o.g == rec.g && o.state == Departed && strings.HasPrefix(o.x.excuse, wasQuarantined) {
					out = r.miss(o, now, out)
				}
			}
		}
	}
	return out
}

// ManyFlap reports whether so many of a service come and go that they count as expected, and are missed when they are away: three, or two of six or fewer, or all. One alone
// among others is kept out of alarms.
func ManyFlap(n, of int) bool { return n >= 3 || n == 2 && of <= 6 || n > 0 && n >= of }

// wasQuarantined begins the excuse of one who was quarantined when it left. It is good until it would be released: who comes and goes has come back by then.
const wasQuarantined = "it was quarantined"

func quarantined(flaps int) string {
	return fmt.Sprintf("it left and came back %d times lately; kept out of alarms until it stays", flaps)
}
