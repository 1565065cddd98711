package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// life is one run of a collector, from when it was started to when it was gone.
type life struct {
	began, gone time.Time
	killed      bool // without a word
}

// counted is what a fault has done, by what the fleet has said and what stands in the topics.
type counted struct {
	scraped int           // answers that the fleet gave
	found   int           // those of them that are in the topics
	failed  int           // answers that are not, but their pull is, as one that failed
	lost    int           // answers that are in no topic
	oldest  time.Duration // of the lost ones that a kill took, at most, before the kill
	early   int           // of the lost: those that no kill explains, or that were given more than lostAtKill before it
	double  int           // records with an id, or an answer, that another one has
	gaps    int           // ids that are missing between others, or before them
	example string        // of one that is lost or double
}

// lostAtKill is how long before a kill what was scraped may not be on disk yet.
const lostAtKill = 100 * time.Millisecond

// count holds the topics against the fleet. rows are everything that was ever seen in them, each offset of a topic once; lives are in order.
func count(given [][]time.Time, index map[string]int, rows []landed, lives []life) counted {
	c := counted{}
	seen := make([]map[int]int, len(given))
	failed := make([][]time.Time, len(given))
	for i, g := range given {
		seen[i] = make(map[int]int, len(g))
		c.scraped += len(g)
	}
	ids := map[wire.ID]bool{}
	for _, r := range rows {
		twice := ids[r.id]
		ids[r.id] = true
		i, ok := index[r.instance]
		switch {
		case !ok:
			c.example = cmp.Or(c.example, "a record of nobody: "+r.instance)
			c.double++
		case r.outcome != outcomeOK:
			failed[i] = append(failed[i], time.UnixMilli(r.ts))
		default:
			seen[i][r.answer]++
			twice = twice || seen[i][r.answer] > 1
		}
		if twice {
			c.double++
			c.example = cmp.Or(c.example, fmt.Sprintf("%s is double: answer %d of %s, %s/%d offset %d", r.id, r.answer, r.instance, r.topic, r.partition, r.offset))
		}
	}
	for i, g := range given {
		slices.SortFunc(failed[i], time.Time.Compare)
		for n, at := range g {
			switch {
			case seen[i][n+1] > 0:
				c.found++
			case excuse(&failed[i], at):
				c.failed++
			default:
				c.lose(i, n+1, at, lives)
			}
		}
	}
	c.gaps = gaps(rows)
	return c
}

// answerWithin is how long after a pull has begun its answer may be given: its timeout is one of them.
const answerWithin = 10 * time.Second

// excuse takes the record of a pull that failed, and began before an answer was given.
func excuse(failed *[]time.Time, at time.Time) bool {
	for k, t := range *failed {
		if d := at.Sub(t); d > -100*time.Millisecond && d < answerWithin {
			*failed = slices.Delete(*failed, k, k+1)
			return true
		}
	}
	return false
}

func (c *counted) lose(instance, n int, at time.Time, lives []life) {
	c.lost++
	for k, l := range lives {
		if l.gone.Before(at) && k+1 < len(lives) && !lives[k+1].began.Before(at) { // given to one who had gone already
			if l.killed {
				return
			}
			break
		}
		if at.After(l.gone) {
			continue
		}
		if age := l.gone.Sub(at); l.killed {
			c.oldest = max(c.oldest, age)
			if age <= lostAtKill {
				return
			}
		}
		break
	}
	c.early++
	where := ""
	for k, l := range lives {
		if !at.Before(l.began) && at.Before(l.gone) {
			where = fmt.Sprintf(", by the collector's start %d, %v after its begin and %v before its end", k+1, at.Sub(l.began).Round(time.Millisecond), l.gone.Sub(at).Round(time.Millisecond))
		}
	}
	c.example = cmp.Or(c.example, fmt.Sprintf("answer %d of instance %d, given at %s%s, is lost", n, instance, at.UTC().Format("15:04:05.000"), where))
}

// gaps counts the ids that are missing before others of the same collector, start and partition.
func gaps(rows []landed) (n int) {
	type stream struct {
		collector uint64
		start     uint64
		partition int32
	}
	all := map[stream][]uint64{}
	for _, r := range rows {
		s := stream{r.id.Collector, r.id.Start, r.id.Partition}
		all[s] = append(all[s], r.id.Sequence)
	}
	for _, seqs := range all {
		slices.Sort(seqs)
		seqs = slices.Compact(seqs)
		n += int(seqs[len(seqs)-1]) - len(seqs)
	}
	return n
}

// freshness is what a reader of the live topic saw from the end of a fault on.
type freshness struct {
	again time.Duration // until every instance had brought a scrape that was no older than two intervals
	worst time.Duration // the oldest that came after two intervals, as old as it was when it came
}

// fresh looks at what came after the end of a fault, up to until.
func fresh(rows []landed, topic string, since, until time.Time, interval time.Duration) (f freshness) {
	first := map[string]time.Time{}
	for _, r := range rows {
		if r.topic != topic || r.outcome != outcomeOK {
			continue
		}
		if _, ok := first[r.instance]; !ok {
			first[r.instance] = time.Time{}
		}
		if r.came.Before(since) || r.came.After(until) {
			continue
		}
		age := r.came.Sub(time.UnixMilli(r.ts))
		if t := first[r.instance]; age <= 2*interval && (t.IsZero() || r.came.Before(t)) {
			first[r.instance] = r.came
		}
		if r.came.Sub(since) > 2*interval {
			f.worst = max(f.worst, age)
		}
	}
	for _, t := range first {
		if t.IsZero() {
			t = until
		}
		f.again = max(f.again, t.Sub(since))
	}
	return f
}
