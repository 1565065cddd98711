package localize

import (
	"cmp"
	"math"
	"slices"
)

const (
	maxElements = 3
	kept        = 48 // best conjunctions that are looked at again
)

// group is a conjunction: the elements that one of its leaves has in some dimensions.
type group struct {
	dims   [maxElements]int8 // rising; -1 past the last
	leaf   int32             // its first
	leaves int32
	mark   uint64 // the same for the same set of leaves
	score  float64
	best   int32 // size of change
	x, b   float64
	n      float64
}

func (g *group) words() int {
	n := 0
	for n < maxElements && g.dims[n] >= 0 {
		n++
	}
	return n
}

// scanner adds leaves up by conjunctions.
type scanner struct {
	t       *Table
	m       *model
	ids     []int32 // of each leaf's group, -1: in none
	sums    []float64
	groups  []group
	dense   []int32
	sparse  map[uint64]int32
	work    int
	tried   int
	curtail bool
}

// scan gives the best conjunctions, best first.
func (s *scanner) scan() []group {
	t := s.t
	var best []group
	top := make([]float64, len(t.dims)) // score of the best single element of each dimension
	same := make([]bool, len(t.dims))
	for d := range t.dims {
		dims := [maxElements]int8{int8(d), -1, -1}
		if !s.divide(dims) {
			continue
		}
		if len(s.groups) == 1 && int(s.groups[0].leaves) == len(t.now) {
			same[d] = true // that is the whole by another name
			continue
		}
		for i := range s.groups {
			top[d] = max(top[d], s.groups[i].score)
		}
		best = s.keep(best)
	}
	// Where there is no time for all, dimensions that have shown something go first.
	var sets [][maxElements]int8
	var open []int8
	for d := range t.dims {
		if !same[d] {
			open = append(open, int8(d))
		}
	}
	for i, a := range open {
		for j, b := range open[i+1:] {
			sets = append(sets, [maxElements]int8{a, b, -1})
			for _, c := range open[i+j+2:] {
				sets = append(sets, [maxElements]int8{a, b, c})
			}
		}
	}
	promise := func(set [maxElements]int8) (sum float64, words int) {
		for _, d := range set {
			if d >= 0 {
				sum, words = sum+top[d], words+1
			}
		}
		return sum / float64(words), words
	}
	slices.SortStableFunc(sets, func(x, y [maxElements]int8) int {
		px, wx := promise(x)
		py, wy := promise(y)
		return cmp.Or(cmp.Compare(wx, wy), cmp.Compare(py, px))
	})
	// Two dimensions that already tell nearly all leaves apart leave a third nothing to say: only longer names for one leaf.
	apart := map[[2]int8]bool{}
	for _, set := range sets {
		if apart[[2]int8{set[0], set[1]}] || set[2] >= 0 && (apart[[2]int8{set[0], set[2]}] || apart[[2]int8{set[1], set[2]}]) {
			continue
		}
		if !s.divide(set) {
			continue
		}
		if set[2] < 0 && len(s.groups)*10 > len(t.now)*9 {
			apart[[2]int8{set[0], set[1]}] = true
		}
		best = s.keep(best)
	}
	return best
}

// divide groups the leaves by their elements of some dimensions and scores each group. False: there was no time.
func (s *scanner) divide(dims [maxElements]int8) bool {
	t, m := s.t, s.m
	if s.work += len(t.now) * (m.sizes + 8); s.work > m.Work {
		s.curtail = true
		return false
	}
	n, width := 0, uint64(1)
	for n < maxElements && dims[n] >= 0 {
		if size := uint64(len(t.values[dims[n]])); size > 0 && width < 1<<40 {
			width *= size
		}
		n++
	}
	s.groups = s.groups[:0]
	dense := width <= uint64(4*len(t.now)+1024)
	if dense {
		if uint64(len(s.dense)) < width {
			s.dense = make([]int32, width)
		}
		clear(s.dense[:width])
	} else {
		clear(s.sparse)
	}
	s.sums = s.sums[:0]
leaves:
	for i := range t.now {
		codes := t.codes[i*len(t.dims) : (i+1)*len(t.dims)]
		key := uint64(0)
		for _, d := range dims[:n] {
			c := codes[d]
			if c < 0 {
				s.ids[i] = -1
				continue leaves
			}
			if dense {
				key = key*uint64(len(t.values[d])) + uint64(c)
			} else {
				key = key<<21 | uint64(c)
			}
		}
		var id int32
		if dense {
			id = s.dense[key] - 1
		} else if at, ok := s.sparse[key]; ok {
			id = at
		} else {
			id = -1
		}
		if id < 0 {
			id = int32(len(s.groups))
			s.groups = append(s.groups, group{dims: dims, leaf: int32(i)})
			s.sums = slices.Grow(s.sums, m.sizes)[:len(s.sums)+m.sizes]
			clear(s.sums[len(s.sums)-m.sizes:])
			if dense {
				s.dense[key] = id + 1
			} else {
				s.sparse[key] = id
			}
		}
		s.ids[i] = id
		g := &s.groups[id]
		g.leaves++
		g.mark += mix(uint64(i))
		g.x, g.b, g.n = g.x+m.observed[i], g.b+m.expected[i], g.n+t.now[i].N
		sum := s.sums[int(id)*m.sizes : int(id+1)*m.sizes]
		for k, l := range m.likelihood[i*m.sizes : (i+1)*m.sizes] {
			sum[k] += l
		}
	}
	s.tried += len(s.groups)
	for i := range s.groups {
		g := &s.groups[i]
		g.score = math.Inf(-1)
		for k, l := range s.sums[i*m.sizes : (i+1)*m.sizes] {
			if l > g.score {
				g.score, g.best = l, int32(k)
			}
		}
		g.score -= m.Word * float64(n-1)
	}
	return true
}

// keep merges the groups of the last division into the best so far.
func (s *scanner) keep(best []group) []group {
	least := math.Inf(-1)
	if len(best) == kept {
		least = best[kept-1].score
	}
	for i := range s.groups {
		if s.groups[i].score > least {
			best = append(best, s.groups[i])
		}
		if len(best) >= 8*kept {
			best = s.first(best)
			least = best[kept-1].score
		}
	}
	return s.first(best)
}

func (s *scanner) first(best []group) []group {
	slices.SortFunc(best, s.order)
	return best[:min(len(best), kept)]
}

// order is best first; of equals the plainer.
func (s *scanner) order(a, b group) int {
	if c := cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.words(), b.words())); c != 0 {
		return c
	}
	for i := range a.dims {
		if c := cmp.Compare(a.dims[i], b.dims[i]); c != 0 {
			return c
		}
	}
	for _, d := range a.dims {
		if d >= 0 {
			if c := cmp.Compare(s.t.value(&a, d), s.t.value(&b, d)); c != 0 {
				return c
			}
		}
	}
	return 0
}

// value is the element that a group has in one of its dimensions.
func (t *Table) value(g *group, d int8) string {
	return t.values[d][t.codes[int(g.leaf)*len(t.dims)+int(d)]]
}

// mix spreads a number over 64 bits (SplitMix64's finaliser), so that sums of them tell sets apart.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
