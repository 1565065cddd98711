package dashboards

import (
	"cmp"
	"hash/fnv"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// maxFacts bounds the texts kept of an instance; maxFact bounds one of them.
const (
	maxFacts = 64
	maxFact  = 256
)

// service is one service in one environment: its instances, the columns that they share the names of, and the figures derived.
type service struct {
	name, env string
	phase     uint32 // what is done now and then is done of each service at another time
	origins   *origins

	mu        sync.RWMutex
	cols      []column
	byKey     map[string]uint32
	scratch   []byte
	seed      maphash.Seed
	instances map[string]*instance       // by host:port
	broken    map[string]discovery.Entry // members that do not parse, by entry id
	rostered  bool                       // the roster has spoken of this service

	interval  time.Duration // the shortest in force, closer looks aside: it is the width of a tick, and what is compared with stays comparable
	firstSeen int64         // Unix ms, by the clock of whoever told of it first
	newest    int64         // newest scrape
	heard     int64         // time of the first scrape that was read
	entered   int64         // time of the first word of the roster that was read
	versions  map[string]int64
	hists     map[histKey]*collector.NativeHistogram
	events    happenings
	dropped   uint64 // samples over the limit of columns

	droppedTold uint64 // of them, when it was last looked
	overAt      int64  // when there were some last, Unix ms
	forgetAt    int64  // when it was last looked for names that nobody says any more, Unix ms
	namesGone   NamesGone
	numbering   uint64 // grows when columns get other numbers
	renumbered  bool   // since what is recognised was last looked for
	evicted     int64  // windows begin here because of the byte budget; 0: they are whole

	rolling     rolling
	golden      plan
	goldenStale bool     // what is recognised may be another, though no column is new
	known       *knowing // of the names of the columns; nil: nothing yet
	about       About    // what people say of it
	aboutAt     int64    // when that was asked, Unix ms; 0: not yet
	beside      []*line  // beside the golden signals
	linePlan    plan
	ring        ring
	figures     figures // as of the last tick
	dirtyFrom   int64   // figures from here to dirtyTo are to be computed anew; 0: none
	dirtyTo     int64
	backlog     [2]int64 // ticks of the past that are still to be computed; zero: none
	sparkSeq    uint64   // grows when points of the past change
	heads       []heads  // what the rows said of who is there, oldest first; the first may be from before the window

	regions   []string // that it has instances in, as of locatedAt (Unix ms), when it had locatedOf of them
	locatedAt int64
	locatedOf int
	parts     map[string]*part // by region; of those that somebody looks at
	tipSeq    uint64           // grows when of those only the newest does
	ownerSaid string           // as its instances said at ownerAt, Unix ms; 0: something is new since
	ownerAt   int64
}

func newService(name, env string, o *origins) *service {
	h := fnv.New32a()
	h.Write([]byte(name))
	return &service{name: name, env: env, phase: h.Sum32(), origins: o, byKey: map[string]uint32{}, seed: maphash.MakeSeed(), instances: map[string]*instance{},
		broken: map[string]discovery.Entry{}, versions: map[string]int64{}, goldenStale: true}
}

// instance finds or makes one.
func (s *service) instance(addr string) *instance {
	in := s.instances[addr]
	if in == nil {
		addr = strings.Clone(addr)
		in = &instance{addr: addr, index: map[uint32]int32{}, interval: 10 * time.Second, usual: 10 * time.Second}
		s.instances[addr] = in
	}
	return in
}

// add takes one snapshot in, and reports whether it counts: see fence. The caller holds the lock.
func (s *service) add(o *Options, r *Record) (in *instance, counts bool) {
	in = s.instance(r.Instance)
	t := r.Time.UnixMilli()
	w := row{t: t, took: float32(r.Took.Seconds() * 1000), outcome: r.Outcome, slot: r.Slot, every: int32(cmp.Or(r.Interval, in.interval).Milliseconds())}
	from := r.ID.Collector
	if r.ahead > 0 {
		from = ^from ^ r.ahead // no rate is taken from one of its times to the other
	}
	w.source, w.term = s.origins.of(from, r.Term)
	if !in.fence(s.origins, &w) {
		return in, false
	}
	if r.Interval > 0 {
		in.interval, in.usual = r.Interval, max(r.Interval, r.Usual)
	}
	if s.interval == 0 || in.usual < s.interval {
		s.interval = in.usual
	}
	if s.firstSeen == 0 || t < s.firstSeen {
		s.firstSeen = t
	}
	if in.begun > 0 && t < in.begun {
		in.older(r, in.begun)
	}
	if in.begun == 0 || t < in.begun {
		in.begun = t
	}
	newest := t >= in.last
	switch {
	case r.Outcome == collector.Skipped: // the collector was late, and says nothing of the instance: what is known of it stays
		if t >= in.skipped {
			in.skipped, in.by = t, r.ID.Collector
		}
		if newest {
			s.retag(in, r.Tags, t)
		}
	case newest:
		if t > in.last && r.Outcome.Asked() { // parts of one snapshot count once; a collector that did not ask says nothing of the instance
			in.fails++
		}
		in.last, in.outcome, in.took = t, r.Outcome, float32(r.Took.Seconds()*1000)
		in.by = r.ID.Collector
		in.reason = strings.Clone(r.Reason[:min(len(r.Reason), maxFact)])
		if r.Outcome == collector.OK {
			in.lastOK, in.fails = t, 0
		}
		s.retag(in, r.Tags, t)
	}
	in.longest = max(in.longest, w.every, in.pause())
	if r.Outcome == collector.OK {
		s.fill(o, in, r, &w, newest)
	}
	late := in.put(w)
	s.newest = max(s.newest, t)
	if late {
		in.hurry = in.hurry || !r.History
	} else {
		s.dirty(in, &w)
	}
	if !r.History && s.rolling.next > 0 && t < s.rolling.next {
		s.rolling.reroll(t-tooLong(w.every), min(t, s.rolling.next-1)) // it came late
	}
	return in, true
}

// dirty notes that the figures for which a row speaks are to be computed anew.
func (s *service) dirty(in *instance, r *row) {
	if s.dirtyFrom == 0 || r.t < s.dirtyFrom {
		s.dirtyFrom = r.t
	}
	s.dirtyTo = max(s.dirtyTo, r.t+tooLong(max(r.every, in.pause())))
}

// retag takes the tags of a snapshot over, and says so if a version is new.
func (s *service) retag(in *instance, tags []collector.LabelPair, t int64) {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, l := range tags {
		h.WriteString(l.Name)
		h.WriteByte(0)
		h.WriteString(l.Value)
		h.WriteByte(0)
	}
	sum := h.Sum64()
	if sum == in.tagHash {
		return
	}
	m := make(map[string]string, len(tags))
	for _, l := range tags {
		m[strings.Clone(l.Name)] = strings.Clone(l.Value)
	}
	was, known := in.tags, in.tagHash != 0
	in.tags, in.tagHash = discovery.TagsOf(m), sum
	s.ownerAt = 0
	if known {
		for n, v := range in.tags.All() {
			in.moved(t, n, was.Get(n), v)
		}
		for n, v := range was.All() {
			if _, still := m[n]; !still {
				in.moved(t, n, v, "")
			}
		}
	}
	s.versionSeen(in, was.Get(TagVersion), t, &s.heard)
}

// fill puts the samples of a good scrape into the row.
func (s *service) fill(o *Options, in *instance, r *Record, w *row, newest bool) {
	w.v = make([]float64, len(in.cols), len(in.cols)+4)
	for i := range w.v {
		w.v[i] = math.NaN()
	}
	var prev *row
	if newest {
		for i := len(in.head) - 1; i >= 0 && prev == nil; i-- {
			if in.head[i].outcome == collector.OK && in.head[i].t < w.t {
				prev = &in.head[i]
			}
		}
	}
	next := int32(0)
	set := func(smp *collector.Sample, field string, x float64) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		c := s.place(o, in, smp, field, next, w.t)
		if c < 0 {
			return
		}
		next = c + 1
		if int(c) >= len(w.v) {
			w.v = padTo(w.v, int(c)+1)
		}
		w.v[c] = x
	}
	for i := range r.Samples {
		smp := &r.Samples[i]
		switch smp.Kind {
		case collector.Label:
			in.fact(smp, w.t, newest)
		case collector.Distribution:
			for _, f := range smp.Fields {
				if x, ok := number(f.Value); ok {
					set(smp, fieldName(f.Name), x)
				}
			}
		case collector.Histogram:
			s.histogram(in, smp, newest, set)
		default:
			if x, ok := number(smp.Value); ok {
				set(smp, "", x)
			}
		}
	}
	if newest {
		s.infer(in, prev, w)
	}
}

// number reads a number as it stands in a record. Up to 15 digits, with a point among them or not, are exact as an integer and a power of ten, so their quotient is
// the nearest there is, as ParseFloat has it, in a fifth of the time.
func number(s string) (float64, bool) {
	digits, n, point := s, uint64(0), -1
	if s != "" && s[0] == '-' {
		digits = s[1:]
	}
	if len(digits) == 0 || len(digits) > 16 {
		return parsed(s)
	}
	for i := range len(digits) {
		switch c := digits[i]; {
		case c >= '0' && c <= '9':
			n = n*10 + uint64(c-'0')
		case c == '.' && point < 0 && i > 0 && i+1 < len(digits):
			point = i
		default:
			return parsed(s)
		}
	}
	x := float64(n)
	switch {
	case point >= 0:
		x /= tens[len(digits)-1-point]
	case len(digits) == 16:
		return parsed(s)
	}
	if len(digits) < len(s) {
		x = -x
	}
	return x, true
}

func parsed(s string) (float64, bool) {
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil
}

var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14}

// fieldName gives the fields of distributions one spelling.
func fieldName(f string) string {
	switch f {
	case "avg", "mean", "average":
		return "average"
	case "min", "minimum":
		return "minimum"
	case "max", "maximum":
		return "maximum"
	}
	return f
}

// place finds the instance's column of a sample, or makes it. Most bodies come in the same order each time, so the guess is mostly right.
// It is -1 when the service has as many columns as it may.
func (s *service) place(o *Options, in *instance, smp *collector.Sample, field string, guess int32, t int64) int32 {
	if int(guess) < len(in.cols) && s.cols[in.cols[guess]].is(smp, field) {
		return guess
	}
	s.scratch = columnKey(s.scratch[:0], smp.Name, smp.Labels, field)
	n, ok := s.byKey[string(s.scratch)]
	if !ok {
		if len(s.cols) >= o.MaxColumns {
			s.dropped++
			return -1
		}
		n = uint32(len(s.cols))
		s.byKey[string(s.scratch)] = n
		s.cols = append(s.cols, newColumn(smp, field))
	}
	c, ok := in.index[n]
	if !ok {
		c = int32(len(in.cols))
		in.index[n] = c
		in.cols = append(in.cols, n)
		in.state = append(in.state, colState{born: t})
		s.cols[n].instances++
	}
	if col := &s.cols[n]; col.window != smp.Window && smp.Window != collector.WindowUnknown {
		col.window, s.goldenStale = smp.Window, true
	}
	if st := &in.state[c]; t < st.born {
		st.born = t
	}
	return c
}

// fact keeps a text that the application said.
func (in *instance) fact(smp *collector.Sample, t int64, newest bool) {
	old, ok := in.facts[smp.Name]
	if ok && (old == smp.Value || !newest) || !ok && len(in.facts) >= maxFacts || len(smp.Value) > maxFact || len(smp.Name) > maxFact {
		return
	}
	if ok {
		in.moved(t, smp.Name, old, smp.Value)
	}
	if in.facts == nil {
		in.facts = map[string]string{}
	}
	in.facts[strings.Clone(smp.Name)] = strings.Clone(smp.Value)
}

// owner is who looks after the service. What its instances say of that is asked for at ticks, unless something is new.
func (s *service) owner() string {
	if s.ownerAt != 0 {
		return cmp.Or(s.about.Owner, s.ownerSaid)
	}
	return cmp.Or(s.about.Owner, s.said(ownerTags...))
}

// askOwner is how long what instances say of their owner stands where nothing of them is new: one of them may be forgotten meanwhile.
const askOwner = 5 * time.Second

func (s *service) tickOwner(now int64) {
	if s.ownerAt == 0 || now-s.ownerAt >= askOwner.Milliseconds() || now < s.ownerAt {
		s.ownerSaid, s.ownerAt = s.said(ownerTags...), s.inTurn(s.ownerAt, now, askOwner)
	}
}

// inTurn is when something counts as done that is done every so often: now, but the first time some while ago, another for each service, so that not all have their turn
// in one tick.
func (s *service) inTurn(before, now int64, every time.Duration) int64 {
	if before == 0 {
		now -= int64(s.phase) % every.Milliseconds()
	}
	return now
}

// tag is one tag of the instance: what its snapshots carry, else what the roster knows.
func (in *instance) tag(name string) string {
	if v := in.tags.Get(name); v != "" || in.roster == nil {
		return v
	}
	return in.roster.Tags.Get(name)
}

// allTags is the union of both, the snapshots' winning.
func (in *instance) allTags() map[string]string {
	m := in.tags.Map()
	if in.roster != nil {
		for n, v := range in.roster.Tags.All() {
			if m[n] == "" {
				m[n] = v
			}
		}
	}
	return m
}

// sorted is the instances by address.
func (s *service) sorted() []*instance {
	return slices.SortedFunc(maps.Values(s.instances), func(a, b *instance) int { return strings.Compare(a.addr, b.addr) })
}

func (s *service) group() string { return s.name + "/" + s.env }
