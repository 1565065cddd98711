// Package exporttest holds the promises of an export as tests: every output passes the same ones, behind the same exporter and a broker.
package exporttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Subject is an output under test, with an empty place behind it.
type Subject struct {
	// Output makes an output to that place, as a new process does.
	Output func(t testing.TB) export.Output
	// Delivered is how often each record was delivered to the place, by its instance: Fill gives each one of its own.
	Delivered func(t testing.TB) map[string]int
	// Break makes the place refuse what comes, or take it again.
	Break func(broken bool)
	// Twice says that what was delivered and not committed before a kill may be delivered again.
	Twice bool
}

// Rig is a broker with the two lanes.
type Rig struct {
	Addr            string
	Snapshots, Late string
	Group           string

	client *kafka.Client
	seq    map[int32]uint64
	n      int
}

const partitions = 3

// Broker runs the embedded broker for a test, and is its address.
func Broker(t testing.TB) string {
	t.Helper()
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return b.Addr()
}

// NewRig makes topics of its own on a broker.
func NewRig(t testing.TB, addr string) *Rig {
	t.Helper()
	name := strings.NewReplacer("/", ".", " ", "-", "#", "-").Replace(t.Name())
	r := &Rig{Addr: addr, Snapshots: name + ".snapshots", Late: name + ".backfill", Group: name, seq: map[int32]uint64{}, client: &kafka.Client{Addr: kafka.TCP(addr), Timeout: 10 * time.Second, Transport: &kafka.Transport{}}}
	t.Cleanup(r.client.Transport.(*kafka.Transport).CloseIdleConnections)
	var topics []kafka.TopicConfig
	for _, topic := range []string{r.Snapshots, r.Late} {
		topics = append(topics, kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1})
	}
	made, err := r.client.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: topics})
	if err != nil || made.Errors[r.Snapshots] != nil || made.Errors[r.Late] != nil {
		t.Fatal(err, made)
	}
	return r
}

// Snapshot is the n-th of the rig: its instance has the number in its port and host.
func Snapshot(n int) *collector.Snapshot {
	return &collector.Snapshot{
		Instance: discovery.Instance{Key: discovery.Key{Service: fmt.Sprint("service-", n%7), Env: "prod", Host: fmt.Sprintf("10.%d.0.5", n>>14), Port: uint16(1 + n&0x3fff)}, Shard: discovery.NoShard},
		Time:     time.Now().Add(-time.Minute).Truncate(time.Millisecond), Took: time.Millisecond, Interval: time.Second, Tags: discovery.TagsOf(map[string]string{"team": "payments"}),
		Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: fmt.Sprint(1000 + n)}, {Name: "heap", Kind: collector.Gauge, Value: fmt.Sprint(n, ".5")}},
	}
}

// Fill writes n more snapshots, every fourth into the late lane, and gives their instances.
func (r *Rig) Fill(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for range n {
		s := Snapshot(r.n)
		lane := r.Snapshots
		if r.n%4 == 3 {
			lane = r.Late
		}
		r.n++
		out = append(out, s.Instance.Addr())
		r.put(t, lane, s, 1)
	}
	return out
}

// put writes a snapshot so many times.
func (r *Rig) put(t testing.TB, topic string, s *collector.Snapshot, times int) {
	t.Helper()
	key := s.Instance.Service + "/" + s.Instance.Env
	p := wire.Partition(key, partitions)
	r.seq[p]++
	body := wire.AppendSnapshot(nil, s, wire.ID{Collector: 0x9f3c2a7be01d44c1, Start: 1, Partition: p, Sequence: r.seq[p]}, wire.Provenance{})
	for range times {
		r.Raw(t, topic, p, key, body, s.Time)
	}
}

// Raw writes any bytes.
func (r *Rig) Raw(t testing.TB, topic string, p int32, key string, body []byte, at time.Time) {
	t.Helper()
	var said error
	testenv.Eventually(t, "a record to be written", func() bool { // a topic that was just made has no leader yet
		res, err := r.client.Produce(context.Background(), &kafka.ProduceRequest{Topic: topic, Partition: int(p), RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte(key)), Value: kafka.NewBytes(body), Time: at})})
		if err == nil {
			err = res.Error
		}
		said = err
		return !errors.Is(err, kafka.NotLeaderForPartition) && !errors.Is(err, kafka.LeaderNotAvailable) && !errors.Is(err, kafka.UnknownTopicOrPartition)
	})
	if said != nil {
		t.Fatal(said)
	}
}

// Run is one process of an exporter.
type Run struct {
	X       *export.Exporter
	Metrics *metrics.Set
	cut     chan struct{}
	end     func()
}

// Start runs an exporter of the rig's topics from their beginning; change may alter its configuration.
func (r *Rig) Start(t testing.TB, out export.Output, change func(*export.Config)) *Run {
	t.Helper()
	run := &Run{Metrics: metrics.NewSet(), cut: make(chan struct{})}
	c := export.Config{Name: "test", Brokers: []string{r.Addr}, Group: r.Group, Snapshots: r.Snapshots, Backfill: r.Late, From: export.All, Output: out, Linger: 10 * time.Millisecond,
		CommitEvery: 50 * time.Millisecond, Session: 6 * time.Second, Cut: run.cut, Metrics: run.Metrics, Logger: slog.New(slog.NewTextHandler(&logWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if change != nil {
		change(&c)
	}
	x, err := export.New(c)
	if err != nil {
		t.Fatal(err)
	}
	run.X = x
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	run.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(run.end)
	return run
}

// End ends the exporter as a signal does.
func (r *Run) End() { r.end() }

// Kill ends it without a drain and without a commit.
func (r *Run) Kill() {
	close(r.cut)
	r.end()
}

// Committed is the sum of the group's offsets.
func (r *Rig) Committed(t testing.TB) (n int64) {
	t.Helper()
	all := []int{0, 1, 2}
	res, err := r.client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: r.Group, Topics: map[string][]int{r.Snapshots: all, r.Late: all}})
	if err == nil {
		err = res.Error
	}
	for _, none := range []error{kafka.GroupIdNotFound, kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable, kafka.GroupLoadInProgress} {
		if errors.Is(err, none) { // nobody has committed yet, or it cannot be known yet
			return 0
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, ps := range res.Topics {
		for _, p := range ps {
			n += max(0, p.CommittedOffset)
		}
	}
	return n
}

type logWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() != nil { // the test is over
		return 0, errors.New("the test is over")
	}
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// all reports whether each instance was delivered, once unless twice is allowed.
func all(t testing.TB, s Subject, want []string, twice bool) {
	t.Helper()
	got := s.Delivered(t)
	seen := maps.Clone(got)
	for _, in := range want {
		switch n := got[in]; {
		case n == 0:
			t.Errorf("%s is lost", in)
		case n > 1 && !twice:
			t.Errorf("%s was delivered %d times", in, n)
		}
		delete(seen, in)
	}
	for in := range seen {
		t.Errorf("%s was delivered, and nobody asked for it", in)
	}
}

// arrived reports whether each instance was delivered.
func arrived(t testing.TB, s Subject, want []string) func() bool {
	return func() bool {
		got := s.Delivered(t)
		for _, in := range want {
			if got[in] == 0 {
				return false
			}
		}
		return true
	}
}

// Check checks the outputs that make gives against the contract.
func Check(t *testing.T, make func(t *testing.T, broker string) Subject) { CheckAt(t, Broker(t), make) }

// CheckAt is Check behind another broker; only names the cases, none: all.
func CheckAt(t *testing.T, addr string, make func(t *testing.T, broker string) Subject, only ...string) {
	t.Helper()
	for _, tc := range []struct {
		name string
		test func(t *testing.T, r *Rig, s Subject)
	}{
		{"EveryRecordOnce", everyRecordOnce},
		{"FilterLetsPass", filterLetsPass},
		{"DoublesAreSkipped", doublesAreSkipped},
		{"UnreadableIsPassedOver", unreadable},
		{"RestartLosesNothing", restart},
		{"KillLosesNothing", kill},
		{"NothingCommittedBeforeDelivered", notBefore},
		{"DeadOneBlocksOnlyItself", blocksOnlyItself},
		{"TwoShareTheWork", twoShare},
		{"EndDrains", drains},
	} {
		if len(only) > 0 && !slices.Contains(only, tc.name) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // each waits for brokers most of the time
			tc.test(t, NewRig(t, addr), make(t, addr))
		})
	}
}

func everyRecordOnce(t *testing.T, r *Rig, s Subject) {
	want := r.Fill(t, 100)
	run := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "all to be delivered", arrived(t, s, want))
	want = append(want, r.Fill(t, 20)...)
	testenv.Eventually(t, "all to be committed", func() bool { return r.Committed(t) == 120 })
	if st := run.X.Status(); st.Records != 120 || st.Lag != 0 || st.Partitions != 6 || st.Newest == 0 || st.Trouble != "" {
		t.Errorf("%+v", st)
	}
	run.End()
	all(t, s, want, false)
}

func filterLetsPass(t *testing.T, r *Rig, s Subject) {
	every := r.Fill(t, 70)
	var want []string
	for i, in := range every {
		if i%7 == 3 {
			want = append(want, in)
		}
	}
	run := r.Start(t, s.Output(t), func(c *export.Config) { c.Filter.Services = []string{"service-3/p*", "nobody"} })
	testenv.Eventually(t, "all to be committed", func() bool { return r.Committed(t) == 70 })
	run.End()
	all(t, s, want, false)
}

func doublesAreSkipped(t *testing.T, r *Rig, s Subject) {
	var want []string
	for i := range 10 {
		snap := Snapshot(i)
		want = append(want, snap.Instance.Addr())
		r.put(t, r.Snapshots, snap, 1+i%3)
	}
	r.n = 10
	want = append(want, r.Fill(t, 5)...)
	run := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "all to be committed", func() bool { return r.Committed(t) == 24 })
	run.End()
	all(t, s, want, false)
	if n := run.Metrics.GetOrCreateCounter(`rollcall_export_skipped_total{export="test",reason="double"}`).Get(); n != 9 {
		t.Errorf("%d doubles were counted", n)
	}
}

func unreadable(t *testing.T, r *Rig, s Subject) {
	r.Raw(t, r.Snapshots, 1, "a/b", []byte("{"), time.Now())
	want := r.Fill(t, 20)
	r.Raw(t, r.Snapshots, 1, "a/b", nil, time.Now())
	run := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "all to be committed", func() bool { return r.Committed(t) == 22 })
	run.End()
	all(t, s, want, false)
}

func restart(t *testing.T, r *Rig, s Subject) {
	var want []string
	for range 3 {
		want = append(want, r.Fill(t, 40)...)
		run := r.Start(t, s.Output(t), nil)
		testenv.Eventually(t, "all to be delivered", arrived(t, s, want))
		run.End()
	}
	all(t, s, want, false)
}

func kill(t *testing.T, r *Rig, s Subject) {
	var want []string
	for i := range 3 {
		want = append(want, r.Fill(t, 60)...)
		run := r.Start(t, s.Output(t), func(c *export.Config) {
			c.CommitEvery = time.Minute // what is delivered is not committed
			c.BatchRecords = 7
		})
		if i < 2 {
			testenv.Eventually(t, "some to be delivered", func() bool { return len(s.Delivered(t)) > 60*i+20 })
			run.Kill()
		} else {
			testenv.Eventually(t, "all to be delivered", arrived(t, s, want))
			run.End()
		}
	}
	all(t, s, want, s.Twice)
}

func notBefore(t *testing.T, r *Rig, s Subject) {
	s.Break(true)
	want := r.Fill(t, 50)
	run := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "the output to be missed", func() bool { return run.X.Status().Trouble != "" })
	if n := r.Committed(t); n != 0 {
		t.Errorf("%d were committed, and none delivered", n)
	}
	s.Break(false)
	testenv.Eventually(t, "all to be committed", func() bool { return r.Committed(t) == 50 && run.X.Status().Trouble == "" })
	run.End()
	all(t, s, want, false)
}

// nothing is an output that takes everything.
type nothing struct{}

func (nothing) Open(context.Context, int, string) (export.Part, export.Recall, error) {
	return nothing{}, export.Recall{}, nil
}
func (nothing) Write(context.Context, []export.Record) (string, error) { return "", nil }
func (nothing) Close() error                                           { return nil }

func blocksOnlyItself(t *testing.T, r *Rig, s Subject) {
	s.Break(true)
	want := r.Fill(t, 50)
	run := r.Start(t, s.Output(t), func(c *export.Config) { c.Drain = time.Second })
	testenv.Eventually(t, "the output to be missed", func() bool { return run.X.Status().Trouble != "" })
	other := r.Start(t, nothing{}, func(c *export.Config) { c.Group += ".other" })
	testenv.Eventually(t, "the other one to be done", func() bool { return other.X.Status().Records == 50 })
	run.End() // also while it is held up
	if n := r.Committed(t); n != 0 {
		t.Errorf("%d were committed, and none delivered", n)
	}
	s.Break(false)
	again := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "all to be delivered", arrived(t, s, want))
	again.End()
	all(t, s, want, s.Twice)
}

func twoShare(t *testing.T, r *Rig, s Subject) {
	want := r.Fill(t, 40)
	one := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "the first to be delivered", arrived(t, s, want))
	two := r.Start(t, s.Output(t), nil)
	testenv.Eventually(t, "both to have partitions", func() bool {
		a, b := one.X.Status().Partitions, two.X.Status().Partitions
		return a > 0 && b > 0 && a+b == 6
	})
	want = append(want, r.Fill(t, 40)...)
	testenv.Eventually(t, "all to be committed", func() bool { return r.Committed(t) == 80 })
	one.End()
	want = append(want, r.Fill(t, 40)...)
	testenv.Eventually(t, "the other to go on alone", func() bool { return r.Committed(t) == 120 })
	two.End()
	all(t, s, want, false)
}

func drains(t *testing.T, r *Rig, s Subject) {
	want := r.Fill(t, 30)
	run := r.Start(t, s.Output(t), func(c *export.Config) { c.Linger, c.CommitEvery = 10*time.Second, time.Minute })
	testenv.Eventually(t, "all to be read", func() bool { return run.X.Status().Lag == 30 })
	run.End() // what was read and waits for company is delivered and committed
	if n := r.Committed(t); n != 30 {
		t.Errorf("%d committed", n)
	}
	all(t, s, want, false)
}

// Put writes one snapshot into the live lane.
func (r *Rig) Put(t testing.TB, s *collector.Snapshot) { r.put(t, r.Snapshots, s, 1) }

// Golden is sinktest's snapshots as an output gets them, in the order of their names.
func Golden(t testing.TB) (out []export.Record) {
	t.Helper()
	all := sinktest.Golden(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := new(wire.Record)
		if err := wire.Decode(all[name], r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, export.Record{Record: r, Raw: all[name]})
	}
	return out
}
