package collect

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// candidate is one of a burst's slice who may be pulled more often: what collectors tell each other of theirs.
type candidate struct {
	Key     discovery.Key `json:"key"`
	Version string        `json:"version,omitempty"`
	Zone    string        `json:"zone,omitempty"`

	job   string
	usual time.Duration // its interval without a burst
}

// slice is a burst's part of a service, as far as it is this collector's.
type slice struct {
	order discovery.Order
	all   []candidate // those who may be pulled as often, slow ones left out
	slow  int         // that were left out
	// others are those of other collectors who may be, where the burst is of so many instances of all: the choice among them is everybody's.
	others []candidate
	// waits: the others have not said yet whom they have, so it is not known who of ours is chosen.
	waits bool
}

// covered says how much of a burst's slice is pulled as often as it says.
type covered struct {
	Taken int `json:"taken"`
	Of    int `json:"of"`             // instances of the slice that are pulled here
	Slow  int `json:"slow,omitempty"` // that do not answer fast enough
	Full  int `json:"full,omitempty"` // for whom the budget has no room
}

func (c *covered) add(o covered) {
	c.Taken, c.Of, c.Slow, c.Full = c.Taken+o.Taken, c.Of+o.Of, c.Slow+o.Slow, c.Full+o.Full
}

// pace is how often a target is pulled, and by which order.
type pace struct {
	every time.Duration
	order string // its ID
	job   string
}

// plan is what all bursts come to. It is never changed.
type plan struct {
	paces   map[discovery.Key]pace
	orders  []discovery.Order // in force, the oldest first
	covered map[string]covered
	added   float64 // scrapes a second
}

// makePlan gives each slice, in turn, whom the budget of scrapes a second has room for: an older burst keeps its targets when another is asked for. Of two bursts over one
// target the shorter interval counts.
func makePlan(slices []slice, budget float64) *plan {
	p := &plan{paces: map[discovery.Key]pace{}, covered: map[string]covered{}}
	for i := range slices {
		s := &slices[i]
		p.orders = append(p.orders, s.order)
		every := s.order.Burst.Every()
		c := covered{Of: len(s.all) + s.slow, Slow: s.slow}
		for _, t := range s.chosen() {
			at := t.usual
			if had, ok := p.paces[t.Key]; ok {
				at = had.every
			}
			if every >= at { // as often already
				c.Taken++
				continue
			}
			more := perSecond(every) - perSecond(at)
			if p.added+more > budget+1e-9 {
				c.Full++
				continue
			}
			p.added += more
			p.paces[t.Key] = pace{every, s.order.ID, t.job}
			c.Taken++
		}
		p.covered[s.order.ID] = c
	}
	return p
}

func perSecond(every time.Duration) float64 { return float64(time.Second) / float64(every) }

// chosen are ours of those whom the burst is to take, in the order in which they are taken.
func (s *slice) chosen() []candidate {
	n := s.order.Burst.Instances
	switch {
	case s.waits:
		return nil
	case n == 0:
		return spread(s.all)
	}
	ours := map[discovery.Key]candidate{}
	for _, c := range s.all {
		ours[c.Key] = c
	}
	all := slices.Concat(s.all, s.others)
	slices.SortFunc(all, func(a, b candidate) int { return a.Key.Compare(b.Key) })
	all = slices.CompactFunc(all, func(a, b candidate) bool { return a.Key == b.Key }) // while the fleet is divided anew two may call one theirs
	all = spread(all)
	var out []candidate
	for _, c := range all[:min(n, len(all))] {
		if o, ok := ours[c.Key]; ok {
			out = append(out, o)
		}
	}
	return out
}

// spread puts candidates in the order in which they are taken, so that any number of them, from the first on, stands for all: somebody of each version, then of each
// version in each zone, then in proportion. Within these it goes by the hash of the key, so that it is the same choice on every collector and after every restart, and
// somebody who comes or goes moves few.
func spread(in []candidate) []candidate {
	type place struct{ version, zone string }
	type ranked struct {
		candidate
		level int
		at    float64
		hash  uint64
	}
	all := make([]ranked, len(in))
	of := map[place]int{}
	for i, c := range in {
		h := fnv.New64a()
		io.WriteString(h, c.Key.String())
		all[i] = ranked{candidate: c, hash: h.Sum64() * 0x9e3779b97f4a7c15}
		of[place{c.Version, c.Zone}]++
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.hash, b.hash), a.Key.Compare(b.Key)) })
	versions, places := map[string]bool{}, map[place]int{}
	for i := range all {
		r := &all[i]
		w := place{r.Version, r.Zone}
		switch n := places[w]; {
		case !versions[r.Version]:
			r.level = 0
		case n == 0:
			r.level = 1
		default:
			r.level, r.at = 2, (float64(n)+0.5)/float64(of[w])
		}
		versions[r.Version] = true
		places[w]++
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.at, b.at)) })
	out := make([]candidate, len(all))
	for i := range all {
		out[i] = all[i].candidate
	}
	return out
}

// differ calls f with each key that is pulled in another interval by q than by p.
func (p *plan) differ(q *plan, f func(discovery.Key)) {
	for k, was := range p.paces {
		if now, ok := q.paces[k]; !ok || now.every != was.every {
			f(k)
		}
	}
	for k := range q.paces {
		if _, ok := p.paces[k]; !ok {
			f(k)
		}
	}
}

// in says how much of a slice is covered: 312 of 1,840 instances.
func (c covered) String() string {
	text := thousands(c.Taken) + " of " + thousands(c.Of) + " instances"
	if c.Of == 1 {
		text = thousands(c.Taken) + " of 1 instance"
	}
	return text
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
