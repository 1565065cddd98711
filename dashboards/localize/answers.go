package localize

import (
	"math"
	"slices"
)

const (
	maxAnswers = 5
	// A second cause is part of the first answer where what the first leaves over is this certain, and this much of the whole.
	secondScore = 10  // nats
	secondShare = 0.2 // of the excess
	mentioned   = 0.05
	// certain is how much better than chance, and than "all alike", the first answer must be, beside what looking at so many costs.
	certain = 3
)

// Find says where a table's change is. The same table gives the same result.
func Find(t *Table) Result { return Settings{}.Find(t) }

// Find is Find with other constants.
func (c Settings) Find(t *Table) Result {
	c.defaults()
	var r Result
	if len(t.now) == 0 {
		return r
	}
	m := t.model(c)
	s := &scanner{t: t, m: m, ids: make([]int32, len(t.now)), sparse: map[uint64]int32{}}
	var all group
	all.dims = [maxElements]int8{-1, -1, -1}
	sums := make([]float64, m.sizes)
	for i := range t.now {
		all.leaves++
		all.x, all.b, all.n = all.x+m.observed[i], all.b+m.expected[i], all.n+t.now[i].N
		for k := range sums {
			sums[k] += m.likelihood[i*m.sizes+k]
		}
	}
	all.score = slices.Max(sums)
	f := m.fates()
	r.Hit, r.Uneven = f.hit, f.hit > 1 && f.spared*5 > len(t.now)
	best := s.scan()
	r.Tried, r.Curtailed = s.tried, s.curtail
	r.Alike = t.cause(&all, &all)
	r.Answers = s.answers(best, &all)
	if len(r.Answers) > 0 {
		a := &r.Answers[0]
		hit, spared := t.within(a, f)
		r.Found = a.Score > max(all.score, 0)+certain+math.Log(float64(max(s.tried, 1))) && hit >= spared && 2*hit >= f.hit
	}
	return r
}

// fates is what became of each leaf, taken for itself, as far as that is certain.
type fates struct {
	of          []int8 // 1: hit, -1: spared, 0: nobody can tell
	hit, spared int
}

func (m *model) fates() (f fates) {
	f.of = make([]int8, len(m.expected))
	sure := certain + math.Log(float64(len(f.of)))
	sums := make([]float64, m.sizes)
	row := func(i int) []float64 { return m.likelihood[i*m.sizes : (i+1)*m.sizes] }
	for i := range f.of {
		if slices.Max(row(i)) > sure {
			f.of[i], f.hit = 1, f.hit+1
			for k, l := range row(i) {
				sums[k] += l
			}
		}
	}
	if f.hit == 0 {
		return f
	}
	// Spared are those to whom that which happened to the others certainly did not.
	size := slices.Index(sums, slices.Max(sums))
	for i := range f.of {
		if f.of[i] == 0 && row(i)[size] < -sure {
			f.of[i], f.spared = -1, f.spared+1
		}
	}
	return f
}

// within counts the hit and the spared among an answer's leaves.
func (t *Table) within(a *Answer, f fates) (hit, spared int) {
	for i, fate := range f.of {
		if fate == 0 {
			continue
		}
		codes := t.codes[i*len(t.dims) : (i+1)*len(t.dims)]
		if !slices.ContainsFunc(a.Causes, func(c Cause) bool {
			return !slices.ContainsFunc(c.at, func(e at) bool { return codes[e.dim] != e.code })
		}) {
			continue
		}
		if fate > 0 {
			hit++
		} else {
			spared++
		}
	}
	return hit, spared
}

// answers lists explanations: single causes by their score, and the best two of a kind.
func (s *scanner) answers(best []group, all *group) []Answer {
	var out []Answer
	var from []group
	named := map[uint64]int{}
	for i := range best {
		g := &best[i]
		// The same leaves by longer names are another answer only for the best two: a label may say more than it needs to.
		if named[g.mark]++; named[g.mark] > 2 || named[g.mark] > 1 && len(out) > 1 {
			continue
		}
		out = append(out, s.answer(all, g))
		if from = append(from, *g); len(out) == maxAnswers {
			break
		}
	}
	two, first := Answer{}, false
	for i := range min(len(from), maxAnswers-1) {
		a := &from[i]
		others := s.siblings(a, all)
		if len(others) == 0 || a.leaves+others[0].leaves == all.leaves { // all are no two causes
			continue
		}
		pair := s.answer(all, a, &others[0])
		if two.Causes != nil && pair.Score <= two.Score {
			continue
		}
		// What a cause leaves over is another's only where the cause itself is the best; two others have to be much better than it, and not parts of it.
		better := i == 0 || pair.Score > from[0].score+secondScore && !s.within(a, &from[0])
		if two, first = pair, better && pair.Causes[1].Share >= secondShare; i == 0 && first {
			left := all.leaves - a.leaves - others[0].leaves
			for k := range others[1:] {
				c := s.t.cause(&others[k+1], all)
				if left -= others[k+1].leaves; c.Share < secondShare/2 || left == 0 {
					break
				}
				two.Causes, two.Score, two.Share = append(two.Causes, c), two.Score+c.Score, two.Share+c.Share
			}
			break
		}
	}
	switch {
	case two.Causes == nil:
		return out
	case first:
		return append([]Answer{two}, out[:min(len(out), maxAnswers-1)]...)
	}
	return append(out[:min(len(out), maxAnswers-1)], two)
}

// within reports whether a's elements are those of the other, and more.
func (s *scanner) within(a, other *group) bool {
	for _, d := range other.dims {
		if d >= 0 && (!slices.Contains(a.dims[:], d) || s.t.code(a, d) != s.t.code(other, d)) {
			return false
		}
	}
	return true
}

// siblings are other conjunctions that differ from a in one element, the same dimension's for all of them, best first: what a bit rate suffers, another may suffer,
// too.
func (s *scanner) siblings(a, all *group) (found []group) {
	if !s.divide(a.dims) {
		return nil
	}
	least := mentioned * math.Abs(all.x-all.b)
	where := func(g *group) (d int8, n int) {
		for _, dim := range a.dims {
			if dim >= 0 && s.t.code(g, dim) != s.t.code(a, dim) {
				d, n = dim, n+1
			}
		}
		return d, n
	}
	for i := range s.groups {
		g := &s.groups[i]
		if g.score < secondScore || s.excess(g) < least {
			continue
		}
		if _, n := where(g); n == 1 {
			found = append(found, *g)
		}
	}
	slices.SortFunc(found, s.order)
	if len(found) > 0 {
		dim, _ := where(&found[0])
		found = slices.DeleteFunc(found, func(g group) bool { d, _ := where(&g); return d != dim })
	}
	return found
}

func (t *Table) code(g *group, d int8) int32 { return t.codes[int(g.leaf)*len(t.dims)+int(d)] }

// excess is how much there is of what the change is about.
func (s *scanner) excess(g *group) float64 {
	if s.t.Falls {
		return g.b - g.x
	}
	return g.x - g.b
}

func (s *scanner) answer(all *group, gs ...*group) (a Answer) {
	for _, g := range gs {
		c := s.t.cause(g, all)
		a.Causes, a.Score, a.Share = append(a.Causes, c), a.Score+c.Score, a.Share+c.Share
	}
	return a
}

func (t *Table) cause(g, all *group) Cause {
	c := Cause{Leaves: int(g.leaves), Observed: g.x, Expected: g.b, Weight: g.n, Score: g.score, Risk: g.x / g.b, Share: (g.x - g.b) / (all.x - all.b)}
	if math.IsNaN(c.Share) || math.IsInf(c.Share, 0) {
		c.Share = 0
	}
	for _, d := range g.dims {
		if d >= 0 {
			c.Elements = append(c.Elements, Element{t.dims[d], t.value(g, d)})
			c.at = append(c.at, at{int(d), t.code(g, d)})
		}
	}
	return c
}
