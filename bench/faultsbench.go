package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	faulttrial "github.com/rollcall-metrics/rollcall/dashboards/detect/trial"
)

// faultsSize is how much is tried.
type faultsSize struct {
	each int           // fleets a kind of fault
	calm time.Duration // of the fleet's time
}

// faultsFigures are what is found of the faults of made-up fleets, and what is found where there is none.
type faultsFigures struct {
	Kinds map[string]*faultFigures `json:"kinds"`
	// Shares of all faults.
	InTime float64 `json:"in_time"`
	Right  float64 `json:"right"`
	One    float64 `json:"one"`
	// Findings before any fault, and in fleets in which nothing is wrong.
	Before       int      `json:"findings_before"`
	CalmHours    float64  `json:"calm_hours"`
	CalmFindings []string `json:"calm_findings"`
	Seconds      float64  `json:"seconds"`

	order []string
}

// faultFigures are those of one kind of fault.
type faultFigures struct {
	Runs   int      `json:"runs"`
	InTime int      `json:"in_time"` // found within two polls, or, where it comes slowly, within five minutes
	Right  int      `json:"right"`   // the finding is about the right service and names the right place first
	One    int      `json:"one"`     // it was one finding, from the fault until long after it healed
	Ended  int      `json:"ended"`
	Median float64  `json:"median_seconds"`
	Worst  float64  `json:"worst_seconds"`
	Missed []uint64 `json:"missed"` // seeds of those that were not found, or not rightly, or more than once

	took []float64
}

// bench breaks the fleets. There are no cases to read: they are made from their seeds.
func (n faultsSize) bench(ctx context.Context, _ string) (analysisResult, error) {
	begun := time.Now()
	results, err := faulttrial.All(ctx, n.each)
	if err != nil {
		return nil, err
	}
	f := &faultsFigures{Kinds: map[string]*faultFigures{}, order: faulttrial.Kinds(), CalmFindings: []string{}}
	for i := range results {
		r := &results[i]
		k := f.Kinds[r.Kind]
		if k == nil {
			k = &faultFigures{Missed: []uint64{}}
			f.Kinds[r.Kind] = k
		}
		k.Runs++
		f.Before += r.Early
		if r.Within() {
			k.InTime++
		}
		if r.Right {
			k.Right++
		}
		if r.Count == 1 {
			k.One++
		}
		if r.Ended {
			k.Ended++
		}
		if r.Polls > 0 {
			k.took = append(k.took, r.Took.Seconds())
		}
		if !r.Within() || !r.Right || r.Count != 1 || !r.Ended {
			k.Missed = append(k.Missed, r.Seed)
		}
	}
	for _, k := range f.Kinds {
		f.InTime, f.Right, f.One = f.InTime+float64(k.InTime), f.Right+float64(k.Right), f.One+float64(k.One)
		if slices.Sort(k.took); len(k.took) > 0 {
			k.Median, k.Worst = k.took[len(k.took)/2], k.took[len(k.took)-1]
		}
	}
	if all := float64(len(results)); all > 0 {
		f.InTime, f.Right, f.One = f.InTime/all, f.Right/all, f.One/all
	}
	if n.calm > 0 {
		if f.CalmFindings, err = faulttrial.Calm(ctx, 1, 10*time.Second, n.calm); err != nil {
			return nil, err
		}
		f.CalmFindings = append([]string{}, f.CalmFindings...) // [] in JSON
	}
	f.CalmHours, f.Seconds = n.calm.Hours(), time.Since(begun).Seconds()
	return f, nil
}

func (f *faultsFigures) print(w io.Writer) {
	fmt.Fprintln(w, "faults of made-up fleets, half of them pulled each second, half each ten seconds; in time is within two polls, drifts within five minutes")
	fmt.Fprintf(w, "  %-20s %5s %8s %12s %12s %6s %9s %8s\n", "", "runs", "in time", "right place", "one finding", "ended", "median", "worst")
	for _, name := range f.order {
		k := f.Kinds[name]
		if k == nil {
			continue
		}
		fmt.Fprintf(w, "  %-20s %5d %8d %12d %12d %6d %7.0f s %6.0f s\n", name, k.Runs, k.InTime, k.Right, k.One, k.Ended, k.Median, k.Worst)
		if len(k.Missed) > 0 {
			fmt.Fprintf(w, "    not as it should be: seeds %v\n", k.Missed)
		}
	}
	fmt.Fprintf(w, "  in time %.1f %%, right place %.1f %%, one finding %.1f %%; %d findings before a fault; %d findings in %.0f h of calm with its daily shape; %.0f s\n",
		100*f.InTime, 100*f.Right, 100*f.One, f.Before, len(f.CalmFindings), f.CalmHours, f.Seconds)
	for _, c := range f.CalmFindings {
		fmt.Fprintln(w, "   ", c)
	}
}
