package quantile

import "math"

// curve is a host's distribution function made continuous: between its knots the normal quantile of F runs straight over log x, as it does over all of a lognormal
// distribution, which latencies are near to; beyond them it goes on as steeply. Where there are values of zero and below all are taken as they are, without the logarithm.
type curve struct {
	w    float64
	x, z []float64 // knots: scale(x), Φ⁻¹(F)
}

func scale(x float64, plain bool) float64 {
	if plain {
		return x
	}
	return math.Log(x)
}

// curves makes them all on one scale.
func curves(hosts []host, n float64) ([]curve, bool) {
	plain := false
	size := 0
	for i := range hosts {
		h := &hosts[i]
		size += len(h.knots) + 2
		plain = plain || h.min <= 0 && len(h.knots) > 0 && h.knots[0].x <= 0 || len(h.knots) > 0 && h.knots[0].x <= 0
	}
	xs, zs := make([]float64, 0, size), make([]float64, 0, size)
	out := make([]curve, 0, len(hosts))
	for i := range hosts {
		h := &hosts[i]
		from := len(xs)
		add := func(x, p float64) {
			if len(xs) > from && x <= xs[len(xs)-1] {
				// Two knots at one place: a step. The greater one holds from there on.
				x = math.Nextafter(xs[len(xs)-1], math.Inf(1))
			}
			xs, zs = append(xs, x), append(zs, math.Sqrt2*math.Erfinv(2*p-1))
		}
		ends := math.Min(0.5/math.Max(h.n, 1), 0.25) // what lies beyond the least and the greatest of n values
		if h.min > 0 || plain && !math.IsNaN(h.min) {
			if len(h.knots) == 0 || ends < h.knots[0].p {
				add(scale(h.min, plain), ends)
			}
		} else if len(h.knots) > 1 {
			// Below the lowest percentile as far again as to the next one.
			a, b := scale(h.knots[0].x, plain), scale(h.knots[1].x, plain)
			add(a-(b-a)-1e-9, h.knots[0].p/8)
		}
		for _, k := range h.knots {
			add(scale(k.x, plain), k.p)
		}
		if last := len(h.knots) - 1; !math.IsNaN(h.max) && (h.max > 0 || plain) {
			if last < 0 || 1-ends > h.knots[last].p {
				add(scale(h.max, plain), 1-ends)
			}
		}
		out = append(out, curve{w: h.n / n, x: xs[from:len(xs):len(xs)], z: zs[from:len(zs):len(zs)]})
	}
	return out, plain
}

// at is F at a place on the scale.
func (c *curve) at(x float64) float64 {
	n := len(c.x)
	if n == 0 {
		return 0
	}
	k := 0
	for k < n && c.x[k] <= x {
		k++
	}
	if n == 1 {
		return float64(k)
	}
	k = min(max(k, 1), n-1) // beyond the ends the nearest piece goes on
	slope := (c.z[k] - c.z[k-1]) / math.Max(c.x[k]-c.x[k-1], 1e-12)
	return 0.5 * math.Erfc(-(c.z[k-1]+slope*(x-c.x[k-1]))/math.Sqrt2)
}

// estimate inverts the mixture of the curves at p, within [lo, hi].
func estimate(hosts []host, n, p, lo, hi float64) float64 {
	if lo == hi {
		return lo
	}
	cs, plain := curves(hosts, n)
	a, b := math.Inf(1), math.Inf(-1)
	for i := range cs {
		if x := cs[i].x; len(x) > 0 {
			a, b = math.Min(a, x[0]), math.Max(b, x[len(x)-1])
		}
	}
	if math.IsInf(a, 0) {
		return math.NaN()
	}
	span := b - a + 1
	b += span // beyond the last knot there is a tail
	if !math.IsNaN(lo) && (plain || lo > 0) {
		a = math.Max(a, scale(lo, plain))
	}
	if !math.IsNaN(hi) && (plain || hi > 0) {
		b = math.Min(b, scale(hi, plain))
	}
	for range 64 {
		mid := a + (b-a)/2
		var f float64
		for i := range cs {
			f += cs[i].w * cs[i].at(mid)
		}
		if f < p {
			a = mid
		} else {
			b = mid
		}
		if !plain && b-a < 1e-4 || plain && b-a < 1e-4*math.Abs(mid) {
			break // a hundredth of a percent
		}
	}
	x := a + (b-a)/2
	if !plain {
		x = math.Exp(x)
	}
	// The interval is certain, the curve is not.
	if x < lo {
		x = lo
	}
	if x > hi {
		x = hi
	}
	return x
}
