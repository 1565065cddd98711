// Package dashboards turns the topic into what people look at.
//
// It owns Board, Window and Finding: the last hour of every instance in little memory, the golden signals derived from it, who should answer and
// who does, and what is known to be wrong. dashboards/feed reads Kafka into a Board, dashboards/quantile reads percentiles over many hosts,
// dashboards/detect says what is in trouble and where, dashboards/web serves it all. The root knows no Kafka, no HTTP and no statistics beyond
// differences and sums. What is here is, by the way of a record:
//
//	what comes     dashboards.go the record; clocks.go when that was, fence.go which of two of one slot, ledger.go how often and how late; roster.go who joins and leaves;
//	               order.go what operators ordered; event.go, told.go what happened; note.go, alert.go what other replicas and people say
//	the windows    service.go a service and its instances; instance.go rows and blocks, block.go how these are packed; column.go the names of numbers; forget.go and
//	               evict.go what goes when there is too much; histogram.go native ones and their differences; trace.go tags that were others; window.go one line of numbers
//	what it means  names.go, golden.go what is rate, errors and latency; infer.go what kind a number is; sidelines.go what runs full, waits or is thrown; about.go what people
//	               say of a service, objective.go what it promised; recognised.go all of that, for who wonders
//	the figures    cell.go an instance from scrape to scrape; dist.go distributions; ring.go a service tick by tick, signals.go as detection sees it; region.go its parts by
//	               region; rollup.go, rollupmetrics.go slots of the last day
//	what is told   tick.go, split.go the work of a tick; finding.go, book.go, notes.go findings, under which names, and what was said of them; change.go what else moved;
//	               lateness.go collectors that are late; row.go, rowjson.go, publish.go rows and strips; elsewhere.go the services of other replicas
//	who asks       board.go everything together; detail.go a service; series.go, seriesdist.go, spell.go a metric over time; raw.go, rawservice.go, known.go for PromQL;
//	               past.go a Board of a while that is over
package dashboards

import (
	"math"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Num is a figure that may be unknown: NaN and infinities are written as null, never as zero. JSON has seven significant digits of it.
type Num float64

// Unknown is the Num of which nothing is known.
func Unknown() Num { return Num(math.NaN()) }

// Known reports whether there is a figure.
func (n Num) Known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON writes a number or null.
func (n Num) MarshalJSON() ([]byte, error) { return n.append(nil), nil }

// UnmarshalJSON reads a number or null.
func (n *Num) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Unknown()
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	*n = Num(f)
	return err
}

func (n Num) append(dst []byte) []byte {
	if !n.Known() {
		return append(dst, "null"...)
	}
	f := float64(n)
	if a := math.Abs(f); a >= 1e-4 && a < 1e15 || a == 0 {
		// Plain digits, rounded to seven significant ones: the shortest text that still draws the same pixel.
		if a != 0 {
			scale := math.Pow10(6 - int(math.Floor(math.Log10(a))))
			if r := math.Round(f*scale) / scale; !math.IsInf(r, 0) && !math.IsNaN(r) {
				f = r
			}
		}
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'g', 7, 64)
}

// Nums is a line of figures.
type Nums []Num

// MarshalJSON writes an array of numbers and nulls; a nil one is null.
func (n Nums) MarshalJSON() ([]byte, error) {
	if n == nil {
		return []byte("null"), nil
	}
	b := make([]byte, 0, 2+8*len(n))
	b = append(b, '[')
	for i, v := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.append(b)
	}
	return append(b, ']'), nil
}

// RecordID names one record for good, as sink/wire writes it: a sequence is gap-free over both lanes of one partition. The zero RecordID is none.
type RecordID struct {
	Collector uint64
	Start     uint64
	Partition int32
	Sequence  uint64
	Part      int // 0: whole; 1, 2, …: a part of a large snapshot, which stands alone
}

// Record is one snapshot as a reader of the topic has it. Its strings and slices may be views into a buffer: the Board copies what it keeps.
type Record struct {
	ID       RecordID
	Previous RecordID // the last one of the collector's start before; zero where not told
	Parts    int      // how many parts the snapshot has; 0: it is whole
	Backfill bool     // from the lane of what could not go out in time
	History  bool     // it was there before this reader began
	Seen     time.Time

	Service, Env, Instance string // Instance is host:port
	Time                   time.Time
	Took, Interval         time.Duration
	Usual                  time.Duration // the interval to which the instance goes back after a closer look; 0: Interval is it
	Outcome                collector.Outcome
	Reason                 string
	Term                   uint64                // of the division of the fleet in which it was pulled
	Slot                   int64                 // start of the slot that the pull belongs to, Unix ms; 0: none
	Tags                   []collector.LabelPair // sorted by name
	Samples                []collector.Sample

	ahead uint64 // its time was put right; of two that differ in it by something else. 0: it is as it was
}

// Well-known tags, and the short names by which pages and queries call them.
const (
	TagVersion = "service.version"
	TagZone    = "cloud.availability_zone"
	TagTrack   = "rollcall.track"
	TagHost    = "host.name"
	TagRegion  = "cloud.region"
)

var tagAliases = map[string]string{"version": TagVersion, "zone": TagZone, "track": TagTrack, "host": TagHost, "region": TagRegion}

// ownerTags are where a service's owner is looked for, first found first.
var ownerTags = []string{"service.owner", "owner", "team"}

// TagName is the full name of a tag that may be given by its short one.
func TagName(s string) string {
	if full, ok := tagAliases[s]; ok {
		return full
	}
	return s
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
