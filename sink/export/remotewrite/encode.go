package remotewrite

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// The messages are those of https://github.com/prometheus/prometheus/blob/main/prompb/types.proto and remote.proto, written by hand: they are few.

const (
	varint  = 0
	fixed64 = 1
	chunk   = 2
)

func tag(dst []byte, field, form int) []byte { return binary.AppendUvarint(dst, uint64(field<<3|form)) }

func appendBytes(dst []byte, field int, b []byte) []byte {
	return append(binary.AppendUvarint(tag(dst, field, chunk), uint64(len(b))), b...)
}

func appendText(dst []byte, field int, s string) []byte {
	return append(binary.AppendUvarint(tag(dst, field, chunk), uint64(len(s))), s...)
}

func appendDouble(dst []byte, field int, f float64) []byte {
	return binary.LittleEndian.AppendUint64(tag(dst, field, fixed64), math.Float64bits(f))
}

func appendInt(dst []byte, field int, n int64) []byte {
	return binary.AppendUvarint(tag(dst, field, varint), uint64(n))
}

func zigzag(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func appendSint(dst []byte, field int, n int64) []byte {
	return binary.AppendUvarint(tag(dst, field, varint), zigzag(n))
}

// label is one of a series.
type label struct{ name, value string }

// encoder makes series of records.
type encoder struct {
	tags map[string]bool // those that become labels; nil: all
	seed maphash.Seed

	base   []label // of the record in hand
	labels []label
	seen   map[uint64]bool // series of the record in hand
	series []byte
	one    []byte

	collisions, texts, numbers int // left out, and why
}

func newEncoder(tags []string) *encoder {
	e := &encoder{seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
	if tags != nil {
		e.tags = map[string]bool{}
		for _, t := range tags {
			e.tags[t] = true
		}
	}
	return e
}

// record gives the TimeSeries of a record, each as a field of WriteRequest.
func (e *encoder) record(r *wire.Record, emit func(series []byte)) {
	clear(e.seen)
	e.base = e.base[:0]
	for _, l := range []label{{"job", r.Service}, {"env", r.Env}, {"instance", r.Instance}} {
		e.base = e.put(e.base, l.name, l.value, false)
	}
	for _, t := range r.Tags {
		if e.tags == nil || e.tags[t.Name] {
			e.base = e.put(e.base, promtext.Name(t.Name, false), t.Value, false)
		}
	}
	if r.ID.Part <= 1 { // once a scrape
		up := 0.0
		if r.Outcome == collector.OK {
			up = 1
		}
		e.number(r, "up", nil, "", up, emit)
		e.number(r, "scrape_duration_seconds", nil, "", r.Took.Seconds(), emit)
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		name := promtext.Name(s.Name, true)
		switch s.Kind {
		case collector.Label:
			e.texts++
		case collector.Distribution:
			for _, f := range s.Fields {
				v, err := strconv.ParseFloat(f.Value, 64)
				if err != nil {
					e.numbers++
					continue
				}
				if q, ok := promtext.Quantile(f.Name); ok {
					e.number(r, name, s.Labels, q, v, emit)
				} else {
					e.number(r, name+"_"+promtext.Name(f.Name, false), s.Labels, "", v, emit)
				}
			}
		case collector.Histogram:
			e.histogram(r, name, s, emit)
		default:
			v, err := s.Float()
			if err != nil {
				e.numbers++
				continue
			}
			if s.Kind == collector.Delta {
				name += "_delta"
			}
			e.number(r, name, s.Labels, "", v, emit)
		}
	}
}

// put adds a label unless its name is there. Of a sample's own labels one whose name the target has becomes exported_…, as Prometheus has it.
func (e *encoder) put(to []label, name, value string, own bool) []label {
	if value == "" {
		return to // the same as none
	}
	if name == "__name__" || slices.ContainsFunc(to, func(l label) bool { return l.name == name }) {
		if !own {
			e.collisions++
			return to
		}
		return e.put(to, "exported_"+name, value, false)
	}
	return append(to, label{name, value})
}

// begin starts a series with its labels; false where the record has it already.
func (e *encoder) begin(name string, own []collector.LabelPair, quantile string) bool {
	e.labels = append(append(e.labels[:0], label{"__name__", name}), e.base...)
	for i := range own {
		e.labels = e.put(e.labels, promtext.Name(own[i].Name, false), own[i].Value, true)
	}
	if quantile != "" {
		e.labels = e.put(e.labels, "quantile", quantile, false)
	}
	slices.SortFunc(e.labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	var h maphash.Hash
	h.SetSeed(e.seed)
	e.series = e.series[:0]
	for _, l := range e.labels {
		h.WriteString(l.name)
		h.WriteByte(0)
		h.WriteString(l.value)
		h.WriteByte(0)
		e.one = appendText(appendText(e.one[:0], 1, l.name), 2, l.value)
		e.series = appendBytes(e.series, 1, e.one)
	}
	sum := h.Sum64()
	if e.seen[sum] {
		e.collisions++
		return false
	}
	e.seen[sum] = true
	return true
}

func (e *encoder) number(r *wire.Record, name string, own []collector.LabelPair, quantile string, v float64, emit func([]byte)) {
	if !e.begin(name, own, quantile) {
		return
	}
	e.one = appendInt(appendDouble(e.one[:0], 1, v), 2, r.TS)
	e.series = appendBytes(e.series, 2, e.one)
	emit(appendBytes(nil, 1, e.series))
}

// histogram writes a native histogram: with whole counts as such, else with floats.
func (e *encoder) histogram(r *wire.Record, name string, s *collector.Sample, emit func([]byte)) {
	h := s.Hist
	if h == nil || !e.begin(name, s.Labels, "") {
		return
	}
	whole := isWhole(h.Count) && isWhole(h.ZeroCount)
	for _, counts := range [][]float64{h.PositiveCounts, h.NegativeCounts} {
		for _, c := range counts {
			whole = whole && isWhole(c)
		}
	}
	b := e.one[:0]
	if whole {
		b = appendInt(b, 1, int64(h.Count))
	} else {
		b = appendDouble(b, 2, h.Count)
	}
	b = appendDouble(b, 3, h.Sum)
	b = appendSint(b, 4, int64(h.Schema))
	b = appendDouble(b, 5, h.ZeroThreshold)
	if whole {
		b = appendInt(b, 6, int64(h.ZeroCount))
	} else {
		b = appendDouble(b, 7, h.ZeroCount)
	}
	b = buckets(b, 8, h.NegativeSpans, h.NegativeCounts, whole)
	b = buckets(b, 11, h.PositiveSpans, h.PositiveCounts, whole)
	e.one = appendInt(b, 15, r.TS)
	e.series = appendBytes(e.series, 4, e.one)
	emit(appendBytes(nil, 1, e.series))
}

func isWhole(f float64) bool { return f >= 0 && f == math.Trunc(f) && f < 1<<53 }

// buckets writes spans at field, deltas behind it and floats behind that, as the three stand in Histogram for each sign.
func buckets(dst []byte, field int, spans []collector.Span, counts []float64, whole bool) []byte {
	var b []byte
	for _, s := range spans {
		b = appendInt(appendSint(b[:0], 1, int64(s.Offset)), 2, int64(s.Length))
		dst = appendBytes(dst, field, b)
	}
	if len(counts) == 0 {
		return dst
	}
	b = b[:0]
	last := 0.0
	for _, c := range counts {
		if whole {
			b = binary.AppendUvarint(b, zigzag(int64(c-last)))
			last = c
		} else {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c))
		}
	}
	if whole {
		return appendBytes(dst, field+1, b)
	}
	return appendBytes(dst, field+2, b)
}
