package tag

import (
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// shape is what is remembered of one instance's body: the sequence of its series and what is done with each, so that the next body is compared, series by series,
// and nothing is looked up but what moved. Of a series it holds 8 bytes, and 16 more where a rule sums it; the rest all instances of the service share.
//
// The sums that come out are exact: a series of the last good scrape counts its increase, one that fell counts its new value, one that was not there counts whole,
// and the first scrape counts nothing, as nobody knows since when its totals have grown.
type shape struct {
	book *book
	rows []*def // in the order of the last good body, each once
	// counts are those of the rows that are summed, in their order.
	counts []count
	left   []past // why a row is left out; nil where none is
	groups []*output

	last   time.Time // of the last good scrape; zero: the next is the first
	slot   pulled    // of the last scrape
	missed bool      // the last good scrape had counters of which nothing could be remembered: who is new may have been there
	full   bool      // no room was found, and said so

	same     same           // the last good body, if there was nothing to do with it
	targetOf discovery.Tags // that book.id.target was made of
	limits   Limits         // that left was decided under
	day      int32
	seen     int   // series that went on the wire today
	extra    int   // and of this body those that no memory stands for
	gone     set32 // those of them that no row with `keep` stands for
	bytes    int64
}

// count is a counter's value as of the last good scrape.
type count struct {
	bits          uint64
	group         int32 // in shape.groups
	float, valued bool
}

func (c *count) number() number { return number{c.bits, c.float} }

// pulled is when an instance was last pulled, and under which division of the fleet.
type pulled struct {
	at       time.Time
	term     uint64
	interval time.Duration
	left     bool // the instance has left since
}

// handed reports whether another collector may have pulled the instance since: it has left, or the fleet was divided anew, and one of its slots is not among what
// was seen here. Who leaves in order is pulled once more, at once: that is not handed over.
func (p pulled) handed(s *collector.Snapshot) bool {
	return !p.at.IsZero() && (p.left || p.term != s.Term) && slotOf(s).Sub(p.at) > max(p.interval, s.Interval)*3/2
}

func slotOf(s *collector.Snapshot) time.Time {
	if s.Slot.IsZero() {
		return s.Time
	}
	return s.Slot
}

// settle makes a shape fit the rules, the databases, the target's labels, the limits and the day.
func (e *Enricher) settle(c *compiled, p *plan, sh *shape, s *collector.Snapshot) {
	id := bookID{digest: p.digest}
	if p.places {
		id.places, id.db = c.cfg.Geo.Generation(), c.cfg.Geo
	}
	var target []collector.LabelPair
	if p.relabel != nil && len(p.relabel.target) > 0 {
		if b := sh.book; b != nil && b.id.digest == p.digest && sh.targetOf == s.Tags {
			id.target, target = b.id.target, b.target
		} else {
			target = p.relabel.of(s)
			id.target = textOf(target)
			sh.targetOf = s.Tags
		}
	}
	switch b := sh.book; {
	case b == nil:
		sh.book = e.library.open(s.Instance.Key, s.Instance.Source, id, p, target)
		sh.limits = p.limits
	case b.id != id || b.of.id.source != s.Instance.Source:
		if b.id.digest != id.digest {
			sh.last = time.Time{}
		}
		e.move(sh, e.library.open(s.Instance.Key, s.Instance.Source, id, p, target), p.limits)
	}
	if day := int32(s.Time.Unix() / 86400); day != sh.day || sh.limits != p.limits {
		e.turn(sh, day, p.limits)
	}
}

func textOf(ls []collector.LabelPair) string {
	var b strings.Builder
	for _, l := range ls {
		b.WriteString(l.Name)
		b.WriteByte(0)
		b.WriteString(l.Value)
		b.WriteByte(0)
	}
	return b.String()
}

// move takes a shape over into another book. What went on the wire under the old one still does; the counters' values stay, so that no increase is lost.
func (e *Enricher) move(sh *shape, to *book, l Limits) {
	from := sh.book
	now := shape{rows: make([]*def, 0, len(sh.rows))}
	k := 0
	for i, old := range sh.rows {
		var c count
		if old.do == add {
			c = sh.counts[k]
			k++
		}
		smp := collector.Sample{Name: old.name, Labels: old.labels, Kind: old.kind}
		to.of.mu.Lock()
		d := to.find(old.hash, &smp)
		if d == nil {
			d = to.define(e.states.seed, old.hash, &smp, nil)
			e.states.bytes.Add(to.put(d))
		}
		d.refs++
		why := onTheWire
		if l != (Limits{}) && d.do.seen() {
			switch {
			case old.do == keep && d.do == keep && sh.why(i) == onTheWire:
				e.carryService(to.of, d, sh.day, l) // the instance has counted it
			case old.do.seen() && sh.why(i) == onTheWire:
				e.carry(sh, to.of, d, l)
			default:
				why = e.admit(sh, to.of, d, l)
			}
		}
		to.of.mu.Unlock()
		if d.do == add {
			if old.do != add {
				c = count{}
			}
			c.group = groupOf(&now.groups, d.out)
			now.counts = append(now.counts, c)
		}
		now.rows = append(now.rows, d)
		now.leave(len(now.rows)-1, why)
	}
	e.drop(from, sh.rows)
	e.library.close(from, e.free)
	sh.book, sh.rows, sh.counts, sh.left, sh.groups = to, now.rows, now.counts, now.left, now.groups
	sh.same.n = 0
	e.weigh(sh)
}

// groupOf is the place of an output among the groups.
func groupOf(groups *[]*output, o *output) int32 {
	for i := len(*groups) - 1; i >= 0; i-- {
		if (*groups)[i] == o {
			return int32(i)
		}
	}
	*groups = append(*groups, o)
	return int32(len(*groups) - 1)
}

func (sh *shape) why(row int) past {
	if sh.left == nil {
		return onTheWire
	}
	return sh.left[row]
}

// leave says why the last row is left out.
func (sh *shape) leave(row int, why past) {
	if sh.left == nil && why == onTheWire {
		return
	}
	for len(sh.left) <= row {
		sh.left = append(sh.left, onTheWire)
	}
	sh.left[row] = why
}

// drop gives the defs of rows back.
func (e *Enricher) drop(b *book, rows []*def) {
	if len(rows) == 0 {
		return
	}
	var n int64
	b.of.mu.Lock()
	for _, d := range rows {
		n += b.release(d)
	}
	b.of.mu.Unlock()
	e.states.bytes.Add(-n)
}

func (e *Enricher) free(n int64) { e.states.bytes.Add(-n) }

// weigh brings the account of a shape up to date.
func (e *Enricher) weigh(sh *shape) {
	n := int64(cap(sh.rows))*8 + int64(cap(sh.counts))*16 + int64(cap(sh.left)) + int64(cap(sh.groups))*8 + int64(cap(sh.same.tells))*4 + sh.gone.bytes()
	e.states.bytes.Add(n - sh.bytes)
	sh.bytes = n
}

// bury gives back all that a shape holds.
func (e *Enricher) bury(sh *shape) {
	if sh.book == nil {
		return
	}
	e.drop(sh.book, sh.rows)
	e.library.close(sh.book, e.free)
	e.states.bytes.Add(-sh.bytes)
	*sh = shape{}
}

// room reports whether n more bytes may be remembered. The last quarter is for sums, which cannot be had without.
func (e *Enricher) room(n int64, sums bool) bool {
	limit := e.states.limit.Load()
	limit -= e.recall.bytes
	if !sums {
		limit -= limit / 4
	}
	return e.states.bytes.Load()+n <= limit
}
