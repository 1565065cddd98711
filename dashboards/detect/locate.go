package detect

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/localize"
)

// Cond is one dimension at one value.
type Cond struct {
	Dim   string `json:"dim"`
	Value string `json:"value"`
}

// Place is where a change is.
type Place struct {
	Conds     []Cond   // up to three that must all hold; empty: nowhere in particular
	Also      [][]Cond // further such places, hit at the same time
	Names     []Cond   // single conditions, each of which holds for these instances and for no others
	Instances []string // instead of conditions: a few instances that share nothing else
	Scattered int      // instances that have it and share nothing; 0: all have it, or nobody can tell
	Share     float64  // of the excess that is there
	Ratio     float64  // there, after: errors per request, milliseconds, or requests as a share of what was usual
	Elsewhere float64  // the same for all the rest
	N, Of     int      // instances there, and in all
	Cleared   []string
	Alike     []string // dimensions whose values are all hit alike
	Sure      float64  // log likelihood ratio; 0: nothing was to be compared
	Known     known    // names that people know better
}

const (
	enoughShare = 0.6  // of the excess that a place must hold to be named
	everywhere  = 0.95 // of what is usual: a place that holds so much is everywhere
	fewLeaves   = 3    // instances that may be named one by one
	manyValues  = 5000 // values of one dimension above which it tells nothing
	maxLeavesIn = 200_000
	// scanWork bounds one look at where something is, which is had again every few seconds: some tenths of a second.
	scanWork = 10_000_000
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
	c, b      float64 // observed and expected
	n         float64 // requests, or weight
	x         float64 // what is told: errors, milliseconds times n
	now, past localize.Figure
	instance  string
	vals      []int32 // value of each dimension, -1: none
}

// table is leaves with their dimensions.
type table struct {
	metric  string
	dims    []string
	values  [][]string
	leaves  []leaf
	poisson bool
	known   known
}

// Locate says which conjunction of values of up to three dimensions holds the excess, by the scan of package localize: errors as a ratio of requests, requests
// as counts, latencies as means. byLabel are leaves counted apart by labels, where there are any.
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
	if len(best.Conds) == 0 || len(best.Also) > 0 && best.Conds[0].Dim == dashboards.TagHost {
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
	t := &table{metric: metric, poisson: metric != "latency", known: networks(ls)}
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
	var n0, x0, s1 float64
	for i := range ls {
		n0, x0 = n0+ls[i].Before.Requests, x0+ls[i].Before.Errors
		s1 = max(s1, ls[i].After.Seconds)
	}
	p0 := (x0 + priorErrors) / (n0 + priorErrors/priorRatio)
	for i := range ls {
		in := &ls[i]
		l := leaf{instance: in.Instance, n: in.After.Requests}
		switch metric {
		case "errors":
			// A hundred errors' worth of the service's own ratio stands behind each leaf.
			own := (in.Before.Errors + 100*p0*weightOf(p0)) / (in.Before.Requests + 100*weightOf(p0))
			l.c, l.b, l.x = in.After.Errors, own*in.After.Requests, in.After.Errors
			l.now, l.past = localize.Figure{X: l.c, N: l.n}, localize.Figure{X: in.Before.Errors, N: in.Before.Requests}
		case "rate":
			if !(in.Before.Seconds > 0) || !(s1 > 0) {
				continue
			}
			secs := in.After.Seconds
			if in.Instance == "" || secs == 0 {
				secs = s1
			}
			l.b = in.Before.Requests / in.Before.Seconds * secs
			l.c, l.x = in.After.Requests, in.After.Requests
			l.now, l.past = localize.Figure{X: l.c, N: secs}, localize.Figure{X: in.Before.Requests, N: in.Before.Seconds}
		case "latency":
			if math.IsNaN(in.After.Latency) || math.IsNaN(in.Before.Latency) || !(in.After.Requests > 0) {
				continue
			}
			l.c, l.b = in.After.Latency*l.n, in.Before.Latency*l.n
			l.x = l.c
			l.now, l.past = localize.Figure{X: l.c, N: l.n}, localize.Figure{X: in.Before.Latency * in.Before.Requests, N: in.Before.Requests}
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

// scan finds the best place among the table's dimensions.
func (t *table) scan() (p Place) {
	total := t.sum(everything)
	excess := t.excess()
	if len(t.leaves) == 0 || excess <= 0 {
		return p
	}
	p.Ratio, p.Share = t.told(&total), 1
	found := t.find()
	p.Sure = max(found.Alike.Score, 1e-9)
	for i := range found.Answers {
		a := &found.Answers[i]
		if !found.Found || a.Score < p.Sure || i > 0 && a.Score < 0.8*found.Answers[0].Score {
			break
		}
		s := t.setOf(a)
		g := t.sum(s)
		if g.b >= everywhere*total.b && g.n >= everywhere*total.n || t.share(&g, excess) < enoughShare {
			continue
		}
		p.Sure, p.Share, p.Ratio = a.Score, min(t.share(&g, excess), 1), t.told(&g)
		rest := group{c: total.c - g.c, b: total.b - g.b, n: total.n - g.n, x: total.x - g.x}
		p.Elsewhere = t.told(&rest)
		p.Conds, p.Known = t.conds(s[0]), t.known
		for _, part := range s[1:] {
			p.Also = append(p.Also, t.conds(part))
		}
		if len(s) == 1 {
			p.Names = t.names(s)
		}
		p.N = t.instances(s)
		p.Cleared = t.cleared(s, &g)
		p.Alike = t.alike(s)
		return p
	}
	if found.Uneven {
		p.Scattered = found.Hit
		return p
	}
	p.Alike = t.alike(everything)
	return p
}

// find has the leaves scanned, with the better known dimensions first: of two names for the same leaves that is told.
func (t *table) find() localize.Result {
	kind := localize.Ratio
	switch t.metric {
	case "rate":
		kind = localize.Count
	case "latency":
		kind = localize.Mean
	}
	var order []int
	for d := range t.dims {
		if len(t.values[d]) <= manyValues {
			order = append(order, d)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(dimRank(t.dims[a]), dimRank(t.dims[b])), strings.Compare(t.dims[a], t.dims[b]))
	})
	names := make([]string, len(order))
	for k, d := range order {
		names[k] = t.dims[d]
	}
	lt := localize.NewTable(kind, t.metric == "rate", names...)
	elements := make([]string, len(order))
	for i := range t.leaves {
		l := &t.leaves[i]
		for k, d := range order {
			elements[k] = ""
			if l.vals[d] >= 0 {
				elements[k] = t.values[d][l.vals[d]]
			}
		}
		lt.Add(elements, l.now, l.past)
	}
	return localize.Settings{Work: scanWork}.Find(lt)
}
