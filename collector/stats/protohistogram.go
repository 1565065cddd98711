package stats

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/rollcall-metrics/rollcall/collector"
)

// protoHist is a histogram as its message has it.
type protoHist struct {
	count, zeros            uint64
	countFloat, zerosFloat  float64
	sum, threshold          float64
	schema                  int32
	positive, negative      []histogram.Span
	positiveDelta, negDelta []int64
	positiveCount, negCount []float64
	native                  bool
	exemplars               int // how many there are
}

// histogram adds a native histogram where the message holds one, else the series of a classic one.
func (m *protoSeries) histogram(whole []protoWalk) (at int, msg string) {
	var h protoHist
	for _, w := range whole {
		for w.next() {
			switch w.num {
			case 1:
				h.count = w.u
			case 2:
				h.sum = w.float()
			case 4:
				h.countFloat = w.float()
			case 6:
				h.threshold = w.float()
			case 7:
				h.zeros = w.u
			case 9, 12:
				h.native = true
			}
		}
	}
	if h.native || h.threshold > 0 || h.zeros > 0 {
		return m.native(whole)
	}
	total := m.p.either(h.countFloat, h.count)
	m.add("_count", "", total, finites(h.countFloat), nil)
	m.add("_sum", "", m.p.float(h.sum), finites(h.sum), nil)
	for _, w := range whole {
		for w.next() {
			if w.num != 3 {
				continue
			}
			var b struct {
				count      uint64
				countFloat float64
				bound      float64
				exemplar   protoExemplar
			}
			for in := w.within(); in.next(); {
				switch in.num {
				case 1:
					b.count = in.u
				case 2:
					b.bound = in.float()
				case 3:
					b.exemplar.add(in.within())
				case 4:
					b.countFloat = in.float()
				}
			}
			m.add("_bucket", m.p.bound(b.bound), m.p.either(b.countFloat, b.count), finites(b.countFloat), &b.exemplar)
			if math.IsInf(b.bound, 1) {
				return 0, "" // what comes behind is beyond infinity
			}
		}
	}
	m.add("_bucket", "+Inf", m.p.either(h.countFloat, h.count), finites(h.countFloat), nil)
	return 0, ""
}

// either is the count that is not zero: those of float histograms have a field of their own.
func (p *Parser) either(f float64, u uint64) []byte {
	if f != 0 {
		return p.float(f)
	}
	return p.whole64(u)
}

// native adds a native histogram. Only those with exponential buckets that count up have words in a record: others are left out and counted.
func (m *protoSeries) native(whole []protoWalk) (at int, msg string) {
	p := m.p
	var h protoHist
	var shown, ofBuckets []protoExemplar
	for _, w := range whole {
		for w.next() {
			h.read(&w)
			switch w.num {
			case 16:
				h.exemplars++
				shown = dated(shown, w.within())
			case 3:
				var e protoExemplar
				for in := w.within(); in.next(); {
					if in.num == 3 {
						e.add(in.within())
					}
				}
				if e.there {
					ofBuckets = dated(ofBuckets, e.first, e.more...)
				}
			}
		}
	}
	fh, fits := h.compact()
	if !fits {
		return whole[0].i, "want as many buckets as the spans of a native histogram have"
	}
	entry := p.register(flat, p.canonical(m.f.name, m.from))
	defer p.close(entry)
	switch {
	case fh.Schema < -4 || fh.Schema > 8 || m.f.kind == gaugeHistogramFamily:
		p.leftOut++
		p.pairs = p.pairs[:m.from]
		return 0, ""
	case !finites(fh.Count, fh.ZeroCount, fh.ZeroThreshold) || !finites(fh.PositiveBuckets...) || !finites(fh.NegativeBuckets...):
		p.nonfinite++
		p.pairs = p.pairs[:m.from]
		return 0, ""
	case p.far(m.stamp):
		p.stale++
		p.pairs = p.pairs[:m.from]
		return 0, ""
	}
	p.numbers += len(fh.PositiveBuckets) + len(fh.NegativeBuckets)
	if !p.take(m.f.name) {
		return 0, ""
	}
	s := collector.Sample{Name: m.f.name, Kind: collector.Histogram, Window: collector.Buckets, Hist: &collector.NativeHistogram{
		Schema: fh.Schema, ZeroThreshold: fh.ZeroThreshold, ZeroCount: fh.ZeroCount, Sum: fh.Sum, Count: fh.Count,
		PositiveSpans: spansOf(fh.PositiveSpans), PositiveCounts: fh.PositiveBuckets, NegativeSpans: spansOf(fh.NegativeSpans), NegativeCounts: fh.NegativeBuckets}}
	if len(p.pairs) > m.from {
		s.Labels = p.pairs[m.from:len(p.pairs):len(p.pairs)]
	}
	if h.exemplars == 0 {
		shown = ofBuckets
	}
	for i := range shown {
		if e := p.protoExemplar(&shown[i]); e != nil && len(s.Hist.Exemplars) < maxExemplars {
			s.Hist.Exemplars = append(s.Hist.Exemplars, *e)
		}
	}
	p.samples = append(p.samples, s)
	return 0, ""
}

// maxExemplars is how many exemplars of one native histogram are taken.
const maxExemplars = 10

// dated adds an exemplar to those of a native histogram. One without a time is none: nobody could tell whether it was seen before.
func dated(all []protoExemplar, first protoWalk, more ...protoWalk) []protoExemplar {
	for _, w := range append([]protoWalk{first}, more...) {
		for w.next() {
			if w.num == 3 {
				return append(all, protoExemplar{true, first, more})
			}
		}
	}
	return all
}

// read takes a field of a histogram.
func (h *protoHist) read(w *protoWalk) {
	span := func(to *[]histogram.Span) {
		var s histogram.Span
		for in := w.within(); in.next(); {
			switch in.num {
			case 1:
				s.Offset = int32(uint32(in.u)>>1) ^ -int32(in.u&1)
			case 2:
				s.Length = uint32(in.u)
			}
		}
		*to = append(*to, s)
	}
	deltas := func(to *[]int64) { w.numbers(0, func(u uint64) { *to = append(*to, signed(u)) }) }
	counts := func(to *[]float64) { w.numbers(1, func(u uint64) { *to = append(*to, math.Float64frombits(u)) }) }
	switch w.num {
	case 1:
		h.count = w.u
	case 2:
		h.sum = w.float()
	case 4:
		h.countFloat = w.float()
	case 5:
		h.schema = int32(uint32(w.u)>>1) ^ -int32(w.u&1)
	case 6:
		h.threshold = w.float()
	case 7:
		h.zeros = w.u
	case 8:
		h.zerosFloat = w.float()
	case 9:
		span(&h.negative)
	case 10:
		deltas(&h.negDelta)
	case 11:
		counts(&h.negCount)
	case 12:
		span(&h.positive)
	case 13:
		deltas(&h.positiveDelta)
	case 14:
		counts(&h.positiveCount)
	}
}

// compact is the histogram with counts instead of deltas, and without empty buckets. False means that the spans do not fit the buckets.
func (h *protoHist) compact() (*histogram.FloatHistogram, bool) {
	fh := &histogram.FloatHistogram{Schema: h.schema, ZeroThreshold: h.threshold, Sum: h.sum, PositiveSpans: h.positive, NegativeSpans: h.negative}
	if h.countFloat > 0 || h.zerosFloat > 0 {
		fh.Count, fh.ZeroCount, fh.PositiveBuckets, fh.NegativeBuckets = h.countFloat, h.zerosFloat, h.positiveCount, h.negCount
	} else {
		fh.Count, fh.ZeroCount, fh.PositiveBuckets, fh.NegativeBuckets = float64(h.count), float64(h.zeros), absolute(h.positiveDelta), absolute(h.negDelta)
	}
	if !spansFit(fh.PositiveSpans, fh.PositiveBuckets) || !spansFit(fh.NegativeSpans, fh.NegativeBuckets) {
		return nil, false
	}
	return fh.Compact(0), true
}

// absolute adds deltas up.
func absolute(deltas []int64) []float64 {
	out := make([]float64, len(deltas))
	sum := 0.0
	for i, d := range deltas {
		sum += float64(d)
		out[i] = sum
	}
	return out
}

func spansFit(spans []histogram.Span, buckets []float64) bool {
	n := uint64(0)
	for _, s := range spans {
		n += uint64(s.Length)
	}
	return n == uint64(len(buckets))
}

func spansOf(in []histogram.Span) (out []collector.Span) {
	for _, s := range in {
		out = append(out, collector.Span{Offset: s.Offset, Length: s.Length})
	}
	return out
}
