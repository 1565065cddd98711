package tag

import (
	"hash/maphash"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// rollup is what the rules remember of one instance: the series of its last good scrape that a rule may fit, where each goes, and the counters' values then.
//
// The sums that come out are exact: a series of the last good scrape counts its increase, one that fell counts its new value, one that was not there counts whole,
// and the first scrape counts nothing, as nobody knows since when its totals have grown. Series are told apart by a 64-bit hash with a random seed.
type rollup struct {
	hash    string // of the rules that this was made under
	places  uint64 // generation of the databases that were asked
	last    time.Time
	epoch   uint32
	byHash  map[uint64]int32
	series  []series
	targets map[string]*target
	touched []*target // by this scrape, in the order of the body
	bytes   int64     // roughly what all this takes
	full    bool      // the limit was hit, and said so
}

type series struct {
	hash    uint64
	to      *target // nil: no rule fits
	value   number
	epoch   uint32 // of the scrape that saw it last
	ready   bool   // to is known
	valued  bool   // value is of the last good scrape
	counter bool   // its rule says that it is one
}

// target is what a rule makes of one or more series.
type target struct {
	name     string
	labels   []collector.LabelPair
	dropping bool
	sum      sum
	epoch    uint32
	emitted  bool // a counter went into sum in this scrape
}

const (
	seriesBytes = 96 // an entry of series and of byHash
	targetBytes = 256
)

func (t *target) bytes() int64 {
	n := targetBytes + 2*len(t.name)
	for _, l := range t.labels {
		n += 32 + 2*(len(l.Name)+len(l.Value))
	}
	return int64(n)
}

// hashSample tells series apart. A number of which it turns out later that it is a counter is the same series.
func hashSample(seed maphash.Seed, s *collector.Sample) uint64 {
	h := maphash.String(seed, s.Name)
	if s.Kind != collector.Counter {
		h += uint64(s.Kind)
	}
	for i := range s.Labels {
		h = (h ^ maphash.String(seed, s.Labels[i].Name)) * 0x9E3779B97F4A7C15
		h = (h<<31 | h>>33) ^ maphash.String(seed, s.Labels[i].Value)
	}
	return h
}

// apply puts the samples of a good scrape through the rules, in place.
func (e *Enricher) apply(c *compiled, st *state, s *collector.Snapshot) {
	r := &st.rules
	if r.hash != c.hash {
		e.states.bytes.Add(-r.bytes)
		*r = rollup{hash: c.hash, places: c.cfg.Geo.Generation()}
	}
	if g := c.cfg.Geo.Generation(); r.places != g {
		e.again(r, g)
	}
	first := r.last.IsZero()
	since := max(0, s.Time.Sub(r.last))
	r.epoch++
	r.touched = r.touched[:0]
	seen, changed := 0, false
	kept := kept{all: s.Samples}
	for i := range s.Samples {
		smp := &s.Samples[i]
		if !c.may(smp) {
			kept.keep(i)
			continue
		}
		sr := e.find(c, r, smp)
		if sr == nil { // no room: what needs no memory is still done
			if !r.full {
				r.full = true
				e.log.Warn("no room for the series of an instance under the rules; its sums are incomplete", "instance", s.Instance.Key.String(), "series", len(r.series), "limit_bytes", e.states.limit)
			}
			if e.without(c, s, smp) {
				kept.keep(i)
			}
			changed = true
			continue
		}
		again := sr.epoch == r.epoch
		if !again {
			seen++
			sr.epoch = r.epoch
		}
		t := sr.to
		if t == nil {
			kept.keep(i)
			continue
		}
		changed = true
		t.epoch = r.epoch
		if !t.dropping {
			smp.Name, smp.Labels = t.name, t.labels
			kept.keep(i)
			continue
		}
		if smp.Kind != collector.Counter && smp.Kind != collector.Untyped {
			e.leftOut[smp.Kind].Inc()
			continue
		}
		now, ok := parseNumber(smp.Value)
		if !ok {
			sr.valued = false
			s.Nonfinite++
			continue
		}
		if again && sr.valued { // twice in one body: the first counts
			s.Duplicates++
			continue
		}
		before, had := sr.value, sr.valued
		sr.value, sr.valued = now, true
		if smp.Kind == collector.Untyped && !sr.counter {
			e.leftOut[smp.Kind].Inc()
			continue
		}
		if !t.emitted {
			t.emitted = true
			r.touched = append(r.touched, t)
		}
		if had {
			t.sum.add(before, now)
		} else {
			t.sum.all(now)
		}
	}
	if !first {
		e.emit(r, s, &kept, since)
	}
	for _, t := range r.touched {
		t.sum, t.emitted = sum{}, false
	}
	s.Samples = kept.end()
	r.last = s.Time
	if seen < len(r.series) {
		e.vanish(r)
	}
	if changed {
		s.RulesHash = c.hash
	}
}

// find is the memory of a series, made where it is new; nil where there is no room for it.
func (e *Enricher) find(c *compiled, r *rollup, smp *collector.Sample) *series {
	h := hashSample(e.states.seed, smp)
	i, known := r.byHash[h]
	if known && r.series[i].ready {
		return &r.series[i]
	}
	if !known {
		if e.states.bytes.Load() > e.states.limit {
			return nil
		}
		if r.byHash == nil {
			r.byHash, r.targets = map[uint64]int32{}, map[string]*target{}
		}
		i = int32(len(r.series))
		r.series = append(r.series, series{hash: h, epoch: r.epoch - 1})
		r.byHash[h] = i
		e.grow(r, seriesBytes)
	}
	sr := &r.series[i]
	sr.to, sr.counter = e.target(c, r, smp)
	sr.ready = true
	return sr
}

// target is where the first rule that fits sends the sample; nil if none fits.
func (e *Enricher) target(c *compiled, r *rollup, smp *collector.Sample) (t *target, counter bool) {
	for _, rl := range c.rules {
		name, labels, ok := rl.apply(smp, c.cfg.Geo)
		if !ok {
			continue
		}
		key := make([]byte, 0, 128)
		if rl.dropping {
			key = append(key, 1)
		}
		key = append(append(key, name...), 0)
		for _, l := range labels {
			key = append(append(append(append(key, l.Name...), 0), l.Value...), 0)
		}
		t := r.targets[string(key)]
		if t == nil {
			t = &target{name: name, labels: labels, dropping: rl.dropping}
			r.targets[string(key)] = t
			e.grow(r, t.bytes())
		}
		return t, rl.counter
	}
	return nil, false
}

// without does for a sample what can be done without memory: a rule that drops nothing renames, one that does leaves the sample out.
func (e *Enricher) without(c *compiled, s *collector.Snapshot, smp *collector.Sample) (keep bool) {
	for _, rl := range c.rules {
		if name, labels, ok := rl.apply(smp, c.cfg.Geo); ok {
			if rl.dropping {
				e.noRoom.Inc()
				return false
			}
			smp.Name, smp.Labels = name, labels
			break
		}
	}
	return true
}

// emit appends a sample for each sum. There are never more of them than samples that went into them, so the slice does not grow.
func (e *Enricher) emit(r *rollup, s *collector.Snapshot, kept *kept, since time.Duration) {
	if len(r.touched) == 0 {
		return
	}
	// One text holds all numbers: one allocation a snapshot.
	buf := make([]byte, 0, 512)
	ends := make([]int, 0, 64)
	for _, t := range r.touched {
		var ok bool
		if buf, ok = t.sum.append(buf); !ok {
			s.Nonfinite++
		}
		ends = append(ends, len(buf))
	}
	text, at := string(buf), 0
	for i, t := range r.touched {
		if v := text[at:ends[i]]; v != "" {
			kept.add(collector.Sample{Name: t.name, Kind: collector.Delta, Labels: t.labels, Value: v, Since: since})
		}
		at = ends[i]
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

// vanish forgets what this scrape did not see.
func (e *Enricher) vanish(r *rollup) {
	for i := 0; i < len(r.series); {
		if r.series[i].epoch == r.epoch {
			i++
			continue
		}
		delete(r.byHash, r.series[i].hash)
		last := len(r.series) - 1
		if i != last {
			r.series[i] = r.series[last]
			r.byHash[r.series[i].hash] = int32(i)
		}
		r.series[last] = series{}
		r.series = r.series[:last]
		e.grow(r, -seriesBytes)
	}
	for k, t := range r.targets {
		if t.epoch != r.epoch {
			delete(r.targets, k)
			e.grow(r, -t.bytes())
		}
	}
}

// again makes every series find its target anew: the databases were swapped. The counters' values stay, so that no increase is lost.
func (e *Enricher) again(r *rollup, places uint64) {
	for i := range r.series {
		r.series[i].to, r.series[i].ready = nil, false
	}
	for k, t := range r.targets {
		delete(r.targets, k)
		e.grow(r, -t.bytes())
	}
	r.places = places
}

func (e *Enricher) grow(r *rollup, n int64) {
	r.bytes += n
	e.states.bytes.Add(n)
}
