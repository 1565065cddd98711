package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// publisher runs one on the rig's broker until the test ends, or stop.
func (r *rig) publisher(c PublisherConfig) (p *Publisher, stop func()) {
	r.t.Helper()
	c.Brokers = []string{r.addr}
	p, err := NewPublisher(c)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.t.Cleanup(stop)
	return p, stop
}

// The notes of one serve reach another, and itself after a restart, whether the broker was there all the while or not.
func TestNotesTravel(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster, topics.Findings)
	var p *Publisher
	first, err := dashboards.NewBoard(dashboards.Options{Publish: func(n dashboards.Note) {
		p.Put(topics.Findings, n.Key(), "", n.Append(nil), time.UnixMilli(n.TS))
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, stop := r.publisher(PublisherConfig{})
	r.run()
	r.live()
	s, err := first.Silence(dashboards.Silence{Service: "checkout", By: "ann", Why: "test", Until: time.Now().Add(time.Hour).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	r.until("the silence is there", 10*time.Second, func() bool { return len(r.board.Silences()) == 1 })
	r.stop()
	if _, err := first.Tell(dashboards.ToldEvent{Kind: "flag", Service: "checkout", Text: "new basket", Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	r.until("it is tried", 10*time.Second, func() bool { return p.failed.Get() > 0 })
	if _, err := first.EndSilence(s.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	r.startBroker()
	told := func() bool {
		m := r.board.Timeline("checkout", "", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		return len(r.board.Silences()) == 0 && len(m) == 1 && strings.Contains(m[0].Text, "flag: new basket, by ann")
	}
	r.until("both are there", 20*time.Second, told)
	if _, err := first.Silence(dashboards.Silence{Service: "cart", By: "ann", Why: "at the very end", Until: time.Now().Add(time.Hour).UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	stop()
	r.newBoard()
	r.run()
	r.until("all is there after a restart", 20*time.Second, func() bool {
		return len(r.board.Silences()) == 1 && len(r.board.Timeline("checkout", "", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))) == 1
	})
}

// What waits is bounded by things, and by bytes.
func TestPublisherIsBounded(t *testing.T) {
	p, err := NewPublisher(PublisherConfig{Brokers: []string{"127.0.0.1:1"}, MaxBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		p.Put("a", fmt.Sprint("key-", i%10), "", make([]byte, 1000), time.Now())
	}
	if len(p.queue) != 10 || p.lost.Get() != 0 {
		t.Errorf("%d wait, %d lost", len(p.queue), p.lost.Get())
	}
	for i := range 1000 {
		p.Put("a", "rolled", fmt.Sprint("other-", i), make([]byte, 1000), time.Now())
	}
	if p.bytes > 100_000 || len(p.queue) < 80 || p.queue[len(p.queue)-1].what != "other-999" || p.queue[0].key != "key-0" || int(p.lost.Get())+len(p.queue) != 1010 {
		t.Errorf("%d bytes of %d wait, %d lost", p.bytes, len(p.queue), p.lost.Get())
	}
	all := p.take()
	p.Put("a", "rolled", "other-999", []byte("newer"), time.Now())
	p.back(all)
	if n := len(p.queue); n != len(all) || string(p.queue[n-1].value) != "newer" || p.at[keyOf{"a", "rolled", "other-998"}] != n-2 {
		t.Errorf("%d wait of %d", n, len(all))
	}
}

// A record that the broker refuses for what it is goes, and the others arrive in their order; what fails otherwise is put back from there on.
func TestRefusedRecords(t *testing.T) {
	for _, tc := range []struct {
		name, records, wrote, rest string
		refused                    uint64
	}{
		{"none", "abcd", "abcd", "", 0},
		{"the first", "Tbcd", "bcd", "", 1},
		{"one amid others", "abcdSefgh", "abcdefgh", "", 1},
		{"several", "aTbLcRS", "abc", "", 4},
		{"all", "STR", "", "", 3},
		{"away", "abc!de", "", "abc!de", 0},
		{"refused, and then away", "aScd!efg", "acd", "!efg", 1},
	} {
		p, err := NewPublisher(PublisherConfig{Brokers: []string{"127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		wrote := ""
		w := &writing{p: p, partitions: map[string]int{"a": 1}, looked: time.Now()}
		w.put = func(_ context.Context, _ partition, rs []keyed) error {
			text := ""
			for _, r := range rs {
				switch text += string(r.value); string(r.value) {
				case "S":
					return fmt.Errorf("produce: %w", kafka.MessageSizeTooLarge)
				case "L":
					return kafka.RecordListTooLarge
				case "T":
					return kafka.InvalidTimestamp
				case "R":
					return kafka.InvalidRecord
				case "!":
					return errors.New("connection refused")
				}
			}
			wrote += text
			return nil
		}
		var all []keyed
		for i, c := range tc.records {
			all = append(all, keyed{keyOf{"a", fmt.Sprint(i), ""}, []byte(string(c)), time.Now()})
		}
		rest := ""
		for _, r := range w.send(t.Context(), all) {
			rest += string(r.value)
		}
		if wrote != tc.wrote || rest != tc.rest || p.refused.Get() != tc.refused || p.sent.Get() != uint64(len(wrote)) {
			t.Errorf("%s: wrote %q, put back %q, refused %d, sent %d; want %q, %q, %d", tc.name, wrote, rest, p.refused.Get(), p.sent.Get(), tc.wrote, tc.rest, tc.refused)
		}
	}
}
