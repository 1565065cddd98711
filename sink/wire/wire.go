// Package wire is the record: what one snapshot, and one change of the roster, look like in a topic. Version 1, both ways.
//
// It owns the form and nothing else: AppendSnapshot and Decode for topic rollcall.snapshots (docs in the words of Record), RosterRecord for rollcall.roster, ID,
// and Partition. It must not know Kafka, files or batches. Fields are only added; readers skip what they do not know; a changed meaning is a new topic.
package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Version is the value of "v" in every record.
const Version = 1

// MaxRecord is the size in bytes that a record never exceeds: larger ones are split. With the rest of its batch it then stays under Kafka's
// default max.message.bytes of 1 MiB, compressed or not.
const MaxRecord = 880 << 10

// The headers of every Kafka record that we make.
const (
	ContentType    = "application/json" // of header "content-type"
	SnapshotSchema = "snapshot/1"       // of header "rollcall-schema" on snapshots
	RosterSchema   = "roster/1"         // of header "rollcall-schema" on roster records
)

const maxReason = 1 << 10 // bytes of a reason that go on the wire

// Provenance is what the sink adds to a snapshot's own account of where its numbers come from.
type Provenance struct {
	Term     uint64 // of the division of the fleet in which the pull began: the largest zxid of the group's membership; 0: the collector is alone
	Previous ID     // the last id that the start before this one gave in this partition; zero: none, or told already
}

// AppendSnapshot appends the record of s to dst and returns it. The digits of numbers are copied; what is no finite number is left out and
// counted in src.nonfinite. It does not allocate beyond growing dst and keeps nothing of s.
func AppendSnapshot(dst []byte, s *collector.Snapshot, id ID, p Provenance) []byte {
	return AppendBody(AppendHead(dst, id), s, p)
}

// AppendHead appends the beginning of a record, up to and with its id. A body follows. The two are apart because the sequence in the id is given
// under a lock under which nobody wants to encode.
func AppendHead(dst []byte, id ID) []byte {
	dst = append(dst, headStart...)
	dst = id.Append(dst)
	return append(dst, '"')
}

const headStart = `{"v":1,"id":"`

// CutHead splits a record that this package made into its id and its body, which is a view of rec. It serves those who must give a record
// another id.
func CutHead(rec []byte) (ID, []byte, error) {
	s, ok := strings.CutPrefix(string(rec[:min(len(rec), 128)]), headStart)
	text, _, ok2 := strings.Cut(s, `"`)
	if !ok || !ok2 {
		return ID{}, nil, errHead
	}
	id, err := ParseID(text)
	return id, rec[len(headStart)+len(text)+1:], err
}

// AppendBody appends all of a record that follows its head.
func AppendBody(dst []byte, s *collector.Snapshot, p Provenance) []byte {
	return appendBody(dst, s, s.Samples, part{}, p)
}

// part says which part of a split snapshot a body is; the zero value is a whole one.
type part struct {
	n, of    int // from 1
	leftOut  int // samples too large for any record
	skipTags bool
}

func appendBody(dst []byte, s *collector.Snapshot, samples []collector.Sample, pt part, p Provenance) []byte {
	if pt.of > 0 {
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(pt.of), 10)
	}
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, s.Time.UnixMilli(), 10)
	dst = append(dst, `,"service":`...)
	dst = appendString(dst, s.Instance.Service)
	dst = append(dst, `,"env":`...)
	dst = appendString(dst, s.Instance.Env)
	dst = append(dst, `,"instance":`...)
	dst = appendAddr(dst, s.Instance.Host, s.Instance.Port)
	if s.Instance.Shard != discovery.NoShard {
		dst = append(dst, `,"shard":`...)
		dst = strconv.AppendInt(dst, int64(s.Instance.Shard), 10)
	}
	dst = append(dst, `,"outcome":"`...)
	dst = append(dst, s.Outcome.String()...)
	dst = append(dst, '"')
	if s.Reason != "" {
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, clip(s.Reason, maxReason))
	}
	dst = append(dst, `,"took_us":`...)
	dst = strconv.AppendInt(dst, s.Took.Microseconds(), 10)
	if !s.Tags.IsZero() && !pt.skipTags {
		dst = append(dst, `,"tags":`...)
		dst = appendTags(dst, s.Tags)
	}
	nonfinite := 0
	if pt.n <= 1 {
		nonfinite = s.Nonfinite
	}
	if s.Outcome == collector.OK {
		var bad int
		dst, bad = appendSections(dst, samples, s.JSON)
		nonfinite += bad
	}
	dst = appendSource(dst, s, p, pt, nonfinite)
	return append(dst, '}')
}

func appendSource(dst []byte, s *collector.Snapshot, p Provenance, pt part, nonfinite int) []byte {
	from := len(dst)
	field := func(name string) {
		if len(dst) == from {
			dst = append(dst, `,"src":{"`...)
		} else {
			dst = append(dst, `,"`...)
		}
		dst = append(dst, name...)
		dst = append(dst, `":`...)
	}
	count := func(name string, n int) {
		if n != 0 {
			field(name)
			dst = strconv.AppendInt(dst, int64(n), 10)
		}
	}
	text := func(name, v string) {
		if v != "" {
			field(name)
			dst = appendString(dst, v)
		}
	}
	if p.Term != 0 {
		field("term")
		dst = append(dst, `"0x`...)
		dst = strconv.AppendUint(dst, p.Term, 16)
		dst = append(dst, '"')
	}
	if !s.Slot.IsZero() {
		count("slot", int(s.Slot.UnixMilli()))
	}
	count("interval_ms", int(s.Interval.Milliseconds()))
	count("usual_ms", int(s.Usual.Milliseconds()))
	if i := &s.Instance; i.Source != "" || i.Zxid != 0 {
		field("roster")
		dst = appendString(dst, i.Source)
		if i.Zxid != 0 {
			dst = append(dst[:len(dst)-1], ":0x"...)
			dst = strconv.AppendUint(dst, uint64(i.Zxid), 16)
			dst = append(dst, '"')
		}
	}
	count("skew_ms", int(s.Skew.Milliseconds()))
	text("rules", s.RulesHash)
	text("geo", s.GeoBuild)
	count("nonfinite", nonfinite)
	if pt.n <= 1 {
		count("duplicates", s.Duplicates)
		count("invalid", s.Invalid)
		count("stale", s.Stale)
		count("left_out", s.LeftOut)
		count("oversize", pt.leftOut)
		count("body_bytes", s.BodyBytes)
	}
	if pt.skipTags {
		field("tags_left_out")
		dst = append(dst, "true"...)
	}
	if p.Previous != (ID{}) {
		field("previous")
		dst = append(dst, '"')
		dst = p.Previous.Append(dst)
		dst = append(dst, '"')
	}
	if len(dst) > from {
		dst = append(dst, '}')
	}
	return dst
}

// appendAddr appends host:port as a JSON string, with brackets around an IPv6 address: discovery.Key.Addr, without its allocation.
func appendAddr(dst []byte, host string, port uint16) []byte {
	v6 := strings.IndexByte(host, ':') >= 0
	if v6 {
		dst = append(dst, `"[`...)
	}
	at := len(dst)
	dst = appendString(dst, host)
	if v6 {
		copy(dst[at:], dst[at+1:]) // the opening quote stands before the bracket
		dst = append(dst[:len(dst)-2], ']')
	} else {
		dst = dst[:len(dst)-1]
	}
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(port), 10)
	return append(dst, '"')
}

func appendTags(dst []byte, t discovery.Tags) []byte {
	dst = append(dst, '{')
	first := true
	for n, v := range t.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, n)
		dst = append(dst, ':')
		dst = appendString(dst, v)
	}
	return append(dst, '}')
}

// clip cuts s to at most n bytes, between two characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
