// Package audit walks the ids of the records that stand in the topics, and names what is missing, what stands twice and what is out of order.
//
// It owns the meaning of collector / start / partition / sequence over both lanes: a sequence is gap-free, and each start says in its first records which were
// the last of the start before. It must not know Kafka. Its memory grows with the number of gaps, of services and of instances, not with that of records.
package audit

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Config shapes an Audit; the zero value has every record, whatever its time.
type Config struct {
	Since time.Time     // what was scraped before is read, perhaps, but nothing is said of it
	Now   time.Time     // zero: no record is too young
	Grace time.Duration // what was scraped within Grace of Now may be on its way: the two lanes are read one after the other
	List  int           // findings of a kind that are listed, default 1,000; the others are counted

	maxRuns int // of all streams; default 4 million, 160 MB
}

// Place is where a record stands.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Audit takes records in any order of lanes and partitions, those of one partition of a topic in their order. It is safe for concurrent use.
type Audit struct {
	cfg Config

	mu        sync.Mutex
	streams   map[streamKey]*stream
	orders    map[orderKey]order
	instances map[string]*pulls
	edges     map[int32]*edge
	runs      int
	report    Report
}

type streamKey struct {
	collector, start uint64
	partition        int32
}

// stream is what was seen of one collector's start in one partition.
type stream struct {
	start    uint64
	runs     []run // ascending, with a gap between any two
	open     map[uint64]*parts
	previous wire.ID // the last id of the start before, as the records say
}

// run is a row of sequences without a gap, with the scrape times of its ends, Unix milliseconds.
type run struct {
	first, last     uint64
	firstTS, lastTS int64
}

// parts are those that were seen of a record in parts.
type parts struct {
	seen  map[int]bool
	of    int
	ts    int64
	place Place
}

type orderKey struct {
	topic            string
	partition        int32
	collector, start uint64
	service          string // with its environment: a batch is sorted by it, as neighbours compress well
}

type order struct {
	id     wire.ID
	offset int64
}

// edge is what is known of a partition's beginning.
type edge struct {
	whole  bool  // both lanes were read from their first record ever
	before int64 // what was scraped earlier may have been removed by retention, Unix milliseconds
}

const (
	slotsBack    = 8       // of an instance are held, to see two pulls in one
	maxInstances = 1 << 20 // are watched for that
)

// pulls are the last slots of an instance.
type pulls struct {
	slots [slotsBack]struct {
		slot int64
		id   wire.ID
	}
	next int
}

// New makes an audit of nothing yet.
func New(c Config) *Audit {
	if c.List == 0 {
		c.List = 1000
	}
	if c.maxRuns == 0 {
		c.maxRuns = 4 << 20
	}
	return &Audit{cfg: c, streams: map[streamKey]*stream{}, orders: map[orderKey]order{}, instances: map[string]*pulls{}, edges: map[int32]*edge{}}
}

// Edge says what is known of a partition's beginning in one lane: whether it was read from its first record ever, else before which scrape time records may have been
// removed by retention. Without a word nothing is known, and gaps count from the first record that was seen.
func (a *Audit) Edge(partition int32, whole bool, before time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.edges[partition]
	if e == nil {
		e = &edge{whole: true}
		a.edges[partition] = e
	}
	e.whole = e.whole && whole
	if !whole && !before.IsZero() {
		e.before = max(e.before, before.UnixMilli())
	}
}

// ErrTooMany says that there are more gaps than memory is meant to hold.
var ErrTooMany = errors.New("there are more gaps than can be held; begin later")

// Unreadable counts a record that is none of ours.
func (a *Audit) Unreadable(p Place, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Records++
	list(&a.report.Unreadable, Unreadable{p, why.Error()}, a.cfg.List)
}

// Add takes a record. It keeps nothing of r.
func (a *Audit) Add(p Place, r *wire.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Records++
	if a.report.Oldest == 0 || r.TS < a.report.Oldest {
		a.report.Oldest = r.TS
	}
	a.report.Newest = max(a.report.Newest, r.TS)
	if r.ID.Partition != p.Partition {
		list(&a.report.Misplaced, Found{ID: r.ID.String(), Place: p, TS: r.TS}, a.cfg.List)
	}
	key := streamKey{r.ID.Collector, r.ID.Start, r.ID.Partition}
	s := a.streams[key]
	if s == nil {
		s = &stream{start: r.ID.Start, open: map[uint64]*parts{}}
		a.streams[key] = s
	}
	if r.Source.Previous != (wire.ID{}) {
		s.previous = r.Source.Previous
	}
	if !a.fresh(s, p, r) {
		if r.TS >= a.since() {
			list(&a.report.Doubled, Found{ID: r.ID.String(), Place: p, TS: r.TS}, a.cfg.List)
		}
		return nil
	}
	a.inOrder(p, r)
	a.pulled(p, r)
	if a.runs > a.cfg.maxRuns {
		return ErrTooMany
	}
	return nil
}

// fresh notes the record, and reports whether it was not there before.
func (a *Audit) fresh(s *stream, p Place, r *wire.Record) bool {
	if s.has(r.ID.Sequence) {
		return false
	}
	if r.ID.Part > 0 {
		o := s.open[r.ID.Sequence]
		if o == nil {
			o = &parts{seen: map[int]bool{}, of: r.Parts, ts: r.TS, place: p}
			s.open[r.ID.Sequence] = o
		}
		if o.seen[r.ID.Part] {
			return false
		}
		if o.seen[r.ID.Part] = true; len(o.seen) < o.of {
			return true
		}
		delete(s.open, r.ID.Sequence)
	}
	a.runs += s.add(r.ID.Sequence, r.TS)
	return true
}

// find is the index of the first run that ends at or after seq.
func (s *stream) find(seq uint64) int {
	if n := len(s.runs); n > 0 && s.runs[n-1].last < seq {
		return n // almost always
	}
	i, _ := slices.BinarySearchFunc(s.runs, seq, func(r run, seq uint64) int {
		if r.last < seq {
			return -1
		}
		return 1
	})
	return i
}

func (s *stream) has(seq uint64) bool {
	i := s.find(seq)
	return i < len(s.runs) && s.runs[i].first <= seq
}

// add notes a sequence that was not there, and returns by how many the runs have grown.
func (s *stream) add(seq uint64, ts int64) int {
	i := s.find(seq)
	after := i > 0 && s.runs[i-1].last+1 == seq
	before := i < len(s.runs) && s.runs[i].first == seq+1
	switch {
	case after && before:
		s.runs[i-1].last, s.runs[i-1].lastTS = s.runs[i].last, s.runs[i].lastTS
		s.runs = slices.Delete(s.runs, i, i+1)
		return -1
	case after:
		s.runs[i-1].last, s.runs[i-1].lastTS = seq, ts
	case before:
		s.runs[i].first, s.runs[i].firstTS = seq, ts
	default:
		s.runs = slices.Insert(s.runs, i, run{seq, seq, ts, ts})
		return 1
	}
	return 0
}

// inOrder tells of a record that stands behind one of a higher sequence, of the same service and the same collector's start.
func (a *Audit) inOrder(p Place, r *wire.Record) {
	key := orderKey{p.Topic, p.Partition, r.ID.Collector, r.ID.Start, r.Service + "/" + r.Env}
	o, ok := a.orders[key]
	a.orders[key] = order{r.ID, p.Offset}
	if !ok || r.TS < a.since() || r.ID.Sequence > o.id.Sequence || r.ID.Sequence == o.id.Sequence && r.ID.Part > o.id.Part {
		return
	}
	list(&a.report.OutOfOrder, Disorder{Found: Found{ID: r.ID.String(), Place: p, TS: r.TS}, After: o.id.String(), AfterOffset: o.offset}, a.cfg.List)
}

// pulled tells of an instance that one start of a collector pulled twice in a slot, and counts those that two collectors pulled: that happens whenever the fleet is
// divided anew, and readers count one.
func (a *Audit) pulled(p Place, r *wire.Record) {
	if r.Source.Slot == 0 || r.ID.Part > 1 {
		return
	}
	key := r.Service + "/" + r.Env + "/" + r.Instance
	in := a.instances[key]
	if in == nil {
		if len(a.instances) == maxInstances {
			a.report.Unwatched++
			return
		}
		in = &pulls{}
		a.instances[key] = in
	}
	for i := range in.slots {
		o := &in.slots[i]
		if o.slot != r.Source.Slot {
			continue
		}
		if o.id.Collector != r.ID.Collector || o.id.Start != r.ID.Start {
			a.report.Shared++
		} else if r.TS >= a.since() {
			list(&a.report.PulledTwice, Pulled{Found: Found{ID: r.ID.String(), Place: p, TS: r.TS}, Instance: key, Slot: o.slot, With: o.id.String()}, a.cfg.List)
		}
		return
	}
	o := &in.slots[in.next]
	o.slot, o.id = r.Source.Slot, r.ID.Whole()
	in.next = (in.next + 1) % slotsBack
}

func (a *Audit) since() int64 {
	if a.cfg.Since.IsZero() {
		return 0
	}
	return a.cfg.Since.UnixMilli()
}
