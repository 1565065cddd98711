package rollup

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

const (
	step        = 10_000
	minute      = 60_000
	chunkPoints = 60 // of golden signals ten minutes, of other metrics an hour
	fields      = 6  // rate, errors, latency lo, estimate, hi, instances
	chunkBytes  = 4*chunkPoints*fields + 96
	plainBytes  = 4*chunkPoints*2 + 96
	keepFor     = 24 * 60 * minute
)

// History is the last day of all services by dimension, within a byte budget. It is safe for concurrent use.
type History struct {
	maxBytes int

	mu       sync.RWMutex
	services map[[2]string]*service
	bytes    int
	newest   int64
	evicted  Evicted
}

// Evicted is what the budget took: the oldest parts by dimension first, of services as a whole last.
type Evicted struct {
	Points  uint64 `json:"points"`
	Service string `json:"service"` // the last one that lost some
	Before  int64  `json:"before"`  // Unix ms: its parts begin here now
}

type service struct {
	lines   map[lineKey]*line
	latency string
	n, m    int // of the newest
	newest  int64
	asOf    int64
	slots   map[int64]uint64 // by chunk of golden slots: a bit for each that is there
}

type lineKey struct{ metric, dim, value string } // metric is empty for golden signals; dim "minute" with no value for metrics by the minute

// line is one slice over time: chunks by their number.
type line struct {
	kind   string
	width  int // figures a point
	step   int64
	chunks map[int64][]float32
	n      int // instances of the newest
}

// NewHistory makes an empty one; maxBytes of 0 is 256 MiB.
func NewHistory(maxBytes int) *History {
	return &History{maxBytes: cmp.Or(maxBytes, 256<<20), services: map[[2]string]*service{}}
}

// byMinute is the dimension of metrics by the minute: no tag is called so.
const byMinute = "\x00minute"

// Add takes a rollup in: the newest of a slot counts. It does not keep r.
func (h *History) Add(r *dashboards.Rollup) {
	if r.Step != step {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.T < h.newest-keepFor || r.T > r.AsOf+minute {
		return
	}
	h.newest = max(h.newest, r.T)
	k := [2]string{r.Service, r.Env}
	s := h.services[k]
	if s == nil {
		s = &service{lines: map[lineKey]*line{}, slots: map[int64]uint64{}}
		h.services[k] = s
	}
	c, i := r.T/step/chunkPoints, uint(r.T/step%chunkPoints)
	s.slots[c] |= 1 << i
	if r.T >= s.newest {
		s.newest, s.latency, s.n, s.m, s.asOf = r.T, r.LatencyName, r.N, r.M, r.AsOf
	}
	for j := range r.Slices {
		x := &r.Slices[j]
		if x.Metric != "" {
			h.set(s, lineKey{x.Metric, x.Dim, x.Value}, "", 2, step, r.T, x.N, []float32{float32(x.Rate), float32(x.N)})
			continue
		}
		h.set(s, lineKey{"", x.Dim, x.Value}, "", fields, step, r.T, x.N,
			[]float32{float32(x.Rate), float32(x.Errors), float32(x.Latency.Lo), float32(x.Latency.Est), float32(x.Latency.Hi), float32(x.N)})
	}
	for j := range r.Metrics {
		m := &r.Metrics[j]
		h.set(s, lineKey{m.Name, byMinute, ""}, m.Kind, 2, minute, r.T/minute*minute, m.N, []float32{float32(m.Value), float32(m.N)})
	}
	if h.bytes > h.maxBytes {
		h.evict()
	}
}

func (h *History) set(s *service, k lineKey, kind string, width int, step, t int64, n int, v []float32) {
	l := s.lines[k]
	if l == nil {
		l = &line{width: width, step: step, chunks: map[int64][]float32{}}
		s.lines[k] = l
		h.bytes += 128 + len(k.dim) + len(k.value) + len(k.metric)
	}
	l.kind, l.n = kind, n
	c := t / step / chunkPoints
	data := l.chunks[c]
	if data == nil {
		data = make([]float32, chunkPoints*width)
		for i := range data {
			data[i] = float32(math.NaN())
		}
		l.chunks[c] = data
		h.bytes += l.bytes()
	}
	copy(data[int(t/step%chunkPoints)*width:], v)
}

func (l *line) bytes() int {
	if l.width == 2 {
		return plainBytes
	}
	return chunkBytes
}

// Expire forgets what is older than a day before now (Unix ms). A rollup of a clock that is days ahead keeps those of the present out until then, and no longer.
func (h *History) Expire(now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest = min(h.newest, now)
	for k, s := range h.services {
		for lk, l := range s.lines {
			for c := range l.chunks {
				if (c+1)*chunkPoints*l.step < now-keepFor {
					delete(l.chunks, c)
					h.bytes -= l.bytes()
				}
			}
			if len(l.chunks) == 0 {
				delete(s.lines, lk)
				h.bytes -= 128 + len(lk.dim) + len(lk.value) + len(lk.metric)
			}
		}
		for c := range s.slots {
			if (c+1)*chunkPoints*step < now-keepFor {
				delete(s.slots, c)
			}
		}
		if len(s.lines) == 0 {
			delete(h.services, k)
		}
	}
}

// evict drops the oldest chunks until the budget holds with a tenth to spare: of dimensions first.
func (h *History) evict() {
	type old struct {
		s     *service
		name  string
		k     lineKey
		l     *line
		c     int64
		until int64
	}
	var all []old
	for k, s := range h.services {
		for lk, l := range s.lines {
			for c := range l.chunks {
				all = append(all, old{s, k[0] + "/" + k[1], lk, l, c, (c + 1) * chunkPoints * l.step})
			}
		}
	}
	whole := func(o *old) int {
		if o.k.metric == "" && o.k.dim == "" {
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Or(whole(&a)-whole(&b), cmp.Compare(a.until, b.until)) })
	for i := range all {
		if h.bytes <= h.maxBytes-h.maxBytes/10 {
			return
		}
		o := &all[i]
		delete(o.l.chunks, o.c)
		h.bytes -= o.l.bytes()
		if len(o.l.chunks) == 0 { // of names that are many and said once, most of it is their names
			delete(o.s.lines, o.k)
			h.bytes -= 128 + len(o.k.dim) + len(o.k.value) + len(o.k.metric)
		}
		h.evicted.Points += chunkPoints
		h.evicted.Service, h.evicted.Before = o.name, o.until
		if o.k.metric == "" && o.k.dim == "" {
			delete(o.s.slots, o.c)
		}
	}
}

// Has reports whether a slot of a service is known.
func (h *History) Has(name, env string, t int64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.services[[2]string{name, env}]
	return s != nil && s.slots[t/step/chunkPoints]>>(uint(t/step)%chunkPoints)&1 == 1
}

// Health is the account for status pages.
type Health struct {
	Services int     `json:"services"`
	Lines    int     `json:"lines"`
	Bytes    int     `json:"bytes"`
	MaxBytes int     `json:"max_bytes"`
	Evicted  Evicted `json:"evictions"`
}

// Health is the History's account.
func (h *History) Health() Health {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := Health{Services: len(h.services), Bytes: h.bytes, MaxBytes: h.maxBytes, Evicted: h.evicted}
	for _, s := range h.services {
		out.Lines += len(s.lines)
	}
	return out
}
