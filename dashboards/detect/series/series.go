// Package series finds where one line of figures begins to do what it has not done before.
//
// It owns State, which is all that is known of one series: a few levels and what they have been seen to do, in 56 bytes. It knows neither names nor
// time: a point is whatever comes next. There is nothing to train and nothing to set; one Threshold serves all series.
package series

import "math"

// Threshold is the score from which on a point is the onset of something new: a third more than what the memory holds.
const Threshold = 4.0 / 3

// What the detector is made of, in points. They are round numbers from the middle of where it does well: no series has one of its own.
const (
	fast   = 8    // time constant of the level that a point is compared with
	middle = 40   // of the level that shows a shift
	slow   = 256  // of the level that stands for how things are
	half   = 5000 // half-life of the memory of what has been
	takes  = 0.5  // the part of what exceeds the memory that it takes over at once
	quiet  = 100  // after an onset, while the memory takes in what has changed
	warm   = 100  // points before anything can be told; until the slow level is whole, it takes more
	least  = 0.01 // of the slow level: less than that is no news
	most   = 1000 // the highest score

	// The ways of a departure, beside upwards, which is 0.
	downwards, usual = 1, 2

	grows = 1.00013864 // 2^(1/half): rather than that eight figures of the memory shrink at each point, what comes grows

	// Figures are taken to lie within these, so that differences and products of two of them are figures, too.
	largest  = 1e18
	smallest = 1e-18
)

// State is one series. The zero value is one that nothing has been seen of. It is not safe for concurrent use.
type State struct {
	level  [3]float32    // fast, middle, slow
	memory [4][2]float32 // of each kind of departure: the most there has been upwards and downwards, times grown
	grown  float32       // by how much what comes now counts for more than what has been
	seen   uint32        // points, up to warm and slow
	quiet  uint32        // points for which nothing is told
}

// Add takes the next point and says how new it is: the largest departure, over what the memory holds of its kind; positive upwards, negative downwards, 0
// where it is less than half. From ±Threshold on it is an onset; what goes on as it began is not told again. NaN and infinities are passed over, with score 0.
//
// Departures are the point from the fast and from the slow level, and the fast and the middle level from the slow one: a spike, a point out of range, a
// step, a shift. What a series does every day or every hour is in the memory, so that it is no news; the memory forgets by half in 5,000 points.
func (s *State) Add(x float64) float64 {
	if !(math.Abs(x) <= largest) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return 0
		}
		x = math.Copysign(largest, x)
	}
	v := float32(x)
	if s.seen == 0 {
		s.seen, s.grown, s.level = 1, 1, [3]float32{v, v, v}
		return 0
	}
	// While a level is young it is the mean of all that there was.
	a, b, c := float32(1.0/fast), float32(1.0/middle), float32(1.0/slow)
	part := float32(takes)
	if s.seen < slow {
		s.seen++
		n := float32(s.seen)
		a, b, c = 1/min(n, fast), 1/min(n, middle), 1/n
		if s.seen < warm {
			part = 1
		}
	}
	departures := [4]float32{v - s.level[0], v - s.level[2]}
	s.level[0] += departures[0] * a
	s.level[1] += (v - s.level[1]) * b
	s.level[2] += departures[1] * c
	departures[2], departures[3] = s.level[0]-s.level[2], s.level[1]-s.level[2]

	if s.grown *= grows; s.grown > 4 {
		for k := range s.memory {
			s.memory[k][0] /= s.grown
			s.memory[k][1] /= s.grown
		}
		s.grown = 1
	}
	floor := max(least*magnitude(s.level[2]), smallest) * s.grown
	// The largest departure, the memory of its kind, and where it goes. Below half of the memory nobody needs to know how much, and most points are.
	over, of, way := float32(1), float32(2), uint32(usual)
	for k, d := range departures {
		m, down := &s.memory[k], math.Float32bits(d)>>31
		d = magnitude(d) * s.grown
		was := m[down]
		if d > was {
			m[down] = was + part*(d-was)
		}
		if was = max(was, floor); d*of > over*was {
			over, of, way = d, was, down
		}
	}
	if s.quiet > 0 {
		s.quiet--
		return 0
	}
	if way == usual || s.seen < warm {
		return 0
	}
	score := min(float64(over)/float64(of), most) * float64(s.seen) / slow // a short memory does not hold all that is usual
	if score >= Threshold {
		s.quiet = quiet
	}
	if way == downwards {
		return -score
	}
	return score
}

// magnitude is |x|, without a branch.
func magnitude(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
