package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards/localize"
)

// located is what localisation came to over all incidents.
type located struct {
	Cases    int      `json:"cases"`
	Top1     float64  `json:"top1"` // share of the cases whose whole set of causes is the first answer,
	Top3     float64  `json:"top3"` // one of the first three,
	Top5     float64  `json:"top5"` // or of the first five
	F1       float64  `json:"f1"`   // of the first answers' elements, summed over all cases
	MS       float64  `json:"ms"`   // median of a case, from the decoded rows to the answers
	MSMax    float64  `json:"ms_max"`
	Element1 float64  `json:"element_top1"` // share of the cases with an element of the cause in the first answer,
	Element3 float64  `json:"element_top3"`
	Element5 float64  `json:"element_top5"`
	TP       int      `json:"tp"`
	FP       int      `json:"fp"`
	FN       int      `json:"fn"`
	Missed   []string `json:"missed"` // cases whose causes are in none of the answers
	// The same with the constants chosen on other cases than those that they are measured on.
	Held *heldOut `json:"held_out,omitempty"`
}

// benchLocalize localises every incident of a folder.
func benchLocalize(ctx context.Context, dir string) (analysisResult, error) {
	cases, err := readIncidents(dir)
	if err != nil {
		return nil, err
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("read cases: %s has none", dir)
	}
	var count answerTally
	var times []time.Duration
	var missed []string
	for i := range cases {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		answers, took := cases[i].localize(localize.Settings{})
		times = append(times, took)
		if rank := count.add(cases[i].truth, answers); rank < 0 {
			missed = append(missed, cases[i].name)
		}
	}
	slices.Sort(times)
	r := count.result()
	r.Missed = missed
	r.MS, r.MSMax = times[len(times)/2].Seconds()*1000, times[len(times)-1].Seconds()*1000
	if len(cases) >= leastHeldOut {
		held := crossValidate(cases)
		r.Held = &held
	}
	return r, nil
}

// localize gives the answers as sets of elements, and how long they took: the best of three, since a run of milliseconds is at the mercy of its neighbours.
func (in *incident) localize(s localize.Settings) (answers [][]string, took time.Duration) {
	for try := range 3 {
		began := time.Now()
		found := s.Find(in.table())
		if d := time.Since(began); try == 0 || d < took {
			took = d
		}
		if try > 0 {
			continue
		}
		answers = named(found)
	}
	return answers, took
}

func (in *incident) table() *localize.Table {
	t := localize.NewTable(localize.Ratio, false, in.dims...)
	for i := range in.leaves {
		t.Add(in.leaves[i].elements, in.leaves[i].now, in.leaves[i].past...)
	}
	return t
}

func named(r localize.Result) (answers [][]string) {
	for _, a := range r.Answers {
		var names []string
		for _, c := range a.Causes {
			var cause []map[string]string
			for _, e := range c.Elements {
				cause = append(cause, map[string]string{e.Dim: e.Value})
			}
			names = append(names, elementName(cause))
		}
		slices.Sort(names)
		answers = append(answers, names)
	}
	return answers
}

// answerTally counts answers as the cases' README says.
type answerTally struct {
	cases, tp, fp, fn int
	exact, element    [5]int // whose first good answer is the k-th
}

// add counts one case; the rank of the exact answer, -1 if there is none.
func (c *answerTally) add(truth []string, answers [][]string) (rank int) {
	c.cases++
	answers = answers[:min(len(answers), 5)]
	in := func(e string) bool { return slices.Contains(truth, e) }
	if rank = slices.IndexFunc(answers, func(a []string) bool { return slices.Equal(a, truth) }); rank >= 0 {
		c.exact[rank]++
	}
	if k := slices.IndexFunc(answers, func(a []string) bool { return slices.ContainsFunc(a, in) }); k >= 0 {
		c.element[k]++
	}
	hits, said := 0, 0
	if len(answers) > 0 {
		said = len(answers[0])
		for _, e := range answers[0] {
			if in(e) {
				hits++
			}
		}
	}
	c.tp, c.fp, c.fn = c.tp+hits, c.fp+said-hits, c.fn+len(truth)-hits
	return rank
}

func (c *answerTally) f1() float64 {
	if c.tp == 0 {
		return 0
	}
	return 2 * float64(c.tp) / float64(2*c.tp+c.fp+c.fn)
}

// top is the share of cases whose first good answer is among the first k.
func (c *answerTally) top(by *[5]int, k int) float64 {
	sum := 0
	for _, n := range by[:k] {
		sum += n
	}
	return float64(sum) / float64(max(c.cases, 1))
}

func (c *answerTally) result() *located {
	return &located{Cases: c.cases, Top1: c.top(&c.exact, 1), Top3: c.top(&c.exact, 3), Top5: c.top(&c.exact, 5), F1: c.f1(),
		Element1: c.top(&c.element, 1), Element3: c.top(&c.element, 3), Element5: c.top(&c.element, 5), TP: c.tp, FP: c.fp, FN: c.fn}
}

// print writes the figures beside those published for the 100 cases of bench/cases/localize, counted the same way (its README says from where).
func (r *located) print(w io.Writer) {
	fmt.Fprintf(w, "localize: %d incidents; ours is measured here, the others' figures are those of the public 100 incidents\n", r.Cases)
	row := func(name string, v ...string) {
		fmt.Fprintf(w, "  %-34s %6s %6s %6s %6s %12s\n", append([]any{name}, anys(v)...)...)
	}
	row("", "top-1", "top-3", "top-5", "F1", "ms a case")
	row("rollcall", three(r.Top1), three(r.Top3), three(r.Top5), three(r.F1), strconv.FormatFloat(r.MS, 'f', 2, 64))
	if h := r.Held; h != nil {
		row("  constants chosen on other folds", three(h.Folds.Top1), three(h.Folds.Top3), three(h.Folds.Top5), three(h.Folds.F1), "")
		row("  … on cases of other dimensions", three(h.Dimensions.Top1), three(h.Dimensions.Top3), three(h.Dimensions.Top5), three(h.Dimensions.F1), "")
		row("  worst of all constants tried", three(h.Worst.Top1), three(h.Worst.Top3), three(h.Worst.Top5), three(h.Worst.F1), "")
	}
	row("to reach", ".72", ".90", ".98", ".72", "10")
	row("RobustSpot, tuned on these", ".69", ".88", ".98", ".685", "1830")
	row("AutoRoot", "", "", "", ".278", "160")
	row("Adtributor", "", "", "", ".272", "70")
	row("Squeeze", "", "", "", ".051", "2100")
	row("RiskLoc", "", "", "", ".025", "1500")
	fmt.Fprintf(w, "  an element of the cause: %s first, %s of three, %s of five; TP %d FP %d FN %d; the slowest case took %.1f ms; %s/%s\n",
		three(r.Element1), three(r.Element3), three(r.Element5), r.TP, r.FP, r.FN, r.MSMax, runtime.GOOS, runtime.GOARCH)
	if len(r.Missed) > 0 {
		fmt.Fprintf(w, "  not among the five answers: %s\n", strings.Join(r.Missed, ", "))
	}
}

func three(x float64) string { return strings.TrimPrefix(strconv.FormatFloat(x, 'f', 3, 64), "0") }

func anys(v []string) (out []any) {
	for _, x := range v {
		out = append(out, x)
	}
	return out
}
