package dashboards

import (
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

type histKey struct {
	in   *instance
	name string
}

// maxHistograms bounds how many native histograms of a service are remembered for their differences.
const maxHistograms = 20_000

var histFields = [...]struct {
	name string
	p    float64
}{{"p50", .5}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p999", .999}}

// histogram turns a native histogram into what was observed since the scrape before: count, sum and percentiles of an interval. The first one after a
// start, and one after a reset, give nothing to subtract from.
func (s *service) histogram(in *instance, smp *collector.Sample, newest bool, set func(*collector.Sample, string, float64)) {
	if smp.Hist == nil || !newest {
		return
	}
	s.scratch = columnKey(s.scratch[:0], smp.Name, smp.Labels, "")
	k := histKey{in, string(s.scratch)}
	if s.hists == nil {
		s.hists = map[histKey]*collector.NativeHistogram{}
	}
	was, ok := s.hists[k]
	if !ok && len(s.hists) >= maxHistograms {
		s.dropped++
		return
	}
	h := *smp.Hist
	h.PositiveSpans, h.PositiveCounts = slices.Clone(h.PositiveSpans), slices.Clone(h.PositiveCounts)
	h.NegativeSpans, h.NegativeCounts = slices.Clone(h.NegativeSpans), slices.Clone(h.NegativeCounts)
	s.hists[k] = &h
	if !ok || was.Schema != h.Schema || h.Count < was.Count {
		return
	}
	d := collector.Sample{Name: strings.Clone(smp.Name), Labels: smp.Labels, Kind: collector.Distribution, Window: collector.Interval}
	count := h.Count - was.Count
	set(&d, "count", count)
	set(&d, "sum", h.Sum-was.Sum)
	if count <= 0 {
		return
	}
	buckets := nativeIncrease(was, &h)
	for _, f := range histFields {
		set(&d, f.name, nativeQuantile(buckets, f.p))
	}
	if smp.Name == s.golden.set.latency.metric {
		for _, ms := range s.limits() {
			set(&d, overPrefix+overField(ms), nativeOver(buckets, ms/s.golden.set.latency.toMillis))
		}
	}
}

type nativeBucket struct{ lo, hi, n float64 }

// nativeIncrease is the buckets of b minus those of a, in the order of their bounds. The bounds are Prometheus': bucket i of schema s ends at 2^(i·2^-s).
func nativeIncrease(a, b *collector.NativeHistogram) []nativeBucket {
	growth := math.Exp2(math.Exp2(-float64(b.Schema)))
	counts := func(spans []collector.Span, n []float64) map[int]float64 {
		m := make(map[int]float64, len(n))
		i, k := 0, 0
		for _, sp := range spans {
			i += int(sp.Offset)
			for range min(sp.Length, uint32(len(n))) {
				if k < len(n) {
					m[i] = n[k]
				}
				i++
				k++
			}
		}
		return m
	}
	var out []nativeBucket
	for _, side := range []struct {
		sign     float64
		old, now map[int]float64
	}{
		{-1, counts(a.NegativeSpans, a.NegativeCounts), counts(b.NegativeSpans, b.NegativeCounts)},
		{1, counts(a.PositiveSpans, a.PositiveCounts), counts(b.PositiveSpans, b.PositiveCounts)},
	} {
		for i, n := range side.now {
			if n -= side.old[i]; n > 0 {
				hi := math.Pow(growth, float64(i))
				bk := nativeBucket{hi / growth, hi, n}
				if side.sign < 0 {
					bk.lo, bk.hi = -bk.hi, -bk.lo
				}
				out = append(out, bk)
			}
		}
	}
	if n := b.ZeroCount - a.ZeroCount; n > 0 {
		out = append(out, nativeBucket{-b.ZeroThreshold, b.ZeroThreshold, n})
	}
	slices.SortFunc(out, func(x, y nativeBucket) int {
		switch {
		case x.lo < y.lo:
			return -1
		case x.lo > y.lo:
			return 1
		}
		return 0
	})
	return out
}

// nativeQuantile interpolates on the exponential scale of the bucket, as Prometheus does.
func nativeQuantile(b []nativeBucket, p float64) float64 {
	var all float64
	for _, x := range b {
		all += x.n
	}
	rank := p * all
	for _, x := range b {
		if rank > x.n {
			rank -= x.n
			continue
		}
		f := rank / x.n
		switch {
		case x.lo > 0:
			return x.lo * math.Pow(x.hi/x.lo, f)
		case x.hi < 0:
			return x.hi * math.Pow(x.lo/x.hi, 1-f)
		}
		return x.lo + (x.hi-x.lo)*f
	}
	if len(b) == 0 {
		return math.NaN()
	}
	return b[len(b)-1].hi
}
