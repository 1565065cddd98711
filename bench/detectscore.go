package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// labelled is one series of the benchmark: how many rows, from which on they count, and where something is wrong.
type labelled struct {
	Rows      int      `json:"rows"`
	Probation int      `json:"probation"`
	Windows   []window `json:"windows"`
}

// window is the rows, both of them within, in which a detector should say something.
type window struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// nabProfile is what a window found, a window missed and a false flag count.
type nabProfile struct {
	name       string
	tp, fn, fp float64
}

var nabProfiles = [...]nabProfile{{"standard", 1, 1, .11}, {"reward_low_FP_rate", 1, 1, .22}, {"reward_low_FN_rate", 1, 2, .11}}

// sigma weighs a flag by its place relative to a window.
func sigma(x float64) float64 {
	if x > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*x)) - 1
}

// nabTally is what a detector's flags come to.
type nabTally struct {
	raw            float64
	tp, fp, tn, fn int // rows from the probation on
}

// score is what a series adds for its scores and a threshold.
func (l *labelled) score(p *nabProfile, s []float64, t float64) (out nabTally) {
	w := 0
	hit := false
	leave := func() {
		if !hit {
			out.raw -= p.fn
		}
		hit = false
	}
	for i := l.Probation; i < l.Rows; i++ {
		for w < len(l.Windows) && i > l.Windows[w].Last {
			leave()
			w++
		}
		in := w < len(l.Windows) && i >= l.Windows[w].First
		flag := s[i] >= t
		switch {
		case in && flag:
			out.tp++
			if !hit {
				hit = true
				v := l.Windows[w]
				y := -float64(v.Last-i+1) / float64(v.Last-v.First+1)
				out.raw += p.tp * sigma(y) / sigma(-1)
			}
		case in:
			out.fn++
		case flag:
			out.fp++
			if w == 0 {
				out.raw -= p.fp
			} else {
				v := l.Windows[w-1]
				out.raw += p.fp * sigma(float64(i-v.Last)/float64(v.Last-v.First))
			}
		default:
			out.tn++
		}
	}
	for ; w < len(l.Windows); w++ {
		leave()
	}
	return out
}

// suite is all series by name.
type suite map[string]*labelled

// names are the series in order: sums in another order would differ in their last digits.
func (s suite) names() []string { return slices.Sorted(maps.Keys(s)) }

func (s suite) windows() (n int) {
	for _, l := range s {
		n += len(l.Windows)
	}
	return n
}

// normalised is 0 for who never says a word, and 100 for who says it at the first row of each window and else nothing.
func (s suite) normalised(p *nabProfile, raw float64) float64 {
	w := float64(s.windows())
	return 100 * (raw + p.fn*w) / (p.tp*w + p.fn*w)
}

// total adds all series up.
func (s suite) total(p *nabProfile, scores map[string][]float64, t float64) (out nabTally) {
	for _, n := range s.names() {
		f := s[n].score(p, scores[n], t)
		out.raw += f.raw
		out.tp += f.tp
		out.fp += f.fp
		out.tn += f.tn
		out.fn += f.fn
	}
	return out
}

// best is NAB's optimiser: the threshold with the best raw among nothing flagged and all scores that occur past the probation.
// Going down over all scores, each newly flagged row changes the sum by itself: outside a window by its own weight, inside by being the first.
func (s suite) best(p *nabProfile, scores map[string][]float64) (t, raw float64) {
	type row struct {
		score float64
		file  string
		i     int
	}
	var rows []row
	for _, n := range s.names() {
		for i := s[n].Probation; i < s[n].Rows; i++ {
			if x := scores[n][i]; !math.IsNaN(x) {
				rows = append(rows, row{x, n, i})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.score, a.score) })
	type place struct {
		file string
		w    int
	}
	first := map[place]int{}
	sum := -p.fn * float64(s.windows())
	t, raw = math.Inf(1), sum
	for k, r := range rows {
		l := s[r.file]
		w, in := slices.BinarySearchFunc(l.Windows, r.i, func(v window, i int) int {
			switch {
			case v.Last < i:
				return -1
			case v.First > i:
				return 1
			}
			return 0
		})
		switch {
		case in:
			v := l.Windows[w]
			gain := func(i int) float64 { return p.tp * sigma(-float64(v.Last-i+1)/float64(v.Last-v.First+1)) / sigma(-1) }
			key := place{r.file, w}
			if old, ok := first[key]; !ok {
				first[key] = r.i
				sum += p.fn + gain(r.i)
			} else if r.i < old {
				first[key] = r.i
				sum += gain(r.i) - gain(old)
			}
		case w == 0:
			sum -= p.fp
		default:
			v := l.Windows[w-1]
			sum += p.fp * sigma(float64(r.i-v.Last)/float64(v.Last-v.First))
		}
		if (k == len(rows)-1 || rows[k+1].score < r.score) && sum > raw {
			t, raw = r.score, sum
		}
	}
	return t, raw
}
