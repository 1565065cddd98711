package detect

import (
	"math"
	"slices"
	"time"
)

// What comes slowly is not seen against the minute before. It is compared with what was some minutes ago.
const (
	driftOver   = 30 * time.Second // what is now is the mean over this
	driftTicks  = 5                // and over so many ticks
	driftGap    = 2 * time.Minute  // what lies in between is part of the change
	driftFactor = 1.5              // latency must be this much higher: means over minutes wander more than they scatter
)

// drift is how the newest ticks are split: w of them are now, those before `until` are how it was. ok is false while there are too few.
func drift(ticks int, width time.Duration) (w, until int, ok bool) {
	w = max(driftTicks, int(driftOver/width))
	until = ticks - w - max(driftTicks, int(driftGap/width))
	return w, until, until >= max(leastHistory, w/2)
}

// ratioDrifted is ratioRisen for what rises over minutes.
func ratioDrifted(n, e []float64, base []bool, width time.Duration, certainty float64) (Verdict, bool) {
	w, until, ok := drift(len(n), width)
	if !ok {
		return Verdict{}, false
	}
	for _, k := range [...]int{w, min(w, 10)} { // the second where history is too short for three chunks of the first
		if v, ok := ratioAt(k, until, n, e, base, certainty); ok {
			return v, true
		}
	}
	return Verdict{}, false
}

// slowDrifted is slower for what rises over minutes: the median of the newest ticks against the median of how it was.
func slowDrifted(x, n []float64, p float64, base []bool, width time.Duration, certainty float64) (Verdict, bool) {
	w, until, ok := drift(len(x), width)
	if !ok {
		return Verdict{}, false
	}
	newest := x[len(x)-w:]
	// What is calm shows at once: the least of the newest is not above most of what was.
	if least := slices.Min(newest); !math.IsNaN(least) && !mostlyBelow(least/(1+(driftFactor-1)/2), x[:until], base[:until]) {
		return Verdict{}, false
	}
	mid, scatter, _, m := usual(x[:until], base[:until], until)
	if m < leastHistory {
		return Verdict{}, false
	}
	all := make([]bool, w)
	for i := range all {
		all[i] = true
	}
	is, now, _, k := usual(newest, all, w)
	of := 0.0
	for _, r := range n[len(n)-w:] {
		if r > 0 {
			of += r
		}
	}
	if k < w*2/3 || of < 20 || of*(1-p) < 2 || of/float64(w) < 0.3*median(n[:until], base[:until]) {
		return Verdict{}, false
	}
	// Ticks next to each other are alike, so that many say little more than four of them.
	sure := (is - mid) / (max(scatter, now, 0.03, chance(of/float64(w), p)) * math.Sqrt(1.0/4+1/float64(m)))
	was, at := math.Exp(mid), math.Exp(is)
	if sure < certainty/2 || at < was*driftFactor || at-was < slowMillis || slices.Min(newest) < was*(1+(driftFactor-1)/2) {
		return Verdict{}, false
	}
	v := Verdict{Metric: "latency", Was: was, Is: at, Sure: sure, Of: of / float64(w)}
	half := math.Exp(mid + (is-mid)/2)
	v.Ticks = since(len(x), func(i int) bool { return x[i] > half })
	return v, true
}

// mostlyBelow reports whether the median of those that may serve may be below a bound: within what logarithms are rounded by.
func mostlyBelow(bound float64, x []float64, base []bool) bool {
	below, of := 0, 0
	for i := range x {
		if base[i] && x[i] > 0 {
			of++
			if x[i] <= bound*(1+1e-9) {
				below++
			}
		}
	}
	return below > of/2
}
