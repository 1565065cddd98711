package dashboards

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// TimedMetric is the name under which rollups hold how many requests a second have a time that is known; OverMetric those that took longer than a promise allows.
const TimedMetric = "slo/timed"

// OverMetric is the name of requests that took longer than so many milliseconds.
func OverMetric(ms float64) string { return "slo/over_" + overField(ms) }

// overField is the field of a distribution that holds what was over a limit: 300ms.
func overField(ms float64) string { return strconv.FormatFloat(ms, 'g', 6, 64) + "ms" }

const overPrefix = "over_"

// limits are the times, in milliseconds, under which the service promises to be.
func (s *service) limits() (out []float64) {
	for _, o := range s.about.Objectives {
		if o.Under > 0 && !slices.Contains(out, o.Under) {
			out = append(out, o.Under)
		}
	}
	return out
}

// over counts of a cell's requests those that took longer than limits, in milliseconds; all is how many have a time. NaN: that is not known.
func (c *cell) over(limits []float64, out []float64) (all float64, over []float64) {
	l := &c.p.set.latency
	over = out[:0]
	all = math.NaN()
	if len(l.buckets) == 0 {
		for _, lim := range limits {
			over = append(over, c.partsOver(lim, &all))
		}
		return all, over
	}
	for _, lim := range limits {
		under, cum, bound := math.NaN(), 0.0, 0.0
		var total float64
		for i := 0; i < len(l.buckets); {
			le, sum := l.buckets[i].le, 0.0
			for ; i < len(l.buckets) && l.buckets[i].le == le; i++ {
				if g := c.grew(c.p.buckets + i); !math.IsNaN(g) {
					sum += g
				}
			}
			at := le * l.toMillis
			if math.IsNaN(under) && at >= lim*(1-1e-9) {
				under = cum // beyond the last bound nobody knows: those count as too long
				if !math.IsInf(at, 1) {
					// Within a bucket they are taken to be spread evenly, as Prometheus does.
					under += (sum - cum) * min(1, (lim-bound)/(at-bound))
				}
			}
			cum, bound = max(sum, cum), at
			total = max(total, sum)
		}
		if math.IsNaN(under) {
			under = cum
		}
		all = total
		over = append(over, max(total-under, 0))
	}
	return all, over
}

// partsOver is over of a native histogram, whose fields hold it for an interval.
func (c *cell) partsOver(limit float64, all *float64) float64 {
	total, sum := math.NaN(), math.NaN()
	for i, pp := range c.p.parts {
		for k, o := range c.p.set.latency.parts[i].overs {
			n, x := c.grew(pp.count), c.grew(pp.over[k])
			if o.ms != limit || math.IsNaN(n) || math.IsNaN(x) {
				continue
			}
			if math.IsNaN(total) {
				total, sum = 0, 0
			}
			total, sum = total+n, sum+x
		}
	}
	*all = total
	return sum
}

// overCol is a field that holds how many took longer.
type overCol struct {
	ms  float64
	col int64
}

func (p *latencyPart) addOver(field string, n uint32) {
	text, ok := strings.CutPrefix(field, overPrefix)
	if !ok {
		return
	}
	if ms, err := strconv.ParseFloat(strings.TrimSuffix(text, "ms"), 64); err == nil && len(p.overs) < maxLimits {
		p.overs = append(p.overs, overCol{ms, int64(n)})
	}
}

// maxLimits bounds the limits that the fields of one distribution tell of: promises that were changed leave theirs.
const maxLimits = 32

// nativeOver is how many of a native histogram's observations are over x, spread within a bucket as its percentiles are.
func nativeOver(b []nativeBucket, x float64) (n float64) {
	for _, k := range b {
		switch {
		case k.lo >= x:
			n += k.n
		case k.hi <= x:
		case k.lo > 0:
			n += k.n * math.Log(k.hi/x) / math.Log(k.hi/k.lo)
		default:
			n += k.n * (k.hi - x) / (k.hi - k.lo)
		}
	}
	return n
}

// counted adds up what the promises of latency are counted by, over a slot.
type counted struct {
	n              int
	timed, seconds float64
	over, scratch  []float64
	allTimed       float64 // a second, over all instances
	allOver        []float64
	limits         []float64
}

func newCounted(limits []float64) *counted {
	return &counted{limits: limits, over: make([]float64, len(limits)), allOver: make([]float64, len(limits))}
}

// begin begins an instance.
func (k *counted) begin() {
	k.timed, k.seconds = 0, 0
	clear(k.over)
}

// add takes the share w of a cell in.
func (k *counted) add(c *cell, w float64) {
	all, over := c.over(k.limits, k.scratch)
	k.scratch = over
	if math.IsNaN(all) {
		return
	}
	k.timed += all * w
	k.seconds += c.seconds() * w
	for i, x := range over {
		k.over[i] += x * w
	}
}

// end ends an instance.
func (k *counted) end() {
	if k.seconds == 0 {
		return
	}
	k.n++
	k.allTimed += k.timed / k.seconds
	for i, x := range k.over {
		k.allOver[i] += x / k.seconds
	}
}

// slices appends what it comes to.
func (k *counted) slices(out []Slice) []Slice {
	if k.n == 0 {
		return out
	}
	put := func(name string, x float64) {
		out = append(out, Slice{Metric: name, N: k.n, Rate: Num(x), Errors: Unknown(), Latency: Interval{math.NaN(), math.NaN(), math.NaN()}})
	}
	put(TimedMetric, k.allTimed)
	for i, lim := range k.limits {
		put(OverMetric(lim), k.allOver[i])
	}
	return out
}
