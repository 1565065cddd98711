package rollup

import (
	"math"
	"time"
)

// Step is the length of a slot.
const Step = step * time.Millisecond

// Spent is what was asked in a span and what of it was bad: requests, over the slots that are known.
type Spent struct {
	All, Bad float64
	Slots    int
}

// Spent adds up what was asked of a service and what of it was bad, over several spans that end with its newest slot, the shortest first. Where all and bad are
// empty they are its requests and errors; else pinned metrics, rates both. end is where the newest slot ends, Unix ms; 0: nothing is known.
func (h *History) Spent(name, env, all, bad string, spans []time.Duration) (out []Spent, end int64) {
	out = make([]Spent, len(spans))
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.services[[2]string{name, env}]
	if s == nil || len(spans) == 0 {
		return out, 0
	}
	of, worse := s.lines[lineKey{metric: all}], s.lines[lineKey{metric: bad}]
	if of == nil || worse == nil {
		return out, 0
	}
	at := 0 // of a point of the second line
	if bad == "" {
		at = 1
	}
	newest := s.newest / step
	oldest := newest - spans[len(spans)-1].Milliseconds()/step + 1
	k := 0
	var sum Spent
	for i := newest; i >= oldest; i-- {
		for k < len(spans) && newest-i >= spans[k].Milliseconds()/step {
			out[k] = sum
			k++
		}
		x, y := of.point(i), worse.point(i)
		if x == nil {
			continue
		}
		n, b := float64(x[0]), math.NaN()
		if y != nil {
			b = float64(y[at])
		}
		if math.IsNaN(n) || math.IsNaN(b) {
			continue
		}
		if end == 0 {
			end = (i + 1) * step
		}
		sum.All += n * step / 1000
		sum.Bad += b * step / 1000
		sum.Slots++
	}
	for ; k < len(spans); k++ {
		out[k] = sum
	}
	return out, end
}

// point is one slot of a line by its number, nil where there is none.
func (l *line) point(i int64) []float32 {
	data := l.chunks[i/chunkPoints]
	if data == nil {
		return nil
	}
	return data[int(i%chunkPoints)*l.width:][:l.width]
}
