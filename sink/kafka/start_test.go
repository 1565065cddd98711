package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Kafka is away when we start and turns out to have another number of partitions than we believed: nobody waits, nothing is lost, and every record
// is where its key belongs.
func TestKafkaAwayAtStart(t *testing.T) {
	addr := "127.0.0.1:" + strconv.Itoa(testenv.Port(t))
	s := subject(t, addr, nil)
	k := s.Sink.(*Sink)
	end := s.Go(t)
	began := time.Now()
	for i := range 500 {
		s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%20), i))
		s.Sink.Publish(s.Topics.Roster, fmt.Sprint("k", i%7), []byte("{}"), time.Now())
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("500 puts took %v", took)
	}
	until(t, "the trouble to be told", func() bool { return k.Status().Trouble != "" })
	fake(t, kfake.Ports(mustPort(t, addr)), kfake.SeedTopics(5, s.Topics.Snapshots, s.Topics.Backfill))
	until(t, "all to be acknowledged", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
	for i := range 100 {
		s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%20), 500+i))
	}
	end()
	got := append(s.Read(t, s.Topics.Snapshots), s.Read(t, s.Topics.Backfill)...)
	if n := sinktest.IDs(t, got); n != 600 {
		t.Errorf("%d snapshots in the topics", n)
	}
	for _, m := range got {
		var r wire.Record
		if err := wire.Decode(m.Value, &r); err != nil || r.ID.Partition != wire.Partition(m.Key, 5) {
			t.Errorf("%s is not in the partition of %s: %v", r.ID, m.Key, err)
		}
	}
	if n := len(s.Read(t, s.Topics.Roster)); n != 500 {
		t.Errorf("%d roster records", n)
	}
	if st := k.Status(); st.Trouble != "" || st.Memory != 0 {
		t.Errorf("status %+v", st)
	}
}

func mustPort(t *testing.T, addr string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Each start tells where the one before ended, until one of its own records is acknowledged, and knows Kafka's partitions while Kafka is away.
func TestNextStartKnows(t *testing.T) {
	dir := t.TempDir()
	addr, stop := embedded(t, broker.Config{DataDir: t.TempDir(), Partitions: 3})
	start := func(n uint64) (sinktest.Subject, *Sink) {
		s := subject(t, addr, func(c *Config) {
			c.StoragePath, c.Partitions, c.Drain = dir, 3, 20*time.Second
			c.Ledger = sink.NewLedger(sink.Identity{Collector: 7, Start: n}, time.Now())
			if n > 1 {
				c.Partitions = 12
			}
		})
		return s, s.Sink.(*Sink)
	}
	first, _ := start(1)
	end := first.Go(t)
	for i := range 10 {
		first.Sink.Put(sinktest.Snapshot("checkout", i))
	}
	end()
	st, err := loadState(dir)
	part := wire.Partition("checkout/prod", 3)
	if err != nil || !st.Clean || st.Start != 1 || st.Last[fmt.Sprint(part)] != fmt.Sprintf("0000000000000007/1/%d/10", part) || st.Partitions["rollcall.snapshots"] != 3 {
		t.Fatalf("state %+v, %v", st, err)
	}

	second, k := start(2)
	if n := len(k.backlog.snapshots.queues); n != 3 {
		t.Errorf("the second start believes in %d partitions", n)
	}
	end = second.Go(t)
	second.Sink.Put(sinktest.Snapshot("checkout", 0))
	until(t, "the first", func() bool { return second.Ledger.Report(time.Now()).Total.InMemory == 0 })
	second.Sink.Put(sinktest.Snapshot("checkout", 1))
	end()
	if second.Ledger.Report(time.Now()).Unclean != nil {
		t.Error("the first start ended in order")
	}
	var previous []string
	for _, m := range second.Read(t, second.Topics.Snapshots) {
		var r wire.Record
		if err := wire.Decode(m.Value, &r); err != nil {
			t.Fatal(err)
		}
		if r.ID.Start == 2 {
			previous = append(previous, fmt.Sprint(r.ID.Sequence, " after ", r.Source.Previous))
		}
	}
	if want := fmt.Sprintf("[1 after 0000000000000007/1/%d/10 2 after 0000000000000000/0/0/0]", part); fmt.Sprint(previous) != want {
		t.Errorf("previous %v, want %s", previous, want)
	}

	// A start that is killed leaves a state that is not clean.
	stop()
	third, k3 := start(3)
	ctx, cancel := context.WithCancel(context.Background())
	third.Sink.Put(sinktest.Snapshot("checkout", 0))
	kept := make(chan struct{})
	go func() { k3.keepState(ctx); close(kept) }()
	until(t, "the state", func() bool { st, err := loadState(dir); return err == nil && st.Start == 3 })
	cancel()
	<-kept
	fourth, _ := start(4)
	if u := fourth.Ledger.Report(time.Now()).Unclean; u == nil || u.Start != 3 {
		t.Errorf("unclean %+v", u)
	}
}

// A start that was killed before it had given a sequence, or seen Kafka, is the one that ended without order, not the one before it.
func TestKilledAtOnce(t *testing.T) {
	dir := t.TempDir()
	for start := uint64(1); start <= 3; start++ {
		s := subject(t, "127.0.0.1:1", func(c *Config) {
			c.StoragePath, c.Ledger = dir, sink.NewLedger(sink.Identity{Collector: 7, Start: start}, time.Now())
		})
		u := s.Ledger.Report(time.Now()).Unclean
		if start == 1 && u != nil || start > 1 && (u == nil || u.Start != start-1) {
			t.Errorf("start %d is told %+v", start, u)
		}
		end := s.Go(t)
		var left []byte
		until(t, "the state to be there", func() bool {
			st, err := loadState(dir)
			if err == nil && st.Start == start {
				left, err = os.ReadFile(filepath.Join(dir, stateFile))
			}
			return err == nil && left != nil
		})
		end()
		if err := os.WriteFile(filepath.Join(dir, stateFile), left, 0o600); err != nil { // as a kill would have left it
			t.Fatal(err)
		}
	}
}

func TestDamagedState(t *testing.T) {
	for _, content := range []string{"", "{", `{"v":7}`, `{"v":1,"start":1,"clean":true,"partitions":{"rollcall.snapshots":-5},"last":{"0":"junk","1":"0000000000000007/9/1/1","2":"0000000000000008/1/1/1"}}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := subject(t, "127.0.0.1:1", func(c *Config) { c.StoragePath = dir })
		k := s.Sink.(*Sink)
		if n := len(k.backlog.snapshots.queues); n != 12 {
			t.Errorf("%q: %d partitions", content, n)
		}
		if k.backlog.previous.Load() != 0 {
			t.Errorf("%q: tells of a start before", content)
		}
	}
}

func FuzzState(f *testing.F) {
	st := state{Version: 1, Start: 1, Partitions: map[string]int{"rollcall.snapshots": 3}, Last: map[string]string{"0": "0000000000000007/1/0/10"}}
	b, _ := json.Marshal(st)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var st state
		if json.Unmarshal(b, &st) != nil {
			return
		}
		for topic, n := range st.Partitions {
			if n > 1000 {
				st.Partitions[topic] = 1000 // no memory for the fuzzer's fancies
			}
		}
		l := newBacklog(&Config{Ledger: sink.NewLedger(sink.Identity{Collector: 7, Start: 2}, time.Now())}, nil)
		l.recall(st, 3)
		l.tell("a/b")
		l.note(time.Now(), true)
	})
}

func TestConfig(t *testing.T) {
	ledger := sink.NewLedger(sink.Identity{Collector: 1, Start: 1}, time.Now())
	ok := func(change func(*Config)) Config {
		c := Config{Brokers: []string{"h:1"}, Ledger: ledger}
		change(&c)
		return c
	}
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{ok(func(*Config) {}), ""},
		{Config{Ledger: ledger}, "no brokers"},
		{Config{Brokers: []string{"h:1"}}, "no ledger"},
		{ok(func(c *Config) { c.Ledger = sink.NewLedger(sink.Identity{}, time.Now()) }), "no identity"},
		{ok(func(c *Config) { c.Brokers = []string{"h"} }), `broker "h": want host:port`},
		{ok(func(c *Config) { c.Topics.Roster = "a b" }), `topic "a b"`},
		{ok(func(c *Config) { c.Topics.Roster = ".." }), `topic ".."`},
		{ok(func(c *Config) { c.Topics.Roster = "rollcall.snapshots" }), "named twice"},
		{ok(func(c *Config) { c.Linger = time.Minute }), "linger 1m0s"},
		{ok(func(c *Config) { c.LiveMaxAge = 1 }), "live_max_age"},
		{ok(func(c *Config) { c.MemoryBytes = 1 }), "at least 4 MiB"},
		{ok(func(c *Config) { c.Drain = -1 }), "drain"},
		{ok(func(c *Config) { c.Timeout = 1 }), "timeout"},
		{ok(func(c *Config) { c.Partitions = -1 }), "partitions"},
		{ok(func(c *Config) { c.Replication = 99 }), "replication"},
		{ok(func(c *Config) { c.SASL.Username = "u" }), "without a mechanism"},
		{ok(func(c *Config) { c.SASL = login.SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"} }), "want PLAIN"},
		{ok(func(c *Config) { c.SASL = login.SASL{Mechanism: "PLAIN"} }), "no username"},
		{ok(func(c *Config) { c.SASL = login.SASL{Mechanism: "PLAIN", Username: "u"} }), "one of password"},
		{ok(func(c *Config) {
			c.SASL = login.SASL{Mechanism: "PLAIN", Username: "u", Password: "p", PasswordFile: "f"}
		}), "one of password"},
	} {
		_, err := New(tc.c)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("New(%+v) = %v, want %q", tc.c, err, tc.want)
		}
	}
}
