package collect

import (
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

	mu   sync.Mutex
	next map[string]time.Time // service/env → when its full state is due
}

func newPublisher(ident sink.Identity, r *discovery.Roster, s sink.Sink, topic string) *publisher {
	return &publisher{ident: ident, roster: r, sink: s, topic: topic, next: map[string]time.Time{}}
}

func (p *publisher) send(changes []discovery.Change, full bool, now time.Time) {
	base := wire.RosterRecord{Collector: p.ident.Collector, Start: p.ident.Start, TS: now.UnixMilli(), Version: p.roster.Version(), Full: full}
	wire.GroupRoster(base, changes, func(r wire.RosterRecord) {
		wire.SplitRoster(r, wire.MaxRecord, func(rec []byte) { p.sink.Publish(p.topic, r.Key(), rec, now) })
	})
}

func (p *publisher) changes(changes []discovery.Change) {
	now := time.Now()
	p.mu.Lock()
	for _, c := range changes {
		if _, known := p.next[c.Group()]; !known {
			p.next[c.Group()] = now // a service that is new to us: its full state follows within a second
		}
	}
	p.mu.Unlock()
	p.send(changes, false, now)
}

// full publishes the services that are due.
func (p *publisher) full(now time.Time) {
	due := map[string]bool{}
	p.mu.Lock()
	for g, t := range p.next {
		if !t.After(now) {
			due[g] = true
			p.next[g] = now.Add(fullEvery)
		}
	}
	p.mu.Unlock()
	if len(due) == 0 {
		return
	}
	var all []discovery.Change
	left := map[string]bool{}
	for _, e := range p.roster.Entries() {
		if g := e.Group(); due[g] {
			all, left[g] = append(all, discovery.Change{Entry: e, At: now}), true
		}
	}
	p.mu.Lock()
	for g := range due {
		if !left[g] { // nobody is on the roster any more
			delete(p.next, g)
		}
	}
	p.mu.Unlock()
	p.send(all, true, now)
}
