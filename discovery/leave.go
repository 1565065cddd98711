package discovery

import (
	"fmt"
	"slices"
	"time"
)

// leaving is what a batch of leavers has in common.
type leaving struct {
	held   *heldSet
	why    string // in words
	cause  Cause  // empty: to be found
	seen   time.Time
	lapsed bool             // they are known from the disk only: nobody saw them go
	broken map[string]error // members that cannot be read since then, by name
}

// departure is one who departed, as long as its record says so since then.
type departure struct {
	rec   *record
	since int64
}

// leave takes records that no set holds any more off, each for its cause and perhaps with an excuse, or gives them to a guard.
func (r *Roster) leave(recs []*record, l leaving, now time.Time, out []Change) []Change {
	was := make(map[*record]State, len(recs))
	order := r.order(l.held.path, now)
	for _, rec := range recs {
		if rec.x != nil && rec.x.guard != nil {
			continue // a guard holds it already
		}
		was[rec] = rec.state
		r.parted(rec, l, now)
	}
	out = r.expired(recs, was, now, out)
	for _, rec := range recs {
		if _, first := was[rec]; first && was[rec].Scraped() && rec.x.excuse == "" {
			out = r.replaced(rec, was, now, out)
		}
	}
	guarded := l.cause != Unconfigured && r.guarded(l.held)
	var held []*record
	switch {
	case order != nil && order.Kind == FreezeOrder && l.cause != Unconfigured:
		held = r.freeze(recs, was, l.held, order, now)
	case guarded:
		held = r.guard(recs, was, l.held, order, now)
	}
	for _, rec := range held {
		if _, batch := was[rec]; !batch {
			was[rec] = rec.state // it comes back
		}
		r.set(rec, Unconfirmed, rec.inst, now)
		rec.reason = rec.x.guard.reason(rec)
	}
	for rec, before := range was {
		if rec.state == Departed {
			switch x := rec.x; {
			case x.excuse != "":
			case x.quiet && !rec.g.restless():
				x.excuse = fmt.Sprintf("%s: it left and came back %d times", wasQuarantined, x.flaps)
			case l.lapsed && now.Sub(l.seen) > MissedFor:
				x.excuse = "it left after " + l.seen.UTC().Format(time.RFC3339) + ", while nobody looked"
			}
			rec.reason = reasonOf(rec)
			r.departed(rec, now)
		}
		rec.tell(now, map[bool]string{true: "left", false: "held"}[rec.state == Departed], rec.reason, r.source(l.held.source).zxid)
		out = append(out, r.change(rec, before, now))
	}
	return out
}

// parted makes a record departed, with what its last word tells of the cause.
func (r *Roster) parted(rec *record, l leaving, now time.Time) {
	x := rec.more()
	x.left, x.from, x.verified, x.path, x.owner = nanos(now), l.held.setKey, nanos(l.seen), l.why, rec.inst.Owner
	x.cause, x.excuse, x.answers = l.cause, "", 0
	switch {
	case l.cause == Unconfigured:
		x.excuse = "no job looks there any more"
	case l.held.static:
		x.cause, x.excuse = Unconfigured, "it was taken out of the configuration"
	case rec.state == Filtered:
		x.excuse = "it was filtered: " + rec.reason
	case rec.state == Unparsable:
		x.excuse = "it could not be read"
	case rec.inst.Status == Leaving:
		x.cause, x.excuse = Deregistered, "deregistered"
	case slices.Contains([]string{"STOPPING", "STOPPED", "DEAD", "OUT_OF_SERVICE"}, rec.inst.Status):
		x.cause, x.excuse = Deregistered, "drained: it said "+rec.inst.Status
	}
	if x.cause == "" {
		x.cause = Removed
	}
	if err := l.broken[rec.inst.Member]; err != nil && rec.inst.Member != "" {
		x.path = "its member in " + l.held.path + " cannot be read any more: " + err.Error()
	}
	if x.cause == Deregistered && rec.state.Scraped() {
		rec.g.bids = nanos(now)
		r.grew[rec.g] = struct{}{}
	}
	r.set(rec, Departed, rec.inst, now)
}

// departed puts one who is not held on the list of those who departed.
func (r *Roster) departed(rec *record, now time.Time) {
	r.gone = append(r.gone, departure{rec, rec.since})
	if rec.x.excuse == "" {
		rec.g.missing[rec] = struct{}{}
	}
}

// reasonOf is why one departed, in words.
func reasonOf(rec *record) string {
	x := rec.x
	switch {
	case x.cause == Expired:
		return x.path + ": its session ended with all that it held"
	case x.excuse != "" && x.cause != Unconfigured:
		return x.path + ": " + x.excuse
	}
	return x.path
}

// expired finds the sessions of which everything is gone: two or more members at once say that it was the session that ended.
func (r *Roster) expired(recs []*record, was map[*record]State, now time.Time, out []Change) []Change {
	for _, rec := range recs {
		if _, first := was[rec]; first && rec.x.owner != 0 && rec.x.cause == Removed {
			r.going[rec.x.owner] = append(r.going[rec.x.owner], rec)
		}
	}
	for _, rec := range recs {
		all := r.going[rec.x.owner]
		if len(all) < 2 || r.owners[rec.x.owner] > 0 {
			continue
		}
		delete(r.going, rec.x.owner)
		for _, o := range all {
			if o.gone || o.x.cause != Removed || len(o.holds) > 0 {
				continue
			}
			o.x.cause = Expired
			_, batch := was[o]
			switch {
			case batch || o.state != Departed:
			case o.x.excuse == slowShrink:
				out = r.miss(o, now, out)
			default:
				o.reason = reasonOf(o)
				r.touched(o)
				out = append(out, r.change(o, Departed, now))
			}
		}
	}
	return out
}

// freeze holds everybody who was scraped, whatever the cause.
func (r *Roster) freeze(recs []*record, was map[*record]State, s *heldSet, o *Order, now time.Time) (held []*record) {
	for _, rec := range recs {
		if state, first := was[rec]; first && state.Scraped() {
			g := r.guardOf(&s.herd, s, now)
			if g.frozen == nil {
				g.frozen = o
			}
			r.keep(rec, g)
			rec.x.frozen = o
			held = append(held, rec)
		}
	}
	return held
}

// guard notes who left without an excuse, and holds them if that makes too many.
func (r *Roster) guard(recs []*record, was map[*record]State, s *heldSet, o *Order, now time.Time) (held []*record) {
	for _, rec := range recs {
		if state, first := was[rec]; first && state.Scraped() && (rec.x.excuse == "" || rec.x.excuse == slowShrink) {
			s.lost = append(s.lost, loss{rec, now})
			r.fleet.lost = append(r.fleet.lost, loss{rec, now})
		}
	}
	if o == nil || o.Kind != AcceptOrder {
		return append(r.watch(&s.herd, s, now), r.watch(&r.fleet, nil, now)...)
	}
	if _, trips := s.shrunk(r.opts.Guard, now); trips {
		for _, rec := range recs {
			if state, first := was[rec]; first && state.Scraped() && rec.lost() {
				rec.x.cause, rec.x.excuse = Accepted, acceptedBy(o)
			}
		}
	}
	return nil
}

func acceptedBy(o *Order) string {
	text := "accepted"
	if o.By != "" {
		text += " by " + o.By
	}
	if o.Why != "" {
		text += " (" + o.Why + ")"
	}
	return text
}

// letGo ends the hold of one.
func (r *Roster) letGo(rec *record, c Cause, reason, excuse string, now time.Time, out []Change) []Change {
	g, x := rec.x.guard, rec.x
	if c == Dead {
		g.dead++
	}
	r.free(rec)
	if x.cause = c; x.excuse == "" {
		x.excuse = excuse
	}
	r.set(rec, Departed, rec.inst, now)
	rec.reason = reason
	r.departed(rec, now)
	if c == Dead {
		r.dead = append(r.dead, departure{rec, rec.since})
		r.died.Add(1)
	}
	rec.tell(now, "left", reason, 0)
	return append(out, r.change(rec, Unconfirmed, now))
}

// end lets everybody go whom a guard holds.
func (r *Roster) end(g *guard, c Cause, reason, excuse string, now time.Time, out []Change) []Change {
	for rec := range g.members {
		out = r.letGo(rec, c, reason, excuse, now, out)
	}
	return out
}

// tend does to those whom a guard holds what time, scrapes and orders do.
func (r *Roster) tend(g *guard, now time.Time, out []Change) []Change {
	orders := map[string]*Order{}
	var frozen *Order
	thawed := false
	for rec := range g.members {
		o, known := orders[rec.inst.Path]
		if !known {
			o = r.order(rec.inst.Path, now)
			orders[rec.inst.Path] = o
		}
		age := now.Sub(clock(rec.x.left))
		switch {
		case o != nil && o.Kind == AcceptOrder:
			out = r.letGo(rec, Accepted, rec.x.path+": "+acceptedBy(o), acceptedBy(o), now, out)
			continue
		case o != nil:
			if frozen == nil || o.At.After(frozen.At) {
				frozen = o
			}
		case !g.tripped:
			thawed = true
		case int(rec.x.answers) <= -r.opts.Guard.Silent:
			out = r.letGo(rec, Dead, fmt.Sprintf("%s; it did not answer %d times since", rec.reason, -rec.x.answers), "", now, out)
			continue
		case age > r.opts.Guard.HoldFor && rec.x.answers > 0:
			out = r.letGo(rec, Overdue, rec.reason+", though it answers", "it answered to the last", now, out)
			continue
		case age > r.opts.Guard.HoldFor:
			out = r.letGo(rec, Overdue, rec.reason, "", now, out)
			continue
		}
		if was := rec.x.frozen; was != o && (was == nil || o == nil || *was != *o) && (g.tripped || o != nil) {
			rec.x.frozen = o
			rec.reason = g.reason(rec)
			r.touched(rec)
			out = append(out, r.change(rec, Unconfirmed, now))
		}
	}
	if len(g.members) == 0 {
		return out
	}
	g.frozen = frozen
	if thawed {
		return r.thaw(g, now, out)
	}
	return out
}

// thaw is the end of a freeze: those whom it held leave now, as they would have then, unless a guard has reasons of its own to hold them.
func (r *Roster) thaw(g *guard, now time.Time, out []Change) []Change {
	var thawed []*record
	for rec := range g.members {
		if r.order(rec.inst.Path, now) != nil {
			continue // another's path is frozen still
		}
		thawed = append(thawed, rec)
		if rec.x.frozen = nil; rec.x.excuse == "" {
			rec.x.left = nanos(now)
			g.herd.lost = append(g.herd.lost, loss{rec, now})
		}
	}
	if g.set == nil || r.guarded(g.set) {
		g.herd.recall(now)
		r.watch(g.herd, g.set, now)
	}
	for _, rec := range thawed {
		if g.tripped && rec.x.excuse == "" {
			rec.reason = g.reason(rec)
			r.touched(rec)
			out = append(out, r.change(rec, Unconfirmed, now))
			continue
		}
		out = r.letGo(rec, rec.x.cause, reasonOf(rec)+"; until now its path was frozen", "", now, out)
	}
	return out
}
