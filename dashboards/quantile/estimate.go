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
	var known normal
	out := make([]curve, 0, len(hosts))
	for i := range hosts {
		h := &hosts[i]
		from := len(xs)
		add := func(x, p float64) {
			if len(xs) > from && x <= xs[len(xs)-1] {
				// Two knots at one place: a step. The greater one holds from there on.
				x = math.Nextafter(xs[len(xs)-1], math.Inf(1))
			}
			xs, zs = append(xs, x), append(zs, known.quantile(p))
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
	a, b = cross(a, b, plain, func(x float64) float64 {
		f := -p
		for i := range cs {
			f += cs[i].w * cs[i].at(x)
		}
		return f
	})
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

// cross narrows [a, b] down to a hundredth of a percent around the place where f, which only rises, gets to zero. It looks where a straight line between the ends does,
// and at times in the middle, for a line that bends. Where the sign is the same at both ends it ends at one of them.
func cross(a, b float64, plain bool, f func(float64) float64) (float64, float64) {
	fa, fb := f(a), f(b)
	for k := range 64 {
		within := 1e-4
		if plain {
			within *= math.Abs(a + (b-a)/2)
		}
		if b-a <= within {
			break
		}
		x := a + (b-a)/2
		if fa < 0 && fb > 0 && k%3 < 2 {
			// A little inside, so that the next look from the other side meets this one.
			x = min(max(a-fa*(b-a)/(fb-fa), a+within/2), b-within/2)
		}
		if fx := f(x); fx < 0 {
			a, fa = x, fx
		} else {
			b, fb = x, fx
		}
	}
	return a, b
}

// normal remembers quantiles of the normal distribution: hosts mostly report the same percentiles.
type normal struct {
	n    int
	p, z [4]float64
}

func (k *normal) quantile(p float64) float64 {
	for i := range min(k.n, len(k.p)) {
		if k.p[i] == p {
			return k.z[i]
		}
	}
	i := k.n % len(k.p)
	k.p[i], k.z[i] = p, math.Sqrt2*math.Erfinv(2*p-1)
	k.n++
	return k.z[i]
}
