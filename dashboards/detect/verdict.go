package detect

import (
	"iter"
	"math"
	"slices"
)

// Verdict is a change of one signal: from what it was to what it is.
type Verdict struct {
	Metric  string  // errors, latency, rate, exceptions or saturation
	Name    string  // the class of the exceptions, or the metric that is nearly full
	New     bool    // the class was never seen before
	Seen    int     // ticks since it was first seen
	Waits   bool    // the metric counts what waits; else it is the used share of something
	Was, Is float64 // a ratio, milliseconds, requests a second, or what waits
	Sure    float64 // standard deviations away from chance
	Ticks   int     // for how many of the newest ticks it has been so
	Of      float64 // requests a second over those ticks
}

// Bounds of what is worth a word, beside being certain: a change must be this large as a factor and by itself.
const (
	riseFactor   = 1.6
	riseRatio    = 0.001 // a thousandth of the requests
	riseErrors   = 5     // errors seen
	slowFactor   = 1.3
	slowMillis   = 2
	slowAbove    = 1.05 // times the most of the newest history, of which there are so many ticks:
	slowNear     = 120
	dropFactor   = 0.5
	nothing      = 0.01 // of what was: it has stopped
	leastHistory = 8    // ticks before anything is compared
	priorErrors  = 0.5
	priorRatio   = 0.002 // what is expected of a service that has said nothing yet
)

// scales are the windows, in ticks, over which the newest are compared with those before: two for what is clear, more for what is small.
var scales = [...]int{2, 5, 15, 45}

// ratioRisen compares errors per request of the newest ticks with those before. n and e are requests and errors of each tick, base says which ticks
// may serve as history.
//
// The test is the likelihood ratio of two Poisson rates, E of N against E0 of N0, divided by the dispersion that the history itself shows at the same
// scale. History begins with half an error in 250 requests, so that a service with little of it does not alarm at its first error.
func ratioRisen(n, e []float64, base []bool, certainty float64) (Verdict, bool) {
	for _, w := range scales {
		if v, ok := ratioAt(w, len(n)-w-1, n, e, base, certainty); ok {
			return v, true
		}
	}
	return Verdict{}, false
}

// ratioAt is ratioRisen for the newest w ticks, with those before `until` for history.
func ratioAt(w, until int, n, e []float64, base []bool, certainty float64) (Verdict, bool) {
	if len(n) < w+leastHistory {
		return Verdict{}, false
	}
	now := len(n) - w
	e1, n1 := sumOf(e[now:]), sumOf(n[now:])
	if math.IsNaN(e1) || math.IsNaN(n1) || e1 < riseErrors || n1 <= 0 {
		return Verdict{}, false
	}
	e0, n0, many := priorErrors, priorErrors/priorRatio, 0
	for c := range chunked(n[:until], e[:until], base[:until], w) {
		e0, n0 = e0+c.e, n0+c.n
		many++
	}
	p0, p1 := e0/n0, e1/n1
	if many < max(leastHistory/w, 3) || p1 < p0*riseFactor || p1 < p0+riseRatio {
		return Verdict{}, false
	}
	sure := math.Sqrt(twoRates(e1, n1, e0, n0) / dispersion(chunked(n[:until], e[:until], base[:until], w), p0))
	if sure < certainty || !lasting(n[now:], e[now:], p0, p1) {
		return Verdict{}, false
	}
	v := Verdict{Metric: "errors", Was: p0, Is: p1, Sure: sure, Of: n1 / float64(w)}
	v.Ticks = since(len(n), func(i int) bool { return e[i] > n[i]*(p0+(p1-p0)/2) })
	return v, true
}

// What breaks before there is a history is compared with what services usually are: hardly one fails one request in ten for all its life.
const (
	earlyRatio = 0.1
	earlyTicks = 60 // of a service's life
)

// ratioEarly judges errors of a service that has no history to compare with yet, because they were there before it could be made.
func ratioEarly(n, e []float64, base []bool, certainty float64) (Verdict, bool) {
	const w = 3
	if len(n) < w+1 || len(n) > earlyTicks {
		return Verdict{}, false
	}
	now := len(n) - w
	before := 0
	for i := range now {
		if base[i] && n[i] > 0 {
			before++
		}
	}
	e1, n1 := sumOf(e[now:]), sumOf(n[now:])
	if math.IsNaN(e1) || math.IsNaN(n1) || e1 < 2*riseErrors || e1 < earlyRatio*n1 || !lasting(n[now:], e[now:], priorRatio, e1/n1) {
		return Verdict{}, false
	}
	sure := math.Sqrt(twoRates(e1, n1, priorErrors, priorErrors/priorRatio))
	if sure < certainty {
		return Verdict{}, false
	}
	v := Verdict{Metric: "errors", Was: priorRatio, Is: e1 / n1, Sure: sure, Of: n1 / w}
	v.Ticks = since(len(n), func(i int) bool { return e[i] > n[i]*v.Is/2 })
	return v, true
}

// twoRates is twice the log likelihood ratio of e1 in n1 and e0 in n0 against one rate for both.
func twoRates(e1, n1, e0, n0 float64) float64 {
	p := (e1 + e0) / (n1 + n0)
	part := func(e, n float64) float64 {
		if e <= 0 {
			return n * p
		}
		return e*math.Log(e/(n*p)) - (e - n*p)
	}
	return 2 * (part(e1, n1) + part(e0, n0))
}

type chunk struct{ n, e float64 }

// chunked adds history up by w ticks, from the newest back. Ticks that may not serve are left out.
func chunked(n, e []float64, base []bool, w int) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		var c chunk
		k := 0
		for i := len(n) - 1; i >= 0; i-- {
			if !base[i] || math.IsNaN(n[i]) || math.IsNaN(e[i]) {
				continue
			}
			c.n, c.e = c.n+n[i], c.e+e[i]
			if k++; k == w {
				if !yield(c) {
					return
				}
				c, k = chunk{}, 0
			}
		}
	}
}

// dispersion is by how much the chunks vary more than Poisson's counts would: Pearson's mean square, drawn towards a little more than one by five chunks' worth,
// never below one.
func dispersion(chunks iter.Seq[chunk], p0 float64) float64 {
	sum, n := 5*1.3, 5.0
	for c := range chunks {
		if mu := c.n * p0; mu > 0 {
			sum += min((c.e-mu)*(c.e-mu)/mu, 25)
			n++
		}
	}
	return max(sum/n, 1)
}

// lasting reports whether the newer part of a window is as bad as the whole: what is over is no news.
func lasting(n, e []float64, p0, p1 float64) bool {
	newer := e[len(e)-max(len(e)/3, 1):]
	of := n[len(n)-len(newer):]
	en, nn := sumOf(newer), sumOf(of)
	if !(en > nn*(p0+(p1-p0)/2)) {
		return false
	}
	// Two ticks at least have errors beyond what is usual: two polls.
	bad := 0
	for i := range e {
		if e[i] > n[i]*(p0+(p1-p0)/4) && e[i] >= 1 {
			bad++
		}
	}
	return bad >= 2
}

// slower compares latencies, which are percentiles or means: what is usual is their median on a logarithmic scale, and how they scatter is the median
// distance from it. Because tails are heavy the newest ticks must also lie above everything in the last two minutes of history.
// p is the percentile that x are, 0 for means: it takes enough requests beyond it to speak of it.
func slower(x, n []float64, p float64, base []bool, certainty float64) (Verdict, bool) {
	for _, w := range scales[:3] {
		if len(x) < w+leastHistory {
			break
		}
		now := len(x) - w
		// What is calm shows at once; the history is put in order only for what does not.
		if slices.Min(x[now:]) < highest(x[:now-1], base[:now-1], slowNear)*slowAbove {
			continue
		}
		mid, scatter, most, m := usual(x[:now-1], base[:now-1], slowNear)
		if m < max(leastHistory, 2*w) {
			continue
		}
		// A percentile of much fewer requests is another thing.
		few := 0.3 * median(n[:now-1], base[:now-1])
		least, sum, of := math.Inf(1), 0.0, 0.0
		known := true
		for i := now; i < len(x); i++ {
			if !(x[i] > 0) || n[i] < max(few, 1) {
				known = false
				break
			}
			least, sum, of = min(least, x[i]), sum+math.Log(x[i]), of+n[i]
		}
		if !known || of < 20 || of*(1-p) < 2 {
			continue
		}
		is := sum / float64(w)
		scatter = max(scatter, 0.03, chance(of/float64(w), p)) * (1 + 4/float64(m))
		sure := (is - mid) / (scatter * math.Sqrt(1/math.Min(float64(w), 4)+1/float64(m)))
		was := math.Exp(mid)
		if sure < certainty || math.Exp(is) < was*slowFactor || math.Exp(is)-was < slowMillis || least < most*slowAbove || least < was*(1+(slowFactor-1)/2) {
			continue
		}
		v := Verdict{Metric: "latency", Was: was, Is: math.Exp(is), Sure: sure, Of: of / float64(w)}
		half := math.Exp(mid + (is-mid)/2)
		v.Ticks = since(len(x), func(i int) bool { return x[i] > half })
		return v, true
	}
	return Verdict{}, false
}

// chance is how much ln of a percentile of n requests scatters by itself, where latencies are lognormal with the usual spread of a half: a few ticks of history
// may look calmer than that. p is 0 for means.
func chance(n, p float64) float64 { return 0.2 / math.Sqrt(max(n, 1)*min(1-p, 0.16)) }

// highest is the most x of the newest `near` ticks that may serve; 0 if none may.
func highest(x []float64, base []bool, near int) (most float64) {
	for i := len(x) - 1; i >= 0 && near > 0; i-- {
		if base[i] && x[i] > 0 {
			most = max(most, x[i])
			near--
		}
	}
	return most
}

// usual is the median of ln x, its scatter (1.4826 times the median distance), and the most x of the newest `near` ticks, over the m that may serve.
func usual(x []float64, base []bool, near int) (mid, scatter, most float64, m int) {
	v := make([]float64, 0, len(x))
	for i := range x {
		if base[i] && x[i] > 0 {
			v = append(v, math.Log(x[i]))
		}
	}
	if len(v) == 0 {
		return math.NaN(), math.NaN(), 0, 0
	}
	most = highest(x, base, near)
	slices.Sort(v)
	mid = v[len(v)/2]
	for i := range v {
		v[i] = math.Abs(v[i] - mid)
	}
	slices.Sort(v)
	return mid, 1.4826 * v[len(v)/2], most, len(v)
}

// median of those that may serve; 0 if none.
func median(x []float64, base []bool) float64 {
	var v []float64
	for i := range x {
		if base[i] && !math.IsNaN(x[i]) {
			v = append(v, x[i])
		}
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// collapsed compares requests: traffic has a daily shape, so only the last minute counts as usual, and only a fall to less than half is news. What fewer
// instances answering explains is not: that is a finding of its own.
func collapsed(rate, n []float64, answering []int, base []bool, certainty float64) (Verdict, bool) {
	if v, ok := collapsedAt(2, nothing, rate, n, answering, base, certainty); ok {
		return v, true
	}
	return collapsedAt(3, dropFactor, rate, n, answering, base, certainty) // a machine that stalls for a moment makes up for it in the next
}

// collapsedAt is collapsed for the newest w ticks and a fall to a share of what was.
func collapsedAt(w int, factor float64, rate, n []float64, answering []int, base []bool, certainty float64) (Verdict, bool) {
	if len(rate) < w+leastHistory {
		return Verdict{}, false
	}
	now := len(rate) - w
	from := max(now-1-60, 0)
	before := make([]float64, 0, now-1-from)
	least, per, people := math.Inf(1), 0.0, 0.0
	for i := from; i < now-1; i++ {
		if base[i] && rate[i] > 0 {
			before = append(before, rate[i])
			least = min(least, rate[i])
			per += n[i] / rate[i]
			people += float64(max(answering[i], 0))
		}
	}
	if len(before) < leastHistory {
		return Verdict{}, false
	}
	people /= float64(len(before))
	is, most, there := 0.0, 0.0, 0.0
	for i := now; i < len(rate); i++ {
		if math.IsNaN(rate[i]) {
			return Verdict{}, false
		}
		is, most, there = is+rate[i]/float64(w), max(most, rate[i]), there+float64(max(answering[i], 0))/float64(w)
	}
	share := 1.0
	if people > 0 {
		share = min(there/people, 1)
	}
	if most > least*0.7*share {
		return Verdict{}, false
	}
	slices.Sort(before)
	was := before[len(before)/2]
	if most > was*factor*share {
		return Verdict{}, false
	}
	// Counts: mean of history against what came, with the dispersion of the history.
	count := per / float64(len(before)) // requests a tick for one a second
	mu := was * share * count * float64(w)
	var square float64
	for _, b := range before {
		square += (b - was) * (b - was) * count / was
	}
	phi := max(square/float64(len(before)), 1)
	sure := (mu - is*count*float64(w)) / math.Sqrt(max(mu, 1)*phi)
	if sure < certainty {
		return Verdict{}, false
	}
	v := Verdict{Metric: "rate", Was: was, Is: is, Sure: sure, Of: is}
	v.Ticks = since(len(rate), func(i int) bool { return rate[i] < (was*share+is)/2 })
	return v, true
}

// since counts for how many of the newest ticks something holds; one tick that does not is passed over.
func since(n int, holds func(int) bool) int {
	count, missed := 0, 0
	for i := n - 1; i >= 0; i-- {
		if !holds(i) {
			if missed++; missed > 1 {
				break
			}
			continue
		}
		missed = 0
		count = n - i
	}
	return max(count, 1)
}

func sumOf(v []float64) float64 {
	var t float64
	for _, x := range v {
		t += x
	}
	return t
}
