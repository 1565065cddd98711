package share

import "time"

// How the weight follows the load.
const (
	loadEvery  = 5 * time.Second // the load is looked at
	loadHalf   = time.Minute     // half-life of its mean
	weighEvery = 3 * time.Minute // a weight changes at most so often: each change moves targets
	tooBusy    = 0.8             // above it the weight falls by a step
	idle       = 0.5             // below it it rises by one: far enough from tooBusy that the targets that come with a step do not send it back
	weightStep = FullWeight / 8
	leastShare = FullWeight / 4
)

// steps turns a load into a weight, in steps and with hysteresis.
type steps struct {
	last   time.Time // the weight changed, or the collector began
	looked time.Time
	mean   float64
}

// next is the weight at now. load is only called when it is due.
func (s *steps) next(weight int, load func() float64, now time.Time) int {
	if now.Sub(s.looked) < loadEvery {
		return weight
	}
	x := min(max(load(), 0), 1)
	if s.looked.IsZero() {
		s.mean = x
	} else {
		// An even mean over unevenly spaced looks: the longer ago the last one, the more the new one counts.
		w := min(1, float64(now.Sub(s.looked))/float64(2*loadHalf))
		s.mean += (x - s.mean) * w
	}
	s.looked = now
	if now.Sub(s.last) < weighEvery {
		return weight
	}
	next := weight
	switch {
	case s.mean > tooBusy:
		next = max(leastShare, weight-weightStep)
	case s.mean < idle:
		next = min(FullWeight, weight+weightStep)
	}
	if next != weight {
		s.last = now
	}
	return next
}
