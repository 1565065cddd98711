package collect

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// fullEvery is how often the whole state of each service is published, spread over the services.
const fullEvery = 5 * time.Minute

// doubtsWithin is how soon the full states follow when a source is doubted, or believed again.
const doubtsWithin = 20 * time.Second

// publisher puts the roster on its topic: each change at once, the full state of a service every fullEvery.
type publisher struct {
	ident  sink.Identity
	roster *discovery.Roster
	sink   sink.Sink
	topic  string

	// mu is held from the look at the roster until what it showed is published: else a full state could go out after the changes that it does not hold.
	mu   sync.Mutex
	next map[group]due
	// doubts is the roster's, as of the last look: when a source is doubted, or believed again, all that it saw reads otherwise.
	doubts uint64
	term   func() uint64
	// mine says whether it is this collector that publishes a service, whose instances come from a job; nil: it publishes all.
	mine func(job, service, env string) bool
}

// due is when the full state of a service is to be published, and by whom.
type due struct {
	at   time.Time
	job  string // the first by name of those that its instances come from, so that collectors with one view agree on one
	mine bool
}

type group struct{ service, env string }

func groupOf(e *discovery.Entry) group { return group{e.Service, e.Env} }

func newPublisher(ident sink.Identity, r *discovery.Roster, s sink.Sink, topic string) *publisher {
	return &publisher{ident: ident, roster: r, sink: s, topic: topic, next: map[group]due{}, term: func() uint64 { return 0 }}
}

// record is the head of a record; take it before the look at the roster, so that no record claims a version that it does not hold.
func (p *publisher) record(full bool, now time.Time) wire.RosterRecord {
	return wire.RosterRecord{Term: p.term(), Collector: p.ident.Collector, Start: p.ident.Start, TS: now.UnixMilli(), Version: p.roster.Version(), Full: full}
}

func (p *publisher) send(r wire.RosterRecord, now time.Time) {
	wire.SplitRoster(r, wire.MaxRecord, func(rec []byte) { p.sink.Publish(p.topic, r.Key(), rec, now) })
}

func (p *publisher) changes(changes []discovery.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	head := p.record(false, now)
	changes = slices.Clone(changes)
	for i := range changes {
		c := &changes[i]
		// A batch may have overtaken this one, from a reload: what goes out is how the entry stands.
		if e, err := p.roster.Find(c.ID()); err == nil {
			c.Entry = e
		}
		g := groupOf(&c.Entry)
		u, known := p.next[g]
		if job := discovery.JobOf(c.Source); !known {
			u = due{at: now, job: job} // a service that is new to us: its full state follows within a second
		} else {
			u.job = min(u.job, job)
		}
		u.mine = p.owns(g, u.job)
		p.next[g] = u
	}
	changes = slices.DeleteFunc(changes, func(c discovery.Change) bool { return !p.next[groupOf(&c.Entry)].mine })
	wire.GroupRoster(head, changes, func(r wire.RosterRecord) { p.send(r, now) })
}

// full publishes the services that are due. One of which nobody is left gets a full state without entries, its last.
func (p *publisher) full(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.roster.Doubts(); n != p.doubts {
		p.doubts = n
		for g, u := range p.next {
			if at := now.Add(rand.N(doubtsWithin)); at.Before(u.at) {
				u.at = at
				p.next[g] = u
			}
		}
	}
	for g, u := range p.next {
		if u.at.After(now) {
			continue
		}
		r := p.record(true, now)
		r.Service, r.Env = g.service, g.env
		for _, e := range p.roster.Of(g.service, g.env) {
			if job := discovery.JobOf(e.Source); len(r.Changes) == 0 || job < u.job {
				u.job = job
			}
			r.Changes = append(r.Changes, discovery.Change{Entry: e, At: now})
		}
		u.at, u.mine = now.Add(fullEvery), p.owns(g, u.job)
		if p.next[g] = u; len(r.Changes) == 0 {
			delete(p.next, g)
		}
		if u.mine {
			p.send(r, now)
		}
	}
}

func (p *publisher) owns(g group, job string) bool {
	return p.mine == nil || p.mine(job, g.service, g.env)
}

// handover has the services published at once, whole, that are ours since the division changed: readers may have missed what their publisher before did not get out.
func (p *publisher) handover() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for g, u := range p.next {
		if was := u.mine; p.owns(g, u.job) && !was {
			u.at = now
			p.next[g] = u
		} else if was && !p.owns(g, u.job) {
			u.mine = false
			p.next[g] = u
		}
	}
}
