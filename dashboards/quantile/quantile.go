// Package quantile reads percentiles over many hosts from what each of them reports: an interval that must contain the truth, an estimate inside it, and
// the worst host. Averaging percentiles is wrong and is done nowhere here.
//
// Host i reports n_i values with quantiles q_ij at p_j, perhaps least and greatest. What is certain of its distribution function is F_lo,i ≤ F_i ≤ F_hi,i with
//
//	F_lo,i(x) = max{p_j : q_ij ≤ x}    F_hi,i(x) = min{p_j : q_ij > x}, 1 beyond the greatest
//
// and with the weights w_i = n_i/Σn the quantile of the mixture lies between the points at which Σw_i·F_hi,i and Σw_i·F_lo,i reach p. As q_ij is the
// least value that p_j of the values do not exceed, F_i is less than p_j below it: a sum of F_hi that only equals p has not reached it, so a percentile
// that all hosts agree on is one number.
package quantile

import (
	"cmp"
	"math"
	"slices"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Answer is a percentile over hosts.
type Answer struct {
	dashboards.Interval
	N     float64 // values of all hosts; NaN: not all hosts tell
	Hosts int
	Worst string  // the host whose own percentile is the greatest
	Most  float64 // that percentile
}

// knot is one certain point of a distribution function.
type knot struct{ x, p float64 }

// host is a Dist made whole: knots in order of both x and p, NaN and contradictions gone.
type host struct {
	name     string
	n        float64
	knots    []knot // inner ones, 0 < p < 1
	min, max float64
}

// Over is the percentile p (0 < p ≤ 1) over the mixture of ds; hosts that report nothing are left out. It is a dashboards.PercentileFunc.
func Over(ds []dashboards.Dist, p float64) dashboards.Interval { return of(ds, p, false).Interval }

// Of is the percentile p (0 < p ≤ 1) over the mixture of ds with what belongs to it. Where a host does not tell how many values it speaks of there is
// no single number: then Lo and Hi are the least and the greatest that any weights could give, and Est is NaN.
func Of(ds []dashboards.Dist, p float64) Answer { return of(ds, p, true) }

func of(ds []dashboards.Dist, p float64, worst bool) Answer {
	nan := math.NaN()
	a := Answer{Interval: dashboards.Interval{Lo: nan, Hi: nan, Est: nan}, Most: nan}
	hosts := make([]host, 0, len(ds))
	knots := 0
	for i := range ds {
		knots += len(ds[i].Q)
	}
	arena := make([]knot, 0, knots)
	for i := range ds {
		var h host
		var ok bool
		if h, arena, ok = clean(&ds[i], arena); ok {
			hosts = append(hosts, h)
			a.N += h.n
		}
	}
	a.Hosts = len(hosts)
	if len(hosts) == 0 || !(p > 0 && p <= 1) {
		a.N = nan
		return a
	}
	for i := range hosts {
		if !worst {
			break
		}
		if own := hosts[i].percentile(p); !(own <= a.Most) && !math.IsNaN(own) {
			a.Worst, a.Most = hosts[i].name, own
		}
	}
	if math.IsNaN(a.N) {
		a.Lo, a.Hi = unweighted(hosts, p)
		return a
	}
	a.Lo, a.Hi = bounds(hosts, a.N, p)
	a.Est = estimate(hosts, a.N, p, a.Lo, a.Hi)
	return a
}

// clean brings a host's report in order. A percentile below one of a lower rank contradicts it and is lifted to it.
func clean(d *dashboards.Dist, arena []knot) (host, []knot, bool) {
	h := host{name: d.Host, n: d.N, min: d.Min, max: d.Max}
	if h.n <= 0 || math.IsInf(h.n, 0) {
		return h, arena, false
	}
	from := len(arena)
	for _, q := range d.Q {
		if q.P > 0 && q.P < 1 && !math.IsNaN(q.V) && !math.IsInf(q.V, 0) {
			arena = append(arena, knot{q.V, q.P})
		}
		if q.P == 1 && math.IsNaN(h.max) {
			h.max = q.V
		}
	}
	h.knots = arena[from:len(arena):len(arena)]
	slices.SortStableFunc(h.knots, func(a, b knot) int { return cmp.Compare(a.p, b.p) })
	if math.IsInf(h.min, 0) {
		h.min = math.NaN()
	}
	if math.IsInf(h.max, 0) {
		h.max = math.NaN()
	}
	least := math.Inf(-1)
	if !math.IsNaN(h.min) {
		least = h.min
	}
	for i := range h.knots {
		h.knots[i].x = max(h.knots[i].x, least)
		least = h.knots[i].x
	}
	if !math.IsInf(least, 0) {
		h.max = math.Max(h.max, least) // NaN stays
	}
	return h, arena, len(h.knots) > 0 || !math.IsNaN(h.min) || !math.IsNaN(h.max)
}

// jump is a step of a sum of distribution functions.
type jump struct{ x, by float64 }

// slack is what sums of weights may be off by.
const slack = 1e-9

// bounds is the interval that must contain the percentile; NaN where the hosts leave it open.
func bounds(hosts []host, n, p float64) (lo, hi float64) {
	if p == 1 {
		return extreme(hosts)
	}
	upper := make([]jump, 0, 4*len(hosts)) // of Σw·F_hi
	lower := make([]jump, 0, 4*len(hosts)) // of Σw·F_lo
	base := 0.0
	for i := range hosts {
		h := &hosts[i]
		w := h.n / n
		first := 1.0 // F_hi before the first knot
		if len(h.knots) > 0 {
			first = h.knots[0].p
		}
		if math.IsNaN(h.min) {
			base += w * first
		} else {
			upper = append(upper, jump{h.min, w * first})
		}
		last := 0.0
		for k, q := range h.knots {
			lower = append(lower, jump{q.x, w * (q.p - last)})
			last = q.p
			next := 1.0
			if k+1 < len(h.knots) {
				next = h.knots[k+1].p
			}
			upper = append(upper, jump{q.x, w * (next - q.p)})
		}
		if !math.IsNaN(h.max) {
			lower = append(lower, jump{h.max, w * (1 - last)})
		}
	}
	return reach(upper, base, p+slack), reach(lower, 0, p-slack)
}

// reach is where a sum of jumps gets to p, NaN if it begins there or never does.
func reach(jumps []jump, sum, p float64) float64 {
	if sum >= p {
		return math.NaN()
	}
	// Most of the jumps need no order among themselves: as in quicksort, but only the part is looked at in which the sum gets there.
	for len(jumps) > 12 {
		pivot := middle(jumps[0].x, jumps[len(jumps)/2].x, jumps[len(jumps)-1].x)
		var below, at float64
		lo, hi := 0, len(jumps)
		for i := 0; i < hi; {
			switch j := jumps[i]; {
			case j.x < pivot:
				below += j.by
				jumps[i], jumps[lo] = jumps[lo], j
				lo++
				i++
			case j.x > pivot:
				hi--
				jumps[i], jumps[hi] = jumps[hi], j
			default:
				at += j.by
				i++
			}
		}
		switch {
		case sum+below >= p:
			jumps = jumps[:lo]
		case sum+below+at >= p:
			return pivot
		default:
			sum += below + at
			jumps = jumps[hi:]
		}
	}
	slices.SortFunc(jumps, func(a, b jump) int { return cmp.Compare(a.x, b.x) })
	for _, j := range jumps {
		if sum += j.by; sum >= p {
			return j.x
		}
	}
	return math.NaN()
}

func middle(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }

// extreme is the greatest value of all: known if all tell it, else at least the greatest that any tells.
func extreme(hosts []host) (lo, hi float64) {
	lo, all := math.Inf(-1), true
	for i := range hosts {
		h := &hosts[i]
		switch {
		case !math.IsNaN(h.max):
			lo = max(lo, h.max)
			continue
		case len(h.knots) > 0:
			lo = max(lo, h.knots[len(h.knots)-1].x)
		}
		all = false
	}
	if math.IsInf(lo, 0) {
		lo = math.NaN()
	}
	if all {
		return lo, lo
	}
	return lo, math.NaN()
}

// unweighted is what any mixture of the hosts lies in.
func unweighted(hosts []host, p float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for i := range hosts {
		one := hosts[i : i+1 : i+1]
		n := one[0].n
		if math.IsNaN(n) {
			n = 1
			one = []host{one[0]}
			one[0].n = 1
		}
		l, h := bounds(one, n, p)
		lo, hi = math.Min(lo, l), math.Max(hi, h) // NaN wins: open for one is open for all
	}
	return lo, hi
}

// percentile is the host's own: the reported one, or interpolated.
func (h *host) percentile(p float64) float64 {
	for _, k := range h.knots {
		if math.Abs(k.p-p) < slack {
			return k.x
		}
	}
	one := []host{*h}
	if !(one[0].n > 0) {
		one[0].n = 1
	}
	lo, hi := bounds(one, one[0].n, p)
	if math.IsNaN(lo) && math.IsNaN(hi) {
		return math.NaN()
	}
	return estimate(one, one[0].n, p, lo, hi)
}

// Above is how many hosts' own percentile p is above a threshold. A host that does not report p itself is counted by what lies between what it does report.
func Above(ds []dashboards.Dist, p, threshold float64) (hosts int) {
	if !(p > 0 && p <= 1) {
		return 0
	}
	var arena []knot
	for i := range ds {
		var h host
		var ok bool
		if h, arena, ok = clean(&ds[i], arena[:0]); !ok {
			continue
		}
		own := h.max
		if p < 1 {
			own = h.percentile(p)
		}
		if own > threshold {
			hosts++
		}
	}
	return hosts
}
