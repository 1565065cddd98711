package dashboards

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// distribution draws one field of a distribution over instances.
func (d *drawing) distribution(over PercentileFunc) error {
	set := latencySet{metric: d.out.Metric, toMillis: 1}
	fields := map[string][]uint32{}
	for _, n := range d.cols {
		c := &d.s.cols[n]
		set.window = c.window
		set.part(c).add(c, n)
		fields[c.field] = append(fields[c.field], n)
	}
	field := d.q.Field
	if field == "" {
		if field, _ = set.name(); field == "mean" {
			field = "average"
		}
	}
	field = fieldName(field)
	cols, ok := fields[field]
	p, isP := percentile(field)
	if !ok && !(field == "average" && len(fields["sum"]) > 0 && len(fields["count"]) > 0) {
		names := slices.Sorted(func(yield func(string) bool) {
			for f := range fields {
				if !yield(f) {
					return
				}
			}
		})
		return fmt.Errorf("%w: %s has no field %q; it has %s", ErrQuery, d.out.Metric, field, strings.Join(names, ", "))
	}
	d.out.Field = field
	d.cols = cols
	switch {
	case field == "count" || field == "sum":
		if field == "count" {
			d.out.Unit = ""
		}
		if d.s.cols[cols[0]].rises() {
			d.out.Agg, d.out.Unit = "sum", strings.TrimSpace(d.out.Unit+" per second")
			d.rates(cols)
			return nil
		}
		d.out.Agg = "mean"
		d.combine("mean")
	case field == "minimum":
		d.out.Agg = "min"
		d.combine("min")
	case field == "maximum":
		d.out.Agg = "max"
		d.combine("max")
	case field == "average" && len(fields["sum"]) > 0 && len(fields["count"]) > 0:
		d.out.Agg = "mean"
		d.mixed(set, 0, nil)
	case isP && d.q.By == "instance":
		d.out.Agg = "as reported"
		d.combine("mean")
	case isP && !set.onlyMean() && over != nil:
		d.out.Agg = "percentile"
		d.mixed(set, p, over)
	case isP:
		d.out.Agg = "as reported"
		d.bounds()
	default:
		d.out.Agg = "mean"
		d.combine("mean")
	}
	return nil
}

// mixed draws the mean (p = 0) or a percentile over the instances of each group, as of the end of each step.
func (d *drawing) mixed(set latencySet, p float64, over PercentileFunc) {
	for i := range set.parts {
		slices.SortFunc(set.parts[i].quantiles, func(a, b quantileCol) int { return cmp.Compare(a.p, b.p) })
	}
	pl := makePlan(d.s.cols, goldenSet{latency: set}, 0)
	from, step := d.out.T0, d.out.Step
	first := &column{}
	if len(d.cols) > 0 {
		first = &d.s.cols[d.cols[0]]
	}
	for _, in := range d.s.sorted() {
		at := make([][]Dist, d.points)
		sum, n := make([]float64, d.points), make([]float64, d.points)
		spells, on := d.spells(in, first), 0
		of := make([]int, d.points) // which spell
		var arena []Quantile
		d.s.cells(in, &pl, pl.find(in, nil), from, d.to, func(c *cell) {
			on = later(spells, on, c.to)
			// The step whose end the cell speaks at; a later cell in the same step replaces it.
			for k := max((c.to-from)/step, 0); k < int64(d.points) && (from+k*step < c.until); k++ {
				of[k] = on
				if over == nil {
					if s, m := c.mean(); !math.IsNaN(s) && (c.to-from)/step == k {
						sum[k], n[k] = sum[k]+s, n[k]+m
					}
					continue
				}
				var ds []Dist
				ds, arena = c.dists(nil, arena)
				at[k] = ds
			}
		})
		var g *group
		gOf := 0
		for k := range at {
			if len(at[k]) == 0 && n[k] == 0 || !spells[of[k]].holds {
				continue
			}
			if g == nil || of[k] != gOf {
				g, gOf = d.group(spells[of[k]].name), of[k]
				d.contributes(g, in)
			}
			if g.dists == nil {
				g.dists = make([][]Dist, d.points)
			}
			g.dists[k] = append(g.dists[k], at[k]...)
			g.sum[k] += sum[k]
			g.n[k] += n[k]
		}
	}
	for _, g := range d.groups {
		g.est, g.lo, g.hi = unknowns(d.points), nil, nil
		if over != nil {
			g.lo, g.hi = unknowns(d.points), unknowns(d.points)
		}
		for k := range g.est {
			switch {
			case over == nil && g.n[k] > 0:
				g.est[k] = g.sum[k] / g.n[k]
			case over != nil && len(g.dists) > 0 && len(g.dists[k]) > 0:
				iv := over(g.dists[k], p)
				g.est[k], g.lo[k], g.hi[k] = iv.Est, iv.Lo, iv.Hi
			}
		}
	}
}

// bounds draws the least and the greatest of what the instances say, where no single number can be had of it.
func (d *drawing) bounds() {
	d.combine("min")
	lows := map[string][]float64{}
	for name, g := range d.groups {
		lows[name] = g.est
	}
	d.groups = map[string]*group{}
	d.combine("max")
	for name, g := range d.groups {
		g.lo, g.hi, g.est = lows[name], g.est, unknowns(d.points)
	}
}

func unknowns(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}
