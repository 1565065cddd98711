package detect

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// normal reports whether a set is as it was: its excess is small beside what the place shows.
func (t *table) normal(g, place *group) bool {
	if g.b <= 0 && g.n <= 0 {
		return false
	}
	if t.poisson {
		if g.b < 0.5 && g.n < 50 {
			return false // nobody can tell
		}
		risk, worst := (g.c+0.5)/(max(g.b, 0.5)+0.5), (place.c+0.5)/(max(place.b, 0.5)+0.5)
		if t.metric == "rate" {
			return risk > 0.8
		}
		return risk < 1+0.2*(worst-1)
	}
	return g.c/max(g.b, 1e-9) < 1+0.25*(place.c/max(place.b, 1e-9)-1)
}

// cleared says what is not part of it although it is close: the halves of a pair without the other, the rest of a dimension.
func (t *table) cleared(g *group) (out []string) {
	note := func(name string, s *group) {
		if t.normal(s, g) {
			out = append(out, name+t.figure(s))
		}
	}
	cs := t.conds(g)
	if g.pair {
		for i, c := range cs {
			o := cs[1-i]
			var s group
			others := map[string]bool{}
			cd, od := slices.Index(t.dims, c.Dim), slices.Index(t.dims, o.Dim)
			for k := range t.leaves {
				l := &t.leaves[k]
				if l.vals[cd] >= 0 && t.values[cd][l.vals[cd]] == c.Value && !t.in(g, l) {
					s.add(l)
					if l.vals[od] >= 0 {
						others[t.values[od][l.vals[od]]] = true
					}
				}
			}
			note(without(c, o, others), &s)
		}
		return out
	}
	var s group
	others := map[string]bool{}
	d := g.dim[0]
	for k := range t.leaves {
		if l := &t.leaves[k]; !t.in(g, l) {
			s.add(l)
			if l.vals[d] >= 0 {
				others[t.values[d][l.vals[d]]] = true
			}
		}
	}
	note(theRest(cs[0], others), &s)
	return out
}

// alike lists dimensions whose values are all hit, or all spared, alike within the set.
func (t *table) alike(g *group) (out []string) {
	for d, dim := range t.dims {
		word := map[string]string{dashboards.TagVersion: "every version", dashboards.TagZone: "every zone", "client.as.number": "every client network",
			"client.geo.country.iso_code": "every client country"}[dim]
		if word == "" || g != nil && (g.dim[0] == d || g.pair && g.dim[1] == d) {
			continue
		}
		by := map[int32]*group{}
		for i := range t.leaves {
			l := &t.leaves[i]
			if l.vals[d] < 0 || g != nil && !t.in(g, l) {
				continue
			}
			if by[l.vals[d]] == nil {
				by[l.vals[d]] = &group{}
			}
			by[l.vals[d]].add(l)
		}
		least, most, n := math.Inf(1), 0.0, 0
		for _, s := range maps.All(by) {
			if t.poisson && s.c < 5 && s.b < 5 || s.b <= 0 {
				continue
			}
			risk := s.c / s.b
			least, most, n = min(least, risk), max(most, risk), n+1
		}
		if n >= 2 && most < 2*least {
			out = append(out, word+" alike")
		}
	}
	return out
}

// few names a handful of instances that hold nearly all of the excess and share nothing else.
func (p *Place) few(t *table) {
	excess := t.excess()
	if excess <= 0 || len(t.leaves) < 2*fewLeaves {
		return
	}
	by := map[string]float64{}
	for i := range t.leaves {
		if l := &t.leaves[i]; l.instance != "" {
			by[l.instance] += t.sign() * (l.c - l.b)
		}
	}
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b)) })
	sum := 0.0
	for k := 0; k < min(fewLeaves, len(names)); k++ {
		if sum += by[names[k]]; sum >= 0.85*excess && k+1 <= len(names)/3 {
			var g group
			for i := range t.leaves {
				if slices.Contains(names[:k+1], t.leaves[i].instance) {
					g.add(&t.leaves[i])
				}
			}
			p.Instances, p.N, p.Share, p.Ratio, p.Alike = names[:k+1], k+1, min(sum/excess, 1), t.told(&g), nil
			return
		}
	}
}
