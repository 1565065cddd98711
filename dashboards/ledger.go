package dashboards

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

// FirstSeen is when the first snapshot of each instance came in since it joined, by host:port.
func (b *Board) FirstSeen() map[string]time.Time {
	out := map[string]time.Time{}
	for _, s := range b.all() {
		s.mu.RLock()
		for addr, in := range s.instances {
			if !in.seenFirst.IsZero() {
				out[addr] = in.seenFirst
			}
		}
		s.mu.RUnlock()
	}
	return out
}

// Stats is what the Board knows of its own diet. Times are milliseconds.
type Stats struct {
	Seen uint64 `json:"records_seen"` // different records
	// Lost is holes in the sequences between the first and the last seen, as of the last time that the feed had read all there is: what is not read yet is not lost.
	Lost       uint64 `json:"records_lost"`
	Duplicated uint64 `json:"records_duplicated"` // records whose ID was seen before
	Fenced     uint64 `json:"records_fenced"`     // of those seen, such as did not count: another collector's scrape of the same slot did
	Unnamed    uint64 `json:"records_unnamed"`    // records without an ID: they cannot be told apart
	Backfilled uint64 `json:"records_backfilled"` // of those seen, from the backfill lane
	// Freshness: from the scrape to the moment the Board had it, of records from the live lane that are not history read at the start.
	Freshness Spread `json:"freshness_ms"`
	// Join: from the moment an instance was on the roster to its first snapshot seen.
	Join Spread `json:"join_ms"`
}

// Spread is a distribution in short.
type Spread struct {
	P50   Num    `json:"p50"`
	P99   Num    `json:"p99"`
	Max   Num    `json:"max"`
	Count uint64 `json:"count"`
}

// ledger counts records by their IDs: what came twice, what never came. A sequence is gap-free over both lanes, so a hole is a record not yet here or lost.
type ledger struct {
	mu         sync.Mutex
	streams    map[RecordID]*ranges // by collector, start and partition
	parts      map[RecordID]uint64  // of split snapshots: which parts are here
	seen       uint64
	duplicated uint64
	unnamed    uint64
	backfilled uint64
	lost       uint64    // see Stats
	began      time.Time // records scraped before are history
	freshness  histogram
	joins      histogram
}

// Bounds: a collector's start makes one stream a partition.
const (
	maxStreams = 100_000
	maxHoles   = 4096 // of one stream
	maxParted  = 10_000
)

// take reports whether the record is new.
func (l *ledger) take(r *Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams, l.parts = map[RecordID]*ranges{}, map[RecordID]uint64{}
	}
	if l.began.IsZero() {
		l.began = r.Seen
	}
	if r.ID == (RecordID{}) {
		l.unnamed++
		return true
	}
	st := l.stream(r.ID)
	if st == nil {
		l.unnamed++
		return true
	}
	if p := r.Previous; p != (RecordID{}) && p.Partition == r.ID.Partition {
		// What the start before had given out counts as lost until it is seen; but a start of which nothing was read is none of ours.
		if old := l.streams[RecordID{Collector: p.Collector, Start: p.Start, Partition: p.Partition}]; old != nil {
			old.reach(p.Sequence)
		}
	}
	if r.ID.Part > 0 {
		whole := r.ID
		whole.Part = 0
		bit := uint64(1) << (uint(r.ID.Part-1) % 64)
		had := l.parts[whole]
		if had&bit != 0 {
			l.duplicated++
			return false
		}
		if had == 0 && st.has(r.ID.Sequence) {
			l.duplicated++ // the snapshot was complete, and its parts forgotten
			return false
		}
		st.add(r.ID.Sequence)
		had |= bit
		if n := uint(r.Parts); n > 0 && n < 64 && had == 1<<n-1 {
			delete(l.parts, whole)
		} else {
			if len(l.parts) >= maxParted {
				clear(l.parts)
			}
			l.parts[whole] = had
		}
	} else if !st.add(r.ID.Sequence) {
		l.duplicated++
		return false
	}
	l.seen++
	if r.Backfill {
		l.backfilled++
	}
	return true
}

// forget drops what is known of a partition's records.
func (l *ledger) forget(partition int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.streams {
		if id.Partition == partition {
			delete(l.streams, id)
		}
	}
	for id := range l.parts {
		if id.Partition == partition {
			delete(l.parts, id)
		}
	}
}

func (l *ledger) stream(id RecordID) *ranges {
	k := RecordID{Collector: id.Collector, Start: id.Start, Partition: id.Partition}
	st := l.streams[k]
	if st == nil && len(l.streams) < maxStreams {
		st = &ranges{}
		l.streams[k] = st
	}
	return st
}

// fresh notes how old a record was when it was seen.
func (l *ledger) fresh(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.Backfill && !r.Time.Before(l.began) {
		l.freshness.add(float64(r.Seen.Sub(r.Time)) / float64(time.Millisecond))
	}
}

func (l *ledger) join(d time.Duration) {
	l.mu.Lock()
	l.joins.add(float64(d) / float64(time.Millisecond))
	l.mu.Unlock()
}

// Stats is the Board's own account.
func (b *Board) Stats() Stats {
	feed := b.Feed()
	behind := feed.State == FeedConnecting || feed.Filling
	l := &b.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Fenced: b.origins.fenced.Load(), Seen: l.seen, Duplicated: l.duplicated, Unnamed: l.unnamed, Backfilled: l.backfilled, Freshness: l.freshness.spread(), Join: l.joins.spread()}
	if !behind {
		l.lost = 0
		for _, st := range l.streams {
			l.lost += st.holes()
		}
	}
	s.Lost = l.lost
	return s
}

// ranges is a set of sequence numbers as closed ranges in order: one, in calm times.
type ranges struct {
	r     [][2]uint64
	until uint64 // the last one that is known to have been given out; 0: not told
}

func (s *ranges) find(n uint64) (i int, in bool) {
	return slices.BinarySearchFunc(s.r, n, func(r [2]uint64, n uint64) int {
		switch {
		case r[1] < n:
			return -1
		case r[0] > n:
			return 1
		}
		return 0
	})
}

func (s *ranges) has(n uint64) bool {
	_, in := s.find(n)
	return in
}

// add puts n in and reports whether it was not there.
func (s *ranges) add(n uint64) bool {
	i, in := s.find(n)
	if in {
		return false
	}
	left, right := i > 0 && s.r[i-1][1]+1 == n, i < len(s.r) && n+1 == s.r[i][0]
	switch {
	case left && right:
		s.r[i-1][1] = s.r[i][1]
		s.r = slices.Delete(s.r, i, i+1)
	case left:
		s.r[i-1][1] = n
	case right:
		s.r[i][0] = n
	default:
		s.r = slices.Insert(s.r, i, [2]uint64{n, n})
		if len(s.r) > maxHoles {
			// Too torn to keep: the two oldest ranges are taken for one, and what is between them for seen.
			s.r[1][0] = s.r[0][0]
			s.r = slices.Delete(s.r, 0, 1)
		}
	}
	return true
}

func (s *ranges) reach(n uint64) { s.until = max(s.until, n) }

// holes is how many are missing.
func (s *ranges) holes() (n uint64) {
	for i := 1; i < len(s.r); i++ {
		n += s.r[i][0] - s.r[i-1][1] - 1
	}
	if len(s.r) > 0 && s.until > s.r[len(s.r)-1][1] {
		n += s.until - s.r[len(s.r)-1][1]
	}
	return n
}

// histogram counts positive values in buckets of 1 % width, from 1/1000 to 10^7.
type histogram struct {
	n     []uint64
	count uint64
	max   float64
}

const (
	histLeast  = 1e-3
	histGrowth = 1.01
	histSize   = 2320 // 1.01^2320 is 10^10
)

func (h *histogram) add(x float64) {
	if h.n == nil {
		h.n = make([]uint64, histSize)
	}
	i := 0
	if x > histLeast {
		i = min(int(math.Log(x/histLeast)/math.Log(histGrowth))+1, histSize-1)
	}
	h.n[i]++
	h.count++
	h.max = max(h.max, x)
}

func (h *histogram) quantile(p float64) float64 {
	if h.count == 0 {
		return math.NaN()
	}
	rank := uint64(math.Ceil(p * float64(h.count)))
	for i, n := range h.n {
		if n >= rank {
			return min(histLeast*math.Pow(histGrowth, float64(i)), h.max)
		}
		rank -= n
	}
	return h.max
}

func (h *histogram) spread() Spread {
	s := Spread{P50: Num(h.quantile(.5)), P99: Num(h.quantile(.99)), Max: Unknown(), Count: h.count}
	if h.count > 0 {
		s.Max = Num(cmp.Or(h.max, 0))
	}
	return s
}
