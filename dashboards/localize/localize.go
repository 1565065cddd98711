// Package localize says which part of a whole holds a change: of a service's requests those of one version in one zone, of viewers those at one bit rate.
//
// It owns a scan over all conjunctions of up to three elements of different dimensions. Each leaf, which has one element of each dimension, is compared with
// its own past; a conjunction's score is how much better its leaves together are explained by one change than by none. It knows no dimension, no element
// and no measure by name, and nothing of time, services or pages.
package localize

import (
	"math"
	"slices"
	"strings"
)

// Kind is how a leaf's figures have come about.
type Kind uint8

const (
	Ratio Kind = iota // X of N: errors of requests, stalled of all viewers; 0 ≤ X ≤ N
	Count             // X in an exposure N: requests in seconds
	Mean              // X is the sum of N positive figures: milliseconds over requests
)

// Figure is what a leaf showed in one interval.
type Figure struct{ X, N float64 }

// Element is one dimension at one element.
type Element struct{ Dim, Value string }

// Table is what a Finder looks at: leaves, column by column. The zero value has no dimensions; NewTable makes one.
type Table struct {
	Kind  Kind
	Falls bool // the change is for less; else for more

	dims   []string
	values [][]string
	ids    []map[string]int32
	codes  []int32 // of leaf i and dimension d at i*len(dims)+d; -1: it has none
	now    []Figure
	past   []Figure
}

// maxDims bounds the dimensions of a table; more are left out, the last first.
const maxDims = 24

// NewTable is a table of the given dimensions. Where two conjunctions hold the same leaves, that of earlier dimensions is named first.
func NewTable(kind Kind, falls bool, dims ...string) *Table {
	dims = dims[:min(len(dims), maxDims)]
	t := &Table{Kind: kind, Falls: falls, dims: slices.Clone(dims), values: make([][]string, len(dims)), ids: make([]map[string]int32, len(dims))}
	for i := range t.ids {
		t.ids[i] = map[string]int32{}
	}
	return t
}

// Add puts a leaf into the table: its element of each dimension ("": none), what it shows, and what it showed in recent intervals of which none is later. Intervals in
// which it was not there are left out. It says whether the leaf takes part: one that shows nothing now, or no number, does not.
func (t *Table) Add(elements []string, now Figure, past ...Figure) bool {
	if !now.valid(t.Kind) {
		return false
	}
	var sum Figure
	for _, p := range past {
		if p.valid(t.Kind) {
			sum.X, sum.N = sum.X+p.X, sum.N+p.N
		}
	}
	if math.IsInf(sum.X, 0) || math.IsInf(sum.N, 0) {
		return false
	}
	for d := range t.dims {
		code := int32(-1)
		if d < len(elements) && elements[d] != "" {
			var ok bool
			if code, ok = t.ids[d][elements[d]]; !ok {
				code = int32(len(t.values[d]))
				t.ids[d][elements[d]] = code
				t.values[d] = append(t.values[d], elements[d])
			}
		}
		t.codes = append(t.codes, code)
	}
	t.now, t.past = append(t.now, now), append(t.past, sum)
	return true
}

// valid reports whether a figure can be used.
func (f Figure) valid(k Kind) bool {
	ok := f.X >= 0 && f.N > 0 && f.X <= math.MaxFloat64/1e9 && f.N <= math.MaxFloat64/1e9
	if k == Mean {
		return ok && f.X > 0
	}
	return ok
}

// Len is how many leaves take part.
func (t *Table) Len() int { return len(t.now) }

// Cause is one conjunction.
type Cause struct {
	Elements []Element // in the order of the table's dimensions
	Leaves   int
	Observed float64 // sum of X now
	Expected float64 // what it would be, had nothing changed
	Weight   float64 // sum of N now
	Share    float64 // of the excess of all leaves; may be negative or above 1 where leaves went different ways
	Risk     float64 // Observed / Expected
	Score    float64 // log likelihood ratio, less what its words cost
	at       []at
}

// at is an element by the table's numbers.
type at struct {
	dim  int
	code int32
}

// Answer is one explanation of the change: a cause, or two, seldom more, of one kind that came together.
type Answer struct {
	Causes []Cause
	Score  float64
	Share  float64
}

// Result is what the scan came to.
type Result struct {
	// Answers are explanations, best first, at most five. They are listed even where none is good: Found says so.
	Answers []Answer
	// Found: the first answer explains the change, better than "all alike" does, and of its leaves no more were spared than hit. If not, the change is not
	// among the dimensions, or there is none.
	Found bool
	// Alike is all leaves together, its score that of "all alike": of one change in all of them.
	Alike Cause
	// Hit is how many leaves have changed for certain, each taken for itself. Uneven: some have, while for many others it is as certain that what happened to
	// all together did not happen to them. If no answer holds most of the excess, that which makes the difference is not among the dimensions.
	Hit    int
	Uneven bool

	Tried     int  // conjunctions
	Curtailed bool // there were more leaves and dimensions than there was time: not all conjunctions were tried
}

// String is the cause's elements, as a name for people who read logs and tests.
func (c Cause) String() string {
	parts := make([]string, len(c.Elements))
	for i, e := range c.Elements {
		parts[i] = e.Dim + "=" + e.Value
	}
	return strings.Join(parts, " & ")
}
