package collect

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// tape is a sink that keeps the records of the roster.
type tape struct {
	t        *testing.T
	mu       sync.Mutex
	records  []wire.RosterRecord
	onRecord func(wire.RosterRecord) // before it is kept
}

func (s *tape) Put(*collector.Snapshot)   {}
func (s *tape) Run(context.Context) error { return nil }
func (s *tape) Publish(_, key string, value []byte, _ time.Time) {
	var r wire.RosterRecord
	if err := wire.DecodeRoster(value, &r); err != nil || r.Key() != key {
		s.t.Errorf("record of %s: %v in %s", key, err, value)
	}
	if s.onRecord != nil {
		s.onRecord(r)
	}
	s.mu.Lock()
	s.records = append(s.records, r)
	s.mu.Unlock()
}

func (s *tape) last() wire.RosterRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[len(s.records)-1]
}

func set(ports ...uint16) discovery.Set {
	s := discovery.Set{Source: "a", Path: "/p", Verified: time.Now()}
	for _, p := range ports {
		s.Members = append(s.Members, &discovery.Member{Instance: discovery.Instance{Source: "a", Path: "/p", Key: discovery.Key{Service: "cart", Env: "prod/eu", Host: "10.0.0.1", Port: p}}})
	}
	return s
}

func TestPublishLastFullState(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{KeepFor: time.Minute, Guard: discovery.GuardOptions{Off: true}}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	now := time.Now()
	p.changes(r.Apply(set(1), now))
	p.full(time.Now())
	if f := out.last(); !f.Full || len(f.Changes) != 1 || f.Version != r.Version() {
		t.Fatalf("the first full state: %+v", f)
	}
	p.changes(r.Apply(set(), now))
	r.Tick(now.Add(time.Hour))
	p.full(now.Add(2 * fullEvery))
	if f := out.last(); !f.Full || len(f.Changes) != 0 || f.Service != "cart" || f.Env != "prod/eu" {
		t.Fatalf("nobody is left, and the last record is %+v", f)
	}
	n := len(out.records)
	if p.full(now.Add(9 * fullEvery)); len(out.records) != n {
		t.Error("the empty state was published twice")
	}
}

// A batch that was overtaken says how its entries stand now, not how they stood.
func TestPublishOvertakenChanges(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{Guard: discovery.GuardOptions{Off: true}}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	joined := r.Apply(set(1), time.Now())
	p.changes(r.Apply(set(), time.Now()))
	p.changes(joined)
	if c := out.last().Changes[0]; c.State != discovery.Departed {
		t.Errorf("the last word is %s of one that departed", c.State)
	}
}

// No full state may follow a change that it does not hold: what the last record says of an instance is how it stands.
func TestPublishFullAndChangesMeet(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{Guard: discovery.GuardOptions{Off: true}}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	p.changes(r.Apply(set(1, 2), time.Now()))
	// While the full state is on its way an instance leaves, on another goroutine.
	left := make(chan struct{})
	out.onRecord = func(f wire.RosterRecord) {
		if !f.Full {
			return
		}
		if f.Version != 1 {
			t.Errorf("the full state claims version %d, and holds 1", f.Version)
		}
		changes := r.Apply(set(1), time.Now())
		go func() { p.changes(changes); close(left) }()
	}
	p.full(time.Now())
	<-left
	if last := out.last(); last.Full || last.Version != 2 || last.Changes[0].State != discovery.Departed {
		t.Errorf("the last record: %+v", last)
	}
}
