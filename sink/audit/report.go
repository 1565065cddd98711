package audit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Report is what an audit found. Times are scrape times, Unix milliseconds; 0 is not known.
type Report struct {
	Records  uint64 `json:"records"` // read, of both lanes
	Oldest   int64  `json:"oldest"`
	Newest   int64  `json:"newest"`
	Starts   int    `json:"starts"`     // of collectors, that records are of
	Lost     uint64 `json:"lost"`       // sequences that should be in the topics and are not, and nobody knows why but by Gap.Why
	Rekeyed  uint64 `json:"rekeyed"`    // sequences that were never used, as a ledger says: their snapshots have others
	OnTheWay uint64 `json:"on_the_way"` // not there yet, perhaps: what stands behind them is younger than the grace
	Unproven uint64 `json:"unproven"`   // missing where retention has, or may have, removed them

	Gaps        []Gap              `json:"gaps"`
	Incomplete  []Incomplete       `json:"incomplete"` // counted in Lost
	Doubled     Listed[Found]      `json:"doubled"`
	OutOfOrder  Listed[Disorder]   `json:"out_of_order"`
	PulledTwice Listed[Pulled]     `json:"pulled_twice"` // counted as doubled
	Misplaced   Listed[Found]      `json:"misplaced"`    // in another partition than their id says
	Unreadable  Listed[Unreadable] `json:"unreadable"`
	Shared      uint64             `json:"shared_slots"` // slots in which two collectors, or two starts, pulled one instance; readers count one
	Unwatched   uint64             `json:"unwatched"`    // records of instances past a million, which were not watched for two pulls in a slot
	Unlisted    uint64             `json:"unlisted_gaps"`
}

// Listed is how many were found, and the first of them.
type Listed[T any] struct {
	N    uint64 `json:"n"`
	List []T    `json:"list"`
}

func list[T any](l *Listed[T], v T, most int) {
	if l.N++; len(l.List) < most {
		l.List = append(l.List, v)
	}
}

// Gap is a row of sequences that are in neither lane.
type Gap struct {
	Collector string `json:"collector"`
	Start     uint64 `json:"start"`
	Partition int32  `json:"partition"`
	First     uint64 `json:"first"`
	Last      uint64 `json:"last"`
	Kind      string `json:"kind"`             // hole, head (of a start), tail (of a start, which the next one told of)
	After     int64  `json:"after,omitempty"`  // scrape time of the record before it
	Before    int64  `json:"before,omitempty"` // of the one behind it
	Why       string `json:"why,omitempty"`    // as the collector's ledger says
}

// N is how many sequences are missing.
func (g Gap) N() uint64 { return g.Last - g.First + 1 }

// Found is one record. TS is its scrape time.
type Found struct {
	ID string `json:"id"`
	Place
	TS int64 `json:"ts"`
}

// Disorder is a record behind one that should follow it.
type Disorder struct {
	Found
	After       string `json:"after"` // its id
	AfterOffset int64  `json:"after_offset"`
}

// Pulled is a record of an instance in a slot that another one, of the same start, was already of.
type Pulled struct {
	Found
	Instance string `json:"instance"`
	Slot     int64  `json:"slot"`
	With     string `json:"with"`
}

// Incomplete is a record in parts of which some are missing.
type Incomplete struct {
	Found
	Missing []int `json:"missing"`
	Parts   int   `json:"parts"`
}

// Unreadable is a record that cannot be read.
type Unreadable struct {
	Place
	Error string `json:"error"`
}

// Sound reports whether nothing was lost and nothing doubled.
func (r *Report) Sound() bool { return r.Lost == 0 && r.Doubled.N == 0 && r.PulledTwice.N == 0 }

// Report says what was found. Ledgers of collectors explain gaps: what one dropped has its reason, and what was keyed anew is no loss.
func (a *Audit) Report(ledgers ...sink.Report) Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.report
	r.Gaps, r.Incomplete = []Gap{}, []Incomplete{}
	r.Doubled.List, r.OutOfOrder.List, r.PulledTwice.List = some(r.Doubled.List), some(r.OutOfOrder.List), some(r.PulledTwice.List)
	r.Misplaced.List, r.Unreadable.List = some(r.Misplaced.List), some(r.Unreadable.List)
	keys := slices.SortedFunc(maps.Keys(a.streams), func(x, y streamKey) int {
		return cmp.Or(cmp.Compare(x.collector, y.collector), cmp.Compare(x.partition, y.partition), cmp.Compare(x.start, y.start))
	})
	starts := map[[2]uint64]bool{}
	for i, k := range keys {
		starts[[2]uint64{k.collector, k.start}] = true
		s := a.streams[k]
		a.incomplete(&r, k, s)
		var before *stream // the same collector's start before, in this partition
		if i > 0 && keys[i-1].collector == k.collector && keys[i-1].partition == k.partition {
			before = a.streams[keys[i-1]]
		}
		for _, g := range a.gaps(&r, k, s, before) {
			for _, g := range explain(g, ledgers) {
				if g.Why == rekeyed {
					r.Rekeyed += g.N()
					continue
				}
				if r.Lost += g.N(); len(r.Gaps) < a.cfg.List {
					r.Gaps = append(r.Gaps, g)
				} else {
					r.Unlisted++
				}
			}
		}
	}
	r.Starts = len(starts)
	return r
}

func some[T any](l []T) []T { return append([]T{}, l...) }

// incomplete tells of records in parts that are not all there, and takes them for seen: they make no gap.
func (a *Audit) incomplete(r *Report, k streamKey, s *stream) {
	for _, seq := range slices.Sorted(maps.Keys(s.open)) {
		o := s.open[seq]
		if !s.has(seq) {
			a.runs += s.add(seq, o.ts)
		}
		switch {
		case o.ts < a.edge(k.partition):
			r.Unproven++
			continue
		case a.young(o.ts):
			r.OnTheWay++
			continue
		}
		in := Incomplete{Found: Found{ID: wire.ID{Collector: k.collector, Start: k.start, Partition: k.partition, Sequence: seq}.String(), Place: o.place, TS: o.ts}, Parts: o.of, Missing: []int{}}
		for p := 1; p <= o.of && len(in.Missing) < 100; p++ {
			if !o.seen[p] {
				in.Missing = append(in.Missing, p)
			}
		}
		if r.Lost++; len(r.Incomplete) < a.cfg.List {
			r.Incomplete = append(r.Incomplete, in)
		} else {
			r.Unlisted++
		}
	}
}

// edge is the scrape time before which nothing can be said of a partition.
func (a *Audit) edge(partition int32) int64 {
	t := a.since()
	if e := a.edges[partition]; e != nil {
		t = max(t, e.before)
	}
	return t
}

func (a *Audit) young(ts int64) bool {
	return !a.cfg.Now.IsZero() && ts > a.cfg.Now.Add(-a.cfg.Grace).UnixMilli()
}

// gaps are those of one stream whose place in time lets them be told: the record before was seen, and is not older than what may have been removed.
func (a *Audit) gaps(r *Report, k streamKey, s *stream, before *stream) (out []Gap) {
	if len(s.runs) == 0 {
		return nil
	}
	from := a.edge(k.partition)
	tell := func(kind string, first, last uint64, after, behind int64, proven bool) {
		switch n := last - first + 1; {
		case !proven:
			r.Unproven += n
		case behind != 0 && a.young(behind):
			r.OnTheWay += n
		default:
			out = append(out, Gap{Collector: wire.FormatCollector(k.collector), Start: k.start, Partition: k.partition, First: first, Last: last, Kind: kind, After: after, Before: behind})
		}
	}
	e := a.edges[k.partition]
	whole := e != nil && e.whole
	// The head: whoever saw the start before end has seen this one begin.
	if first := s.runs[0]; first.first > 1 {
		after := int64(0)
		if before != nil {
			after = before.runs[len(before.runs)-1].lastTS
		}
		if whole || before != nil && after >= from {
			tell("head", 1, first.first-1, after, first.firstTS, true)
		}
	}
	for i := 1; i < len(s.runs); i++ {
		lo, hi := s.runs[i-1], s.runs[i]
		tell("hole", lo.last+1, hi.first-1, lo.lastTS, hi.firstTS, lo.lastTS >= from)
	}
	// The tail of an earlier start, which this one tells of.
	p := s.previous
	if p == (wire.ID{}) || p.Collector != k.collector || p.Partition != k.partition || p.Start >= k.start {
		return out
	}
	tail := Gap{Start: p.Start}
	switch o := a.streams[streamKey{p.Collector, p.Start, p.Partition}]; {
	case o != nil && len(o.runs) > 0:
		last := o.runs[len(o.runs)-1]
		if last.last >= p.Sequence {
			return out
		}
		tail.First, tail.After = last.last+1, last.lastTS
		if last.lastTS < from {
			r.Unproven += p.Sequence - last.last
			return out
		}
	case whole, before != nil && len(before.runs) > 0 && p.Start > before.start && before.runs[len(before.runs)-1].lastTS >= from:
		tail.First = 1
	default:
		return out // it may have ended before what was read
	}
	at := len(out)
	tell("tail", tail.First, p.Sequence, tail.After, s.runs[0].firstTS, true)
	if len(out) > at {
		out[at].Start = p.Start
	}
	return out
}

// rekeyed is the ledger's reason of sequences that were given and never used: their snapshots have others.
const rekeyed = "rekeyed"

// explain cuts a gap where the ledger of its start knows why.
func explain(g Gap, ledgers []sink.Report) []Gap {
	var known []sink.Loss
	for _, l := range ledgers {
		if l.Collector != g.Collector {
			continue
		}
		for _, o := range l.Losses {
			if cmp.Or(o.Start, l.Start) == g.Start && o.Topic == "" && o.Partition == g.Partition && o.First > 0 && o.First <= g.Last && o.Last >= g.First {
				known = append(known, o)
			}
		}
	}
	slices.SortFunc(known, func(a, b sink.Loss) int { return cmp.Compare(a.First, b.First) })
	var out []Gap
	cut := func(last uint64, why string) {
		if last >= g.First {
			piece := g
			piece.Last, piece.Why = last, why
			out = append(out, piece)
			g.First = last + 1
		}
	}
	for _, o := range known {
		if o.First > g.First {
			cut(o.First-1, "")
		}
		cut(min(o.Last, g.Last), o.Reason)
	}
	if g.First <= g.Last {
		out = append(out, g)
	}
	return out
}
