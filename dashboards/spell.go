package dashboards

import (
	"math"
	"slices"
)

// spell is how an instance counts in a drawing from a moment on: under which name, if at all.
type spell struct {
	from  int64 // Unix ms
	name  string
	holds bool // the conditions hold for it
}

// spells are those of one instance, oldest first, the first from the beginning of time: a deploy ends one and begins another where the query tells versions apart.
// They are good until the next call.
func (d *drawing) spells(in *instance, c *column) []spell {
	d.buf = append(d.buf[:0], d.spell(in, c, math.MinInt64))
	for i := range in.moves {
		if m := &in.moves[i]; slices.Contains(d.moving, m.Name) {
			if s, last := d.spell(in, c, m.T), d.buf[len(d.buf)-1]; s.name != last.name || s.holds != last.holds {
				d.buf = append(d.buf, s)
			}
		}
	}
	return d.buf
}

func (d *drawing) spell(in *instance, c *column, t int64) spell {
	s := spell{from: t, holds: true}
	for _, w := range d.q.Where {
		s.holds = s.holds && (slices.Contains(d.labels, w.Name) || slices.Contains(w.Values, in.dimension(w.Name, t)))
	}
	if d.q.By == "" {
		return s
	}
	if s.name = c.label(d.q.By); s.name == "" {
		s.name = in.dimension(d.q.By, t)
	}
	if s.name == "" {
		s.name = "unknown"
	}
	if d.keep != nil && !d.keep[s.name] {
		s.name = "other"
	}
	return s
}

// later is which of some spells is on at a moment; that one, or one before it, is the k-th.
func later(spells []spell, k int, t int64) int {
	for k+1 < len(spells) && spells[k+1].from <= t {
		k++
	}
	return k
}

// moves says which of the names that the query tells instances apart by have a past.
func (q *Query) moves(labels []string) (out []string) {
	past := func(name string) {
		if tag := TagName(name); hasPast(tag) && !slices.Contains(labels, name) {
			out = append(out, tag)
		}
	}
	past(q.By)
	for _, w := range q.Where {
		past(w.Name)
	}
	return out
}

// hasPast reports whether it is remembered what a tag was before.
func hasPast(tag string) bool { return tag == TagVersion || tag == TagTrack }

// dimension is a value by which the instance is told apart: its address, its region, or a tag by its full or short name; versions and tracks as they were at a moment.
func (in *instance) dimension(name string, t int64) string {
	switch name {
	case "instance":
		return in.addr
	case "region", TagRegion:
		return RegionOf(in.tag(TagRegion), in.tag(TagZone))
	}
	tag := TagName(name)
	if hasPast(tag) {
		return in.at(tag, t)
	}
	return in.tag(tag)
}
