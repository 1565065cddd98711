package dashboards

import (
	"cmp"
	"slices"
)

// Evictions is what the byte budget took from the windows.
type Evictions struct {
	Values  uint64 `json:"values"`  // samples dropped before their time
	Service string `json:"service"` // the last one that lost some
	Before  int64  `json:"before"`  // Unix ms: its window begins here now
}

// Evicted is up to when (Unix ms) values went for the budget the last time that any had to; 0: none had to.
func (b *Board) Evicted() int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.evictions.Before
}

// evict drops the oldest blocks of all until the budget holds with a tenth to spare.
func (b *Board) evict(services []*service, bytes int) int {
	type old struct {
		last int64
		s    *service
		in   *instance
		n    int
	}
	var all []old
	for _, s := range services {
		s.mu.RLock()
		for _, in := range s.instances {
			for i := range in.blocks {
				all = append(all, old{in.blocks[i].last, s, in, i})
			}
		}
		s.mu.RUnlock()
	}
	slices.SortFunc(all, func(x, y old) int { return cmp.Or(cmp.Compare(x.last, y.last), cmp.Compare(x.n, y.n)) })
	goal := b.opts.MaxBytes - b.opts.MaxBytes/10
	var ev Evictions
	for _, o := range all {
		if bytes <= goal {
			break
		}
		o.s.mu.Lock()
		if len(o.in.blocks) > 0 {
			bk := &o.in.blocks[0]
			bytes -= len(bk.data) + blockOverhead
			ev.Values += uint64(bk.rows * bk.cols)
			ev.Service, ev.Before = o.s.group(), bk.last
			o.s.evicted = max(o.s.evicted, bk.last)
			o.in.blocks = slices.Delete(o.in.blocks, 0, 1)
		}
		o.s.mu.Unlock()
	}
	if bytes > goal {
		bytes = evictHeads(services, bytes, goal, &ev)
	}
	if ev.Values > 0 {
		b.mu.Lock()
		ev.Values += b.evictions.Values
		b.evictions = ev
		b.mu.Unlock()
	}
	return bytes
}

// evictHeads drops the oldest rows that are not packed yet, down to those that late ones find their places among: a budget that does not even hold these is no reason to
// pass it.
func evictHeads(services []*service, bytes, goal int, ev *Evictions) int {
	type head struct {
		first int64
		s     *service
		in    *instance
	}
	var all []head
	for _, s := range services {
		s.mu.RLock()
		for _, in := range s.instances {
			if len(in.head) > keepRows {
				all = append(all, head{in.head[0].t, s, in})
			}
		}
		s.mu.RUnlock()
	}
	slices.SortFunc(all, func(x, y head) int { return cmp.Compare(x.first, y.first) })
	for _, h := range all {
		if bytes <= goal {
			break
		}
		h.s.mu.Lock()
		if n := len(h.in.head) - keepRows; n > 0 {
			for i := range n {
				r := &h.in.head[i]
				bytes -= 8*cap(r.v) + rowOverhead
				ev.Values += uint64(len(r.v))
			}
			ev.Service, ev.Before = h.s.group(), h.in.head[n-1].t
			h.s.evicted = max(h.s.evicted, ev.Before)
			h.in.head = slices.Delete(h.in.head, 0, n)
		}
		h.s.mu.Unlock()
	}
	return bytes
}
