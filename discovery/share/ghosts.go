package share

import (
	"slices"
	"time"
)

// ghosts are members whose ephemerals went with an outage of ZooKeeper. When it is back, one collector is the first to join again; without this it would take
// the whole fleet for the seconds that the others need. So where our own session went too, and most of the others' with it, they are believed in for one session
// timeout more.
type ghosts struct {
	session int64
	believe []Collector
	until   time.Time
}

// with is members and the ghosts among the members of the division before.
func (g *ghosts) with(members []Collector, before *Division, session int64, now time.Time, timeout time.Duration) []Collector {
	missing := func(c Collector) bool {
		return !slices.ContainsFunc(members, func(m Collector) bool { return m.ID == c.ID })
	}
	if session != g.session {
		if g.believe, g.until = nil, (time.Time{}); g.session != 0 && before != nil {
			peers := before.Peers()
			gone := slices.DeleteFunc(slices.Clone(peers), func(c Collector) bool { return !missing(c) })
			if len(gone) > 0 && 2*len(gone) > len(peers) {
				g.believe, g.until = gone, now.Add(timeout)
			}
		}
		g.session = session
	}
	if !now.Before(g.until) {
		g.believe, g.until = nil, time.Time{}
		return members
	}
	for _, c := range g.believe {
		if missing(c) {
			members = append(members, c)
		}
	}
	return members
}
