package main

import (
	"fmt"
	"io"
	"slices"
)

// What is to be reached, in issue and documentation.
const (
	mostScriptKB   = 100
	mostLoadMS     = 1000
	mostFrameMS    = 8 // of script and layout, at p95
	longestFrameMS = 50
	mostHeapMB     = 300 // after half an hour
	mostLagMS      = 500 // from the event to the pixel, at p99
)

type pageReport struct {
	plan          *pagePlan
	version       string
	script, style int
	pages         []pageFound
	slow          []pageSlow
}

func pageQuantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(xs))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// print writes what was measured, and returns what was missed.
func (r *pageReport) print(w io.Writer) (missed []string) {
	fmt.Fprintf(w, "%d services × %d instances, each pulled once a second; %s, 1440 × 980\n\n", r.plan.services, r.plan.each, r.version)
	t := rows{{"page", "seconds", "loaded", "frames", "script p95", "layout p95", "script + layout p50", "p95", "most", "p95 of processor", "main thread p95", "most", "over 50 ms", "event → pixel p50", "p99", "heap", "most", "a minute", "elements"}}
	var targets []target
	reach := func(what string, met bool, got string) { targets = append(targets, target{what, met, got}) }
	mb := func(v float64) string { return fmt.Sprintf("%.1f MB", v/(1<<20)) }
	for i := range r.pages {
		f := &r.pages[i]
		of := func(get func(*pageFrame) float64) []float64 {
			out := make([]float64, len(f.frames))
			for i := range f.frames {
				out[i] = get(&f.frames[i])
			}
			return out
		}
		ours, busy := of((*pageFrame).ours), of(func(x *pageFrame) float64 { return x.busy })
		over := 0
		for _, b := range busy {
			if b > longestFrameMS {
				over++
			}
		}
		ms := func(v float64) string { return fmt.Sprintf("%.1f ms", v) }
		p95 := pageQuantile(ours, .95)
		t.add(f.name, fmt.Sprintf("%.0f", f.seconds), ms(f.loaded), fmt.Sprint(len(f.frames)), ms(pageQuantile(of(func(x *pageFrame) float64 { return x.script }), .95)),
			ms(pageQuantile(of(func(x *pageFrame) float64 { return x.layout }), .95)), ms(pageQuantile(ours, .5)), ms(p95), ms(pageQuantile(ours, 1)),
			ms(pageQuantile(of(func(x *pageFrame) float64 { return x.processor }), .95)), ms(pageQuantile(busy, .95)),
			ms(pageQuantile(busy, 1)), fmt.Sprint(max(over, f.long)), ms(pageQuantile(f.lags, .5)), ms(pageQuantile(f.lags, .99)), mb(f.heap), mb(f.heapMost),
			fmt.Sprintf("%+.2f MB", f.growth/(1<<20)), fmt.Sprint(f.nodes))
		reach(fmt.Sprintf("%s: at most %d ms of script and layout a frame, at p95", f.name, mostFrameMS), len(ours) > 0 && p95 <= mostFrameMS, ms(p95))
		reach(fmt.Sprintf("%s: no frame over %d ms", f.name, longestFrameMS), len(ours) > 0 && over == 0 && f.long == 0, fmt.Sprintf("%d; the longest %s", max(over, f.long), ms(max(f.longest, pageQuantile(busy, 1)))))
		lag := pageQuantile(f.lags, .99)
		reach(fmt.Sprintf("%s: at most %d ms from an event to the pixel, at p99", f.name, mostLagMS), len(f.lags) > 0 && lag <= mostLagMS, ms(lag))
		const halfAnHour = 30
		end := f.heapMost + max(f.growth, 0)*max(halfAnHour-f.seconds/60, 0)
		reach(fmt.Sprintf("%s: at most %d MB of heap after 30 minutes, as it grows now", f.name, mostHeapMB), end <= mostHeapMB<<20, mb(end))
		reach(fmt.Sprintf("%s: loads in %d ms", f.name, mostLoadMS), f.loaded <= mostLoadMS, ms(f.loaded))
	}
	if len(r.pages) > 0 {
		t.write(w, r.plan.markdown)
		s := rows{{"while it was looked at", "processors of the server", "ticks", "a tick p50", "most", "heap", "findings"}}
		for _, f := range r.pages {
			s.add(f.name, fmt.Sprintf("%.2f", f.served.CPU), fmt.Sprint(f.served.Ticks), fmt.Sprintf("%.0f ms", float64(f.served.TickP50.Microseconds())/1000),
				fmt.Sprintf("%.0f ms", float64(f.served.TickMax.Microseconds())/1000), fmt.Sprintf("%.0f MB", f.served.HeapMB), fmt.Sprint(f.served.Findings))
		}
		s.write(w, r.plan.markdown)
	}
	reach(fmt.Sprintf("at most %d KB of script, compressed", mostScriptKB), r.script <= mostScriptKB<<10, fmt.Sprintf("%.1f KB, and %.1f KB of style", float64(r.script)/1024, float64(r.style)/1024))
	if len(r.slow) > 0 {
		printSlow(w, r.slow, r.plan.markdown, reach)
	}
	for _, t := range targets {
		word := "reached"
		if !t.met {
			word = "missed"
			missed = append(missed, t.what)
		}
		fmt.Fprintf(w, "%-8s %s: %s\n", word, t.what, t.got)
	}
	return missed
}
