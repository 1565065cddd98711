package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	what        string
	ours, other string
	ratio       float64 // theirs to ours; 0: none
}

// target is what is to be reached.
type target struct {
	what string
	met  bool
	got  string
}

// median is that of one figure over all loads.
func median[T int64 | uint64 | time.Duration](loads []loading, of func(loading) T) T {
	all := make([]T, len(loads))
	for i, l := range loads {
		all[i] = of(l)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// report prints the figures of both sides and the targets, and returns those that were missed.
func (p plan) report(out map[string]*outcome, w io.Writer) (missed []string) {
	us, them := out["rollcall"], out["prometheus"]
	var rows []row
	seconds := func(what string, a, b time.Duration) float64 {
		r := float64(b) / float64(max(1, a))
		rows = append(rows, row{what, fmt.Sprintf("%.2f s", a.Seconds()), fmt.Sprintf("%.2f s", b.Seconds()), r})
		return r
	}
	size := func(what, unit string, by float64, a, b uint64) float64 {
		r := float64(b) / float64(max(1, a))
		rows = append(rows, row{what, fmt.Sprintf("%.4g %s", float64(a)/by, unit), fmt.Sprintf("%.4g %s", float64(b)/by, unit), r})
		return r
	}
	members := float64(p.members)
	both := func(of func(loading) time.Duration) (a, b time.Duration) {
		return median(us.loads, of), median(them.loads, of)
	}
	sizes := func(of func(loading) uint64) (a, b uint64) { return median(us.loads, of), median(them.loads, of) }

	a, b := both(func(l loading) time.Duration { return l.Known })
	endpoints := seconds("every endpoint known", a, b)
	a, b = both(func(l loading) time.Duration { return l.Tagged })
	tags := seconds("all tags known", a, b)
	a, b = both(func(l loading) time.Duration { return l.CPU })
	seconds("CPU of the load", a, b)
	m, n := sizes(func(l loading) uint64 { return l.Received })
	size("bytes of the load, a member", "B", members, m, n)
	m, n = sizes(func(l loading) uint64 { return l.RSS })
	size("resident after the load, a member", "B", members, m, n)
	m, n = sizes(func(l loading) uint64 { return l.Freed })
	resident := size("held after the load: after a collection", "B", members, m, n)
	rows = append(rows, row{"watches on the server", fmt.Sprint(us.watches), fmt.Sprint(them.watches), float64(them.watches) / float64(max(1, us.watches))})
	seconds("a change visible, p50", us.latency.P50, them.latency.P50)
	seconds("a change visible, p99", us.latency.P99, them.latency.P99)
	seconds("a change visible, at most", us.latency.Max, them.latency.Max)
	seconds("CPU of the changes", us.churn.CPU, them.churn.CPU)
	size("bytes of the changes, each", "B", float64(max(1, us.latency.Changes)), us.churn.Received, them.churn.Received)
	size("resident after the changes, a member", "B", 1, us.churn.RSS/uint64(max(1, us.members)), them.churn.RSS/uint64(max(1, them.members)))
	for _, d := range []struct {
		what string
		of   func(*outcome) int
	}{
		{"changes", func(o *outcome) int { return o.latency.Changes }},
		{"changes never shown", func(o *outcome) int { return o.latency.Unseen }},
		{"lost at the end", func(o *outcome) int { return o.diff.Lost }},
		{"ghosts at the end", func(o *outcome) int { return o.diff.Ghosts }},
		{"stale at the end", func(o *outcome) int { return o.diff.Stale }},
	} {
		rows = append(rows, row{d.what, fmt.Sprint(d.of(us)), fmt.Sprint(d.of(them)), 0})
	}
	seconds("settled after the last change", us.settled, them.settled)

	names := "KingPin's"
	if p.finagle {
		names = "Finagle's"
	}
	fmt.Fprintf(w, "%d members in %d serversets, names %s; %d changes a second for %s; medians of %d loads\n\n", p.members, p.sets, names, p.rate, p.churn, p.loads)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\trollcall\tPrometheus\tratio\t")
	for _, r := range rows {
		ratio := ""
		if r.ratio > 0 {
			ratio = fmt.Sprintf("%.3g", r.ratio)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t\n", r.what, r.ours, r.other, ratio)
	}
	_ = tw.Flush() // to a terminal or a buffer

	targets := []target{
		{"every endpoint known 10 times faster", endpoints >= 10 || p.finagle, fmt.Sprintf("%.1f", endpoints)},
		{"all tags known 4 times faster", tags >= 4, fmt.Sprintf("%.1f", tags)},
		{"at most one watch a root", us.watches <= 1, fmt.Sprint(us.watches)},
		{"a fifth held in memory", resident >= 5, fmt.Sprintf("1/%.1f", resident)},
		{"visible within a second, p99", us.latency.P99 < time.Second, us.latency.P99.Round(time.Millisecond).String()},
		{"none lost, none stale, none unseen", us.diff.none() && us.latency.Unseen == 0, fmt.Sprintf("%d, %d, %d", us.diff.Lost, us.diff.Ghosts+us.diff.Stale, us.latency.Unseen)},
	}
	fmt.Fprintln(w)
	for _, t := range targets {
		word := "reached"
		if !t.met {
			word = "MISSED"
			missed = append(missed, t.what)
		}
		fmt.Fprintf(w, "%-8s %s: %s\n", word, t.what, t.got)
	}
	return missed
}
