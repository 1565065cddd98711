package tag

// end makes the shape that of this body, and tells of what was left out.
func (w *walker) end() {
	e, sh := w.e, w.sh
	if w.dropped > 0 {
		e.dropped.Add(w.dropped)
	}
	if w.noRoom > 0 {
		e.noRoom.Add(w.noRoom)
		if !sh.full {
			sh.full = true
			e.log.Warn("no room for the series of an instance under the rules; its sums are incomplete", "instance", w.s.Instance.Key.String(), "series", len(sh.rows), "limit_bytes", e.states.limit.Load())
		}
	}
	if w.unknown > 0 {
		e.unremembered(w.unknown, w.s.Time)
	}
	sh.missed = w.missed
	if w.leftOut != [noMemory + 1]int{} {
		e.exceeded(w)
	}
	w.example = ""
	if !w.moved && w.at == len(sh.rows) {
		return
	}
	gone := w.rank[:0] // rows that this body has not
	if w.moved {
		for i, used := range w.used {
			if !used {
				gone = append(gone, int32(i))
			}
		}
	} else {
		for i := w.at; i < len(sh.rows); i++ {
			gone = append(gone, int32(i))
		}
	}
	w.rank = gone
	if len(gone) > 0 {
		w.forget(gone)
	}
	if w.moved {
		sh.rows, sh.counts, sh.groups = fit(sh.rows, w.new.rows), fit(sh.counts, w.new.counts), fit(sh.groups, w.new.groups)
		if sh.left = fit(sh.left, w.new.left); len(sh.left) == 0 {
			sh.left = nil
		} else {
			for len(sh.left) < len(sh.rows) {
				sh.left = append(sh.left, onTheWire)
			}
		}
	} else {
		clear(sh.rows[w.at:])
		sh.rows, sh.counts = sh.rows[:w.at], sh.counts[:w.k]
		if sh.left != nil {
			sh.left = sh.left[:w.at]
		}
	}
	if len(gone) > 0 && len(sh.groups) > 0 {
		w.compact()
	}
	clear(w.new.rows)
	clear(w.new.groups)
	clear(w.fresh)
	clear(w.groups)
	e.weigh(sh)
}

// forget gives back rows of the shape before. They were seen today, and so are not new when they come back.
func (w *walker) forget(gone []int32) {
	e, sh := w.e, w.sh
	var n int64
	sh.book.of.mu.Lock()
	for _, i := range gone {
		d := sh.rows[i]
		if w.p.limits.Target > 0 && d.do == keep && sh.why(int(i)) == onTheWire && !sh.gone.has(d.unique) && e.roomFor(&sh.gone, targetSmall) {
			e.note(sh, d.unique)
		}
		n += sh.book.release(d)
	}
	sh.book.of.mu.Unlock()
	e.states.bytes.Add(-n)
}

// compact leaves out the groups that no row goes into any more.
func (w *walker) compact() {
	sh := w.sh
	to := w.rank[:0]
	for range sh.groups {
		to = append(to, -1)
	}
	n := int32(0)
	for i := range sh.counts {
		g := sh.counts[i].group
		if to[g] < 0 {
			to[g] = 0
			n++
		}
	}
	w.rank = to
	if int(n) == len(sh.groups) {
		return
	}
	n = 0
	for g := range to {
		if to[g] == 0 {
			to[g] = n
			sh.groups[n] = sh.groups[g]
			n++
		}
	}
	clear(sh.groups[n:])
	sh.groups = sh.groups[:n]
	for i := range sh.counts {
		sh.counts[i].group = to[sh.counts[i].group]
	}
}

// fit copies a list over another, in the memory of that where it is neither too small nor far too large.
func fit[T any](over, list []T) []T {
	if cap(over) < len(list) || cap(over) > 2*len(list)+64 {
		over = nil
		if len(list) > 0 {
			over = make([]T, 0, len(list)+len(list)/8)
		}
	}
	n := len(over)
	over = append(over[:0], list...)
	if n > len(over) {
		clear(over[len(over):n])
	}
	return over
}
