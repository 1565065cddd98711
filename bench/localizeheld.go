package main

import (
	"math/rand/v2"

	"github.com/rollcall-metrics/rollcall/dashboards/localize"
)

// heldOut is what the method comes to on cases that its constants were not chosen on.
type heldOut struct {
	Settings   int        `json:"settings"` // combinations of constants that were tried
	Folds      topFigures `json:"folds"`    // five folds, ten times over
	Dimensions topFigures `json:"dimensions"`
	Worst      topFigures `json:"worst"` // of all combinations, on all cases
}

type topFigures struct {
	Top1 float64 `json:"top1"`
	Top3 float64 `json:"top3"`
	Top5 float64 `json:"top5"`
	F1   float64 `json:"f1"`
}

const leastHeldOut = 20 // cases below which folds say nothing

// tried is a grid around the defaults: half, one and two of each constant.
func tried() (out []localize.Settings) {
	for _, prior := range []float64{5, 10, 20} {
		for _, life := range []float64{.025, .05, .1} {
			for _, moved := range []float64{.05, .1, .2} {
				for _, word := range []float64{.15, .3, .6} {
					out = append(out, localize.Settings{Prior: prior, Life: life, Moved: moved, Word: word})
				}
			}
		}
	}
	return out
}

// crossValidate chooses the constants with the best mean reciprocal rank on a part of the cases and measures them on the rest.
func crossValidate(cases []incident) heldOut {
	grid := tried()
	answers := make([][][][]string, len(grid)) // of each setting and case
	for g, s := range grid {
		for i := range cases {
			answers[g] = append(answers[g], named(s.Find(cases[i].table())))
		}
	}
	h := heldOut{Settings: len(grid), Worst: topFigures{2, 2, 2, 2}}
	for g := range grid {
		var c answerTally
		for i := range cases {
			c.add(cases[i].truth, answers[g][i])
		}
		f := c.tops()
		if f.Top1+f.Top3 < h.Worst.Top1+h.Worst.Top3 {
			h.Worst = f
		}
	}
	// best gives the setting for the cases outside of a fold; of equals the first.
	best := func(fold []int, k int) int {
		at, most := 0, -1.0
		for g := range grid {
			sum := 0.0
			for i := range cases {
				var one answerTally
				if fold[i] == k {
					continue
				}
				if rank := one.add(cases[i].truth, answers[g][i]); rank >= 0 {
					sum += 1 / float64(rank+1)
				}
			}
			if sum > most {
				at, most = g, sum
			}
		}
		return at
	}
	measure := func(c *answerTally, fold []int, folds int) {
		for k := range folds {
			g := best(fold, k)
			for i := range cases {
				if fold[i] == k {
					c.add(cases[i].truth, answers[g][i])
				}
			}
		}
	}
	var byFold, byDims answerTally
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		fold := make([]int, len(cases))
		for at, i := range random.Perm(len(cases)) {
			fold[i] = at % 5
		}
		measure(&byFold, fold, 5)
	}
	h.Folds = byFold.tops()
	fold, most := make([]int, len(cases)), 0
	for i := range cases {
		fold[i] = len(cases[i].dims)
		most = max(most, fold[i])
	}
	measure(&byDims, fold, most+1)
	h.Dimensions = byDims.tops()
	return h
}

func (c *answerTally) tops() topFigures {
	r := c.result()
	return topFigures{r.Top1, r.Top3, r.Top5, r.F1}
}
