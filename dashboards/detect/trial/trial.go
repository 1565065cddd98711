// Package trial breaks made-up fleets in the ways in which the demo's breaks, and counts what is found.
//
// It owns the faults and what a right finding about each is. Records go through a real Board and a real Detector, in made-up time; chance is seeded.
package trial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
)

// Result is what came of one fault in one fleet.
type Result struct {
	Kind  string
	Seed  uint64
	Polls int // polls from the fault to the finding; 0: it was not found
	Took  time.Duration
	Right bool // the finding is about the right service and names the right place first
	Count int  // findings from the fault to long after it healed
	Early int  // findings before the fault
	Ended bool // all are over in the end
	Text  string
}

const (
	after  = 8  // polls for which the fault goes on once it is found
	healed = 16 // polls from its end
)

// Break runs one fleet with one fault of a kind. Odd seeds are pulled each second, even ones each ten seconds.
func Break(kind string, seed uint64) (Result, error) {
	i := slices.IndexFunc(faults, func(f fault) bool { return f.kind == kind })
	if i < 0 {
		return Result{}, fmt.Errorf("break a fleet: no fault is called %q; there are %s", kind, strings.Join(Kinds(), ", "))
	}
	every := time.Second
	if seed%2 == 0 {
		every = 10 * time.Second
	}
	f := &faults[i]
	rng := rand.New(rand.NewPCG(seed, uint64(i)+1))
	w, err := newWorld(seed, every, rng)
	if err != nil {
		return Result{}, err
	}
	hit := f.plan(w, rng)
	w.run(time.Duration(30+rng.IntN(30))*every, nil)
	r := Result{Kind: kind, Seed: seed, Early: len(w.b.Findings())}
	begun := w.now
	hit.begin()
	limit := 30 * every
	if f.within > 0 {
		limit = f.within + time.Minute
	}
	w.run(limit, func() bool { return len(w.open()) == 0 })
	if open := w.open(); len(open) > 0 {
		r.Took = w.now.Sub(begun)
		r.Polls = int((r.Took + every - 1) / every)
	}
	w.run(after*every, nil)
	if fs := w.b.Findings(); len(fs) > 0 {
		r.Right = hit.right(&fs[len(fs)-1])
		r.Text = tell(fs, begun)
	}
	w.Effects = nil
	w.Return(w.b, w.now)
	w.run(healed*every, nil)
	fs := w.b.Findings()
	r.Count, r.Ended = len(fs)-r.Early, len(w.open()) == 0
	if r.Count > 1 || !r.Ended {
		r.Text += "\nin the end " + tell(fs, begun)
	}
	return r, nil
}

// tell writes findings down.
func tell(fs []dashboards.Finding, begun time.Time) string {
	var parts []string
	for i := range fs {
		parts = append(parts, fmt.Sprintf("%s after: %s | %s", time.UnixMilli(fs[i].Since).Sub(begun), fs[i].Title, fs[i].Only))
	}
	return strings.Join(parts, "\n")
}

// Within reports whether a result came in time: two polls, or five minutes where the fault is a slow one.
func (r *Result) Within() bool {
	for i := range faults {
		if f := &faults[i]; f.kind == r.Kind && f.within > 0 {
			return r.Polls > 0 && r.Took <= f.within
		}
	}
	return r.Polls > 0 && r.Polls <= 2
}

// All breaks n fleets in each way, on all processors; results come by kind and seed.
func All(ctx context.Context, n int) ([]Result, error) {
	kinds := Kinds()
	out := make([]Result, len(kinds)*n)
	jobs := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range jobs {
				out[j], _ = Break(kinds[j/n], uint64(j%n)+1) // kinds are known
			}
		})
	}
	for j := range out {
		if ctx.Err() != nil {
			break
		}
		jobs <- j
	}
	close(jobs)
	wg.Wait()
	return out, ctx.Err()
}

// Calm lets a fleet live in which nothing is wrong, pulled at an interval, for a while with its daily shape, and gives what was found all the same.
func Calm(ctx context.Context, seed uint64, every, d time.Duration) ([]string, error) {
	w, err := newWorld(seed, every, rand.New(rand.NewPCG(seed, 99)))
	if err != nil {
		return nil, err
	}
	var out []string
	seen := map[string]bool{}
	w.runBy(every, d, func() bool {
		for _, f := range w.open() {
			if !seen[f.ID] {
				seen[f.ID] = true
				out = append(out, fmt.Sprintf("after %s: %s | %s", w.now.Sub(w.start), f.Title, f.Only))
			}
		}
		return ctx.Err() == nil
	})
	return out, ctx.Err()
}

// world is a fleet, its Board and a Detector, in made-up time.
type world struct {
	*sim.Fleet
	b          *dashboards.Board
	start, now time.Time
}

func newWorld(seed uint64, every time.Duration, rng *rand.Rand) (*world, error) {
	d, err := detect.New(detect.Config{KeepEnded: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge})
	if err != nil {
		return nil, err
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	start := time.Unix(1764000000, 0).Add(time.Duration(rng.IntN(24*3600)/10*10) * time.Second)
	w := &world{Fleet: sim.Demo(seed, start, every), b: b, start: start, now: start}
	w.Register(b)
	return w, nil
}

// run lets time pass, with a tick each second, or twice an interval; each may end it.
func (w *world) run(d time.Duration, each func() bool) {
	w.runBy(max(w.Interval/2, time.Second), d, each)
}

// runBy is run with a tick each step.
func (w *world) runBy(step, d time.Duration, each func() bool) {
	for end := w.now.Add(d); w.now.Before(end); {
		next := w.now.Add(step)
		w.Scrape(w.b, w.now, next)
		w.now = next
		w.b.Tick(w.now.Add(100 * time.Millisecond))
		if each != nil && !each() {
			return
		}
	}
}

func (w *world) open() (out []dashboards.Finding) {
	for _, f := range w.b.Findings() {
		if f.Ended == nil {
			out = append(out, f)
		}
	}
	return out
}
