package dashboards

import (
	"math"
	"slices"
)

// Usual is what a service did while nothing was wrong with it, over the last ten minutes of such within the window; not known where there were fewer than eight ticks.
type Usual struct {
	ErrorRatio Num `json:"error_ratio"`
	Latency    Num `json:"latency"` // milliseconds
}

// Lately is what one instance did in the last half minute: a second says little of one among many.
type Lately struct {
	Seconds    float64 `json:"seconds"`
	Requests   Num     `json:"requests"`
	Errors     Num     `json:"errors"`
	ErrorRatio Num     `json:"error_ratio"`
	Latency    Num     `json:"latency"` // mean of what it said, each as heavy as it has requests
}

const (
	latelyFor = 30_000
	// leastUsual is how many ticks tell what is usual.
	leastUsual = 8
)

// usual leaves out what findings about the service cover, and two ticks beside it. The caller holds the lock.
func (s *service) usual(findings []Finding) Usual {
	g := &s.ring
	out := Usual{Unknown(), Unknown()}
	if g.width == 0 {
		return out
	}
	wrong := func(t int64) bool {
		return slices.ContainsFunc(findings, func(f Finding) bool {
			return t+2*g.width >= f.Since && (f.Ended == nil || t-2*g.width <= *f.Ended)
		})
	}
	var rate, errs float64
	var lat []float64
	n := int64(0)
	for k := g.last; g.has(k) && n*g.width < usualFor.Milliseconds(); k-- {
		i := k % g.len()
		r := float64(g.rate[i])
		if math.IsNaN(r) || wrong(k*g.width) {
			continue
		}
		n++
		rate += r
		if e := float64(g.errs[i]); !math.IsNaN(e) {
			errs += e
		}
		if l := float64(g.lat[i]); !math.IsNaN(l) {
			lat = append(lat, l)
		}
	}
	if n < leastUsual {
		return out
	}
	if rate > 0 && len(s.golden.set.errors) > 0 {
		out.ErrorRatio = Num(min(errs/rate, 1))
	}
	if len(lat) >= leastUsual {
		out.Latency = Num(median(lat))
	}
	return out
}

// add takes in one cell.
func (l *Lately) add(c *cell) {
	l.Seconds += c.seconds()
	if math.IsNaN(c.req) {
		return
	}
	if !l.Requests.Known() {
		l.Requests = 0
	}
	if x := c.latency(); !math.IsNaN(x) && c.req > 0 {
		was := float64(l.Requests)
		if !l.Latency.Known() {
			was, l.Latency = 0, 0
		}
		l.Latency = Num((float64(l.Latency)*was + x*c.req) / (was + c.req))
	}
	l.Requests += Num(c.req)
	if !math.IsNaN(c.errs) {
		if !l.Errors.Known() {
			l.Errors = 0
		}
		l.Errors += Num(c.errs)
		l.ErrorRatio = Unknown()
		if l.Requests > 0 {
			l.ErrorRatio = min(l.Errors/l.Requests, 1)
		}
	}
}
