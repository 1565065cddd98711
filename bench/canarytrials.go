package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/canary/trials"
)

// How many canaries are trialTally that do no harm, and of each kind of harm; each is looked at in so many polls of 10 s.
const (
	canaryRuns   = 10_000
	canaryABRuns = 1_000
	canaryPolls  = 180
)

// canaryTrial is how one came out.
type canaryTrial struct {
	failed, passed bool
	judge          bool // the fixed-size judge's score at the end is below 75
	peeked         bool // it was so at any of its looks, one a minute
	polls          int  // until the fail
}

// trialTally is how many of a kind came out so.
type trialTally struct {
	Name    string  `json:"name"`
	Runs    int     `json:"runs"`
	Fails   float64 `json:"fails"`
	Passes  float64 `json:"passes"`
	Judge   float64 `json:"judge_fails"`
	Peeked  float64 `json:"judge_fails_when_watched"`
	Minutes float64 `json:"minutes_to_fail"` // the median
	each    []float64
}

func (t *trialTally) add(x canaryTrial) {
	t.Runs++
	for ok, n := range map[*bool]*float64{&x.failed: &t.Fails, &x.passed: &t.Passes, &x.judge: &t.Judge, &x.peeked: &t.Peeked} {
		if *ok {
			*n++
		}
	}
	if x.failed {
		t.each = append(t.each, float64(x.polls)*10/60)
	}
}

// shares makes counts to shares.
func (t *trialTally) shares() {
	for _, n := range []*float64{&t.Fails, &t.Passes, &t.Judge, &t.Peeked} {
		*n /= float64(max(t.Runs, 1))
	}
	if len(t.each) > 0 {
		t.Minutes = middle(t.each)
	}
}

// try runs trials, the families and shapes in turn, and adds each to the tally that place names.
func try(ctx context.Context, runs int, harm trials.Harm, seed uint64, add func(family, shape int, x canaryTrial)) error {
	type done struct {
		family, shape int
		canaryTrial
	}
	out := make([]done, runs)
	errs := make([]error, runs)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < runs && ctx.Err() == nil; i += workers {
				d := done{family: i % len(trials.Families), shape: i / len(trials.Families) % len(trials.Shapes)}
				s := trials.Study(rand.New(rand.NewPCG(uint64(i), seed)), &trials.Families[d.family], trials.Shapes[d.shape], canaryPolls, harm)
				d.canaryTrial, errs[i] = judged(s)
				out[i] = d
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, d := range out {
		if errs[i] != nil {
			return errs[i]
		}
		add(d.family, d.shape, d.canaryTrial)
	}
	return nil
}

// judged looks at a study by both judges.
func judged(s *canary.Study) (t canaryTrial, err error) {
	r, err := canary.Watch(s, canary.Rules{})
	if err != nil {
		return t, err
	}
	t.failed, t.passed = r.Verdict == canary.Fail, r.Verdict == canary.Pass
	t.polls = int(r.At.Sub(s.Begin) / s.Width)
	for k := 30; k <= s.Polls; k += 6 { // once a minute, from the fifth on
		t.judge = once(s, k)
		t.peeked = t.peeked || t.judge
	}
	return t, nil
}

// once is the fixed-size judge on the first polls: as it is fed, a value of each cohort a poll, and errors as their share of requests. More of either is harm.
func once(s *canary.Study, polls int) bool {
	values := func(series int, ofCanary bool) (out []float64) {
		for k := range polls {
			var x, n float64
			for i := range s.Members {
				m := &s.Members[i]
				if m.Canary != ofCanary {
					continue
				}
				v, w := m.Series[series].X[k], 1.0
				if m.Series[series].N != nil {
					w = m.Series[series].N[k]
				}
				x, n = x+v, n+w
			}
			out = append(out, x/n)
		}
		return out
	}
	var metrics []canary.Metric
	for i, name := range []string{"errors", "latency"} {
		metrics = append(metrics, canary.Metric{Name: name, Control: values(i, false), Experiment: values(i, true), Test: canary.Test{Direction: canary.Increase}, Groups: []string{name}})
	}
	return canary.JudgeOnce(metrics, nil, 95, 75).Outcome == canary.OutcomeFail
}

type canaryAA struct {
	trialTally
	Polls    int          `json:"polls"`
	Families []trialTally `json:"families"`
	Shapes   []trialTally `json:"shapes"`
	took     time.Duration
}

func shapeName(s trials.Shape) string { return fmt.Sprintf("%d beside %d", s.Canary, s.Baseline) }

// benchCanaryAA tries canaries that do no harm.
func benchCanaryAA(ctx context.Context, runs int) (analysisResult, error) {
	begun := time.Now()
	out := canaryAA{trialTally: trialTally{Name: "all"}, Polls: canaryPolls}
	for i := range trials.Families {
		out.Families = append(out.Families, trialTally{Name: trials.Families[i].Name})
	}
	for _, s := range trials.Shapes {
		out.Shapes = append(out.Shapes, trialTally{Name: shapeName(s)})
	}
	err := try(ctx, runs, trials.Harm{}, 6, func(family, shape int, x canaryTrial) {
		out.add(x)
		out.Families[family].add(x)
		out.Shapes[shape].add(x)
	})
	out.shares()
	for _, list := range [][]trialTally{out.Families, out.Shapes} {
		for i := range list {
			list[i].shares()
		}
	}
	out.took = time.Since(begun)
	return out, err
}

func (r canaryAA) print(w io.Writer) {
	fmt.Fprintf(w, "canaries that do no harm: %d, judged at each of %d polls; to be failed: at most 2 %%; %.0f s\n", r.Runs, r.Polls, r.took.Seconds())
	fmt.Fprintf(w, "  %-28s %8s %8s %14s %22s\n", "", "failed", "passed", "judged once", "judged once a minute")
	for _, t := range append(append([]trialTally{r.trialTally}, r.Families...), r.Shapes...) {
		fmt.Fprintf(w, "  %-28s %6.2f %% %6.1f %% %12.1f %% %20.1f %%\n", t.Name, 100*t.Fails, 100*t.Passes, 100*t.Judge, 100*t.Peeked)
	}
}

type canaryAB struct {
	Harms []trialTally `json:"harms"`
	took  time.Duration
}

// harms are trialTally in turn.
var harms = []trials.Harm{{Slower: 1.3}, {Slower: 1.5}, {Slower: 2}, {Errors: 0.005}, {Errors: 0.02}, {Errors: 0.1}}

// benchCanaryAB tries canaries that do.
func benchCanaryAB(ctx context.Context, runs int) (analysisResult, error) {
	begun := time.Now()
	var out canaryAB
	for i, h := range harms {
		t := trialTally{Name: fmt.Sprintf("latency × %g", h.Slower)}
		if h.Errors > 0 {
			t.Name = fmt.Sprintf("errors + %g points", 100*h.Errors)
		}
		if err := try(ctx, runs, h, 100+uint64(i), func(_, _ int, x canaryTrial) { t.add(x) }); err != nil {
			return nil, err
		}
		t.shares()
		out.Harms = append(out.Harms, t)
	}
	out.took = time.Since(begun)
	return out, nil
}

func (r canaryAB) print(w io.Writer) {
	fmt.Fprintf(w, "canaries that do harm, over the same families and sizes; %.0f s\n", r.took.Seconds())
	fmt.Fprintf(w, "  %-28s %6s %8s %14s %8s %14s\n", "", "runs", "failed", "after minutes", "passed", "judged once")
	for _, t := range r.Harms {
		fmt.Fprintf(w, "  %-28s %6d %6.1f %% %14.1f %6.1f %% %12.1f %%\n", t.Name, t.Runs, 100*t.Fails, t.Minutes, 100*t.Passes, 100*t.Judge)
	}
}
