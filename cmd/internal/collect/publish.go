package collect

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	// fullEvery is how often the whole state of each service is published: each service at a time of its own in it.
	fullEvery = 5 * time.Minute
	// doubtsWithin is how soon the full states follow when a source is doubted, or believed again.
	doubtsWithin = 20 * time.Second
	// fullAtOnce bounds the entries of full states that one call of full publishes, the last service's aside: a start or a handover of everything is spread over
	// seconds, and what waits for Kafka before it stays small.
	fullAtOnce = 10_000
	// heldAfter is how long a record of the roster has waited when full states wait, too: on top of one that waits another says nothing.
	heldAfter = 5 * time.Second
	// ownEvery is how often the collector's word about itself is published.
	ownEvery = 10 * time.Second
)

// publisher puts the roster on its topic: each change at once, the full state of a service every fullEvery.
type publisher struct {
	ident  sink.Identity
	roster *discovery.Roster
	sink   sink.Sink
	topic  string
	term   func() uint64
	// mine says whether it is this collector that publishes a service, whose instances come from a job; nil: it publishes all.
	mine func(job, service, env string) bool
	// waits is how long the oldest record of the topic has waited for Kafka; nil: nothing waits.
	waits func(topic string) time.Duration
	// own is the collector's word about itself; nil: it is not published.
	own func() wire.Own

	mu       sync.Mutex // never held while the roster is read or a record is sent
	services map[group]*publication
	// doubts is the roster's, as of the last look: when a source is doubted, or believed again, all that it saw reads otherwise.
	doubts uint64
	held   bool // records waited for Kafka at the last look
	ownAt  time.Time
}

// publication is where the publishing of one service stands. All but turn is under the publisher's mu.
type publication struct {
	// turn is held from the look at the roster until what it showed is with the sink: else a full state could go out after the changes that it does not hold. Who
	// waits for it waits for this service only. It is taken before mu.
	turn sync.Mutex

	at   time.Time // when its full state is due
	job  string    // the first by name of those that its instances come from, so that collectors with one view agree on one
	mine bool      // a full state of ours is out since the service became ours
	told uint64    // batches of changes
}

type group struct{ service, env string }

func newPublisher(ident sink.Identity, r *discovery.Roster, s sink.Sink, topic string) *publisher {
	return &publisher{ident: ident, roster: r, sink: s, topic: topic, services: map[group]*publication{}, term: func() uint64 { return 0 }}
}

// record is the head of a record; take it before the look at the roster, so that no record claims a version that it does not hold.
func (p *publisher) record(g group, full bool, now time.Time) wire.RosterRecord {
	return wire.RosterRecord{Term: p.term(), Collector: p.ident.Collector, Start: p.ident.Start, TS: now.UnixMilli(), Service: g.service, Env: g.env, Version: p.roster.Version(), Full: full}
}

func (p *publisher) send(r *wire.RosterRecord, now time.Time) {
	wire.SplitRoster(*r, wire.MaxRecord, func(rec []byte) { p.sink.Publish(p.topic, r.Key(), rec, now) })
}

func (p *publisher) changes(changes []discovery.Change) {
	wire.GroupRoster(wire.RosterRecord{}, changes, func(r wire.RosterRecord) {
		g := group{r.Service, r.Env}
		u, ours := p.tell(g, r.Changes)
		if !ours {
			return
		}
		u.turn.Lock()
		defer u.turn.Unlock()
		now := time.Now()
		out := p.record(g, false, now)
		out.Changes = r.Changes
		for i := range out.Changes {
			c := &out.Changes[i]
			// A batch may have overtaken this one, from a reload: what goes out is how the entry stands.
			if e, err := p.roster.Find(c.ID()); err == nil {
				c.Entry = e
			}
		}
		p.send(&out, now)
	})
}

// tell notes that a service has changes, and reports whether they are ours to publish.
func (p *publisher) tell(g group, changes []discovery.Change) (u *publication, ours bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	u = p.services[g]
	if u == nil {
		u = &publication{at: now, job: discovery.JobOf(changes[0].Source)} // its full state follows at once
		p.services[g] = u
	}
	for i := range changes {
		u.job = min(u.job, discovery.JobOf(changes[i].Source))
	}
	u.told++
	return u, p.claim(g, u, now)
}

// claim reports whether a service is ours, and has it published whole at once if it was not before: readers may have missed what its publisher before did not get
// out. The caller holds mu.
func (p *publisher) claim(g group, u *publication, now time.Time) bool {
	if !p.owns(g, u.job) {
		u.mine = false
		return false
	}
	if !u.mine && u.at.After(now) {
		u.at = now
	}
	return true
}

// handover is called when the division changed.
func (p *publisher) handover() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for g, u := range p.services {
		p.claim(g, u, now)
	}
}

// full publishes services that are due, those first that have waited longest. What is too much at once, or Kafka does not take now, stays due.
func (p *publisher) full(now time.Time) {
	held := p.waits != nil && p.waits(p.topic) > heldAfter
	due := p.due(p.roster.Doubts(), held, now)
	p.self(held, now)
	for n := 0; len(due) > 0 && n < fullAtOnce; due = due[1:] {
		n += p.state(due[0], now)
	}
}

// due are the services whose full state is due; none while records are held up. After that all are due soon: changes may have been dropped for want of room.
func (p *publisher) due(doubts uint64, held bool, now time.Time) []group {
	p.mu.Lock()
	defer p.mu.Unlock()
	soon := doubts != p.doubts || p.held && !held
	p.doubts, p.held = doubts, held
	var due []group
	for g, u := range p.services {
		if at := now.Add(rand.N(doubtsWithin)); soon && at.Before(u.at) {
			u.at = at
		}
		if !held && !u.at.After(now) {
			due = append(due, g)
		}
	}
	slices.SortFunc(due, func(a, b group) int { return p.services[a].at.Compare(p.services[b].at) })
	return due
}

// state publishes one service whole, and says how many entries it has. One of which nobody is left gets a full state without entries, its last.
func (p *publisher) state(g group, now time.Time) int {
	p.mu.Lock()
	u := p.services[g]
	p.mu.Unlock()
	if u == nil {
		return 0
	}
	u.turn.Lock()
	defer u.turn.Unlock()
	p.mu.Lock()
	told := u.told
	p.mu.Unlock()
	r := p.record(g, true, now)
	job := ""
	for _, e := range p.roster.Of(g.service, g.env) {
		if j := discovery.JobOf(e.Source); len(r.Changes) == 0 || j < job {
			job = j
		}
		r.Changes = append(r.Changes, discovery.Change{Entry: e, At: now})
	}
	p.mu.Lock()
	if len(r.Changes) > 0 {
		u.job = job
	} else if u.told == told {
		delete(p.services, g)
	}
	ours := p.owns(g, u.job)
	u.at, u.mine = nextFull(g, now), ours
	p.mu.Unlock()
	if !ours {
		return 0
	}
	p.send(&r, now)
	return len(r.Changes)
}

// self publishes the collector's word about itself when it is due, for readers of the topic who cannot ask it. One that waits would be old when it is read.
func (p *publisher) self(held bool, now time.Time) {
	p.mu.Lock()
	due := p.own != nil && !held && now.Sub(p.ownAt) >= ownEvery
	if due {
		p.ownAt = now
	}
	p.mu.Unlock()
	if !due {
		return
	}
	word := p.own()
	word.Guards = word.Guards[:min(len(word.Guards), wire.MaxOwnGuards)]
	r := wire.RosterRecord{Collector: p.ident.Collector, Start: p.ident.Start, TS: now.UnixMilli(), Own: &word}
	p.sink.Publish(p.topic, r.Key(), r.Append(nil), now)
}

func (p *publisher) owns(g group, job string) bool {
	return p.mine == nil || p.mine(job, g.service, g.env)
}

// nextFull is the service's next time in the round: by its name, so that those that came together do not stay in step.
func nextFull(g group, now time.Time) time.Time {
	h := fnv.New64a()
	io.WriteString(h, g.service+"/"+g.env)
	at := now.Truncate(fullEvery).Add(time.Duration(h.Sum64() % uint64(fullEvery)))
	if !at.After(now) {
		at = at.Add(fullEvery)
	}
	return at
}
