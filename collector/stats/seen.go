package stats

import (
	"hash/maphash"
	"unsafe"
)

// space keeps the names of one section of a body apart from those of another: a counter and a gauge may share a name.
type space uint8

// The spaces. Ostrich's and Dropwizard's sections have one each; everything else is flat.
const (
	flat space = iota
	secCounters
	secGauges
	secLabels
	secMetrics
	secHistograms
	secMeters
	secTimers
	prefixes // of dotted names, for gather
	numSpaces
)

// entry is one name that a body has said, and the samples that came of it: one, none, or all those below an object.
type entry struct {
	name     string
	from, to int32
	space    space
}

// seen finds names that stand twice. Most applications write their names sorted, and names that only rise are all different: the table of hashes is made for a
// space when its first name comes out of order.
type seen struct {
	entries []entry
	last    [numSpaces]string // the greatest name so far, while they rise
	mixed   [numSpaces]bool   // they did not: the names are in the table
	seed    maphash.Seed      // of this Parser, so that nobody outside can choose names that collide
	seeded  bool
	slots   []slot // open addressing, a power of two
	used    int
	gen     uint32 // a slot of another generation is empty
}

type slot struct {
	hash, gen uint32
	at        int32 // in entries
}

func (d *seen) reset() {
	d.entries, d.used = d.entries[:0], 0
	d.last, d.mixed = [numSpaces]string{}, [numSpaces]bool{}
	if d.gen++; d.gen == 0 {
		clear(d.slots)
		d.gen = 1
	}
}

func (d *seen) size() int {
	return cap(d.entries)*int(unsafe.Sizeof(entry{})) + cap(d.slots)*int(unsafe.Sizeof(slot{}))
}

// add registers a name whose samples will start at from. Where the space has it already, again is true and the entry at at is the old one: the caller
// replaces its range.
func (d *seen) add(sp space, name string, from int) (at int, again bool) {
	if !d.mixed[sp] {
		if name > d.last[sp] {
			d.last[sp] = name
			d.entries = append(d.entries, entry{name: name, from: int32(from), to: int32(from), space: sp})
			return len(d.entries) - 1, false
		}
		d.mixed[sp] = true
		for i := range d.entries {
			if e := &d.entries[i]; e.space == sp {
				d.find(e.space, e.name, i)
			}
		}
	}
	at = d.find(sp, name, len(d.entries))
	if at < len(d.entries) {
		return at, true
	}
	d.entries = append(d.entries, entry{name: name, from: int32(from), to: int32(from), space: sp})
	return at, false
}

// find is the entry of a name, or the place for it, which it then takes.
func (d *seen) find(sp space, name string, place int) int {
	if 2*d.used >= len(d.slots) {
		d.grow()
	}
	h := d.hash(sp, name)
	for i := int(h) & (len(d.slots) - 1); ; i = (i + 1) & (len(d.slots) - 1) {
		s := &d.slots[i]
		if s.gen != d.gen {
			*s = slot{h, d.gen, int32(place)}
			d.used++
			return place
		}
		if s.hash == h {
			if e := &d.entries[s.at]; e.space == sp && e.name == name {
				return int(s.at)
			}
		}
	}
}

func (d *seen) hash(sp space, name string) uint32 {
	if !d.seeded {
		d.seed, d.seeded = maphash.MakeSeed(), true
	}
	return uint32(maphash.String(d.seed, name)>>32) + uint32(sp)*0x9e3779b9
}

func (d *seen) grow() {
	old := d.slots
	d.slots = make([]slot, max(256, 2*len(old)))
	for _, s := range old {
		if s.gen != d.gen {
			continue
		}
		i := int(s.hash) & (len(d.slots) - 1)
		for d.slots[i].gen == d.gen {
			i = (i + 1) & (len(d.slots) - 1)
		}
		d.slots[i] = s
	}
}
