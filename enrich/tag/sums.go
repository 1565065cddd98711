package tag

import (
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// add counts what a sample has grown by.
func (w *walker) add(smp *collector.Sample, r *result) {
	switch {
	case r.again:
		w.s.Duplicates++ // the first counts
		return
	case r.count == nil:
		return // no room
	}
	now, ok := parseNumber(smp.Value)
	if !ok {
		w.s.Nonfinite++ // what it was last stays: it is no other counter for that
		return
	}
	c := r.count
	before, had := c.number(), c.valued
	c.set(now)
	if smp.Kind == collector.Untyped && !r.def.counter {
		w.e.leftOut[smp.Kind].Inc()
		return
	}
	t := &w.sums[c.group]
	if !t.on {
		t.on = true
		w.touched = append(w.touched, c.group)
	}
	switch {
	case had:
		t.add(before, now)
	case r.fresh && !w.sh.missed: // else it may have been there before, unseen
		t.all(now)
	}
}

func (c *count) set(n number) { c.bits, c.float, c.valued = n.bits, n.float, true }

// emit appends a sample for each sum. There are never more of them than samples that went into them, so the slice does not grow.
func (w *walker) emit(kept *kept, since time.Duration) {
	if len(w.touched) == 0 {
		return
	}
	groups := w.sh.groups
	if w.moved {
		groups = w.new.groups
	}
	// One text holds all numbers: one allocation a snapshot.
	w.buf, w.ends = w.buf[:0], w.ends[:0]
	for _, g := range w.touched {
		var ok bool
		if w.buf, ok = w.sums[g].append(w.buf); !ok {
			w.s.Nonfinite++
		}
		w.ends = append(w.ends, len(w.buf))
	}
	text, at := string(w.buf), 0
	for i, g := range w.touched {
		if v := text[at:w.ends[i]]; v != "" {
			kept.add(collector.Sample{Name: groups[g].name, Kind: collector.Delta, Labels: groups[g].labels, Value: v, Since: since})
		}
		at = w.ends[i]
	}
}

// kept shortens a slice of samples in place. A sample is large: one that stays where it is is not copied.
type kept struct {
	all []collector.Sample
	n   int
}

func (k *kept) keep(i int) {
	if k.n != i {
		k.all[k.n] = k.all[i]
	}
	k.n++
}

func (k *kept) add(s collector.Sample) {
	k.all[k.n] = s
	k.n++
}

func (k *kept) end() []collector.Sample {
	clear(k.all[k.n:])
	return k.all[:k.n]
}
