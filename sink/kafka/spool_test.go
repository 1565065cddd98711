package kafka

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// onDisk gives a sink a spool in a folder.
func onDisk(dir string) func(*Config) {
	return func(c *Config) { c.Spool = &spool.Config{Path: dir, MaxBytes: 64 << 20, SegmentBytes: 256 << 10} }
}

func TestContractOnDisk(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
		return subject(t, addr, onDisk(t.TempDir()))
	})
}

// startN is a sink that is the n-th start in a folder.
func startN(t *testing.T, addr, dir string, n uint64, change func(*Config)) (sinktest.Subject, *Sink) {
	t.Helper()
	s := subject(t, addr, func(c *Config) {
		onDisk(filepath.Join(dir, "spool"))(c)
		c.StoragePath = dir
		c.Ledger = sink.NewLedger(sink.Identity{Collector: 7, Start: n}, time.Now())
		if change != nil {
			change(c)
		}
	})
	return s, s.Sink.(*Sink)
}

// both reads the two lanes' topics.
func both(t *testing.T, s sinktest.Subject) []sinktest.Message {
	t.Helper()
	return append(s.Read(t, s.Topics.Snapshots), s.Read(t, s.Topics.Backfill)...)
}

// Kafka is away for longer than memory lasts, and over an end in order: all of it waits on disk, memory stays within its budget, and the next start
// delivers it.
func TestOutageWaitsOnDisk(t *testing.T) {
	addr, dir := "127.0.0.1:"+strconv.Itoa(testenv.Port(t)), t.TempDir()
	first, k := startN(t, addr, dir, 1, func(c *Config) { c.MemoryBytes, c.Drain = 4<<20, 10*time.Millisecond })
	end := first.Go(t)
	const n = 900
	for i := range n {
		s := random(fmt.Sprint("service-", i%20), i, 6000)
		if i%2 == 0 {
			s.Time = s.Time.Add(-time.Minute) // late
		}
		first.Sink.Put(s)
		if i%50 == 0 {
			until(t, "compression", func() bool { return !k.Behind() && k.Status().Memory < 3<<20 })
		}
	}
	first.Sink.Publish(first.Topics.Roster, "k", []byte("{}"), time.Now())
	until(t, "all to be on disk", func() bool { r := first.Ledger.Report(time.Now()).Total; return r.Spooled == n })
	if st := k.Status(); st.Memory > 4<<20 || st.Spool.Bytes < 5<<20 || st.Spool.Fault != nil {
		t.Errorf("%+v", st)
	}
	end()
	r := first.Ledger.Report(time.Now())
	if r.Total.Dropped != 0 || r.Total.Spooled != n || !r.Total.Balanced() {
		t.Errorf("ledger %+v", r.Total)
	}

	_, _ = embedded(t, broker.Config{Addr: addr, DataDir: t.TempDir()})
	second, _ := startN(t, addr, dir, 2, func(c *Config) { c.LiveMaxAge, c.Partitions = time.Second, 5 })
	end = second.Go(t)
	for i := range 100 {
		second.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%20), n+i))
	}
	until(t, "all to be delivered", func() bool {
		r := second.Ledger.Report(time.Now())
		return r.Total.Acknowledged == n+100 && len(r.Topics) == 1 && r.Topics[0].Acknowledged == 1
	})
	end()
	r = second.Ledger.Report(time.Now())
	if !r.Total.Balanced() || r.Total.Inherited != n || r.Total.Waiting() != 0 || r.Total.Dropped != 0 || r.Unclean != nil {
		t.Errorf("ledger %+v, %+v", r.Total, r.Unclean)
	}
	seen := once(t, both(t, second), 5)
	if len(seen) != n+100 {
		t.Errorf("%d in the topics", len(seen))
	}
	if len(second.Read(t, second.Topics.Backfill)) == 0 {
		t.Error("nothing was late")
	}
}

// once checks that each id, and each snapshot, is there once, and in its partition.
func once(t *testing.T, ms []sinktest.Message, partitions int) map[string]wire.ID {
	t.Helper()
	ids, seen := map[wire.ID]bool{}, map[string]wire.ID{}
	var r wire.Record
	for _, m := range ms {
		if err := wire.Decode(m.Value, &r); err != nil {
			t.Fatal(err)
		}
		if ids[r.ID] {
			t.Errorf("%v stands twice", r.ID)
		}
		ids[r.ID] = true
		for _, s := range r.Samples {
			if s.Name != "requests" {
				continue
			}
			if old, twice := seen[s.Value]; twice {
				t.Errorf("snapshot %s stands twice, as %v and %v", s.Value, old, r.ID)
			}
			seen[string([]byte(s.Value))] = r.ID
		}
		if r.ID.Partition != wire.Partition(m.Key, partitions) {
			t.Errorf("%v is not in the partition of %s", r.ID, m.Key)
		}
	}
	return seen
}

// What was attempted when a process died is sent by the next one with the stamp that it had: the broker, which has it, says so.
func TestAttemptOfAnEarlierStart(t *testing.T) {
	addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
	dir := t.TempDir()
	var cut cutter
	first, k := startN(t, addr, dir, 1, func(c *Config) { c.Dial, c.Drain = cut.dial, 10*time.Millisecond })
	end := first.Go(t)
	first.Sink.Put(sinktest.Snapshot("checkout", 1))
	until(t, "the first", func() bool { return first.Ledger.Report(time.Now()).Total.Acknowledged == 1 })
	cut.lose.Store(1 << 40)
	for i := range 10 {
		first.Sink.Put(sinktest.Snapshot("checkout", 2+i))
	}
	until(t, "a lost acknowledgement", func() bool { return cut.lost.Load() > 0 })
	open := k.backlog.store().Attempts()
	end()
	if len(open) != 1 {
		t.Fatalf("attempts %+v", open)
	}
	second, k2 := startN(t, addr, dir, 2, nil)
	end = second.Go(t)
	second.Sink.Put(sinktest.Snapshot("checkout", 20))
	until(t, "all", func() bool { return second.Ledger.Report(time.Now()).Total.Acknowledged == 11 })
	end()
	if seen := once(t, both(t, second), 12); len(seen) != 12 {
		t.Errorf("%d in the topic", len(seen))
	}
	if k2.metrics.maybeDouble.Get() != 0 || k2.metrics.resent.Get() != 1 {
		t.Errorf("%d may be double, %d sent again", k2.metrics.maybeDouble.Get(), k2.metrics.resent.Get())
	}
}

// A batch that is refused for good is set aside on disk, and hurts no other; taken back it is delivered.
func TestRefusedIsSetAside(t *testing.T) {
	c := fake(t)
	dir := t.TempDir()
	s, _ := startN(t, c.ListenAddrs()[0], dir, 1, func(c *Config) { c.Linger = time.Millisecond })
	answer(c, s.Topics.Snapshots, kerr.PolicyViolation.Code)
	end := s.Go(t)
	for i := range 10 {
		s.Sink.Put(sinktest.Snapshot("checkout", i))
		until(t, "it", func() bool { return s.Ledger.Report(time.Now()).Total.Waiting() == 0 })
	}
	end()
	r := s.Ledger.Report(time.Now())
	if r.Total.Acknowledged != 9 || r.Total.SetAside != 1 || r.Total.Aside["fatal"] != 1 || !r.Total.Balanced() || r.Total.Dropped != 0 {
		t.Errorf("ledger %+v", r.Total)
	}
	if o := r.Losses; len(o) != 1 || o[0].Reason != "set_aside" || o[0].N != 0 || o[0].First != 1 {
		t.Errorf("losses %+v", o)
	}
	var names []string
	path := filepath.Join(dir, "spool")
	if err := spool.Asides(path, func(a spool.Aside, err error) {
		names = append(names, a.Name)
		if err != nil || a.Reason != "fatal" || a.Topic != s.Topics.Snapshots || a.First != 1 || len(a.Counts) != 1 || a.Counts[0] != (spool.Count{Key: "checkout/prod", N: 1}) {
			t.Errorf("%+v, %v", a, err)
		}
	}); err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if a, err := spool.ReadAside(path, names[0]); err != nil || !bytes.Equal(a.Batch()[4+17:4+21], make([]byte, 4)) || !bytes.Equal(a.Batch()[4+43:4+57], make([]byte, 14)) {
		t.Errorf("it has a stamp, or %v", err)
	}
	sp, err := spool.Open(spool.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Retry(names[0]); err != nil {
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	second, _ := startN(t, c.ListenAddrs()[0], dir, 2, nil)
	second.Go(t)()
	if r := second.Ledger.Report(time.Now()); r.Total.Acknowledged != 1 || r.Total.Inherited != 1 {
		t.Errorf("ledger %+v", r.Total)
	}
	if seen := once(t, both(t, second), 12); len(seen) != 10 {
		t.Errorf("%d in the topic", len(seen))
	}
}

// The partitions become fewer while everything waits on disk, most of it in no memory: each record goes, under a new id, where its key belongs now.
func TestRekeyOnDisk(t *testing.T) {
	addr, dir := "127.0.0.1:"+strconv.Itoa(testenv.Port(t)), t.TempDir()
	first, k := startN(t, addr, dir, 1, func(c *Config) { c.Drain, c.Partitions, c.Linger = 10*time.Millisecond, 9, time.Millisecond })
	end := first.Go(t)
	for i := range 600 {
		first.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%30), i))
		if i%100 == 0 {
			until(t, "it", func() bool { return !k.Behind() && first.Ledger.Report(time.Now()).Total.InMemory == 0 })
		}
	}
	big := sinktest.Snapshot("big", 600)
	for i := range 30 {
		big.Samples = append(big.Samples, random("x", i, 40_000).Samples[3:]...)
	}
	first.Sink.Put(big)
	end()
	fake(t, kfake.Ports(mustPort(t, addr)), kfake.SeedTopics(4, first.Topics.Snapshots, first.Topics.Backfill))
	second, _ := startN(t, addr, dir, 2, func(c *Config) { c.Partitions = 9 })
	end = second.Go(t)
	until(t, "all", func() bool { return second.Ledger.Report(time.Now()).Total.Acknowledged == 601 })
	end()
	if seen := once(t, both(t, second), 4); len(seen) != 601 {
		t.Errorf("%d in the topics", len(seen))
	}
	if r := second.Ledger.Report(time.Now()); !r.Total.Balanced() || r.Total.Dropped != 0 {
		t.Errorf("ledger %+v", r.Total)
	}
}

// Past the spool's budget the oldest go, and are named; what is being attempted stays.
func TestSpoolBudget(t *testing.T) {
	dir := t.TempDir()
	s, k := startN(t, "127.0.0.1:1", dir, 1, func(c *Config) {
		c.Drain, c.Spool.MaxBytes, c.MemoryBytes = time.Millisecond, 16<<20, 8<<20
	})
	end := s.Go(t)
	for i := range 2500 {
		s.Sink.Put(random(fmt.Sprint("service-", i%9), i, 8000))
		if i%50 == 0 {
			until(t, "compression", func() bool { return !k.Behind() && k.Status().Memory < 6<<20 })
		}
	}
	end()
	r := s.Ledger.Report(time.Now())
	st := k.backlog.store().Status()
	if st.Bytes > 16<<20 || r.Total.Reasons[sink.DroppedBudget] == 0 || r.Total.Dropped+r.Total.Spooled != 2500 || !r.Total.Balanced() {
		t.Errorf("%+v, ledger %+v", st, r.Total)
	}
	for _, o := range r.Losses {
		if o.N == 0 || len(o.Services) == 0 || o.Oldest == 0 || o.First == 0 {
			t.Errorf("loss %+v", o)
		}
	}
}

// Where the disk takes nothing, what comes waits in memory, and somebody is told; when it takes batches again, they go there.
func TestDiskTakesNothing(t *testing.T) {
	dir := t.TempDir()
	s, k := startN(t, "127.0.0.1:1", dir, 1, func(c *Config) { c.Drain = time.Millisecond })
	end := s.Go(t)
	put := func(from, to int) {
		for i := from; i < to; i++ {
			s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%9), i))
		}
	}
	total := func() sink.Sums { return s.Ledger.Report(time.Now()).Total }
	put(0, 50)
	until(t, "it to be on disk", func() bool { return total().Spooled == 50 })
	path := filepath.Join(dir, "spool")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // now no folder can be made
		t.Fatal(err)
	}
	until(t, "the fault", func() bool { return k.Status().Spool.Fault != nil })
	put(50, 100)
	until(t, "it to be told", func() bool {
		k.trouble.mu.Lock()
		defer k.trouble.mu.Unlock()
		return k.trouble.what["spool"] != nil
	})
	if r := total(); r.InMemory != 50 || !r.Balanced() {
		t.Errorf("ledger %+v", r)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	until(t, "memory to be on disk", func() bool { return total().InMemory == 0 && k.Status().Spool.Fault == nil })
	end()
	n := 0
	v, err := spool.Look(path)
	if err != nil {
		t.Fatal(err)
	}
	v.Each(func(e spool.Entry, _ *spool.Attempt) bool { n += e.Records; return true })
	if n != 50 {
		t.Errorf("%d records on disk", n)
	}
}

// Without the journal nobody knows what was sent: it is sent, and counted as what may be double.
func TestDoubtIsCounted(t *testing.T) {
	addr, dir := "127.0.0.1:"+strconv.Itoa(testenv.Port(t)), t.TempDir()
	first, _ := startN(t, addr, dir, 1, func(c *Config) { c.Drain = time.Millisecond })
	end := first.Go(t)
	for i := range 30 {
		first.Sink.Put(sinktest.Snapshot("checkout", i))
	}
	end()
	journals, err := filepath.Glob(filepath.Join(dir, "spool", "journal-*"))
	if err != nil || len(journals) != 1 {
		t.Fatal(journals, err)
	}
	if err := os.Remove(journals[0]); err != nil {
		t.Fatal(err)
	}
	_, _ = embedded(t, broker.Config{Addr: addr, DataDir: t.TempDir()})
	second, k := startN(t, addr, dir, 2, nil)
	end = second.Go(t)
	until(t, "all", func() bool { return second.Ledger.Report(time.Now()).Total.Acknowledged == 30 })
	second.Sink.Put(sinktest.Snapshot("checkout", 30))
	end()
	if n := k.metrics.maybeDouble.Get(); n != 30 {
		t.Errorf("%d may be double", n)
	}
	if seen := once(t, both(t, second), 12); len(seen) != 31 {
		t.Errorf("%d in the topics", len(seen))
	}
}

// While a backlog drains, at its own rate, what is fresh goes out at once.
func TestBackfillNeverDelaysLive(t *testing.T) {
	addr, dir := "127.0.0.1:"+strconv.Itoa(testenv.Port(t)), t.TempDir()
	first, k := startN(t, addr, dir, 1, func(c *Config) { c.Drain, c.Linger = time.Millisecond, time.Millisecond })
	end := first.Go(t)
	const old = 400
	for i := range old {
		late := random(fmt.Sprint("service-", i%20), i, 3000)
		late.Time = late.Time.Add(-time.Hour)
		first.Sink.Put(late)
		until(t, "compression", func() bool { return !k.Behind() })
	}
	until(t, "all to be on disk", func() bool { return first.Ledger.Report(time.Now()).Total.Spooled == old })
	end()
	size := k.backlog.store().Status().Bytes
	_, _ = embedded(t, broker.Config{Addr: addr, DataDir: t.TempDir()})
	second, k2 := startN(t, addr, dir, 2, func(c *Config) { c.BackfillBytes = int(size / 5) })
	end = second.Go(t)
	began := time.Now()
	until(t, "the first of the backlog", func() bool { return second.Ledger.Report(time.Now()).Total.Lanes["backfill"] > 0 })
	worst, n := time.Duration(0), old
	until(t, "the backlog to be drained", func() bool {
		if n < old+2000 {
			second.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", n%20), n))
			n++
		}
		worst = max(worst, k2.backlog.lag(sink.Live, time.Now()))
		return second.Ledger.Report(time.Now()).Total.Lanes["backfill"] == old
	})
	took := time.Since(began)
	end()
	t.Logf("%d bytes in %v; what was live waited for %v at most", size, took, worst)
	if took < 2*time.Second || worst > max(2*time.Second, took/3) { // a machine that is busy takes longer for everything
		t.Errorf("the backlog took %v, live waited for %v", took, worst)
	}
	if seen := once(t, both(t, second), 12); len(seen) != n {
		t.Errorf("%d in the topics of %d", len(seen), n)
	}
}

// The topics are deleted while the sink runs, soon after it has made them, and made again: what was acknowledged went with them, what comes is in the new ones.
func TestTopicsDeleted(t *testing.T) {
	addr := fake(t).ListenAddrs()[0]
	s, _ := startN(t, addr, t.TempDir(), 1, func(c *Config) { c.Drain = 20 * time.Second })
	end := s.Go(t)
	settled := func() bool { return s.Ledger.Report(time.Now()).Total.Waiting() == 0 }
	for i := range 100 {
		s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%9), i))
	}
	until(t, "all", settled)
	tr := &kafkago.Transport{}
	defer tr.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(addr), Transport: tr}
	began := time.Now()
	if _, err := client.DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{s.Topics.Snapshots, s.Topics.Backfill}}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%9), 100+i))
	}
	until(t, "all that came after", settled)
	if took := time.Since(began); took > mendEvery*2/3 {
		t.Errorf("the topics were missing for %v", took)
	}
	end()
	seen := once(t, both(t, s), 12)
	for i := 100; i < 200; i++ {
		if _, ok := seen[fmt.Sprint(i)]; !ok {
			t.Errorf("snapshot %d is not there", i)
		}
	}
	if r := s.Ledger.Report(time.Now()).Total; r.Dropped != 0 || !r.Balanced() {
		t.Errorf("ledger %+v", r)
	}
}

func TestPace(t *testing.T) {
	p, now := pace{bytes: 1000}, time.Unix(1000, 0)
	for _, tc := range []struct {
		at    time.Duration
		bytes int
		want  time.Duration
	}{{0, 500, 500 * time.Millisecond}, {0, 500, time.Second}, {400 * time.Millisecond, 100, 700 * time.Millisecond}, {time.Hour, 2000, 2 * time.Second}} {
		if p.spend(tc.bytes, now.Add(tc.at)); p.due(now.Add(tc.at)) != tc.want {
			t.Errorf("%d bytes at %v: wait %v, want %v", tc.bytes, tc.at, p.due(now.Add(tc.at)), tc.want)
		}
	}
}
