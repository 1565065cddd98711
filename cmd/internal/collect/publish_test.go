package collect

import (
	"context"
	"fmt"
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

// crowd is n services of one instance each, as they join.
func crowd(r *discovery.Roster, n int) (all []discovery.Change) {
	for i := range n {
		s := set(uint16(i%60_000) + 1)
		s.Path = fmt.Sprint("/p/", i)
		s.Members[0].Path, s.Members[0].Service = s.Path, fmt.Sprint("service-", i)
		all = append(all, r.Apply(s, time.Now())...)
	}
	return all
}

// fulls counts the full states of a tape since it was last asked.
func (s *tape) fulls() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Full {
			n++
		}
	}
	s.records = nil
	return n
}

// Services that came together do not have their full states published together for ever after, and each has one in every five minutes.
func TestPublishSpread(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	const n = 300
	p.changes(crowd(r, n))
	now := time.Now()
	p.full(now)
	if got := out.fulls(); got != n {
		t.Fatalf("%d of %d services at the start", got, n)
	}
	seen := map[string]int{}
	for range int(fullEvery / time.Second) {
		now = now.Add(time.Second)
		p.full(now)
		for _, f := range out.records {
			seen[f.Service]++
		}
		if got := out.fulls(); got > 12 {
			t.Errorf("%d services in one second, where one is the mean", got)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d services in five minutes", len(seen), n)
	}
}

// A start of everything goes out over seconds, those first that have waited longest.
func TestPublishNotTooMuchAtOnce(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	p.changes(crowd(r, fullAtOnce+fullAtOnce/2))
	now := time.Now()
	for i, want := range []int{fullAtOnce, fullAtOnce / 2, 0} {
		if p.full(now); out.fulls() != want {
			t.Errorf("second %d: not %d services", i, want)
		}
	}
}

// While Kafka takes nothing no full state is made on top of those that wait; after it every service has a new one soon.
func TestPublishWhileKafkaIsAway(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	age := time.Duration(0)
	p.waits = func(string) time.Duration { return age }
	p.changes(crowd(r, 20))
	now := time.Now()
	p.full(now)
	out.fulls()
	age = time.Minute
	for range 12 {
		now = now.Add(time.Minute)
		p.full(now)
	}
	if n := out.fulls(); n != 0 {
		t.Errorf("%d full states while Kafka was away", n)
	}
	age = 0
	p.full(now)
	p.full(now.Add(doubtsWithin))
	if n := out.fulls(); n < 20 {
		t.Errorf("%d of 20 services after it", n)
	}
}

// A service that becomes ours is published whole, whoever notices first: the changes that come, or the word that the division changed.
func TestPublishHandover(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(p *publisher, r *discovery.Roster)
	}{
		{"told", func(p *publisher, _ *discovery.Roster) { p.handover() }},
		{"a change before it is told", func(p *publisher, r *discovery.Roster) {
			p.changes(r.Apply(set(1, 2), time.Now()))
			p.handover()
		}},
		{"a change, and never told", func(p *publisher, r *discovery.Roster) { p.changes(r.Apply(set(1, 2), time.Now())) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, out := discovery.NewRoster(discovery.RosterOptions{Guard: discovery.GuardOptions{Off: true}}), &tape{t: t}
			p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
			ours := false
			p.mine = func(_, _, _ string) bool { return ours }
			p.changes(r.Apply(set(1), time.Now()))
			if p.full(time.Now()); len(out.records) != 0 {
				t.Fatalf("what is another's was published: %+v", out.records)
			}
			ours = true
			tc.then(p, r)
			if p.full(time.Now()); out.fulls() != 1 {
				t.Error("no full state follows")
			}
			if p.handover(); ours {
				p.full(time.Now())
			}
			if n := out.fulls(); n != 0 {
				t.Errorf("%d full states though nothing was handed over", n)
			}
		})
	}
}

// The changes of one service do not wait for the full state of another.
func TestPublishChangesDoNotWait(t *testing.T) {
	r, out := discovery.NewRoster(discovery.RosterOptions{Guard: discovery.GuardOptions{Off: true}}), &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, r, out, "roster")
	p.changes(r.Apply(set(1), time.Now()))
	joined := crowd(r, 1)
	stuck := false
	out.onRecord = func(f wire.RosterRecord) {
		if !f.Full || f.Service != "cart" {
			return
		}
		done := make(chan struct{})
		go func() { p.changes(joined); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			stuck = true
		}
	}
	if p.full(time.Now()); stuck {
		t.Error("a change of another service waited until the full state was sent")
	}
}

// Every ten seconds the collector tells of itself, unless Kafka is away.
func TestPublishOwn(t *testing.T) {
	out := &tape{t: t}
	p := newPublisher(sink.Identity{Collector: 1, Start: 1}, discovery.NewRoster(discovery.RosterOptions{}), out, "roster")
	p.own = func() wire.Own {
		return wire.Own{Guards: make([]discovery.Guard, 150), Delivery: sink.Sums{Dropped: 7}}
	}
	age, now := time.Duration(0), time.Now()
	p.waits = func(string) time.Duration { return age }
	for i := range 60 {
		if age = 0; i >= 30 {
			age = time.Minute
		}
		p.full(now.Add(time.Duration(i) * time.Second))
	}
	if len(out.records) != 3 || out.last().Own == nil || len(out.last().Own.Guards) != wire.MaxOwnGuards || out.last().Own.Delivery.Dropped != 7 {
		t.Errorf("%d words, the last: %+v", len(out.records), out.last())
	}
}
