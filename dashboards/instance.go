package dashboards

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

const (
	sealRows = 32 // how many rows make a block
	keepRows = 8  // how many of the newest are never packed: late ones find their place among them for nothing
)

type rowFlags uint8

const (
	flagReset rowFlags = 1 << iota // the application started again: totals are counted from zero
	flagFirst                      // of a start that had no good scrape before
)

// row is one scrape of one instance.
type row struct {
	t       int64 // scrape time, Unix ms
	took    float32
	outcome collector.Outcome
	flags   rowFlags
	source  uint16 // which collector, by its place in origins
	term    uint32 // which term, by its place there
	slot    int64  // start of its slot, Unix ms; 0: none
	every   int32  // the interval in force, ms
	v       []float64
}

// block is a sealed run of rows.
type block struct {
	first, last int64
	rows, cols  int
	data        []byte
}

// The columns that every block has before those of the metrics.
const (
	metaTime = iota
	metaTook
	metaState // outcome and flags
	metaSource
	metaEvery
	metaSlot // how long before the scrape its slot began, ms
	metaTerm
	metaColumns
)

// colState is what one instance knows of one of its columns, for the inference of untyped kinds.
type colState struct {
	born  int64   // Unix ms of the first value; a total that begins while its instance is watched counts whole
	usual float32 // smoothed increase
	seen  uint8   // values without an unexplained fall, saturating
	rose  bool
	vote  collector.Kind // Untyped until there is an opinion
}

// instance is one endpoint of a service: its tags, its place on the roster, its window.
type instance struct {
	addr    string
	tags    discovery.Tags
	tagHash uint64
	facts   map[string]string // texts the application said, by name
	moves   []Move            // of both, oldest first

	roster   *discovery.Entry // nil where the roster does not have it
	rosterAt int64
	// For the time from joining to the first snapshot seen.
	seenFirst time.Time
	joinNoted int64 // the joining, Unix ms, that was counted

	regionBy [2]discovery.Tags // its own and the roster's, that regionIs was worked out from
	regionIs string

	interval time.Duration     // in force
	usual    time.Duration     // to which it goes back; longer than interval while the instance is looked at closely
	outcome  collector.Outcome // of the newest scrape
	reason   string
	by       uint64 // the collector that pulled it last
	last     int64  // time of the newest scrape, Unix ms; 0: never. A slot that was skipped is none
	lastOK   int64
	skipped  int64 // time of the newest slot in which its collector did not pull it, Unix ms; 0: never
	took     float32
	fails    int   // newest scrapes that failed, in a row
	begun    int64 // time of the oldest scrape ever seen

	cols   []uint32         // the service's number of each of its columns
	index  map[uint32]int32 // the inverse
	state  []colState
	blocks []block // oldest first
	head   []row   // oldest first, all newer than the blocks
	late   []row   // older than the head; merged by flush
	hurry  bool    // some of these are no history that is read at a start
	waited int64   // since when (Unix ms) these wait; 0: not known
	opened opened

	longest  int32  // longest interval that any row kept may have, or the one that follows it, ms
	planSeq  uint64 // the columns of the golden signals, for the plan of this number
	planCols int
	planAt   []int32
}

// put stores a row in its place, or, where that is packed, with the late ones. A row of the same time and collector is the same scrape in parts: its values are merged.
func (in *instance) put(r row) (late bool) {
	i, same := placeOf(in.head, &r)
	switch {
	case same:
		in.head[i] = mergeRows(in.head[i], r)
	case i == 0 && len(in.head) > 0 && len(in.blocks) > 0 && r.slot != 0 && r.slot-int64(r.every) <= in.blocks[len(in.blocks)-1].last:
		in.late = append(in.late, r) // the end of a block may have its slot
		return true
	case i > 0 || len(in.blocks) == 0 || r.t > in.blocks[len(in.blocks)-1].last:
		in.head = slices.Insert(in.head, i, r)
	default:
		in.late = append(in.late, r)
		return true
	}
	return false
}

// placeOf is where a row belongs among rows; same: there is one of its time and collector. Of two collectors that pulled in one millisecond one is put a millisecond
// later.
func placeOf(rows []row, r *row) (i int, same bool) {
	i, same = slices.BinarySearchFunc(rows, r.t, func(h row, t int64) int { return cmp.Compare(h.t, t) })
	for same && rows[i].source != r.source {
		r.t++
		i++
		same = i < len(rows) && rows[i].t == r.t
	}
	return i, same
}

func mergeRows(a, b row) row {
	if len(b.v) > len(a.v) {
		a.v = padTo(a.v, len(b.v))
	}
	for i, x := range b.v {
		if !math.IsNaN(x) {
			a.v[i] = x
		}
	}
	a.flags |= b.flags & flagReset
	return a
}

func padTo(v []float64, n int) []float64 {
	v = slices.Grow(v, n-len(v))
	for len(v) < n {
		v = append(v, math.NaN())
	}
	return v
}

// at is the value of column c in the row.
func (r *row) at(c int32) float64 {
	if int(c) >= len(r.v) || c < 0 {
		return math.NaN()
	}
	return r.v[c]
}

// seal packs the oldest rows when there are enough of them.
func (in *instance) seal(s *service, p *packer) {
	for len(in.head) >= sealRows+keepRows {
		in.blocks = append(in.blocks, in.pack(s, p, in.head[:sealRows]))
		in.head = append(make([]row, 0, sealRows+keepRows+2), in.head[sealRows:]...)
	}
}

func (in *instance) pack(s *service, p *packer, rows []row) block {
	cols := 0
	for i := range rows {
		cols = max(cols, len(rows[i].v))
	}
	b := block{first: rows[0].t, last: rows[len(rows)-1].t, rows: len(rows), cols: cols}
	b.data = p.pack(len(rows), metaColumns+cols, func(c int, dst []float64) ([]float64, bool) {
		for i := range rows {
			r := &rows[i]
			switch c {
			case metaTime:
				dst[i] = float64(r.t)
			case metaTook:
				dst[i] = math.Round(float64(r.took)*1000) / 1000
			case metaState:
				dst[i] = float64(int(r.outcome)<<8 | int(r.flags))
			case metaSource:
				dst[i] = float64(r.source)
			case metaEvery:
				dst[i] = float64(r.every)
			case metaSlot:
				if dst[i] = math.NaN(); r.slot != 0 {
					dst[i] = float64(r.t - r.slot)
				}
			case metaTerm:
				dst[i] = float64(r.term)
			default:
				dst[i] = r.at(int32(c - metaColumns))
			}
		}
		return dst, c >= metaColumns && s.cols[in.cols[c-metaColumns]].lossy()
	})
	return b
}

// open unpacks a block into rows again. A damaged block has none.
func (b *block) open() []row {
	rows := make([]row, b.rows)
	var v [maxBlockRows]float64
	for c := range metaColumns + b.cols {
		if unpack(b.data, c, b.rows, v[:]) != nil {
			return nil
		}
		for i := range rows {
			switch c {
			case metaTime:
				rows[i] = row{t: int64(v[i]), v: make([]float64, b.cols)}
			case metaTook:
				rows[i].took = float32(v[i])
			case metaState:
				rows[i].outcome, rows[i].flags = collector.Outcome(int(v[i])>>8), rowFlags(v[i])
			case metaSource:
				rows[i].source = uint16(v[i])
			case metaEvery:
				rows[i].every = int32(v[i])
			case metaSlot:
				rows[i].slot = slotOf(float64(rows[i].t), v[i])
			case metaTerm:
				rows[i].term = uint32(v[i])
			default:
				rows[i].v[c-metaColumns] = v[i]
			}
		}
	}
	return rows
}

// flushAfter is how long history waits at most until there is enough of it to be packed.
const flushAfter = 10_000 // ms

// flushDue reports whether late rows are to be brought to their places. What comes late is at once; history is when it makes a block: to unpack and pack one for each few
// rows would be most of the work of reading it.
func (in *instance) flushDue(now int64) bool {
	if len(in.late) == 0 {
		return false
	}
	if in.waited == 0 {
		in.waited = now
	}
	return in.hurry || len(in.late) >= sealRows || now-in.waited >= flushAfter || now < in.waited
}

// flush brings late rows to their places: the blocks that they fall into are opened once for all of them and packed again.
func (in *instance) flush(s *service, p *packer) {
	if len(in.late) == 0 {
		return
	}
	late := in.late
	in.late, in.hurry, in.waited = nil, false, 0
	for i := range late {
		s.dirty(in, &late[i])
	}
	slices.SortStableFunc(late, func(a, b row) int { return cmp.Compare(a.t, b.t) })
	late = in.fenceLate(s, p, late)
	var out []block
	old := in.blocks
	for len(late) > 0 {
		// The block that takes the first late row is the last one that begins before it, or the first of all.
		k := 0
		for k+1 < len(old) && old[k+1].first <= late[0].t {
			k++
		}
		out = append(out, old[:k]...)
		n := len(late)
		var rows []row
		if k < len(old) {
			if k+1 < len(old) {
				n, _ = slices.BinarySearchFunc(late, old[k+1].first, func(r row, t int64) int { return cmp.Compare(r.t, t) })
			}
			rows, old = old[k].open(), old[k+1:]
		}
		for _, r := range late[:n] {
			i, same := placeOf(rows, &r)
			if same {
				rows[i] = mergeRows(rows[i], r)
			} else {
				rows = slices.Insert(rows, i, r)
			}
		}
		late = late[n:]
		for len(rows) > 0 {
			n := len(rows)
			if n > maxBlockRows {
				n = sealRows
			}
			out = append(out, in.pack(s, p, rows[:n]))
			rows = rows[n:]
		}
	}
	in.blocks = append(out, old...)
}

// trim drops blocks and rows that end before t.
func (in *instance) trim(t int64) {
	k := 0
	for k < len(in.blocks) && in.blocks[k].last < t {
		k++
	}
	in.blocks = slices.Delete(in.blocks, 0, k)
	if len(in.blocks) == 0 {
		k = 0
		for k < len(in.head) && in.head[k].t < t {
			k++
		}
		in.head = slices.Delete(in.head, 0, k)
	}
}

// Rough costs of what is kept, for the byte budget.
const (
	blockOverhead  = 64
	rowOverhead    = 56
	columnOverhead = 48 // of one column of one instance
)

// bytes is about what the instance's window takes.
func (in *instance) bytes() int {
	n := len(in.cols) * columnOverhead
	for i := range in.blocks {
		n += len(in.blocks[i].data) + blockOverhead
	}
	for i := range in.head {
		n += 8*cap(in.head[i].v) + rowOverhead
	}
	for i := range in.late {
		n += 8*cap(in.late[i].v) + rowOverhead
	}
	return n
}

// answering reports whether the last scrape was good and is fresh enough. One whose collector skips it is what it was when it was last pulled.
func (in *instance) answering(now int64) bool {
	return in.last > 0 && in.outcome == collector.OK && now-in.heard() <= in.patience()
}

// heard is the time of the newest slot that anything was said of: it was pulled in it, or is known not to have been.
func (in *instance) heard() int64 { return max(in.last, in.skipped) }

// behind reports whether its collector did not get round to pulling it, by its newest word.
func (in *instance) behind(now int64) bool {
	return in.skipped > in.last && now-in.skipped <= in.patience()
}

// pause is how long the next scrape may take to come by its schedule, in ms: a closer look may end at any time.
func (in *instance) pause() int32 { return int32(max(in.interval, in.usual).Milliseconds()) }

func (in *instance) patience() int64 { return patience(in.pause()) }

// patience is how old a scrape may be: two intervals, and never less than five seconds, in which a busy machine may fall behind without anything being wrong.
func patience(every int32) int64 { return max(2*int64(every), 5000) }

// tooLong is the time after a scrape over which no rate is taken: two intervals, and half of one for what a schedule wavers.
func tooLong(every int32) int64 { return 5 * int64(every) / 2 }
