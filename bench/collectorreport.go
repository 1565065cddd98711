package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// What is to be reached, in issue and documentation.
const (
	mostAt5000     = 0.45 // µs a sample
	mostAt1000     = 0.80
	mostOfFloor    = 1.8 // times net/http, read and discard
	leastOfPlain   = 6   // times cheaper
	mostAllocated  = 10  // a scrape
	leastOfBest    = 0.9 // kept when offered twice as much
	baseBytes      = 64 << 20
	bytesPerTarget = 25 << 10
)

// middle is the median.
func middle[T cmp.Ordered](of []T) T {
	all := slices.Sorted(slices.Values(of))
	return all[len(all)/2]
}

// turns are the figures of one side at one load, over its runs.
type turns []figures

func (t turns) median(of func(figures) float64) float64 {
	all := make([]float64, len(t))
	for i, f := range t {
		all[i] = of(f)
	}
	return middle(all)
}

func (t turns) most(of func(figures) float64) (most float64) {
	for _, f := range t {
		most = max(most, of(f))
	}
	return most
}

// How a figure is read.
func ofMicroseconds(f figures) float64 { return f.microseconds() }
func ofBusy(f figures) float64         { return f.busy() }
func ofRate(f figures) float64         { return float64(f.scrapes) / f.window.Seconds() }
func ofMissed(f figures) float64       { return float64(f.missed) }
func ofAllocations(f figures) float64  { return f.allocations() }
func ofRSS(f figures) float64          { return float64(f.rss) }
func ofPeak(f figures) float64         { return float64(f.peak) }
func ofUntold(f figures) float64       { return float64(f.untold) }
func ofOff(f figures) float64          { return float64(f.off) }

var sideNames = map[string]string{sideBare: "bare connection", sideNetHTTP: "net/http", sidePlain: "plain collector", sideOurs: "rollcall"}

// report prints the figures of each load and the targets, and returns those that were missed.
func (b *collectorBench) report(results []result, over []overload, w io.Writer) (missed []string) {
	var targets []target
	for _, l := range loads {
		by := map[string]turns{}
		n := 0
		for _, r := range results {
			if r.load.name == l.name {
				by[r.side], n = append(by[r.side], r.figures), r.load.targets
			}
		}
		if len(by) == 0 {
			continue
		}
		fmt.Fprintf(w, "%d targets x %d numbers every %s; medians of %d runs\n\n", n, numbersEach, l.interval, len(by[l.sides[len(l.sides)-1]]))
		table(by, n).write(w, b.markdown)
		targets = append(targets, judge(l.name, n, by)...)
	}
	if len(over) > 0 {
		fmt.Fprintf(w, "%d targets x %d numbers, asked for ever more often; medians of %d runs\n\n", over[0].targets, numbersEach, len(over))
		overloadTable(over).write(w, b.markdown)
		targets = append(targets, judgeOverload(over)...)
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

// rows are a table, its head first. They are written for a terminal, or as Markdown for the documentation.
type rows [][]string

func (r *rows) add(cells ...string) { *r = append(*r, cells) }

func (r rows) write(w io.Writer, markdown bool) {
	if markdown {
		for i, cells := range r {
			fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
			if i == 0 {
				fmt.Fprintln(w, strings.Repeat("|---", len(cells))+"|")
			}
		}
	} else {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, cells := range r {
			fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t")
		}
		_ = tw.Flush() // to a terminal or a buffer
	}
	fmt.Fprintln(w)
}

func table(by map[string]turns, n int) rows {
	r := rows{{"", "µs a sample", "times net/http", "of its core", "scrapes/s", "missed", "resident", "a target", "most ever", "allocations a scrape", "records - answers"}}
	floor := by[sideNetHTTP]
	for _, side := range allSides {
		t := by[side]
		if len(t) == 0 {
			continue
		}
		us, ratio, records := t.median(ofMicroseconds), "", ""
		if len(floor) > 0 {
			ratio = fmt.Sprintf("%.2f", us/floor.median(ofMicroseconds))
		}
		if t[0].records >= 0 {
			records = fmt.Sprint(t[0].records - t[0].requests)
			for _, f := range t[1:] {
				records += fmt.Sprintf(", %d", f.records-f.requests)
			}
		}
		r.add(sideNames[side], fmt.Sprintf("%.3f", us), ratio, fmt.Sprintf("%.0f %%", t.median(ofBusy)), fmt.Sprintf("%.0f", t.median(ofRate)), fmt.Sprintf("%.0f", t.most(ofMissed)),
			fmt.Sprintf("%.0f MB", t.median(ofRSS)/(1<<20)), fmt.Sprintf("%.1f KB", t.median(ofRSS)/float64(n)/(1<<10)), fmt.Sprintf("%.0f MB", t.most(ofPeak)/(1<<20)), fmt.Sprintf("%.1f", t.median(ofAllocations)), records)
	}
	return r
}

// judge holds the figures of rollcall against the targets.
func judge(name string, n int, by map[string]turns) (out []target) {
	us := by[sideOurs]
	if len(us) == 0 {
		return nil
	}
	at := fmt.Sprintf(" at %d targets", n)
	atMost := func(what string, got, most float64, format string) {
		out = append(out, target{fmt.Sprintf("at most "+format+" "+what, most) + at, got <= most, fmt.Sprintf(format, got)})
	}
	mine := us.median(ofMicroseconds)
	switch name {
	case "1000":
		atMost("µs a sample", mine, mostAt1000, "%.3f")
	case "5000":
		atMost("µs a sample", mine, mostAt5000, "%.3f")
		if t := by[sideNetHTTP]; len(t) > 0 {
			atMost("times net/http's read and discard", mine/t.median(ofMicroseconds), mostOfFloor, "%.2f")
		}
	}
	if t := by[sidePlain]; len(t) > 0 && name != "15000" {
		ratio := t.median(ofMicroseconds) / mine
		out = append(out, target{fmt.Sprintf("at least %d times cheaper than the plain collector", leastOfPlain) + at, ratio >= leastOfPlain, fmt.Sprintf("%.2f", ratio)})
	}
	budget := float64(baseBytes+n*bytesPerTarget) / (1 << 20)
	atMost("MB resident (64 MB and 25 KB a target), in the worst run", us.most(ofRSS)/(1<<20), budget, "%.0f")
	if name != "10000" { // more than a core can do on many machines: what it skips then is no fault, if it is told
		atMost("scrapes missed, in all runs together", sum(us, ofMissed), 0, "%.0f")
	}
	atMost("slots of which nothing is told, in all runs together", sum(us, ofUntold), 0, "%.0f")
	atMost("records more or less than the fleet's answers, or wrong", sum(us, ofOff), 0, "%.0f")
	atMost("allocations a scrape", us.median(ofAllocations), mostAllocated, "%.1f")
	return out
}

func sum(t turns, of func(figures) float64) (all float64) {
	for _, f := range t {
		all += of(f)
	}
	return all
}

func overloadTable(over []overload) rows {
	of := func(form string, by float64, f func(overload) float64) string {
		all := make([]float64, len(over))
		for i, o := range over {
			all[i] = f(o)
		}
		return fmt.Sprintf(form, middle(all)/by)
	}
	count := func(f func(overload) float64) string { return of("%.0f", 1, f) }
	size := func(f func(overload) float64) string { return of("%.0f MB", 1<<20, f) }
	samples := func(f func(overload) float64) string { return of("%.0f", 1.0/numbersEach, f) }
	best := func(o overload) float64 { return o.best }
	kept := func(o overload) float64 { return o.kept }
	return rows{
		{"", "asked for a second", "scraped", "samples", "skipped", "resident", "most ever", "skipped of one target"},
		{"at its best", count(func(o overload) float64 { return o.asked }), count(best), samples(best), count(func(o overload) float64 { return o.left }), "", "", ""},
		{"overloaded", count(func(o overload) float64 { return o.offered }), count(kept), samples(kept), count(func(o overload) float64 { return o.skipped }),
			size(func(o overload) float64 { return float64(o.rss) }), size(func(o overload) float64 { return float64(o.peak) }),
			count(func(o overload) float64 { return float64(o.least) }) + " to " + count(func(o overload) float64 { return float64(o.most) })},
	}
}

// judgeOverload holds what the collector does with more than it can against what it should do.
func judgeOverload(over []overload) []target {
	share, twice, even, spread, lost := 0.0, true, true, 0, 0.0
	budget := uint64(baseBytes + over[0].targets*bytesPerTarget + queueBytes)
	var rss uint64
	shares := make([]float64, len(over))
	for i, o := range over {
		shares[i] = o.kept / o.best
		twice = twice && o.offered >= 2*o.best
		even = even && o.most-o.least <= max(2, o.most/10)
		spread = max(spread, o.most-o.least)
		lost += float64(o.lost + max(o.slots, -o.slots))
		rss = max(rss, o.peak)
	}
	share = middle(shares)
	return []target{
		{"at least twice its best was offered", twice, fmt.Sprintf("%.0f, best %.0f", over[0].offered, over[0].best)},
		{"at least 90 % of its best when overloaded", share >= leastOfBest, fmt.Sprintf("%.1f %%", 100*share)},
		{fmt.Sprintf("at most %.0f MB resident when overloaded, ever (64 MB, 25 KB a target, and the queue's %d MB)", float64(budget)/(1<<20), queueBytes>>20), rss <= budget, fmt.Sprintf("%.0f MB", mb(rss))},
		{"who is skipped is skipped evenly: most less fewest at most a tenth, or 2", even, fmt.Sprint(spread)},
		{"every answer is a record, every slot is accounted for", lost == 0, fmt.Sprintf("%.0f are not", lost)},
	}
}
