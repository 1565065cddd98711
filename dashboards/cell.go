package dashboards

import (
	"math"

	"github.com/rollcall-metrics/rollcall/collector"
)

// cell is what one instance did between two good scrapes, in golden signals: it speaks for the time from To until the next scrape, or until it is too
// old. Increases are totals over the span, NaN where not known.
type cell struct {
	in       *instance
	from, to int64
	until    int64 // first moment at which it no longer speaks
	req      float64
	errs     float64
	reset    bool
	p        *plan
	prev     []float64 // values of the scrape before, those of new totals filled with zero
	vals     []float64
}

// cells walks an instance's cells that speak for any moment in [from, to], oldest first. The cell is reused between calls.
func (s *service) cells(in *instance, p *plan, at []int32, from, to int64, fn func(c *cell)) {
	n := len(at)
	all := make([]float64, 3*n)
	c := cell{in: in, p: p, prev: all[:n:n], vals: all[n : 2*n : 2*n]}
	var held bool // c waits for the next scrape to say until when it speaks
	last := scanned{vals: all[2*n:]}
	have := false
	in.scan(from-tooLong(in.longest), to, at, func(r scanned) {
		if held {
			held = false
			c.until = min(r.t, c.to+tooLong(max(last.every, r.every))) // as follows has it
			if c.until > from {
				fn(&c)
			}
		}
		if r.outcome != collector.OK {
			return
		}
		if have && r.follows(&last) {
			c.from, c.to, c.reset = last.t, r.t, r.flags&flagReset != 0
			copy(c.prev, last.vals)
			copy(c.vals, r.vals)
			for i, x := range c.prev {
				if math.IsNaN(x) && !math.IsNaN(c.vals[i]) && in.born(at[i], r.t) {
					c.prev[i] = 0
				}
			}
			c.req = c.sum(0, p.nRate)
			c.errs = c.sum(p.nRate, p.nErrs)
			if p.nErrs > p.nRate && math.IsNaN(c.errs) && !math.IsNaN(c.req) {
				c.errs = 0 // an application that has counted no error yet has none
			}
			held = true
		}
		vals := append(last.vals[:0], r.vals...)
		last, have = r, true
		last.vals = vals
	})
	if held {
		if c.until = c.to + tooLong(max(last.every, in.pause())); c.until > from {
			fn(&c)
		}
	}
}

// grew is the increase of one of the plan's columns.
func (c *cell) grew(i int) float64 {
	if i < 0 {
		return math.NaN()
	}
	x := c.vals[i]
	switch {
	case !c.p.rises[i]:
		return x
	case x < c.prev[i]:
		return max(x, 0) // began anew
	}
	return x - c.prev[i]
}

// sum adds the increases of columns a..b; NaN where none is known.
func (c *cell) sum(a, b int) float64 {
	t := math.NaN()
	for i := a; i < b; i++ {
		if g := c.grew(i); !math.IsNaN(g) {
			if math.IsNaN(t) {
				t = 0
			}
			t += max(g, 0)
		}
	}
	return t
}

func (c *cell) seconds() float64 { return float64(c.to-c.from) / 1000 }

// mean is the sum and count of the latencies in the cell, in milliseconds.
func (c *cell) mean() (sum, n float64) {
	p := c.p
	if len(p.set.latency.buckets) > 0 {
		return c.sum(p.sums[0], p.sums[1]) * p.set.latency.toMillis, c.sum(p.counts[0], p.counts[1])
	}
	sum, n = math.NaN(), math.NaN()
	for _, pp := range p.parts {
		ds, dn := c.grew(pp.sum), c.grew(pp.count)
		if math.IsNaN(ds) || math.IsNaN(dn) || c.reset {
			continue
		}
		if math.IsNaN(sum) {
			sum, n = 0, 0
		}
		sum, n = sum+ds*p.set.latency.toMillis, n+dn
	}
	return sum, n
}

// dists appends the distributions of the cell, in milliseconds, one a label set. q is the arena that their points come from.
func (c *cell) dists(out []Dist, q []Quantile) ([]Dist, []Quantile) {
	p, l := c.p, &c.p.set.latency
	if len(l.buckets) > 0 {
		return c.bucketDist(out, q)
	}
	for i, pp := range p.parts {
		d := Dist{Host: c.in.addr, N: c.grew(pp.count), Sum: c.grew(pp.sum) * l.toMillis, Min: math.NaN(), Max: math.NaN()}
		if pp.min >= 0 {
			d.Min = c.vals[pp.min] * l.toMillis
		}
		if pp.max >= 0 {
			d.Max = c.vals[pp.max] * l.toMillis
		}
		from := len(q)
		for k, col := range pp.q {
			if v := c.vals[col]; !math.IsNaN(v) {
				q = append(q, Quantile{l.parts[i].quantiles[k].p, v * l.toMillis})
			}
		}
		d.Q = q[from:len(q):len(q)]
		if len(d.Q) > 0 && !(d.N <= 0) {
			out = append(out, d)
		}
	}
	return out, q
}

func (c *cell) bucketDist(out []Dist, q []Quantile) ([]Dist, []Quantile) {
	l := &c.p.set.latency
	from := len(q)
	var total float64
	for i := 0; i < len(l.buckets); {
		le, sum := l.buckets[i].le, 0.0
		for ; i < len(l.buckets) && l.buckets[i].le == le; i++ {
			if g := c.grew(c.p.buckets + i); !math.IsNaN(g) {
				sum += g
			}
		}
		total = max(total, sum) // +Inf comes last and holds all
		q = append(q, Quantile{sum, le * l.toMillis})
	}
	if total <= 0 {
		return out, q[:from]
	}
	points := q[from:]
	n := 0
	for _, x := range points {
		if !math.IsInf(x.V, 0) {
			points[n] = Quantile{min(x.P/total, 1), x.V}
			n++
		}
	}
	d := Dist{Host: c.in.addr, N: total, Sum: c.sum(c.p.sums[0], c.p.sums[1]) * l.toMillis, Min: math.NaN(), Max: math.NaN(), Q: points[:n:n]}
	if n > 0 && points[n-1].P >= 1 {
		d.Max = points[n-1].V
	}
	return append(out, d), q[:from+n]
}
