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

// cleared says what is not part of it although it is close: each of several conditions where one of the others does not hold, the rest of a dimension.
func (t *table) cleared(s set, g *group) (out []string) {
	note := func(name string, rest *group) {
		if t.normal(rest, g) {
			out = append(out, name+t.figure(rest))
		}
	}
	for _, part := range s {
		cs := slices.Clone(part)
		slices.SortFunc(cs, func(a, b cond) int { return byRank(t.cond(a), t.cond(b)) })
		for k := len(cs) - 1; k >= 0; k-- {
			dropped := cs[k]
			kept := slices.Delete(slices.Clone(cs), k, k+1)
			var rest group
			others := map[string]bool{}
			for i := range t.leaves {
				if l := &t.leaves[i]; holds(l, kept) && !s.has(l) {
					rest.add(l)
					if v := l.vals[dropped.dim]; v >= 0 {
						others[t.values[dropped.dim][v]] = true
					}
				}
			}
			if len(kept) == 0 {
				note(t.known.theRest(t.cond(dropped), others), &rest)
			} else {
				note(t.known.without(t.conds(kept), t.cond(dropped), others), &rest)
			}
		}
		if len(s) > 1 && len(cs) == 1 && len(s[1]) == 1 && cs[0].dim == s[1][0].dim {
			break // the rest of the dimension is the rest of all
		}
	}
	return out
}

// alike lists dimensions whose values are all hit, or all spared, alike within the set.
func (t *table) alike(s set) (out []string) {
	for d, dim := range t.dims {
		word := map[string]string{dashboards.TagVersion: "every version", dashboards.TagZone: "every zone", "client.as.number": "every client network",
			"client.geo.country.iso_code": "every client country"}[dim]
		if word == "" || slices.ContainsFunc(s, func(part []cond) bool { return slices.ContainsFunc(part, func(c cond) bool { return c.dim == d }) }) {
			continue
		}
		by := map[int32]*group{}
		for i := range t.leaves {
			l := &t.leaves[i]
			if l.vals[d] < 0 || !s.has(l) {
				continue
			}
			if by[l.vals[d]] == nil {
				by[l.vals[d]] = &group{}
			}
			by[l.vals[d]].add(l)
		}
		least, most, n := math.Inf(1), 0.0, 0
		for _, g := range by {
			if t.poisson && g.c < 5 && g.b < 5 || g.b <= 0 {
				continue
			}
			risk := g.c / g.b
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
	for k := range min(fewLeaves, len(names)) {
		if sum += by[names[k]]; sum >= 0.85*excess && k+1 <= len(names)/3 {
			var g group
			for i := range t.leaves {
				if slices.Contains(names[:k+1], t.leaves[i].instance) {
					g.add(&t.leaves[i])
				}
			}
			p.Conds, p.Also, p.Names, p.Cleared, p.Scattered = nil, nil, nil, nil, 0
			p.Instances, p.N, p.Share, p.Ratio, p.Alike = names[:k+1], k+1, min(sum/excess, 1), t.told(&g), nil
			return
		}
	}
}
