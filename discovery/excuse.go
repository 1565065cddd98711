package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const (
	// settleFor is how long a service gathers when it is first seen: who joins in it replaces nobody.
	settleFor = 15 * time.Second
	// replaceWithin is how far a leave and the join that makes up for it may be apart.
	replaceWithin = 5 * time.Minute
)

// newcomers are records to be matched by shard, or by zone and version.
type newcomers struct {
	byTrait map[trait][]*record
	byShard map[int32]*record
}

type trait struct{ zone, version string }

func traitOf(i *Instance) trait { return trait{i.Tags.Get(tagZone), i.Tags.Get(tagVersion)} }

func (n *newcomers) add(rec *record) {
	if n.byTrait == nil {
		n.byTrait, n.byShard = map[trait][]*record{}, map[int32]*record{}
	}
	t := traitOf(rec.inst)
	n.byTrait[t] = append(n.byTrait[t], rec)
	n.shard(rec)
}

// shard is add by the shard alone.
func (n *newcomers) shard(rec *record) {
	if rec.inst.Shard == NoShard {
		return
	}
	if n.byShard == nil {
		n.byTrait, n.byShard = map[trait][]*record{}, map[int32]*record{}
	}
	n.byShard[rec.inst.Shard] = rec
}

// len is how many there are, but for those known by their shard alone.
func (n *newcomers) len() (sum int) {
	for _, recs := range n.byTrait {
		sum += len(recs)
	}
	return sum
}

// take gives the newest that ok says yes to: of the same shard, else of a trait that fits. moved tells that it was the shard, or the member's own name.
func (n *newcomers) take(i *Instance, fits func(trait) bool, ok func(*record) bool) (found *record, moved bool) {
	if rec := n.byShard[i.Shard]; rec != nil && i.Shard != NoShard && ok(rec) {
		delete(n.byShard, i.Shard)
		t := traitOf(rec.inst)
		n.byTrait[t] = slices.DeleteFunc(n.byTrait[t], func(o *record) bool { return o == rec })
		return rec, true
	}
	for t, recs := range n.byTrait {
		if !fits(t) {
			continue
		}
		for len(recs) > 0 {
			rec := recs[len(recs)-1]
			recs = recs[:len(recs)-1]
			if ok(rec) {
				n.byTrait[t] = recs
				return rec, rec.inst.Member != "" && rec.inst.Member == i.Member
			}
		}
		delete(n.byTrait, t)
	}
	return nil, false
}

// sweep drops those of whom keep says no.
func (n *newcomers) sweep(keep func(*record) bool) {
	for t, recs := range n.byTrait {
		if recs = slices.DeleteFunc(recs, func(r *record) bool { return !keep(r) }); len(recs) == 0 {
			delete(n.byTrait, t)
		} else {
			n.byTrait[t] = recs
		}
	}
	for s, rec := range n.byShard {
		if !keep(rec) {
			delete(n.byShard, s)
		}
	}
}

func (rec *record) cameWithin(now time.Time) bool {
	return !rec.gone && rec.state.Scraped() && now.Sub(clock(rec.joined)) <= replaceWithin
}

func (rec *record) leftWithin(now time.Time) bool {
	return rec.lost() && rec.x.excuse != slowShrink && now.Sub(clock(rec.x.left)) <= replaceWithin
}

// arrived looks for one whom a newcomer replaces, and else keeps the newcomer in mind for one who leaves soon. left is when it left itself, in Unix ns; 0: it is new. One
// that was away for some minutes makes up for itself.
func (r *Roster) arrived(rec *record, left int64, now time.Time, out []Change) []Change {
	g := rec.g
	away := nanos(now) - left
	if left != 0 && away <= int64(lately) && g.fell >= left {
		g.low = min(g.low+1, g.size())
		r.grew[g] = struct{}{}
	}
	if nanos(now)-g.first <= int64(settleFor) {
		g.low = g.size()
		return out
	}
	back := left != 0 && away <= int64(replaceWithin)
	t := traitOf(rec.inst)
	old, moved := g.left.take(rec.inst, func(o trait) bool { return !back && o.zone == t.zone && notOlder(t.version, o.version) },
		func(o *record) bool { return o != rec && o.leftWithin(now) })
	switch {
	case old != nil:
	case !back:
		g.came.add(rec)
		return out
	default:
		g.came.shard(rec)
		return out
	}
	r.excuse(old, rec, moved)
	if old.state == Departed {
		old.reason = reasonOf(old)
		out = append(out, r.change(old, Departed, now))
	}
	return out
}

func (r *Roster) excuse(old, by *record, moved bool) {
	old.x.excuse = "replaced by " + by.inst.Addr()
	if moved {
		old.x.cause = Moved
	}
	r.touched(old)
}

// replaced looks for a newcomer who made up for one who has just left; without one it may have left alone.
func (r *Roster) replaced(rec *record, was map[*record]State, now time.Time, out []Change) []Change {
	g, t := rec.g, traitOf(rec.inst)
	by, moved := g.came.take(rec.inst, func(o trait) bool { return o.zone == t.zone && notOlder(o.version, t.version) },
		func(o *record) bool { return o != rec && o.cameWithin(now) })
	if by != nil {
		r.excuse(rec, by, moved)
		return out
	}
	g.left.add(rec)
	return r.alone(rec, was, now, out)
}

// notOlder reports whether version a may be b or one after it. Versions that have no order may be anything.
func notOlder(a, b string) bool {
	as, bs := strings.FieldsFunc(a, notAlnum), strings.FieldsFunc(b, notAlnum)
	for i := range min(len(as), len(bs)) {
		x, y := as[i], bs[i]
		if !digits(x) || !digits(y) {
			return true
		}
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c > 0
		}
	}
	return len(as) >= len(bs)
}

func notAlnum(c rune) bool {
	return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
