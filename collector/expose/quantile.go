package expose

import (
	"math"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"
)

// percentiles are those that Ostrich gives of each distribution.
var percentiles = [...]struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}}

// bucket holds count observations in (lower, upper].
type bucket struct{ lower, upper, count float64 }

func histogram(name string, h *dto.Histogram) distribution {
	count := histogramCount(h)
	d := distribution{name, countAndSum(count, h.GetSampleSum())}
	if count <= 0 {
		return d
	}
	buckets, exponential := bucketsOf(h, count)
	if len(buckets) == 0 {
		return d
	}
	for _, p := range percentiles {
		if v := quantile(buckets, p.q, exponential); finite(v) {
			d.fields = append(d.fields, number{p.name, v})
		}
	}
	return d
}

func histogramCount(h *dto.Histogram) float64 {
	if f := h.GetSampleCountFloat(); f > 0 {
		return f
	}
	return float64(h.GetSampleCount())
}

// bucketsOf is the non-empty buckets from low to high: the native ones where there are any, for they are finer, else the classic ones.
func bucketsOf(h *dto.Histogram, count float64) (b []bucket, exponential bool) {
	native := len(h.PositiveSpan)+len(h.NegativeSpan) > 0 || h.GetZeroCount() > 0 || h.GetZeroCountFloat() > 0
	if h.Schema != nil && native && h.GetSchema() >= -4 && h.GetSchema() <= 8 {
		return nativeBuckets(h), true
	}
	var below float64
	lower := math.Inf(-1)
	for _, c := range h.Bucket {
		cum := float64(c.GetCumulativeCount())
		if f := c.GetCumulativeCountFloat(); f > 0 {
			cum = f
		}
		if cum > below {
			b = append(b, bucket{lower, c.GetUpperBound(), cum - below})
			below = cum
		}
		lower = c.GetUpperBound()
	}
	if count > below && !math.IsInf(lower, -1) {
		b = append(b, bucket{lower, math.Inf(1), count - below})
	}
	return b, false
}

func nativeBuckets(h *dto.Histogram) []bucket {
	growth := math.Exp2(math.Exp2(-float64(h.GetSchema())))
	var b []bucket
	walkSpans(h.NegativeSpan, h.NegativeDelta, h.NegativeCount, func(i int, n float64) {
		upper := math.Pow(growth, float64(i))
		b = append(b, bucket{-upper, -upper / growth, n})
	})
	slices.Reverse(b)
	zero := float64(h.GetZeroCount())
	if f := h.GetZeroCountFloat(); f > 0 {
		zero = f
	}
	if zero > 0 {
		z := bucket{-h.GetZeroThreshold(), h.GetZeroThreshold(), zero}
		if len(b) == 0 {
			z.lower = 0 // nothing negative was seen
		}
		b = append(b, z)
	}
	walkSpans(h.PositiveSpan, h.PositiveDelta, h.PositiveCount, func(i int, n float64) {
		upper := math.Pow(growth, float64(i))
		b = append(b, bucket{upper / growth, upper, n})
	})
	return b
}

// walkSpans calls f with the index and count of each bucket that is not empty.
func walkSpans(spans []*dto.BucketSpan, deltas []int64, counts []float64, f func(int, float64)) {
	var index, at int
	var sum int64
	for _, s := range spans {
		index += int(s.GetOffset())
		for range s.GetLength() {
			var n float64
			switch {
			case at < len(counts):
				n = counts[at]
			case at < len(deltas):
				sum += deltas[at]
				n = float64(sum)
			default:
				return
			}
			at++
			if n > 0 {
				f(index, n)
			}
			index++
		}
	}
}

// quantile interpolates as Prometheus' histogram_quantile does: linearly inside a bucket (by ratio inside an exponential one), from 0 in the lowest
// bucket if its bound is positive; in the bucket that ends at +Inf it is that bucket's lower bound.
func quantile(buckets []bucket, q float64, exponential bool) float64 {
	var total float64
	for _, b := range buckets {
		total += b.count
	}
	rank := q * total
	for i, b := range buckets {
		if rank > b.count && i < len(buckets)-1 {
			rank -= b.count
			continue
		}
		if math.IsInf(b.upper, 1) {
			return b.lower
		}
		lower := b.lower
		if math.IsInf(lower, -1) {
			if b.upper <= 0 {
				return b.upper
			}
			lower = 0
		}
		part := min(rank/b.count, 1)
		switch {
		case exponential && lower > 0:
			return lower * math.Pow(b.upper/lower, part)
		case exponential && b.upper < 0:
			return b.upper * math.Pow(lower/b.upper, 1-part)
		}
		return lower + (b.upper-lower)*part
	}
	return math.NaN()
}

// appendNumber writes v shortest, but a whole number of up to 63 bits with all its digits.
func appendNumber(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case v == 0:
		return append(dst, '0') // and not -0
	}
	if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	if a := math.Abs(v); a < 1e-6 || a >= 1e21 {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}
