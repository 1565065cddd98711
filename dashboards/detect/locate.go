package detect

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Cond is one dimension at one value.
type Cond struct{ Dim, Value string }

// Place is where a change is.
type Place struct {
	Conds     []Cond   // one, or two that must both hold; empty: nowhere in particular
	Instances []string // instead of conditions: a few instances that share nothing else
	Share     float64  // of the excess that is there
	Ratio     float64  // there, after: errors per request, milliseconds, or requests as a share of what was usual
	Elsewhere float64  // the same for all the rest
	N, Of     int      // instances there, and in all
	Cleared   []string
	Alike     []string // dimensions whose values are all hit alike
	Sure      float64  // log likelihood ratio; 0: nothing was to be compared
}

const (
	enoughShare = 0.6  // of the excess that a place must hold to be named
	everywhere  = 0.95 // of what is usual: a place that holds so much is everywhere
	fewLeaves   = 3    // instances that may be named one by one
	manyValues  = 5000 // values of one dimension above which it tells nothing
	maxLeavesIn = 200_000
)

// dimOrder is which dimension is named first when several hold the same instances.
var dimOrder = []string{dashboards.TagVersion, dashboards.TagTrack, dashboards.TagZone, dashboards.TagRegion, "client.as.number", "client.geo.country.iso_code", dashboards.TagHost}

// noDims tell instances apart or say nothing: no place.
var noDims = []string{"service.name", "service.instance.id", "deployment.environment.name", "client.as.organization.name", "server.address", "instance", "pid", "shard"}

func dimRank(d string) int {
	if i := slices.Index(dimOrder, d); i >= 0 {
		return i
	}
	return len(dimOrder)
}

// leaf is what the scan works on: something observed against something expected.
type leaf struct {
	c, b     float64 // observed and expected
	n        float64 // requests, or weight
	x        float64 // what is told: errors, milliseconds times n
	n0, x0   float64 // the same before
	instance string
	vals     []int32 // value of each dimension, -1: none
}

// table is leaves with their dimensions.
type table struct {
	metric  string
	dims    []string
	values  [][]string
	leaves  []leaf
	poisson bool
}

// Locate says which single value, or pair of values of two dimensions, holds the excess: an expectation-based scan. Every leaf is compared with its own
// history, shrunk towards the service's; for a set S with observed C and expected B the score of errors and requests is Poisson's C·ln(C/B)-(C-B), that of
// latencies Gauss' (ΣC-ΣB)²/2n. The set with the highest score wins, a pair only where it beats both of its halves by more than chance would. byLabel
// are leaves counted apart by labels, where there are any.
func Locate(metric string, byInstance, byLabel []dashboards.Leaf) Place {
	all := newTable(metric, byInstance)
	best := all.scan()
	if metric != "latency" && len(byLabel) > 0 && len(byLabel) <= maxLeavesIn {
		// Labels are asked where they tell of most of the excess.
		t := newTable(metric, byLabel)
		if t.excess() >= 0.5*all.excess() && t.excess() > 0 {
			if p := t.scan(); len(p.Conds) > 0 && (len(best.Conds) == 0 || p.Sure > best.Sure && labelled(p.Conds)) {
				p.Alike = append(p.Alike, best.Alike...)
				best = p
			} else {
				best.Alike = append(best.Alike, p.Alike...)
			}
		}
	}
	if len(best.Conds) == 0 {
		best.few(all)
	}
	best.Of = all.instances(nil)
	slices.Sort(best.Alike)
	best.Alike = slices.Compact(best.Alike)
	if i := slices.Index(best.Alike, "every client country alike"); i >= 0 && slices.Contains(best.Alike, "every client network alike") {
		best.Alike = slices.Delete(best.Alike, i, i+1)
	}
	return best
}

func labelled(cs []Cond) bool {
	return slices.ContainsFunc(cs, func(c Cond) bool { return strings.HasPrefix(c.Dim, "client.") })
}

func newTable(metric string, ls []dashboards.Leaf) *table {
	t := &table{metric: metric, poisson: metric != "latency"}
	index := map[string]int{}
	ids := []map[string]int32{}
	set := func(l *leaf, dim, v string) {
		if slices.Contains(noDims, dim) || v == "" {
			return
		}
		d, ok := index[dim]
		if !ok {
			d = len(t.dims)
			index[dim] = d
			t.dims, t.values, ids = append(t.dims, dim), append(t.values, nil), append(ids, map[string]int32{})
		}
		id, ok := ids[d][v]
		if !ok {
			id = int32(len(t.values[d]))
			ids[d][v] = id
			t.values[d] = append(t.values[d], v)
		}
		for len(l.vals) <= d {
			l.vals = append(l.vals, -1)
		}
		l.vals[d] = id
	}
	var n0, x0, s0, s1 float64
	for i := range ls {
		n0, x0 = n0+ls[i].Before.Requests, x0+ls[i].Before.Errors
		s0, s1 = max(s0, ls[i].Before.Seconds), max(s1, ls[i].After.Seconds)
	}
	p0 := (x0 + priorErrors) / (n0 + priorErrors/priorRatio)
	for i := range ls {
		in := &ls[i]
		l := leaf{instance: in.Instance, n: in.After.Requests, n0: in.Before.Requests}
		switch metric {
		case "errors":
			// A hundred errors' worth of the service's own ratio stands behind each leaf.
			own := (in.Before.Errors + 100*p0*weightOf(p0)) / (in.Before.Requests + 100*weightOf(p0))
			l.c, l.b, l.x, l.x0 = in.After.Errors, own*in.After.Requests, in.After.Errors, in.Before.Errors
		case "rate":
			if !(in.Before.Seconds > 0) || !(s1 > 0) {
				continue
			}
			secs := in.After.Seconds
			if in.Instance == "" || secs == 0 {
				secs = s1
			}
			l.b = in.Before.Requests / in.Before.Seconds * secs
			l.c, l.x, l.x0 = in.After.Requests, in.After.Requests, l.b
		case "latency":
			if math.IsNaN(in.After.Latency) || math.IsNaN(in.Before.Latency) || !(in.After.Requests > 0) {
				continue
			}
			l.c, l.b = in.After.Latency*l.n, in.Before.Latency*l.n
			l.x, l.x0 = l.c, in.Before.Latency*l.n0
		}
		for name, v := range in.Tags {
			set(&l, name, v)
		}
		for _, p := range in.Labels {
			set(&l, p.Name, p.Value)
		}
		t.leaves = append(t.leaves, l)
	}
	for i := range t.leaves {
		for len(t.leaves[i].vals) < len(t.dims) {
			t.leaves[i].vals = append(t.leaves[i].vals, -1)
		}
	}
	return t
}

// weightOf is how many requests an error stands for at a ratio, within reason.
func weightOf(p float64) float64 { return min(max(0.05/max(p, 1e-6), 1), 100) }

// sign is +1 where more is worse, -1 where less is.
func (t *table) sign() float64 {
	if t.metric == "rate" {
		return -1
	}
	return 1
}

func (t *table) excess() (e float64) {
	for i := range t.leaves {
		e += t.sign() * (t.leaves[i].c - t.leaves[i].b)
	}
	return e
}

// group is a set of leaves added up.
type group struct {
	c, b, n, x float64
	n0, x0     float64
	dim        [2]int
	val        [2]int32
	pair       bool
	score      float64
}

func (g *group) add(l *leaf) {
	g.c, g.b, g.n, g.x, g.n0, g.x0 = g.c+l.c, g.b+l.b, g.n+l.n, g.x+l.x, g.n0+l.n0, g.x0+l.x0
}

func (t *table) scored(g *group) float64 {
	d := t.sign() * (g.c - g.b)
	if d <= 0 {
		return 0
	}
	if !t.poisson {
		if g.n <= 0 {
			return 0
		}
		// The variance of a request's latency cancels when sets are compared; the mean of what was usual gives it a scale.
		usual := g.b / g.n
		return d * d / (2 * g.n * max(usual*usual, 1e-9))
	}
	b := max(g.b, 0.05)
	if g.c <= 0 {
		return b
	}
	return max(g.c*math.Log(g.c/b)-(g.c-b), 0)
}

// scan finds the best place among the table's dimensions.
func (t *table) scan() (p Place) {
	var total group
	for i := range t.leaves {
		total.add(&t.leaves[i])
	}
	excess := t.excess()
	if len(t.leaves) == 0 || excess <= 0 {
		return p
	}
	p.Sure = t.scored(&total)
	p.Ratio, p.Share = t.told(&total), 1
	singles := t.singles()
	var near []group // those that hold most of the excess: only their pairs can
	tried := 0
	for i := range singles {
		g := &singles[i]
		tried++
		if g.score = t.scored(g); t.share(g, excess) >= enoughShare {
			near = append(near, *g)
		}
	}
	best, bestScore := group{}, 0.0
	found := false
	consider := func(g *group, handicap float64) {
		if g.b >= everywhere*total.b && g.n >= everywhere*total.n || t.share(g, excess) < enoughShare {
			return
		}
		score := g.score - handicap
		switch near := 1e-6 * max(best.score, 1); {
		case !found || score > bestScore+near:
		case score > bestScore-near && t.plainer(g, &best):
		default:
			return
		}
		best, bestScore, found = *g, score, true
	}
	for i := range near {
		consider(&near[i], 0)
	}
	pairs := t.pairs(near)
	// A pair has to be worth its second condition: as much as chance gives to the best of so many, and a little of the score itself.
	for i := range pairs {
		g := &pairs[i]
		g.score = t.scored(g)
		consider(g, 3+math.Log(float64(len(pairs)+tried))+0.02*g.score)
	}
	if !found || best.score < p.Sure+2 {
		p.Alike = t.alike(nil)
		return p
	}
	p.Sure, p.Share, p.Ratio = best.score, min(t.share(&best, excess), 1), t.told(&best)
	rest := group{c: total.c - best.c, b: total.b - best.b, n: total.n - best.n, x: total.x - best.x}
	p.Elsewhere = t.told(&rest)
	p.Conds = t.conds(&best)
	p.N = t.instances(&best)
	p.Cleared = t.cleared(&best)
	p.Alike = t.alike(&best)
	return p
}

// plainer reports whether a says the same as b in fewer or better known words.
func (t *table) plainer(a, b *group) bool {
	ca, cb := t.conds(a), t.conds(b)
	if len(ca) != len(cb) {
		return len(ca) < len(cb)
	}
	for i := range ca {
		if c := cmp.Or(cmp.Compare(dimRank(ca[i].Dim), dimRank(cb[i].Dim)), strings.Compare(ca[i].Dim, cb[i].Dim)); c != 0 {
			return c < 0
		}
	}
	return false
}

func (t *table) share(g *group, excess float64) float64 { return t.sign() * (g.c - g.b) / excess }

// told is the figure of a set that people read.
func (t *table) told(g *group) float64 {
	if t.metric == "rate" {
		return g.c / g.b
	}
	return g.x / g.n
}

func (t *table) singles() (out []group) {
	for d := range t.dims {
		if len(t.values[d]) > manyValues || len(t.values[d]) < 2 && !t.partial(d) {
			continue
		}
		by := make([]group, len(t.values[d]))
		for i := range t.leaves {
			if v := t.leaves[i].vals[d]; v >= 0 {
				by[v].add(&t.leaves[i])
			}
		}
		for v := range by {
			by[v].dim, by[v].val = [2]int{d, d}, [2]int32{int32(v), int32(v)}
		}
		out = append(out, by...)
	}
	return out
}

// partial reports whether some leaves have no value of the dimension.
func (t *table) partial(d int) bool {
	return slices.ContainsFunc(t.leaves, func(l leaf) bool { return l.vals[d] < 0 })
}

func (t *table) pairs(near []group) (out []group) {
	for i := range near {
		for j := i + 1; j < len(near) && len(out) < 1000; j++ {
			a, b := &near[i], &near[j]
			if a.dim[0] == b.dim[0] || t.dims[a.dim[0]] == dashboards.TagHost || t.dims[b.dim[0]] == dashboards.TagHost {
				continue
			}
			g := group{pair: true, dim: [2]int{a.dim[0], b.dim[0]}, val: [2]int32{a.val[0], b.val[0]}}
			for k := range t.leaves {
				if t.in(&g, &t.leaves[k]) {
					g.add(&t.leaves[k])
				}
			}
			if g.n < a.n && g.n < b.n { // else it is one of its halves
				out = append(out, g)
			}
		}
	}
	return out
}

func (t *table) in(g *group, l *leaf) bool {
	return l.vals[g.dim[0]] == g.val[0] && (!g.pair || l.vals[g.dim[1]] == g.val[1])
}

func (t *table) conds(g *group) []Cond {
	out := []Cond{{t.dims[g.dim[0]], t.values[g.dim[0]][g.val[0]]}}
	if g.pair {
		out = append(out, Cond{t.dims[g.dim[1]], t.values[g.dim[1]][g.val[1]]})
	}
	slices.SortFunc(out, func(a, b Cond) int {
		return cmp.Or(cmp.Compare(dimRank(a.Dim), dimRank(b.Dim)), strings.Compare(a.Dim, b.Dim))
	})
	return out
}

// instances counts those of a set, or of all.
func (t *table) instances(g *group) int {
	names := map[string]bool{}
	for i := range t.leaves {
		if l := &t.leaves[i]; (g == nil || t.in(g, l)) && l.instance != "" {
			names[l.instance] = true
		}
	}
	return len(names)
}
