package localize

import (
	"cmp"
	"math"
)

// The model. A leaf that has not changed shows its past again, but for chance and for some life of its own; one that is part of a cause shows it times a factor, or,
// where shares are counted, a part of those that had been well has joined the others. How much depends on the cause, and a little on the leaf. Counts are then
// negative binomial, means about normal. The life of its own is what keeps a leaf with a million viewers from outvoting all others: what a conjunction has to
// explain is which leaves went up, not how many viewers they have.
//
// Settings are the model's constants; 0 stands for the default. They were chosen by cross-validation on public incidents, and within a factor of two of
// them the answers hardly change: docs/analysis.md has the figures.
type Settings struct {
	Prior float64 // events of the whole's ratio that stand behind each leaf's own past, default 10
	Life  float64 // squared coefficient of variation of a leaf that has not changed, default 0.05; a mean's is a fifth of it
	Moved float64 // of one that has changed, default 0.1; a mean's is half of it
	Word  float64 // nats that each element of a conjunction after the first has to be worth, default 0.3
	// Work bounds the numbers that are added up, default 60 million. 2,000 leaves of 7 dimensions need 3 million.
	Work int
}

func (c *Settings) defaults() {
	c.Prior = cmp.Or(c.Prior, 10)
	c.Life = cmp.Or(c.Life, 0.05)
	c.Moved = cmp.Or(c.Moved, 0.1)
	c.Word = cmp.Or(c.Word, 0.3)
	c.Work = cmp.Or(c.Work, 60_000_000)
}

// factors and joined are the sizes that a change may have.
var (
	rises  = []float64{1.5, 2, 3, 4.5, 7, 10, 15, 25, 50}
	joined = []float64{.01, .02, .04, .08, .15, .25, .4, .6, .9}
	falls  = []float64{.85, .7, .5, .25, .1, .03, .003}
	slower = []float64{1.15, 1.3, 1.5, 2, 3, 5, 10, 30}
)

// model is what each leaf says of each size of change: likelihood[i*sizes+k] is the log likelihood ratio of size k against no change.
type model struct {
	Settings
	sizes      int
	likelihood []float64
	expected   []float64
	observed   []float64 // X; the mean times N for means, too
}

func (t *Table) model(c Settings) *model {
	m := &model{Settings: c, expected: make([]float64, len(t.now)), observed: make([]float64, len(t.now))}
	factors, shares := rises, []float64(nil)
	switch {
	case t.Falls:
		factors = falls
	case t.Kind == Mean:
		factors = slower
	case t.Kind == Ratio:
		shares = joined
	}
	m.sizes = len(factors) + len(shares)
	m.likelihood = make([]float64, len(t.now)*m.sizes)
	// What is usual of the whole: its past; where it has none, what it is now, so that leaves are compared with each other.
	var past, now Figure
	for i := range t.now {
		past.X, past.N = past.X+t.past[i].X, past.N+t.past[i].N
		now.X, now.N = now.X+t.now[i].X, now.N+t.now[i].N
	}
	if past.N <= 0 {
		past = now
	}
	usual := (past.X + 0.5) / (past.N + 1)
	if t.Kind != Ratio {
		usual = max(past.X, math.SmallestNonzeroFloat64*1e30) / past.N
	}
	for i := range t.now {
		row := m.likelihood[i*m.sizes : (i+1)*m.sizes]
		if t.Kind == Mean {
			m.mean(i, row, t.now[i], t.past[i], usual, factors)
		} else {
			m.count(i, row, t.now[i], t.past[i], usual, factors, shares)
		}
	}
	return m
}

// count fills the row of a leaf that counts.
func (m *model) count(i int, row []float64, now, past Figure, usual float64, factors, shares []float64) {
	events := past.X + m.Prior
	b := now.N * events / (past.N + m.Prior/usual)
	if shares != nil {
		b = min(b, now.N)
	}
	m.expected[i], m.observed[i] = b, now.X
	quiet, moved := 1/(m.Life+1/events), 1/(m.Moved+1/events)
	none := negativeBinomial(now.X, b, quiet)
	most := math.Inf(1)
	if shares != nil {
		most = now.N
	}
	lg := gammaPart(now.X, moved)
	for k, f := range factors {
		row[k] = lg + meanPart(now.X, min(f*b, most), moved) - none
	}
	for k, s := range shares {
		row[len(factors)+k] = lg + meanPart(now.X, b+s*(now.N-b), moved) - none
	}
}

// negativeBinomial is the log likelihood of x at a mean and a shape, but for what depends on x alone.
func negativeBinomial(x, mean, shape float64) float64 {
	return gammaPart(x, shape) + meanPart(x, mean, shape)
}

func gammaPart(x, shape float64) float64 {
	a, _ := math.Lgamma(x + shape)
	b, _ := math.Lgamma(shape)
	return a - b + shape*math.Log(shape)
}

func meanPart(x, mean, shape float64) float64 {
	mean = max(mean, 1e-12)
	return x*math.Log(mean) - (x+shape)*math.Log(shape+mean)
}

// mean fills the row of a leaf that shows the mean of N figures, whose own spread is about as large as their mean.
func (m *model) mean(i int, row []float64, now, past Figure, usual float64, factors []float64) {
	b := (past.X + m.Prior*usual) / (past.N + m.Prior)
	y := now.X / now.N
	m.expected[i], m.observed[i] = b*now.N, now.X
	chance := 1/(past.N+m.Prior) + 1/now.N
	none := gauss(y, b, m.Life/5+chance)
	for k, f := range factors {
		row[k] = gauss(y, f*b, m.Moved/2+chance) - none
	}
}

// gauss is the log density of y at a mean and a squared coefficient of variation, with tails that end: no leaf says more than a dozen others.
func gauss(y, mean, v float64) float64 {
	z := (y - mean) * (y - mean) / (mean * mean * v)
	return -0.5*min(z, 60) - 0.5*math.Log(v) - math.Log(mean)
}
