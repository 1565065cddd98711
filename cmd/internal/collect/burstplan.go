package collect

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// candidate is one of a burst's slice who may be pulled more often: what collectors tell each other of theirs.
type candidate struct {
	Key     discovery.Key `json:"key"`
	Version string        `json:"version,omitempty"`
	Zone    string        `json:"zone,omitempty"`

	job   string
	usual time.Duration // its interval without a burst
	asked float64       // how many requests a scrape of it is
}

// slice is a burst's part of a service, as far as it is this collector's.
type slice struct {
	order share.Placed
	all   []candidate // those who may be pulled as often, slow ones left out
	slow  int         // that were left out
	// others are what other collectors say that they have, where the burst is of so many instances of all: the choice among them is everybody's.
	others []offer
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

// offer is whom a collector has of a burst of so many instances: the first of its own for whom it has room, so many at most, and how many of its own, whether there is room or
// not, are of the places of these. Whoever has the same offers of all makes the same choice.
type offer struct {
	First  []candidate  `json:"first,omitempty"`
	Places []placeCount `json:"places,omitempty"`
}

// place is what a choice is to stand for.
type place struct {
	Version string `json:"version,omitempty"`
	Zone    string `json:"zone,omitempty"`
}

type placeCount struct {
	place
	N int `json:"n"`
}

func (c *candidate) place() place { return place{c.Version, c.Zone} }

// plan is what all bursts come to. It is never changed.
type plan struct {
	paces   map[discovery.Key]pace
	orders  []share.Placed // in force, the oldest first
	covered map[string]covered
	offers  map[string]offer         // of those of so many instances, by order
	mine    map[string]covered       // what would be covered of each if no other collector had any of it
	longest map[string]time.Duration // of the intervals without a burst, by order
	added   float64                  // scrapes a second
}

// makePlan gives each slice, in turn, whom the budget of scrapes a second has room for: an older burst keeps its targets when another is asked for. Of two bursts over one
// target the shorter interval counts.
func makePlan(slices []slice, budget float64) *plan {
	p := &plan{paces: map[discovery.Key]pace{}, covered: map[string]covered{}, offers: map[string]offer{}, mine: map[string]covered{}, longest: map[string]time.Duration{}}
	for i := range slices {
		s := &slices[i]
		p.orders = append(p.orders, s.order)
		c := covered{Of: len(s.all) + s.slow, Slow: s.slow}
		fit := p.fit(s, budget)
		p.longest[s.order.ID] = longest(s.all)
		if n := s.order.Burst.Instances; n == 0 {
			c.Full = len(s.all) - len(fit)
			p.mine[s.order.ID] = c.taken(len(fit))
		} else {
			c.Full = min(n, len(s.all)) - len(fit)
			own := offerOf(fit, s.all)
			p.offers[s.order.ID] = own
			p.mine[s.order.ID] = c.taken(len(fit))
			if fit = nil; !s.waits {
				fit = own.among(s.others, n)
			}
		}
		for _, t := range fit {
			if more := p.more(s, &t); more > 0 {
				p.added += more
				p.paces[t.Key] = pace{s.order.Burst.Every(), s.order.ID, t.job}
			}
		}
		c.Taken = len(fit)
		p.covered[s.order.ID] = c
	}
	return p
}

func (c covered) taken(n int) covered {
	c.Taken = n
	return c
}

func longest(of []candidate) (out time.Duration) {
	for i := range of {
		out = max(out, of[i].usual)
	}
	return out
}

// more is how many scrapes a second a burst costs for a target, one that is asked twice in each being two: 0 where it is pulled as often already.
func (p *plan) more(s *slice, t *candidate) float64 {
	at := t.usual
	if had, ok := p.paces[t.Key]; ok {
		at = had.every
	}
	return max(0, perSecond(s.order.Burst.Every())-perSecond(at)) * max(t.asked, 1)
}

// fit are those of a slice for whom the budget has room, all of them together, in the order in which they are taken; no more than the burst is of.
func (p *plan) fit(s *slice, budget float64) (out []candidate) {
	added := p.added
	all := s.all
	if len(all) > 1 {
		all = spread(all, countPlaces(all))
	}
	for _, t := range all {
		more := p.more(s, &t)
		if added+more > budget+1e-9 && more > 0 {
			continue
		}
		added += more
		if out = append(out, t); len(out) == s.order.Burst.Instances {
			break
		}
	}
	return out
}

func perSecond(every time.Duration) float64 { return float64(time.Second) / float64(every) }

// among are ours of the n whom a burst takes of what all offer. As each of ours was offered, there is room for them.
func (o *offer) among(others []offer, n int) (out []candidate) {
	ours := map[discovery.Key]candidate{}
	for _, c := range o.First {
		ours[c.Key] = c
	}
	all, of := slices.Clone(o.First), slices.Clone(o.Places)
	for _, other := range others {
		all, of = append(all, other.First...), append(of, other.Places...)
	}
	// While the fleet is divided anew two may call one theirs, and may know it by other tags.
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Zone, b.Zone))
	})
	all = slices.CompactFunc(all, func(a, b candidate) bool { return a.Key == b.Key })
	all = spread(all, of)
	for _, c := range all[:min(n, len(all))] {
		if own, ok := ours[c.Key]; ok {
			out = append(out, own)
		}
	}
	return out
}

func offerOf(first, of []candidate) offer {
	has := map[place]bool{}
	for i := range first {
		has[first[i].place()] = true
	}
	return offer{first, slices.DeleteFunc(countPlaces(of), func(c placeCount) bool { return !has[c.place] })}
}

// countPlaces says how many candidates there are of each place, in their order.
func countPlaces(in []candidate) (out []placeCount) {
	of := map[place]int{}
	for i := range in {
		of[in[i].place()]++
	}
	for w, n := range of {
		out = append(out, placeCount{w, n})
	}
	slices.SortFunc(out, func(a, b placeCount) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Zone, b.Zone))
	})
	return out
}

// spread puts candidates in the order in which they are taken, so that any number of them, from the first on, stands for all: somebody of each version, then of each
// version in each zone, then in proportion. Within these it goes by the hash of the key, so that it is the same choice on every collector and after every restart, and
// somebody who comes or goes moves few. counts says how many there are of each place in all, of whom these may be some; what is there twice is added.
func spread(in []candidate, counts []placeCount) []candidate {
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
	}
	for _, c := range counts {
		of[c.place] += c.N
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.hash, b.hash), a.Key.Compare(b.Key)) })
	versions, places := map[string]bool{}, map[place]int{}
	for i := range all {
		r := &all[i]
		w := r.place()
		switch n := places[w]; {
		case !versions[r.Version]:
			r.level = 0
		case n == 0:
			r.level = 1
		default:
			r.level, r.at = 2, (float64(n)+0.5)/float64(max(of[w], 1))
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

// has reports whether an order is in force by it.
func (p *plan) has(id string) bool {
	_, ok := p.covered[id]
	return ok
}

// is reports whether it is this order that is in force by it, and not another under its name.
func (p *plan) is(o *discovery.Order) bool {
	if !p.has(o.ID) {
		return false
	}
	i := slices.IndexFunc(p.orders, func(in share.Placed) bool { return in.ID == o.ID })
	return i >= 0 && reflect.DeepEqual(p.orders[i].Burst, o.Burst)
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
