package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
)

// quantileRuns is how many mixtures are drawn, of the shapes in turn.
const quantileRuns = 100_000

// mixtures are the shapes of fleets whose percentiles are read. Each host's distribution is known exactly, so the truth is no sample's.
var mixtures = []struct {
	name string
	draw func(r *rand.Rand) []hostValues
}{
	{"lognormal", func(r *rand.Rand) []hostValues {
		return drawHosts(r, 2+r.IntN(60), func(mid float64) []part { return []part{{1, mid, 0.2 + 0.8*r.Float64()}} })
	}},
	{"bimodal", func(r *rand.Rand) []hostValues { // of some requests the cache has nothing
		return drawHosts(r, 2+r.IntN(60), func(mid float64) []part {
			misses := 0.02 + 0.4*r.Float64()
			return []part{{1 - misses, mid, 0.3}, {misses, mid + math.Log(5+20*r.Float64()), 0.3}}
		})
	}},
	{"one sick host in 1,000", func(r *rand.Rand) []hostValues {
		sigma := 0.3 + 0.4*r.Float64()
		out := drawHosts(r, 1000, func(mid float64) []part { return []part{{1, math.Log(40), sigma}} })
		out[0].parts[0].mid += math.Log(5 + 45*r.Float64())
		return out
	}},
}

// hostValues is how one host's values are distributed: a mixture of lognormal parts.
type hostValues struct {
	n     float64
	parts []part
}

type part struct{ share, mid, sigma float64 }

// drawHosts are hosts that have their own level and their own traffic.
func drawHosts(r *rand.Rand, n int, parts func(mid float64) []part) []hostValues {
	out := make([]hostValues, n)
	for i := range out {
		out[i] = hostValues{math.Round(1000*math.Exp(r.NormFloat64())) + 1, parts(math.Log(40) + 0.5*r.NormFloat64())}
	}
	return out
}

// below is the share of values whose logarithm is at most x.
func (h *hostValues) below(x float64) (share float64) {
	for _, p := range h.parts {
		share += p.share * 0.5 * math.Erfc((p.mid-x)/p.sigma/math.Sqrt2)
	}
	return share
}

// percentile is the value that a share of p does not exceed.
func (h *hostValues) percentile(p float64) float64 {
	if len(h.parts) == 1 {
		return math.Exp(h.parts[0].mid + h.parts[0].sigma*canary.NormalQuantile(p))
	}
	return invert(p, h.below)
}

// invert is where a distribution function over logarithms reaches p.
func invert(p float64, below func(float64) float64) float64 {
	lo, hi := -20.0, 30.0
	for range 50 {
		if mid := lo + (hi-lo)/2; below(mid) < p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return math.Exp(hi)
}

// reportedPercentiles are what hosts say of themselves.
var reportedPercentiles = []float64{.5, .9, .95, .99, .999}

// askedPercentiles are asked for in turn.
var askedPercentiles = []float64{.5, .95, .99}

// quantileShape is how one shape came out.
type quantileShape struct {
	Name      string  `json:"name"`
	Runs      int     `json:"runs"`
	Inside    int     `json:"inside"`          // truth in the interval, and the estimate
	Median    float64 `json:"median_error"`    // of the estimate, in parts of the truth
	Averaging float64 `json:"averaging_error"` // of the mean of the hosts' percentiles
	Worst     int     `json:"worst_host"`      // runs in which the host named is the one with the greatest percentile of all
	Over      int     `json:"over"`            // runs in which the hosts over a threshold are those that are
}

type quantileResult struct {
	Runs   int             `json:"runs"`
	Inside int             `json:"inside"`
	Ratio  float64         `json:"error_of_averaging"` // median error in parts of averaging's
	Shapes []quantileShape `json:"shapes"`
	took   time.Duration
}

// benchQuantile draws mixtures and asks for percentiles over them.
func benchQuantile(ctx context.Context, runs int) (analysisResult, error) {
	begun := time.Now()
	type one struct {
		shape               int
		inside, worst, over bool
		ours, theirs        float64
	}
	all := make([]one, runs)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < runs && ctx.Err() == nil; i += workers {
				r := rand.New(rand.NewPCG(uint64(i), 5))
				o := one{shape: i % len(mixtures)}
				p := askedPercentiles[i/len(mixtures)%len(askedPercentiles)]
				ds, truth, own, average := report(mixtures[o.shape].draw(r), p)
				a := quantile.Of(ds, p)
				// The truth is found by halving, to the tenth digit.
				o.inside = a.Lo <= truth*(1+1e-9) && truth <= a.Hi*(1+1e-9) && a.Lo <= a.Est && a.Est <= a.Hi
				o.ours, o.theirs = math.Abs(a.Est-truth)/truth, math.Abs(average-truth)/truth
				most := slices.Max(own)
				o.worst = a.Most == most
				n := 0
				for _, x := range own {
					if x > 2*truth {
						n++
					}
				}
				o.over = quantile.Above(ds, p, 2*truth) == n
				all[i] = o
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := quantileResult{Runs: runs}
	var ours, theirs []float64
	for k := range mixtures {
		s := quantileShape{Name: mixtures[k].name}
		var a, b []float64
		for _, o := range all {
			if o.shape != k {
				continue
			}
			s.Runs++
			for ok, n := range map[*bool]*int{&o.inside: &s.Inside, &o.worst: &s.Worst, &o.over: &s.Over} {
				if *ok {
					*n++
				}
			}
			a, b = append(a, o.ours), append(b, o.theirs)
		}
		s.Median, s.Averaging = middle(a), middle(b)
		ours, theirs = append(ours, a...), append(theirs, b...)
		out.Inside += s.Inside
		out.Shapes = append(out.Shapes, s)
	}
	out.Ratio = middle(ours) / middle(theirs)
	out.took = time.Since(begun)
	return out, nil
}

// report is what the hosts say, the percentile of the whole, each host's own, and the mean of those.
func report(hosts []hostValues, p float64) (ds []dashboards.Dist, truth float64, own []float64, average float64) {
	var n float64
	for i := range hosts {
		h := &hosts[i]
		d := dashboards.Dist{Host: strconv.Itoa(i), N: h.n, Min: math.NaN(), Max: math.NaN()}
		for _, q := range reportedPercentiles {
			x := h.percentile(q)
			d.Q = append(d.Q, dashboards.Quantile{P: q, V: x})
			if q == p {
				own = append(own, x)
				average += x / float64(len(hosts))
			}
		}
		ds = append(ds, d)
		n += h.n
	}
	truth = invert(p, func(x float64) (share float64) {
		for i := range hosts {
			share += hosts[i].n / n * hosts[i].below(x)
		}
		return share
	})
	return ds, truth, own, average
}

func (r quantileResult) print(w io.Writer) {
	fmt.Fprintf(w, "quantile: the truth is in the interval in %d of %d mixtures; median error %.3f of averaging's (at most 0.2); %.0f s\n", r.Inside, r.Runs, r.Ratio, r.took.Seconds())
	for _, s := range r.Shapes {
		fmt.Fprintf(w, "  %-24s %6d of %6d inside; median error %.2f %%, of averaging %.2f %%; worst host named in %.2f %%, hosts over twice the percentile counted right in %.2f %%\n", s.Name, s.Inside, s.Runs,
			100*s.Median, 100*s.Averaging, 100*float64(s.Worst)/float64(s.Runs), 100*float64(s.Over)/float64(s.Runs))
	}
}
