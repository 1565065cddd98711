package dashboards

import (
	"fmt"
	"maps"
	"slices"
)

// lateness is, by collector, how many instances it pulls and to how many of them it did not get round in their newest slot. That is its own trouble and none of theirs:
// they are shown as they were when they were pulled last, and it is the collector that is spoken of.
type lateness map[uint64]*struct{ of, behind int }

// manyBehind is how many of its instances a collector must be late with to be spoken of: fewer it catches up with.
const manyBehind = 5

// add counts a service's instances. The caller holds the lock.
func (l lateness) add(s *service, now int64) {
	for _, in := range s.instances {
		if yes, _ := in.expected(s.rostered, now); !yes || in.by == 0 {
			continue
		}
		c := l[in.by]
		if c == nil {
			c = &struct{ of, behind int }{}
			l[in.by] = c
		}
		if c.of++; in.behind(now) {
			c.behind++
		}
	}
}

// join adds what another has counted.
func (l lateness) join(o lateness) {
	for id, n := range o {
		if c := l[id]; c != nil {
			c.of, c.behind = c.of+n.of, c.behind+n.behind
		} else {
			l[id] = n
		}
	}
}

// exceptions tells of those who are late with most of their instances.
func (l lateness) exceptions() (out []Exception) {
	for _, id := range slices.Sorted(maps.Keys(l)) {
		if c := l[id]; c.behind >= manyBehind && 2*c.behind > c.of {
			out = append(out, Exception{LevelBad, fmt.Sprintf("Collector %016x does not keep up: it did not get round to %d of its %d instances; what is shown of them is from when it last did", id, c.behind, c.of), "/roster"})
		}
	}
	return out
}
