package tag

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// recall is what is known of series for which there is no room: 16 bytes each, in a table of a fixed size where one takes the place of another. So what is past
// the budget costs a look into the table in each scrape, and is made out anew only where another series has its place.
type recall struct {
	once  sync.Once
	bytes int64
	slots []atomic.Uint64 // pairs: key ^ value, value. A pair that two have written at once is of no key.
}

// recalled is a value: unique << 32 | day << 16 | tells << 8 | action, and one bit so that it is never 0.
type recalled uint64

const recalledSet recalled = 1 << 15

func recallOf(d *def, day int32) recalled {
	v := recalledSet | recalled(d.unique)<<32 | recalled(uint16(day))<<16 | recalled(d.do)
	if d.tells {
		v |= 1 << 8
	}
	return v
}

func (v recalled) unique() uint32 { return uint32(v >> 32) }
func (v recalled) day() uint16    { return uint16(v >> 16) } // the last on which the service counted it
func (v recalled) tells() bool    { return v>>8&1 == 1 }
func (v recalled) do() action     { return action(v & 0xff) }

// share is how much of a limit the table takes.
func (t *recall) share(limit int64) int64 {
	size := int64(64)
	for size*2 <= limit/16 {
		size *= 2
	}
	return size
}

// bucket is the place of the four pairs, a cache line, that may hold a key.
func (t *recall) bucket(key uint64) int {
	t.once.Do(t.make)
	return int(key&uint64(len(t.slots)/8-1)) * 8
}

func (t *recall) get(key uint64) (v recalled, ok bool) {
	b := t.slots[t.bucket(key):][:8]
	for i := 0; i < 8; i += 2 {
		v = recalled(b[i+1].Load())
		if v != 0 && b[i].Load()^uint64(v) == key {
			return v, true
		}
	}
	return 0, false
}

func (t *recall) put(key uint64, v recalled) {
	b := t.slots[t.bucket(key):][:8]
	at := int(key>>62) * 2 // whose place it takes, where none is free
	for i := 0; i < 8; i += 2 {
		if old := b[i+1].Load(); old == 0 || b[i].Load()^old == key {
			at = i
			break
		}
	}
	b[at].Store(key ^ uint64(v))
	b[at+1].Store(uint64(v))
}

func (t *recall) make() { t.slots = make([]atomic.Uint64, t.bytes/8) }

// recall finds what becomes of a series for which there is no room; false where it is not known. It takes the service's lock only for a series that is to be counted.
func (w *walker) recall(h uint64, smp *collector.Sample) (r result, ok bool) {
	e, sh := w.e, w.sh
	key := h ^ sh.book.salt
	v, ok := e.recall.get(key)
	if !ok || v.do() == add && e.room(w.pending+24, true) {
		return r, false
	}
	r.fresh = true
	do := v.do()
	d := &w.bare[do]
	d.do, d.tells, d.unique, d.day = do, v.tells(), v.unique(), 0
	if l := w.p.limits; l != (Limits{}) && (do == keep || do == rename) && !sh.gone.has(d.unique) {
		switch {
		case l.Target > 0 && sh.seen+sh.extra >= l.Target:
			r.why = targetLimit
		case l.Service > 0 && v.day() != uint16(sh.day):
			svc := sh.book.of
			svc.mu.Lock()
			if r.why = e.admit(sh, svc, d, l); r.why == onTheWire {
				e.recall.put(key, recallOf(d, svc.countedOn(d)))
				e.unrowed(sh, d, l)
			}
			svc.mu.Unlock()
		case l.Target > 0:
			sh.extra++
		}
		if r.why != onTheWire && w.example == "" {
			w.example = seriesText(smp)
		}
	}
	switch do {
	case rename:
		f := w.p.fate(smp, sh.book.target, sh.book.id.db)
		d.out = &output{name: f.name, labels: f.labels}
	case add:
		w.missed = true
		w.noRoom++
	}
	r.def = d
	w.unknown++
	return r, true
}

// unremembered counts samples of series that are not remembered for want of room, and says so once an hour.
func (e *Enricher) unremembered(n int, now time.Time) {
	e.unknown.Add(n)
	said := e.saidFull.Load()
	if now.Unix()-said >= 3600 && e.saidFull.CompareAndSwap(said, now.Unix()) {
		e.log.Warn("no room to remember more series: they are looked up in each scrape, and a target's are counted in each body alone; raise enrich.state_bytes", "limit_bytes", e.states.limit.Load(), "bytes", e.states.bytes.Load())
	}
}
