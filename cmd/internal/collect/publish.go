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

func (p *publisher) record(service, env string, t time.Time) wire.RosterRecord {
	return wire.RosterRecord{Collector: p.ident.Collector, Start: p.ident.Start, TS: t.UnixMilli(), Service: service, Env: env, Version: p.roster.Version()}
}

func (p *publisher) send(r wire.RosterRecord, t time.Time) {
	wire.SplitRoster(r, wire.MaxRecord, func(rec []byte) {
		p.sink.Publish(p.topic, sink.Key(r.Service, r.Env), rec, t)
	})
}

func (p *publisher) changes(changes []discovery.Change) {
	now := time.Now()
	byService := map[string][]discovery.Change{}
	var order []string
	for _, c := range changes {
		g := c.Group()
		if byService[g] == nil {
			order = append(order, g)
		}
		byService[g] = append(byService[g], c)
	}
	p.mu.Lock()
	for _, g := range order {
		if _, known := p.next[g]; !known {
			p.next[g] = now // a service that is new to us: its full state follows within a second
		}
	}
	p.mu.Unlock()
	for _, g := range order {
		list := byService[g]
		r := p.record(list[0].Service, list[0].Env, now)
		r.Changes = list
		p.send(r, now)
	}
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
	byService := map[string][]discovery.Change{}
	for _, e := range p.roster.Entries() {
		if g := e.Group(); due[g] {
			byService[g] = append(byService[g], discovery.Change{Entry: e, At: now})
		}
	}
	for g := range due {
		list := byService[g]
		if len(list) == 0 {
			p.mu.Lock()
			delete(p.next, g)
			p.mu.Unlock()
			continue
		}
		r := p.record(list[0].Service, list[0].Env, now)
		r.Full, r.Changes = true, list
		p.send(r, now)
	}
}
