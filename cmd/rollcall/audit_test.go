package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/audit"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// rollcall runs the program with arguments, and gives what it says and how it ends.
func rollcall(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, bad bytes.Buffer
	code = run(ctx, args, strings.NewReader(""), &out, &bad)
	return out.String(), bad.String(), code
}

// deliver puts snapshots through a real sink, as one start of a collector: n services, some of them late, one too large for a record.
func deliver(t *testing.T, broker string, start uint64, storage string, n int) {
	t.Helper()
	ledger := sink.NewLedger(sink.Identity{Collector: 0x9f3c2a7be01d44c1, Start: start}, time.Now())
	s, err := kafka.New(kafka.Config{Brokers: []string{broker}, Ledger: ledger, Partitions: 3, StoragePath: storage, Drain: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for i := range n {
		snap := sinktest.Snapshot(fmt.Sprint("service-", i%30), i)
		if i < n/5 {
			snap.Time = snap.Time.Add(-time.Minute) // late: the other lane
		}
		if i == n/2 {
			for len(snap.Samples) < 12 {
				big := snap.Samples[2]
				big.Name, big.Value = fmt.Sprint("text-", len(snap.Samples)), strings.Repeat("x", 200_000)
				snap.Samples = append(snap.Samples, big)
			}
		}
		if i == n/5 {
			testenv.Eventually(t, "what is late to be delivered", func() bool { return ledger.Report(time.Now()).Total.InMemory == 0 })
		}
		s.Put(snap)
		snap.Release()
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := ledger.Report(time.Now()); r.Total.Acknowledged != uint64(n) {
		t.Fatalf("%+v", r.Total)
	}
}

// copyTopic writes a topic's records into another, partition by partition, as change gives them.
func copyTopic(t *testing.T, broker, from, to string, change func(partition int, ms []readback.Message) []readback.Message) {
	t.Helper()
	ctx := t.Context()
	c, err := readback.New(readback.Config{Brokers: []string{broker}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spans, err := c.Spans(ctx, time.Time{}, from)
	if err != nil {
		t.Fatal(err)
	}
	client := &kafkago.Client{Addr: kafkago.TCP(broker)}
	made, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{Topic: to, NumPartitions: len(spans), ReplicationFactor: 1}}})
	if err != nil || made.Errors[to] != nil {
		t.Fatal(err, made)
	}
	for _, s := range spans {
		var ms []readback.Message
		if err := c.Read(ctx, s, func(m readback.Message) error { ms = append(ms, m); return nil }); err != nil {
			t.Fatal(err)
		}
		var rs []kafkago.Record
		for _, m := range change(s.Partition, ms) {
			rs = append(rs, kafkago.Record{Key: kafkago.NewBytes(m.Key), Value: kafkago.NewBytes(m.Value), Time: m.Time})
		}
		for len(rs) > 0 {
			n := min(len(rs), 1) // one at a time: parts are large
			res, err := client.Produce(ctx, &kafkago.ProduceRequest{Topic: to, Partition: s.Partition, RequiredAcks: kafkago.RequireAll, Records: kafkago.NewRecordReader(rs[:n]...)})
			if err != nil || res.Error != nil {
				t.Fatal(err, res)
			}
			rs = rs[n:]
		}
	}
}

func idOf(t *testing.T, m readback.Message) string {
	var r wire.Record
	if err := wire.Decode(m.Value, &r); err != nil {
		t.Fatal(err)
	}
	return r.ID.String()
}

func TestAudit(t *testing.T) {
	b := newTestBroker(t)
	b.start()
	storage := t.TempDir()
	deliver(t, b.addr, 1, storage, 200)
	deliver(t, b.addr, 2, storage, 100)

	out, bad, code := rollcall(t, "audit", "--since=all", "--kafka="+b.addr)
	if code != 0 || bad != "reads the topics rollcall.snapshots and rollcall.snapshots.backfill of Kafka at "+b.addr+", as --kafka says\n" || !strings.HasSuffix(out, "nothing lost, nothing doubled, of all that the topics have\n") || !strings.Contains(out, "2 starts of collectors") {
		t.Fatalf("code %d\n%s%s", code, out, bad)
	}

	// The live lane of every partition: one removed in the middle, the last of the first start removed, one doubled at the end, two that change places.
	var removed, doubled, moved []string
	copyTopic(t, b.addr, "rollcall.snapshots", "t.live", func(_ int, ms []readback.Message) []readback.Message {
		out := slices.Clone(ms)
		var last wire.ID
		at := 0
		for i, m := range out {
			if id, _ := wire.ParseID(idOf(t, m)); id.Start == 1 && id.Sequence > last.Sequence {
				last, at = id, i
			}
		}
		for i := 12; ; i++ { // whole neighbours of one service and one start, both of which stay
			a, b := idOf(t, out[i]), idOf(t, out[i+1])
			if string(out[i].Key) == string(out[i+1].Key) && a[17] == b[17] && strings.Count(a+b, "/") == 6 && i != at && i+1 != at {
				moved = append(moved, a)
				out[i], out[i+1] = out[i+1], out[i]
				break
			}
		}
		removed, doubled = append(removed, idOf(t, out[3]), last.String()), append(doubled, idOf(t, out[7]))
		out = append(out, out[7])
		return slices.Delete(slices.Delete(out, at, at+1), 3, 4)
	})
	copyTopic(t, b.addr, "rollcall.snapshots.backfill", "t.late", func(_ int, ms []readback.Message) []readback.Message { return ms })
	file := filepath.Join(t.TempDir(), "rollcall.yml")
	text := fmt.Sprintf("kafka:\n  brokers: [%q]\n  topics: {snapshots: t.live, backfill: t.late}\n", b.addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, bad, code = rollcall(t, "audit", "--since=all", "--grace=0s", "--format=json", "--config.file="+file)
	var r struct {
		Sound bool
		audit.Report
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 1 || r.Sound {
		t.Fatalf("%v, code %d\n%s%s", err, code, out, bad)
	}
	missing := map[string]bool{}
	for _, g := range r.Gaps {
		for s := g.First; s <= g.Last; s++ {
			missing[fmt.Sprintf("%s/%d/%d/%d", g.Collector, g.Start, g.Partition, s)] = true
		}
	}
	for _, i := range r.Incomplete {
		missing[i.ID] = true
	}
	whole := func(ids []string) (out []string) {
		for _, id := range ids {
			w, err := wire.ParseID(id)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, w.Whole().String())
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	var twice, behind []string
	for _, d := range r.Doubled.List {
		twice = append(twice, d.ID)
	}
	for _, d := range r.OutOfOrder.List {
		behind = append(behind, d.ID)
	}
	if got := slices.Sorted(maps.Keys(missing)); !slices.Equal(got, whole(removed)) || int(r.Lost) != len(got) {
		t.Errorf("missing %v\nremoved %v", got, whole(removed))
	}
	slices.Sort(twice)
	slices.Sort(doubled)
	slices.Sort(behind)
	slices.Sort(moved)
	if !slices.Equal(twice, doubled) || !slices.Equal(behind, moved) || r.PulledTwice.N+r.Misplaced.N+r.Unreadable.N != 0 {
		t.Errorf("doubled %v, the audit says %v; moved %v, the audit says %v; %+v", doubled, twice, moved, behind, r.Report)
	}
	out, _, code = rollcall(t, "audit", "--since=1h", "--grace=0s", "--config.file="+file)
	if code != 1 || strings.Count(out, "MISSING ") != len(r.Gaps)+len(r.Incomplete) || strings.Count(out, "DOUBLED ") != 3 || !strings.Contains(out, "3 doubled, since ") {
		t.Errorf("code %d\n%s", code, out)
	}
	// A collector's ledger says why, and what is still to come.
	gone, err := wire.ParseID(removed[0])
	if err != nil {
		t.Fatal(err)
	}
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"collector":%q,"start":%d,"total":{"scraped":3,"in_memory":3},"losses":[{"reason":"budget","partition":%d,"first":%d,"last":%d,"n":1}]}`,
			wire.FormatCollector(gone.Collector), gone.Start, gone.Partition, gone.Sequence, gone.Sequence)
	}))
	defer far.Close()
	out, _, code = rollcall(t, "audit", "--since=all", "--grace=0s", "--config.file="+file, "--collector="+far.URL)
	if code != 1 || strings.Count(out, "the collector dropped them: budget") != 1 || !strings.HasPrefix(out, "collector 9f3c2a7be01d44c1 has still to deliver 3 snapshots") {
		t.Errorf("code %d\n%s", code, out)
	}
	if out, bad, code := rollcall(t, "audit", "--kafka=127.0.0.1:1"); code != 1 || !strings.Contains(bad, "no broker answers at 127.0.0.1:1") {
		t.Errorf("code %d: %s%s", code, out, bad)
	}
	if _, bad, code := rollcall(t, "audit", "--since=soon"); code != 2 || !strings.Contains(bad, "--since=soon") {
		t.Errorf("code %d: %s", code, bad)
	}

	// Any record is found by its id, and says how it came to be.
	for _, tc := range []struct{ id, says string }{
		{moved[0], "It was delivered fresh, in the live lane: topic rollcall.snapshots, partition "},
		{"9f3c2a7be01d44c1/1/0/1", "offset"},
		{"9f3c2a7be01d44c1/2/1/1", "It also tells where the start before had ended in this partition: 9f3c2a7be01d44c1/1/1/"},
	} {
		out, bad, code := rollcall(t, "why", tc.id, "--kafka="+b.addr)
		if code != 0 || !strings.Contains(out, tc.says) || !strings.HasPrefix(out, "This is the pull of service-") || !strings.Contains(out, "It holds 3 samples: 1 counter, 1 gauge, 1 label.") {
			t.Errorf("%s: code %d\n%s%s", tc.id, code, out, bad)
		}
	}
	parts := ""
	for _, id := range allIDs(t, b.addr, "rollcall.snapshots") {
		if strings.Count(id, "/") == 4 {
			parts = id
		}
	}
	out, bad, code = rollcall(t, "why", "--json", parts, "--kafka="+b.addr)
	var w whyRecord
	if err := json.Unmarshal([]byte(out), &w); err != nil || code != 0 || w.ID != parts || w.Lane != "live" || !strings.Contains(strings.Join(w.Sentences, " "), " of 3.") || !json.Valid(w.Record) {
		t.Errorf("%s: %v, code %d\n%.300s%s", parts, err, code, out, bad)
	}
	if out, bad, code := rollcall(t, "why", "9f3c2a7be01d44c1/7/1/1", "--kafka="+b.addr); code != 1 || !strings.Contains(bad, "stands in neither") {
		t.Errorf("code %d: %s%s", code, out, bad)
	}
}

func allIDs(t *testing.T, broker, topic string) (out []string) {
	t.Helper()
	eachRecord(t, broker, topic, func(m readback.Message) { out = append(out, idOf(t, m)) })
	return out
}

// eachRecord calls f with everything that a topic has.
func eachRecord(t *testing.T, broker, topic string, f func(readback.Message)) {
	t.Helper()
	c, err := readback.New(readback.Config{Brokers: []string{broker}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spans, err := c.Spans(t.Context(), time.Time{}, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		if err := c.Read(t.Context(), s, func(m readback.Message) error { f(m); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// Among many records of several collectors one is found by a few jumps.
func TestFindRecord(t *testing.T) {
	b := newTestBroker(t)
	b.start()
	client := &kafkago.Client{Addr: kafkago.TCP(b.addr)}
	made, err := client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{Topic: "many", NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || made.Errors["many"] != nil {
		t.Fatal(err, made)
	}
	const n = 60_000
	var rs []kafkago.Record
	for i := range n {
		id := wire.ID{Collector: 1 + uint64(i%2), Start: 1 + uint64(i/(n/2)), Sequence: uint64(1 + i%(n/2))}
		rs = append(rs, kafkago.Record{Value: kafkago.NewBytes(wire.AppendSnapshot(nil, sinktest.Snapshot("s", i), id, wire.Provenance{}))})
		if len(rs) == 2000 {
			if res, err := client.Produce(t.Context(), &kafkago.ProduceRequest{Topic: "many", RequiredAcks: kafkago.RequireAll, Records: kafkago.NewRecordReader(rs...)}); err != nil || res.Error != nil {
				t.Fatal(err, res)
			}
			rs = nil
		}
	}
	c, err := readback.New(readback.Config{Brokers: []string{b.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Span(t.Context(), "many", 0, time.Time{})
	if err != nil || s.Len() != n {
		t.Fatal(err, s)
	}
	for _, i := range []int{0, 1, 17, 29_999, 30_000, 44_444, n - 1} {
		id := wire.ID{Collector: 1 + uint64(i%2), Start: 1 + uint64(i/(n/2)), Sequence: uint64(1 + i%(n/2))}
		m, r, err := findRecord(t.Context(), c, s, id)
		if err != nil || m == nil || m.Offset != int64(i) || r.ID != id {
			t.Errorf("%v: %v, %+v", id, err, m)
		}
	}
	if m, _, err := findRecord(t.Context(), c, s, wire.ID{Collector: 3, Start: 1, Sequence: 1}); m != nil || err != nil {
		t.Errorf("%v: %+v", err, m)
	}
}
