// Package trials makes studies of canaries that do no harm, and of some that do, to see how often a judge is wrong.
//
// It owns the ways in which fleets are not independent draws of one normal distribution: values that hang together in time, heavy tails, hosts that differ for good,
// bursts of one host, days and incidents of the whole service, errors too few to count on. Everything follows from a seed.
package trials

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// Shape is how many hosts the cohorts have.
type Shape struct{ Baseline, Canary int }

// Shapes are those that are tried: from one canary beside three to a twentieth.
var Shapes = []Shape{{3, 1}, {6, 2}, {16, 2}, {12, 6}, {45, 5}}

// Family is one way to be noisy.
type Family struct {
	Name string
	// Of the logarithm of latency: noise of a poll, its correlation from poll to poll, degrees of freedom of its tails (0: normal).
	Noise, Correlation, Tail float64
	// What stays with a host: of the logarithm of latency, of the logarithm of the share of errors; degrees of freedom of the tails.
	Host, HostErrors, HostTail float64
	Bursts                     float64 // chance that a host has one of its own, a few polls long
	Shared                     float64 // of the whole service: a slow wave and an incident, which hosts feel unequally
	Errors                     float64 // share of requests
	Requests                   float64 // of a host and poll
}

// Families are those that are tried.
var Families = []Family{
	{Name: "independent", Noise: 0.1, Errors: 0.002, Requests: 160},
	{Name: "correlated", Noise: 0.1, Correlation: 0.95, Errors: 0.002, Requests: 160},
	{Name: "heavy tails", Noise: 0.1, Tail: 2.2, Errors: 0.004, Requests: 80},
	{Name: "hosts differ", Noise: 0.05, Correlation: 0.5, Host: 0.2, HostErrors: 0.5, Errors: 0.003, Requests: 160},
	{Name: "hosts differ, heavy tails", Noise: 0.05, Host: 0.1, HostErrors: 0.4, HostTail: 3, Errors: 0.003, Requests: 160},
	{Name: "bursts of one host", Noise: 0.08, Correlation: 0.5, Host: 0.05, HostErrors: 0.2, Bursts: 0.05, Errors: 0.002, Requests: 160},
	{Name: "days and incidents", Noise: 0.08, Correlation: 0.7, Host: 0.05, HostErrors: 0.2, Shared: 0.3, Errors: 0.002, Requests: 160},
	{Name: "few errors", Noise: 0.2, Errors: 0.0002, Requests: 40},
}

// Harm is what a canary does.
type Harm struct {
	Slower float64 // factor on latency, 0: 1
	Errors float64 // share of requests that fail beside the usual
}

// width of a poll.
const width = 10 * time.Second

// Study is one run: hosts of a shape, noisy as a family is, over so many polls.
func Study(r *rand.Rand, f *Family, s Shape, polls int, h Harm) *canary.Study {
	out := &canary.Study{Measures: canary.Golden(), Polls: polls, Width: width, Begin: time.Unix(1_764_000_000, 0)}
	wave := r.Float64() * 2 * math.Pi
	incident, lasts := r.IntN(polls), 3+r.IntN(20)
	for i := range s.Baseline + s.Canary {
		m := canary.Member{Name: "host", Canary: i >= s.Baseline}
		x := func() []float64 { return make([]float64, polls) }
		errs, requests, latency, rate := x(), x(), x(), x()
		level, ratio := f.Host*tailed(r, f.HostTail), f.Errors*math.Exp(f.HostErrors*tailed(r, f.HostTail)-f.HostErrors*f.HostErrors/2)
		feels := 1 + 0.3*r.NormFloat64()
		burst, until := -1, -1
		if r.Float64() < f.Bursts {
			burst = r.IntN(polls)
			until = burst + 2 + r.IntN(12)
		}
		slower := 0.0
		if m.Canary && h.Slower > 0 {
			slower = math.Log(h.Slower)
		}
		noise := tailed(r, f.Tail)
		innovation := math.Sqrt(1 - f.Correlation*f.Correlation)
		for k := range polls {
			if k > 0 {
				noise = f.Correlation*noise + innovation*tailed(r, f.Tail)
			}
			day := f.Shared * math.Sin(wave+float64(k)/60)
			p, add := ratio, 0.0
			if m.Canary {
				p += h.Errors
			}
			if f.Shared > 0 && k >= incident && k < incident+lasts {
				p, add = p+0.05*feels, 0.5*feels
			}
			if k >= burst && k < until {
				p, add = p+0.3, add+1
			}
			n := poisson(r, f.Requests*math.Exp(day))
			requests[k], rate[k] = n, n/width.Seconds()
			errs[k] = binomial(r, n, min(max(p, 0), 1))
			latency[k] = 40 * math.Exp(level+slower+day/4+add+f.Noise*noise)
			if n == 0 {
				latency[k] = math.NaN()
			}
		}
		m.Series = []canary.Series{{X: errs, N: requests}, {X: latency}, {X: rate}}
		out.Members = append(out.Members, m)
	}
	return out
}

// tailed is a draw of Student's distribution, of the normal one where df is 0.
func tailed(r *rand.Rand, df float64) float64 {
	z := r.NormFloat64()
	if df == 0 {
		return z
	}
	// A chi-square of df: a gamma of df/2 by Marsaglia and Tsang (2000), which takes df of 2 and more.
	d := df/2 - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := (1 + c*x) * (1 + c*x) * (1 + c*x)
		if v > 0 && math.Log(r.Float64()) < x*x/2+d*(1-v+math.Log(v)) {
			return z / math.Sqrt(2*d*v/df)
		}
	}
}

// poisson is a count of so many on average.
func poisson(r *rand.Rand, mean float64) float64 {
	if mean > 30 {
		return max(math.Round(mean+math.Sqrt(mean)*r.NormFloat64()), 0)
	}
	n, left := 0.0, math.Exp(-mean)
	for p := r.Float64(); p > left; p *= r.Float64() {
		n++
	}
	return n
}

// binomial is how many of n happen with chance p.
func binomial(r *rand.Rand, n, p float64) float64 {
	switch {
	case n == 0 || p == 0:
		return 0
	case n*min(p, 1-p) > 30:
		return min(max(math.Round(n*p+math.Sqrt(n*p*(1-p))*r.NormFloat64()), 0), n)
	case p > 0.5:
		return n - binomial(r, n, 1-p)
	}
	// From one success to the next.
	k, q := 0.0, math.Log1p(-p)
	for at := 0.0; ; k++ {
		at += math.Floor(math.Log(r.Float64())/q) + 1
		if at > n {
			return k
		}
	}
}
