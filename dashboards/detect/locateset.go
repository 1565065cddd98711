package detect

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards/localize"
)

// cond is a condition by the table's numbers.
type cond struct {
	dim int
	val int32
}

// set is the leaves for which all conditions of one of its parts hold.
type set [][]cond

// everything is the set without conditions.
var everything = set{nil}

// group is a set of leaves added up.
type group struct{ c, b, n, x float64 }

func (g *group) add(l *leaf) { g.c, g.b, g.n, g.x = g.c+l.c, g.b+l.b, g.n+l.n, g.x+l.x }

func holds(l *leaf, conds []cond) bool {
	for _, c := range conds {
		if l.vals[c.dim] != c.val {
			return false
		}
	}
	return true
}

func (s set) has(l *leaf) bool {
	for _, conds := range s {
		if holds(l, conds) {
			return true
		}
	}
	return false
}

// sum adds a set up.
func (t *table) sum(s set) (g group) {
	for i := range t.leaves {
		if s.has(&t.leaves[i]) {
			g.add(&t.leaves[i])
		}
	}
	return g
}

// setOf is an answer's leaves.
func (t *table) setOf(a *localize.Answer) (s set) {
	for _, cause := range a.Causes {
		var conds []cond
		for _, e := range cause.Elements {
			d := slices.Index(t.dims, e.Dim)
			conds = append(conds, cond{d, int32(slices.Index(t.values[d], e.Value))})
		}
		s = append(s, conds)
	}
	return s
}

func (t *table) cond(c cond) Cond { return Cond{t.dims[c.dim], t.values[c.dim][c.val]} }

// conds is a part's conditions as people name them, the best known dimension first.
func (t *table) conds(part []cond) (out []Cond) {
	for _, c := range part {
		out = append(out, t.cond(c))
	}
	slices.SortFunc(out, byRank)
	return out
}

func byRank(a, b Cond) int {
	return cmp.Or(cmp.Compare(dimRank(a.Dim), dimRank(b.Dim)), strings.Compare(a.Dim, b.Dim))
}

// names lists the single conditions that hold for exactly the leaves of a set: a host that is alone in its rack.
func (t *table) names(s set) (out []Cond) {
	for d := range t.dims {
		val, same := int32(-1), true
		for i := range t.leaves {
			if l := &t.leaves[i]; s.has(l) {
				if val < 0 {
					val = l.vals[d]
				}
				if same = val >= 0 && l.vals[d] == val; !same {
					break
				}
			}
		}
		if !same || val < 0 {
			continue
		}
		if !slices.ContainsFunc(t.leaves, func(l leaf) bool { return l.vals[d] == val && !s.has(&l) }) {
			out = append(out, t.cond(cond{d, val}))
		}
	}
	slices.SortFunc(out, byRank)
	return out
}

func (t *table) share(g *group, excess float64) float64 { return t.sign() * (g.c - g.b) / excess }

// told is the figure of a set that people read.
func (t *table) told(g *group) float64 {
	if t.metric == "rate" {
		return g.c / g.b
	}
	return g.x / g.n
}

// instances counts those of a set, or of all.
func (t *table) instances(s set) int {
	names := map[string]bool{}
	for i := range t.leaves {
		if l := &t.leaves[i]; (s == nil || s.has(l)) && l.instance != "" {
			names[l.instance] = true
		}
	}
	return len(names)
}
