// Package sinktest holds the promises of sink.Sink as tests: every sink passes the same ones.
package sinktest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Message is one record as a reader of the topic finds it.
type Message struct {
	Key   string
	Value []byte
	Time  time.Time
}

// Subject is a sink under test, not running yet, with an empty place behind it.
type Subject struct {
	Sink   sink.Sink
	Ledger *sink.Ledger
	Topics sink.Topics
	// Read gives all messages of a topic, in the order of their partitions; the sink may still be running.
	Read func(t testing.TB, topic string) []Message
}

// Run checks the sinks that make gives against the contract.
func Run(t *testing.T, make func(t *testing.T) Subject) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s Subject)
	}{
		{"EverySnapshotOnce", everySnapshotOnce},
		{"RecordSaysWhatWasPut", recordSaysWhatWasPut},
		{"OversizeComesInParts", oversizeComesInParts},
		{"PublishKeepsKeyValueAndTime", publishKeeps},
		{"WaitsForRun", waitsForRun},
		{"AfterTheEndAllIsCounted", afterTheEnd},
		{"LedgerBalancesAtEveryInstant", ledgerBalances},
		{"PublishRefusesWhatFitsNowhere", publishRefuses},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, make(t)) })
	}
}

// Go runs the sink and gives what ends it and waits for its drain. Ending twice is allowed.
func (s *Subject) Go(t testing.TB) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Sink.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(end)
	return end
}

// Snapshot makes the n-th snapshot of a service. Its samples live in memory that Release overwrites.
func Snapshot(service string, n int) *collector.Snapshot {
	body := []byte(fmt.Sprintf("requests %d heap %d.5 mode warm", n, n))
	view := func(word string) string {
		at := bytes.Index(body, []byte(word))
		return unsafeString(body[at : at+len(word)])
	}
	return &collector.Snapshot{
		Instance: discovery.Instance{Key: discovery.Key{Service: service, Env: "prod", Host: "10.0.0.5", Port: uint16(1 + n%60_000)}, Shard: discovery.NoShard},
		Time:     time.Now(), Took: time.Millisecond, Interval: time.Second,
		Tags: discovery.TagsOf(map[string]string{"team": "payments"}),
		Samples: []collector.Sample{
			{Name: view("requests"), Kind: collector.Counter, Value: view(fmt.Sprint(n))},
			{Name: view("heap"), Kind: collector.Gauge, Value: view(fmt.Sprintf("%d.5", n))},
			{Name: view("mode"), Kind: collector.Label, Value: view("warm")},
		},
		OnRelease: func() { clear(body) },
	}
}

// IDs decodes messages and reports what stands twice and what is missing: sequences run from 1 without a gap in each partition.
func IDs(t testing.TB, ms []Message) (snapshots int) {
	t.Helper()
	seen, last, first := map[wire.ID]bool{}, map[int32]uint64{}, map[wire.ID]bool{}
	var r wire.Record
	for _, m := range ms {
		if err := wire.Decode(m.Value, &r); err != nil {
			t.Errorf("%v: %s", err, m.Value)
			continue
		}
		if seen[r.ID] {
			t.Errorf("%v stands twice", r.ID)
		}
		seen[r.ID] = true
		if !first[r.ID.Whole()] {
			first[r.ID.Whole()] = true
			snapshots++
		}
		last[r.ID.Partition] = max(last[r.ID.Partition], r.ID.Sequence)
	}
	want := uint64(0)
	for _, n := range last {
		want += n
	}
	if uint64(snapshots) != want {
		t.Errorf("%d snapshots, sequences say %d", snapshots, want)
	}
	return snapshots
}

func everySnapshotOnce(t *testing.T, s Subject) {
	s.Go(t)
	const workers, each = 4, 150
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				snap := Snapshot(fmt.Sprintf("service-%d", (w+i)%7), w*each+i)
				s.Sink.Put(snap)
				snap.Release() // Put keeps nothing of it
			}
		})
	}
	wg.Wait()
	total := s.settled(t)
	if total.Acknowledged != workers*each || total.Dropped != 0 {
		t.Errorf("ledger %+v, want %d acknowledged", total, workers*each)
	}
	ms := s.Read(t, s.Topics.Snapshots)
	if n := IDs(t, ms); n != workers*each {
		t.Errorf("%d snapshots in the topic, want %d", n, workers*each)
	}
	got := map[string]bool{}
	var r wire.Record
	for _, m := range ms {
		if err := wire.Decode(m.Value, &r); err != nil {
			continue
		}
		if m.Key != r.Service+"/"+r.Env || m.Time.UnixMilli() != r.TS || len(r.Samples) != 3 || r.Samples[1].Value != r.Samples[0].Value+".5" || r.Samples[2].Value != "warm" {
			t.Errorf("key %q, time %v: %s", m.Key, m.Time, m.Value)
		}
		got[strings.Clone(r.Samples[0].Value)] = true
	}
	if len(got) != workers*each {
		t.Errorf("%d different values, want %d", len(got), workers*each)
	}
}

func recordSaysWhatWasPut(t *testing.T, s Subject) {
	end := s.Go(t)
	failed := Snapshot("checkout", 2)
	failed.Outcome, failed.Reason = collector.Timeout, "no whole answer within 5s"
	s.Sink.Put(Snapshot("checkout", 1))
	s.Sink.Put(failed)
	end()
	ms := s.Read(t, s.Topics.Snapshots)
	if len(ms) != 2 {
		t.Fatalf("%d messages", len(ms))
	}
	id := s.Ledger.Identity()
	for i, m := range ms {
		var r wire.Record
		if err := wire.Decode(m.Value, &r); err != nil {
			t.Fatal(err)
		}
		want := wire.ID{Collector: id.Collector, Start: id.Start, Partition: r.ID.Partition, Sequence: uint64(i + 1)}
		if r.ID != want || r.Service != "checkout" || r.Env != "prod" || r.Instance != fmt.Sprintf("10.0.0.5:%d", i+2) || r.Tag("team") != "payments" {
			t.Errorf("%s", m.Value)
		}
		if wantOutcome := []collector.Outcome{collector.OK, collector.Timeout}[i]; r.Outcome != wantOutcome {
			t.Errorf("outcome %v, want %v", r.Outcome, wantOutcome)
		}
	}
}

func oversizeComesInParts(t *testing.T, s Subject) {
	end := s.Go(t)
	big := Snapshot("big", 1)
	for i := range 30_000 {
		big.Samples = append(big.Samples, collector.Sample{Name: fmt.Sprintf("a/counter/with/a/rather/long/name/%d", i), Kind: collector.Counter, Value: fmt.Sprint(i)})
	}
	s.Sink.Put(Snapshot("big", 0))
	s.Sink.Put(big)
	s.Sink.Put(Snapshot("big", 2))
	end()
	total := s.Ledger.Report(time.Now()).Total
	if total.Scraped != 3 || total.Acknowledged != 3 {
		t.Errorf("ledger %+v: a snapshot in parts counts once", total)
	}
	ms := s.Read(t, s.Topics.Snapshots)
	if n := IDs(t, ms); n != 3 || len(ms) < 4 {
		t.Errorf("%d snapshots in %d records", n, len(ms))
	}
	names := map[string]bool{}
	for _, m := range ms {
		var r wire.Record
		if err := wire.Decode(m.Value, &r); err != nil || len(m.Value) > wire.MaxRecord || r.Tag("team") != "payments" {
			t.Errorf("%d bytes: %v", len(m.Value), err)
		}
		for _, sample := range r.Samples {
			names[sample.Name] = true
		}
	}
	if len(names) != 30_003 {
		t.Errorf("%d samples arrived", len(names))
	}
}

func publishKeeps(t *testing.T, s Subject) {
	end := s.Go(t)
	at := time.Now().Add(-time.Minute)
	for i := range 50 {
		s.Sink.Publish(s.Topics.Roster, fmt.Sprint("key-", i%5), []byte(fmt.Sprintf(`{"n":%d}`, i)), at)
	}
	end()
	ms := s.Read(t, s.Topics.Roster)
	if len(ms) != 50 {
		t.Fatalf("%d messages", len(ms))
	}
	order := map[string][]int{}
	for _, m := range ms {
		var n int
		if _, err := fmt.Sscanf(string(m.Value), `{"n":%d}`, &n); err != nil || m.Key != fmt.Sprint("key-", n%5) || m.Time.UnixMilli() != at.UnixMilli() {
			t.Errorf("%q %s %v: %v", m.Key, m.Value, m.Time, err)
		}
		order[m.Key] = append(order[m.Key], n)
	}
	for k, ns := range order {
		if !slices.IsSorted(ns) {
			t.Errorf("records of %q are out of order: %v", k, ns)
		}
	}
	topics := s.Ledger.Report(time.Now()).Topics
	if len(topics) != 1 || topics[0].Topic != s.Topics.Roster || topics[0].Acknowledged != 50 {
		t.Errorf("ledger %+v", topics)
	}
}

func waitsForRun(t *testing.T, s Subject) {
	for i := range 20 {
		s.Sink.Put(Snapshot("early", i))
	}
	if total := s.Ledger.Report(time.Now()).Total; total.InMemory != 20 {
		t.Errorf("before Run: %+v", total)
	}
	s.Go(t)()
	if total := s.Ledger.Report(time.Now()).Total; total.Acknowledged != 20 {
		t.Errorf("after Run: %+v", total)
	}
	if n := IDs(t, s.Read(t, s.Topics.Snapshots)); n != 20 {
		t.Errorf("%d snapshots in the topic", n)
	}
}

func afterTheEnd(t *testing.T, s Subject) {
	end := s.Go(t)
	s.Sink.Put(Snapshot("last", 1))
	end()
	s.Sink.Put(Snapshot("last", 2))
	s.Sink.Publish(s.Topics.Roster, "k", []byte("{}"), time.Now())
	r := s.Ledger.Report(time.Now())
	if r.Total.Acknowledged != 1 || r.Total.Reasons[sink.DroppedClosed] != 1 || !r.Total.Balanced() {
		t.Errorf("ledger %+v", r.Total)
	}
	if len(r.Topics) != 1 || r.Topics[0].Reasons[sink.DroppedClosed] != 1 {
		t.Errorf("ledger of topics %+v", r.Topics)
	}
	if n := len(s.Read(t, s.Topics.Snapshots)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func ledgerBalances(t *testing.T, s Subject) {
	end := s.Go(t)
	stop := make(chan struct{})
	var watch, put sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r := s.Ledger.Report(time.Now())
			for _, sum := range r.Services {
				if !sum.Balanced() {
					t.Errorf("%+v does not balance", sum)
					return
				}
			}
		}
	})
	for w := range 3 {
		put.Go(func() {
			for i := range 200 {
				s.Sink.Put(Snapshot(fmt.Sprint("s", i%3), w*200+i))
				if i%10 == 0 {
					s.Sink.Publish(s.Topics.Roster, "k", []byte("{}"), time.Now())
				}
			}
		})
	}
	put.Wait()
	end()
	close(stop)
	watch.Wait()
	if r := s.Ledger.Report(time.Now()); r.Total.Acknowledged != 600 || r.Total.InMemory != 0 {
		t.Errorf("ledger %+v", r.Total)
	}
}

func publishRefuses(t *testing.T, s Subject) {
	end := s.Go(t)
	s.Sink.Publish(s.Topics.Findings, "k", bytes.Repeat([]byte("x"), 2<<20), time.Now())
	s.Sink.Publish("a.topic.that.is.not.configured", "k", []byte("{}"), time.Now())
	end()
	for _, sum := range s.Ledger.Report(time.Now()).Topics {
		if sum.Dropped != 1 || !sum.Balanced() {
			t.Errorf("%+v", sum)
		}
	}
}

// settled waits until nothing waits.
func (s *Subject) settled(t testing.TB) sink.Sums {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r := s.Ledger.Report(time.Now())
		if r.Total.Waiting() == 0 {
			return r.Total
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting: %+v", r.Total)
		}
	}
}
