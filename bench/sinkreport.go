package main

import (
	"fmt"
	"io"
)

// What is to be reached: records a second of ours by theirs, at the median of the turns; and what the spool costs.
const (
	leastOfWriter     = 2.0  // at 129 bytes, and
	leastOfFranz      = 1.2  // where what a client does itself is most of it
	leastOfFranzLarge = 0.95 // at 7 KB, where the compressor is, which is the same for all
	mostOfSpool       = 1.10 // times the CPU without
)

// report prints the figures and the targets, and returns those that were missed.
func (b *sinkBench) report(turns []turn, w io.Writer) (missed []string) {
	var targets []target
	for _, broker := range []string{brokerKafka, brokerEmbedded} {
		for _, size := range sizes {
			by := map[string][]turn{}
			for _, t := range turns {
				if t.broker == broker && t.size == size {
					by[t.way] = append(by[t.way], t)
				}
			}
			if len(by) == 0 {
				continue
			}
			fmt.Fprintf(w, "%s, records of %d bytes; medians of %d runs\n\n", broker, size, len(by[wayOurs]))
			sinkTable(by).write(w, b.markdown)
			targets = append(targets, judgeSink(broker, size, by)...)
		}
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

func of(turns []turn, figure func(turn) float64) float64 {
	all := make([]float64, len(turns))
	for i, t := range turns {
		all[i] = figure(t)
	}
	return middle(all)
}

func sinkTable(by map[string][]turn) rows {
	r := rows{{"", "records/s", "CPU a record", "allocations a record", "bytes sent a record", "the broker's CPU a record"}}
	for _, way := range ways {
		t := by[way]
		r.add(way, fmt.Sprintf("%.0f", of(t, turn.rate)), fmt.Sprintf("%.0f ns", of(t, turn.cpu)), fmt.Sprintf("%.2f", of(t, turn.allocations)), fmt.Sprintf("%.0f", of(t, turn.bytes)),
			fmt.Sprintf("%.0f ns", of(t, turn.theirs)))
	}
	return r
}

func judgeSink(broker string, size int, by map[string][]turn) (out []target) {
	at := fmt.Sprintf(" at %d bytes, %s", size, broker)
	atLeast := func(ours string, least float64, other string) {
		got := of(by[ours], turn.rate) / of(by[other], turn.rate)
		out = append(out, target{fmt.Sprintf("%s: at least %.2f times the records a second of %s", ours, least, other) + at, got >= least, fmt.Sprintf("%.2f", got)})
	}
	if size < 1<<10 {
		atLeast(wayOurs, leastOfWriter, wayWriter)
		atLeast(wayOurs, leastOfFranz, wayFranz)
	} else { // like with like: nobody else keeps anything on disk, and what that costs has a target of its own
		atLeast(wayMemory, leastOfFranzLarge, wayFranz)
	}
	got := of(by[wayOurs], turn.cpu) / of(by[wayMemory], turn.cpu)
	return append(out, target{fmt.Sprintf("at most %.2f times the CPU with a spool", mostOfSpool) + at, got <= mostOfSpool, fmt.Sprintf("%.2f", got)})
}
