package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// latency is how soon changes were seen, from the moment in which the server had acknowledged them.
type latency struct {
	Changes       int
	Unseen        int // never shown, nor anything newer of that instance
	P50, P99, Max time.Duration
}

// match finds for each change when it, or a newer one of the same instance, was shown: two changes in quick succession may be shown as one. owner says whose a
// member's path is, for a side whose sightings are of paths.
func match(changes []change, seen []sighting, owner map[string]string) latency {
	ops := map[string][]change{}
	for _, c := range changes {
		ops[c.endpoint] = append(ops[c.endpoint], c)
	}
	states := map[string][]sighting{}
	for key, all := range byEndpoint(seen, owner) {
		states[key] = all
	}
	l := latency{Changes: len(changes)}
	var took []time.Duration
	for key, list := range ops {
		slices.SortFunc(list, func(a, b change) int { return a.seq - b.seq })
		at := make([]int64, len(list)) // when each was shown
		done := 0                      // those before were
		for _, s := range states[key] {
			shown := -1
			for i := done; i < len(list); i++ {
				if s.Seq == gone && list[i].gone && list[i].sent.UnixNano() <= s.Nano || s.Seq != gone && !list[i].gone && s.Seq >= list[i].seq {
					shown = i
				}
			}
			for ; done <= shown; done++ {
				at[done] = s.Nano
			}
		}
		// One that came and went between two looks was rightly never shown.
		if last := len(list) - 1; done <= last && list[last].gone && (done > 0 && list[done-1].gone || list[done].made) {
			list = list[:done]
		}
		for i, c := range list {
			if at[i] == 0 {
				l.Unseen++
				continue
			}
			took = append(took, max(0, time.Duration(at[i]-c.acked.UnixNano())))
		}
	}
	if slices.Sort(took); len(took) > 0 {
		l.P50, l.P99, l.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return l
}

// byEndpoint turns sightings of paths into such of endpoints: one is gone when all its paths are, and else is what the newest of them says.
func byEndpoint(seen []sighting, owner map[string]string) map[string][]sighting {
	out := map[string][]sighting{}
	paths := map[string]map[string]int{} // endpoint → path → shard
	for _, s := range seen {
		e, isPath := owner[s.Key]
		if !isPath {
			out[s.Key] = append(out[s.Key], s)
			continue
		}
		if paths[e] == nil {
			paths[e] = map[string]int{}
		}
		if s.Seq == gone {
			delete(paths[e], s.Key)
		} else {
			paths[e][s.Key] = s.Seq
		}
		now := gone
		for n := range maps.Values(paths[e]) {
			now = max(now, n)
		}
		out[e] = append(out[e], sighting{e, now, s.Nano})
	}
	return out
}

// difference is how what a side holds is unlike the tree, member by member.
type difference struct {
	Lost    int // in the tree, and not held
	Ghosts  int // held, and not in the tree
	Stale   int // held with what its data said before
	Example string
}

func (d difference) none() bool { return d.Lost+d.Ghosts+d.Stale == 0 }

// compare takes every member of the tree and everything held. Sides that give no zone are not asked for one.
func compare(t *tree, has []held) (d difference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	by := make(map[string]held, len(has))
	for _, h := range has {
		e, isPath := t.owner[h.Key]
		if !isPath {
			e = h.Key
		}
		if old, twice := by[e]; !twice || h.Seq > old.Seq {
			by[e] = h
		}
	}
	note := func(n *int, format string, args ...any) {
		if *n++; d.Example == "" {
			d.Example = fmt.Sprintf(format, args...)
		}
	}
	there := map[string]bool{}
	for _, set := range t.sets {
		for _, n := range set {
			h, ok := by[n.endpoint]
			switch {
			case n.path == "":
				continue
			case !ok:
				note(&d.Lost, "%s of change %d is not there", n.endpoint, n.seq)
			case h.Seq != n.seq || h.Addr != n.endpoint || h.Zone != "" && h.Zone != string(rune('a'+n.seq%3)):
				note(&d.Stale, "%s is as of change %d (%s %q), not of %d", n.endpoint, h.Seq, h.Addr, h.Zone, n.seq)
			}
			there[n.endpoint] = true
		}
	}
	for e, h := range by {
		if !there[e] {
			note(&d.Ghosts, "%s is there as of change %d, and left", e, h.Seq)
		}
	}
	return d
}
