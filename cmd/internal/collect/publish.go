package collect

import (
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// fullEvery is how often the whole state of each service is published, spread over the services.
const fullEvery = 5 * time.Minute

// publisher puts the roster on its topic: each change at once, the full state of a service every fullEvery.
type publisher struct {
	ident  sink.Identity
	roster *discovery.Roster
	sink   sink.Sink
	topic  string

	// mu is held from the look at the roster until what it showed is published: else a full state could go out after the changes that it does not hold.
	mu   sync.Mutex
	next map[group]time.Time // when its full state is due
}

type group struct{ service, env string }

func groupOf(e *discovery.Entry) group { return group{e.Service, e.Env} }

func newPublisher(ident sink.Identity, r *discovery.Roster, s sink.Sink, topic string) *publisher {
	return &publisher{ident: ident, roster: r, sink: s, topic: topic, next: map[group]time.Time{}}
}

// record is the head of a record; take it before the look at the roster, so that no record claims a version that it does not hold.
func (p *publisher) record(full bool, now time.Time) wire.RosterRecord {
	return wire.RosterRecord{Collector: p.ident.Collector, Start: p.ident.Start, TS: now.UnixMilli(), Version: p.roster.Version(), Full: full}
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
		if g := groupOf(&c.Entry); p.next[g].IsZero() {
			p.next[g] = now // a service that is new to us: its full state follows within a second
		}
	}
	wire.GroupRoster(head, changes, func(r wire.RosterRecord) { p.send(r, now) })
}

// full publishes the services that are due. One of which nobody is left gets a full state without entries, its last.
func (p *publisher) full(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g, t := range p.next {
		if t.After(now) {
			continue
		}
		p.next[g] = now.Add(fullEvery)
		r := p.record(true, now)
		r.Service, r.Env = g.service, g.env
		for _, e := range p.roster.Of(g.service, g.env) {
			r.Changes = append(r.Changes, discovery.Change{Entry: e, At: now})
		}
		if len(r.Changes) == 0 {
			delete(p.next, g)
		}
		p.send(r, now)
	}
}
