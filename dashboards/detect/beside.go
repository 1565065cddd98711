package detect

import (
	"math"
	"slices"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Bounds of what is worth a word beside the golden signals.
const (
	firstWindow = 15    // ticks in which a new class of exceptions must have been thrown
	firstEvents = 5     // so often
	classFactor = 3     // a known class must be thrown so much more often
	classRatio  = 0.002 // and by this share of the requests more
	classEvents = 20
	classTicks  = 3   // where it is errors, too, they are told first
	nearlyFull  = 0.9 // of what there is
	roomBefore  = 0.8 // what was usual before must have been below
	queueFactor = 4
	queueLeast  = 10 // waiting in each instance, more than usual
)

// besides are the verdicts on what stands beside the golden signals: exceptions of a class that are new or have risen, and what is nearly full.
func (l *signalLines) besides(certainty float64) (out []Verdict) {
	for i := range l.s.Beside {
		b := l.s.Beside[i]
		k := len(b.Values)
		if k < 2 || k > len(l.n) {
			continue
		}
		b.Values = l.without(b.Values)
		base := l.base[len(l.base)-k:]
		var v Verdict
		var ok bool
		switch b.Kind {
		case dashboards.SideException:
			v, ok = thrown(&b, l.n, l.base, l.s.Width.Seconds(), certainty)
		case dashboards.SideUse:
			v, ok = full(b.Values, base, certainty)
		case dashboards.SideQueue:
			v, ok = queued(b.Values, base, certainty)
		}
		if ok {
			v.Name = b.Name
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Verdict) int {
		if r := rank(a.Metric) - rank(b.Metric); r != 0 {
			return r
		}
		switch {
		case a.New != b.New && a.New:
			return -1
		case a.New != b.New:
			return 1
		case a.Is > b.Is:
			return -1
		case a.Is < b.Is:
			return 1
		}
		return 0
	})
	return out
}

// thrown judges one class: it is thrown for the first time since the service is watched, and that is no chance; or more often a request than it was. n and
// base reach further back than the line.
func thrown(b *dashboards.SideLine, n []float64, base []bool, seconds, certainty float64) (Verdict, bool) {
	e := make([]float64, len(b.Values))
	for i, x := range b.Values {
		e[i] = x * seconds
	}
	if b.First >= 0 && b.First < len(n) {
		w := min(b.First, firstWindow, len(e))
		events, polls, of, without := 0.0, 0, 0.0, 0.0
		for i := range w {
			if x := e[len(e)-1-i]; x > 0 {
				events, polls = events+x, polls+1
			}
			if x := n[len(n)-1-i]; x > 0 {
				of += x
			}
		}
		for i, x := range n[:len(n)-b.First] {
			if base[i] && x > 0 {
				without += x
			}
		}
		if events >= firstEvents && polls >= 2 && of > 0 && without > 0 && (e[len(e)-1] > 0 || e[len(e)-2] > 0) {
			if sure := math.Sqrt(twoRates(events, of, 0, without)); sure >= certainty {
				return Verdict{Metric: "exceptions", New: true, Seen: b.First, Is: events / of, Sure: sure, Of: of / (float64(w) * seconds), Ticks: onsetOf(e, b.First)}, true
			}
		}
		if b.First <= 2*firstWindow {
			return Verdict{}, false // what it is usually is not known yet
		}
	}
	n, base = n[len(n)-len(e):], base[len(base)-len(e):]
	v, ok := ratioRisen(n, e, base, certainty)
	if !ok || v.Is < classFactor*v.Was || v.Is < v.Was+classRatio || v.Is*v.Of*float64(v.Ticks) < classEvents || v.Ticks < classTicks {
		return Verdict{}, false
	}
	v.Metric, v.Of = "exceptions", v.Of/seconds
	return v, true
}

// onsetOf is for how many of the newest ticks a class has been thrown as it is now, of those since it was first: one or two that were seen long before are no beginning.
func onsetOf(e []float64, first int) int {
	k := first
	for k > 2 && k <= len(e) {
		newer := e[len(e)-k/2:]
		if older := sumOf(e[len(e)-k : len(e)-k/2]); !(older < sumOf(newer)/10) {
			break
		}
		k /= 2
	}
	return k
}

// full judges the use of something that ends: nearly all of it is used, for two polls, and that is not how it usually is.
func full(x []float64, base []bool, certainty float64) (Verdict, bool) {
	const w = 2
	if len(x) < w+leastHistory {
		return Verdict{}, false
	}
	now := len(x) - w
	var v []float64
	for i := range now - 1 {
		if base[i] && !math.IsNaN(x[i]) {
			v = append(v, x[i])
		}
	}
	v = v[:max(len(v)/2, min(len(v), leastHistory))] // what fills up slowly is not to be compared with itself
	if len(v) < leastHistory {
		return Verdict{}, false
	}
	slices.Sort(v)
	was, most := v[len(v)/2], v[len(v)-1-len(v)/20]
	least, sum := math.Inf(1), 0.0
	for _, y := range x[now:] {
		if math.IsNaN(y) {
			return Verdict{}, false
		}
		least, sum = min(least, y), sum+y/w
	}
	if least < nearlyFull || was >= roomBefore || most >= nearlyFull {
		return Verdict{}, false
	}
	sure := (sum - was) / max((v[len(v)*3/4]-v[len(v)/4])/1.35, 0.01)
	if sure < certainty/2 { // what it was may hold a part of the rise
		return Verdict{}, false
	}
	return Verdict{Metric: "saturation", Was: was, Is: sum, Sure: sure, Ticks: since(len(x), func(i int) bool { return x[i] > (was+sum)/2 })}, true
}

// queued judges what waits: much more than ever in the history that is kept, for three polls.
func queued(x []float64, base []bool, certainty float64) (Verdict, bool) {
	const w = 3
	if len(x) < w+leastHistory {
		return Verdict{}, false
	}
	now := len(x) - w
	mid, scatter, m := 0.0, 0.0, 0
	most := 0.0
	var v []float64
	for i := range now - 1 {
		if base[i] && !math.IsNaN(x[i]) {
			v = append(v, x[i])
			most = max(most, x[i])
		}
	}
	if m = len(v); m < leastHistory {
		return Verdict{}, false
	}
	slices.Sort(v)
	mid, scatter = v[m/2], (v[m*3/4]-v[m/4])/1.35
	least, sum := math.Inf(1), 0.0
	for _, y := range x[now:] {
		if math.IsNaN(y) {
			return Verdict{}, false
		}
		least, sum = min(least, y), sum+y/w
	}
	if least < 1.2*most || least < queueFactor*mid || least < mid+queueLeast {
		return Verdict{}, false
	}
	sure := (sum - mid) / max(scatter, 0.1*mid, 1)
	if sure < certainty {
		return Verdict{}, false
	}
	return Verdict{Metric: "saturation", Waits: true, Was: mid, Is: sum, Sure: sure, Ticks: since(len(x), func(i int) bool { return x[i] > (mid+sum)/2 })}, true
}

// besideNow is the figure of a verdict on something beside the golden signals, over the newest ticks, and whether it is back to what it was.
func (l *signalLines) besideNow(v *Verdict) (is float64, calm bool) {
	i := slices.IndexFunc(l.s.Beside, func(b dashboards.SideLine) bool {
		return b.Name == v.Name && (b.Kind == dashboards.SideException) == (v.Metric == "exceptions")
	})
	if i < 0 || len(l.s.Beside[i].Values) == 0 {
		return math.NaN(), false
	}
	x := l.s.Beside[i].Values
	k := min(3, len(x), len(l.n))
	newest := x[len(x)-k:]
	if v.Metric == "saturation" {
		is = sumOf(newest) / float64(k)
		return is, newest[k-1] < v.Was+(v.Is-v.Was)/2
	}
	n := sumOf(l.n[len(l.n)-k:])
	if !(n > 0) {
		return math.NaN(), false
	}
	is = sumOf(newest) * l.s.Width.Seconds() / n
	return is, is <= v.Was+calmShare*(v.Is-v.Was)
}
