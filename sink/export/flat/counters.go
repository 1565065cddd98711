package flat

import (
	"cmp"
	"container/list"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Memory bounds the series that all encoders of an export remember together.
type Memory struct {
	most    int
	log     *slog.Logger
	evicted *metrics.Counter

	mu   sync.Mutex
	used int
	told time.Time
}

// NewMemory makes room for so many series; 0: two million, about 200 MB. name is the export's in the metrics; set and log may be nil.
func NewMemory(most int, name string, set *metrics.Set, log *slog.Logger) *Memory {
	if set == nil {
		set = metrics.NewSet()
	}
	m := &Memory{most: cmp.Or(most, 2_000_000), log: cmp.Or(log, slog.New(slog.DiscardHandler)), evicted: set.GetOrCreateCounter(fmt.Sprintf("rollcall_export_flat_evicted_series_total{export=%s}", promtext.Quote(name)))}
	gauge := fmt.Sprintf("rollcall_export_flat_series{export=%s}", promtext.Quote(name))
	set.UnregisterMetric(gauge) // of an export that ended before this one
	set.NewGauge(gauge, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(m.used)
	})
	return m
}

// take changes how many series there are, and reports by how many that is too many.
func (m *Memory) take(n int) (over int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
	return max(0, m.used-m.most)
}

// evict tells of series that are forgotten: the next value of each begins anew.
func (m *Memory) evict(instance string, series int) {
	m.evicted.Add(series)
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.told) > time.Minute {
		m.told = now
		m.log.Warn("more series than are remembered: those heard of least lately are forgotten, and what they grow by until they are heard of again is not told",
			"instance", instance, "its_series", series, "series", m.used, "most", m.most)
	}
}

// counters remember the last value of each counter, by instance. An instance is forgotten as a whole, so that a series that is new in one that is remembered was not
// there before.
type counters struct {
	memory    *Memory
	seed      maphash.Seed
	instances map[string]*instance
	recent    *list.List // of *instance, the one heard of last in front
}

type instance struct {
	key    string
	series map[uint64]point
	place  *list.Element
	ts     int64 // of the newest good record, Unix ms
	slot   int64 // its slot; 0: none
	partly bool  // it came in parts
	before int64 // ts of the one before it; 0: there was none, or not whole
	newest bool  // the record in hand is the newest
	swept  bool  // series of it were forgotten: a new one may be an old one
	round  int
}

// point is a counter's last value: a whole number as far as it is one.
type point struct {
	whole bool
	n     int64
	f     float64
	ts    int64
	slot  int64
	from  uint64 // collector
}

// growth is what a counter grew by since the value before.
type growth struct {
	known       bool
	whole       bool
	n           int64
	f           float64
	dt          int64 // ms
	reset       bool
	gap         bool
	late, fresh bool
}

func newCounters(m *Memory) *counters {
	return &counters{memory: m, seed: maphash.MakeSeed(), instances: map[string]*instance{}, recent: list.New()}
}

func (c *counters) close() {
	for _, in := range c.instances {
		c.memory.take(-len(in.series))
	}
	c.instances = nil
}

// begin is the instance of a record; nil for a scrape that failed, which says nothing of counters.
func (c *counters) begin(r *wire.Record) *instance {
	if r.Outcome != collector.OK {
		return nil
	}
	key := r.Service + "\x00" + r.Env + "\x00" + r.Instance
	in := c.instances[key]
	if in == nil {
		in = &instance{key: key, series: map[uint64]point{}}
		in.place = c.recent.PushFront(in)
		c.instances[key] = in
	} else {
		c.recent.MoveToFront(in.place)
	}
	in.arrive(r)
	return in
}

const (
	// sweepRounds is after how many records an instance's series are looked through for those that it has no more.
	sweepRounds = 256
	// sweepAge is for how long a series that an instance does not tell of is remembered.
	sweepAge = time.Hour
)

// end notes that a record was seen, and keeps within the memory.
func (c *counters) end(in *instance) {
	if in == nil {
		return
	}
	if in.round++; in.round%sweepRounds == 0 {
		n := 0
		for k, p := range in.series {
			if p.ts < in.ts-sweepAge.Milliseconds() {
				delete(in.series, k)
				n++
			}
		}
		in.swept = in.swept || n > 0
		c.memory.take(-n)
	}
	for over := c.memory.take(0); over > 0 && c.recent.Len() > 1; over = c.memory.take(0) {
		old := c.recent.Remove(c.recent.Back()).(*instance)
		delete(c.instances, old.key)
		c.memory.take(-len(old.series))
		c.memory.evict(old.key, len(old.series))
	}
}

// see takes a counter's value in.
func (c *counters) see(in *instance, r *wire.Record, s *collector.Sample) (g growth) {
	if in == nil {
		return g
	}
	now := point{ts: r.TS, slot: r.Source.Slot, from: r.ID.Collector}
	var err error
	if now.n, err = strconv.ParseInt(s.Value, 10, 64); err == nil {
		now.whole, now.f = true, float64(now.n)
	} else if now.f, err = strconv.ParseFloat(s.Value, 64); err != nil || math.IsInf(now.f, 0) || math.IsNaN(now.f) {
		return g
	}
	key := c.hash(s)
	old, seen := in.series[key]
	if !seen {
		in.series[key] = now
		c.memory.take(1)
		// A series that an instance did not have in its last whole record begins at nothing: all of it is new. Not so where the instance itself is new to us.
		if in.newest && in.before > 0 && !in.swept && r.Parts == 0 && r.TS-in.before <= 2*max(r.Source.Interval.Milliseconds(), 1) {
			g = growth{known: true, whole: now.whole, n: now.n, f: now.f, dt: r.TS - in.before, fresh: true}
		}
		return g
	}
	if now.ts <= old.ts || now.slot != 0 && now.slot == old.slot && now.from != old.from {
		g.late = true // what it says is in the difference of those around it
		return g
	}
	in.series[key] = now
	g = growth{known: true, dt: now.ts - old.ts, whole: now.whole && old.whole}
	g.gap = g.dt > 2*max(r.Source.Interval.Milliseconds(), 1) || now.from != old.from
	switch {
	case now.f < old.f || now.whole && old.whole && now.n < old.n: // the process began anew
		g.reset, g.whole, g.n, g.f = true, now.whole, now.n, now.f
	case g.whole:
		g.n = now.n - old.n
		if g.n < 0 { // it is larger than a whole number may be
			g.whole, g.f = false, now.f-old.f
		}
	default:
		g.f = now.f - old.f
	}
	return g
}

// arrive notes a record of the instance.
func (in *instance) arrive(r *wire.Record) {
	in.newest = r.TS > in.ts && (r.Source.Slot == 0 || r.Source.Slot != in.slot)
	if !in.newest {
		return
	}
	if in.before = in.ts; in.partly { // some of its parts may be missing
		in.before = 0
	}
	in.ts, in.slot, in.partly = r.TS, r.Source.Slot, r.Parts > 0
}

func (c *counters) hash(s *collector.Sample) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(s.Name)
	for i := range s.Labels {
		h.WriteByte(0)
		h.WriteString(s.Labels[i].Name)
		h.WriteByte(1)
		h.WriteString(s.Labels[i].Value)
	}
	return h.Sum64()
}

// append appends a growth's keys.
func (g *growth) append(dst []byte) []byte {
	switch {
	case !g.known:
		dst = append(dst, `,"delta":null,"dt_ms":null`...)
	case g.whole:
		dst = strconv.AppendInt(append(dst, `,"delta":`...), g.n, 10)
	default:
		dst, _ = wire.AppendFloat(append(dst, `,"delta":`...), g.f)
	}
	if g.known {
		dst = strconv.AppendInt(append(dst, `,"dt_ms":`...), g.dt, 10)
	}
	dst = strconv.AppendBool(append(dst, `,"reset":`...), g.reset)
	for _, f := range []struct {
		is   bool
		name string
	}{{g.gap, "gap"}, {g.late, "late"}, {g.fresh, "new"}} {
		if f.is {
			dst = append(append(append(dst, `,"`...), f.name...), `":true`...)
		}
	}
	return dst
}
