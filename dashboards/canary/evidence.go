package canary

import "math"

// priorHosts is the weight, in hosts, of what hosts are taken to differ by before any was seen.
const priorHosts = 4

// Cohorts, as indices.
const (
	baseline = 0
	canaries = 1
)

// gathered is what has been summed of one measure up to a poll. Each host is compared with the baseline's mean at the same poll, so that what moves the whole
// service (its day, an incident, a client) is no difference, and then with itself over time, so that what is left is one figure a host.
type gathered struct {
	m     *Measure
	which []int     // cohort of each host
	sum   []float64 // of deviations from the baseline, of each host
	n     []float64 // polls, or requests, of each host
	x     [2]float64
	base  float64 // Σ of the baseline's mean at each poll
	size  float64 // Σ of its magnitude
	polls int     // at which both cohorts said something
	last  int     // newest of them
}

func newGathered(m *Measure, members []Member) *gathered {
	g := &gathered{m: m, last: -1, sum: make([]float64, len(members)), n: make([]float64, len(members)), which: make([]int, len(members))}
	for i := range members {
		g.which[i] = cohortOf(&members[i])
	}
	return g
}

// at is what a host says at a poll, with its weight; ok is false where it says nothing.
func (g *gathered) at(s *Series, k int) (x, n float64, ok bool) {
	if k >= len(s.X) {
		return 0, 0, false
	}
	if g.m.Kind == Ratio {
		if k >= len(s.N) {
			return 0, 0, false
		}
		x, n = s.X[k], s.N[k]
		return x, n, finite(x) && x >= 0 && finite(n) && n > 0
	}
	x = g.m.scale(s.X[k])
	return x, 1, finite(x)
}

// add takes poll k in, and reports whether both cohorts said something.
func (g *gathered) add(k int, members []Member, series int) bool {
	var x, n [2]float64
	for i := range members {
		if v, w, ok := g.at(&members[i].Series[series], k); ok {
			x[g.which[i]] += v
			n[g.which[i]] += w
		}
	}
	if n[baseline] == 0 || n[canaries] == 0 {
		return false
	}
	mid := x[baseline] / n[baseline]
	for i := range members {
		if v, w, ok := g.at(&members[i].Series[series], k); ok {
			g.sum[i] += v - mid*w
			g.n[i] += w
		}
	}
	g.x[baseline] += x[baseline]
	g.x[canaries] += x[canaries]
	g.base += mid
	g.size += math.Abs(mid)
	g.polls++
	g.last = k
	return true
}

// estimate is what is known of one measure at one poll, on the measure's scale.
type estimate struct {
	effect float64 // canary less baseline: of shares, logarithms or values
	se     float64 // standard error, from between hosts
	df     float64
	level  float64    // the baseline's own
	unit   float64    // what the effect is told in parts of
	hosts  [2]int     // that said anything
	n      [2]float64 // polls or requests of all hosts
}

// estimate weighs what was gathered. The unit of evidence is the host: V is the variance from host to host of what each comes to over all polls, which holds both
// what stays with a host and what is left of its noise, however it hangs together in time; it is estimated within the cohorts, drawn towards what hosts are
// expected to differ by, and never less than what chance alone does to counts.
func (g *gathered) estimate() (e estimate, ok bool) {
	var sum, squared [2]float64
	for i, n := range g.n {
		if n > 0 {
			c := g.which[i]
			e.hosts[c]++
			e.n[c] += n
			sum[c] += g.sum[i]
			squared[c] += n * n
		}
	}
	if g.polls == 0 || e.n[baseline] == 0 || e.n[canaries] == 0 {
		return e, false
	}
	mid := [2]float64{sum[baseline] / e.n[baseline], sum[canaries] / e.n[canaries]}
	eff := [2]float64{e.n[baseline] * e.n[baseline] / squared[baseline], e.n[canaries] * e.n[canaries] / squared[canaries]} // hosts, as if all weighed the same
	var spread [2]float64
	for i, n := range g.n {
		if n > 0 {
			c := g.which[i]
			d := g.sum[i]/n - mid[c]
			spread[c] += n / e.n[c] * d * d
		}
	}
	df := eff[baseline] - 1 + eff[canaries] - 1
	within := eff[baseline]*spread[baseline] + eff[canaries]*spread[canaries]
	each := [2]float64{e.n[baseline] / eff[baseline], e.n[canaries] / eff[canaries]} // polls or requests of a host
	e.effect = mid[canaries] - mid[baseline]
	e.level, e.unit = g.base/float64(g.polls), 1
	var prior, chance float64
	switch g.m.Kind {
	case Ratio:
		e.level = g.x[baseline] / e.n[baseline]
		p := min((g.x[baseline]+g.x[canaries]+1)/(e.n[baseline]+e.n[canaries]+1), 0.5) // of both: if there is no effect, both tell
		chance = p * (1 - p)
		prior = g.m.Spread*g.m.Spread*p*p + chance/each[baseline]
	case Level:
		prior = g.m.Spread * g.m.Spread
	default:
		e.unit = g.size / float64(g.polls)
		prior = g.m.Spread * g.m.Spread * e.unit * e.unit
	}
	e.df = df + priorHosts
	v := (priorHosts*prior + within) / e.df
	// A canary whose own hosts disagree is not all of one kind: one of two that has trouble of its own says little about the version, however well the baseline agrees.
	own := (priorHosts*v + eff[canaries]*spread[canaries]) / (priorHosts + eff[canaries] - 1)
	of := [2]float64{v, max(v, own)}
	if chance > 0 {
		for c := range of {
			of[c] = max(of[c], chance/each[baseline]) + max(chance/each[c]-chance/each[baseline], 0)
		}
	} else {
		of[canaries] *= max(1, each[baseline]/each[canaries]) // who was there for less of the time has more of its noise left
	}
	e.se = math.Sqrt(of[baseline]/eff[baseline] + of[canaries]/eff[canaries])
	return e, finite(e.effect) && finite(e.se) && e.se > 0
}

// margin is how much harm matters, on the measure's scale.
func (m *Measure) margin(e *estimate) float64 {
	switch m.Kind {
	case Ratio:
		return max(m.Margin*e.level, m.Floor)
	case Level:
		if m.Direction == Decrease {
			return -math.Log(max(1-m.Margin, 1e-3))
		}
		return math.Log(1 + m.Margin)
	}
	return m.Margin * e.unit
}
