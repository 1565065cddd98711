package kafka

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// explained checks that each id is in the topics once, and that every sequence that is not is in the ledger.
func explained(t *testing.T, ms []sinktest.Message, r sink.Report) (snapshots int) {
	t.Helper()
	seen, last := map[wire.ID]bool{}, map[int32]uint64{}
	for _, m := range ms {
		var rec wire.Record
		if err := wire.Decode(m.Value, &rec); err != nil {
			t.Errorf("%v", err)
			continue
		}
		if seen[rec.ID] {
			t.Errorf("%v stands twice", rec.ID)
		}
		seen[rec.ID] = true
		last[rec.ID.Partition] = max(last[rec.ID.Partition], rec.ID.Sequence)
	}
	lost := map[wire.ID]bool{}
	for _, o := range r.Losses {
		for seq := o.First; seq <= o.Last && o.First > 0; seq++ {
			id := wire.ID{Collector: 0x9f3c2a7be01d44c1, Start: 1, Partition: o.Partition, Sequence: seq}
			if seen[id] && o.Reason != sink.DroppedUnclear {
				t.Errorf("%v is in the topic and in the ledger as %s", id, o.Reason)
			}
			lost[id] = true
		}
	}
	for part, n := range last {
		for seq := uint64(1); seq <= n; seq++ {
			if id := (wire.ID{Collector: 0x9f3c2a7be01d44c1, Start: 1, Partition: part, Sequence: seq}); !seen[id] && !lost[id] {
				t.Errorf("%v is neither in the topic nor in the ledger", id)
			}
		}
	}
	if !r.Total.Balanced() || r.Total.InMemory != 0 || uint64(len(seen)) != r.Total.Acknowledged {
		t.Errorf("%d in the topics, ledger %+v", len(seen), r.Total)
	}
	return len(seen)
}

// topicsFor gives each test topics of its own on a shared Kafka.
func topicsFor(t *testing.T) sink.Topics {
	n := strings.NewReplacer("/", ".", "_", "-").Replace(t.Name())
	return sink.Topics{Snapshots: n + ".snapshots", Backfill: n + ".backfill", Roster: n + ".roster", Rollups: n + ".rollups", Findings: n + ".findings"}
}

// traffic puts a snapshot every few milliseconds until the end of the returned function.
func traffic(s sinktest.Subject, size int) (stop func() int) {
	quit, done := make(chan struct{}), make(chan int)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				s.Sink.Put(random(fmt.Sprint("service-", n%17), n, size))
			case <-quit:
				done <- n
				return
			}
		}
	}()
	return func() int { close(quit); return <-done }
}

// requests is the number that tells snapshots apart.
func requests(ss []collector.Sample) string {
	for _, s := range ss {
		if s.Name == "requests" {
			return strings.Clone(s.Value)
		}
	}
	return ""
}

// Where no Kafka is to be had, testenv has said so, and the tests against the embedded broker stand alone.
func TestRealKafka(t *testing.T) {
	k, ok := testenv.Kafka(t)
	if !ok {
		return
	}
	addr := k.Brokers[0]
	pass := func(d time.Duration) { <-time.After(d) } // the outage itself

	t.Run("contract", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Subject {
			return subject(t, addr, func(c *Config) { c.Topics, c.Partitions = topicsFor(t), 4 })
		})
	})

	t.Run("others read it", func(t *testing.T) {
		s := subject(t, addr, func(c *Config) { c.Topics = topicsFor(t) })
		end := s.Go(t)
		for i := range 50 {
			s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%5), i))
		}
		end()
		if n := k.Topics()[s.Topics.Snapshots]; n != 12 || k.Topics()[s.Topics.Backfill] != 12 {
			t.Errorf("%d partitions", n)
		}
		lines := strings.Split(strings.TrimSpace(k.Consume(s.Topics.Snapshots, 50, 5*time.Second)), "\n")
		if len(lines) != 50 {
			t.Errorf("Kafka's console consumer sees %d records", len(lines))
		}
		var values []string
		said := map[string]string{} // the number of each, and whose it is
		for i := range 50 {
			said[requests(sinktest.Snapshot("", i).Samples)] = fmt.Sprint("service-", i%5)
		}
		for _, line := range lines {
			f := strings.Split(line, "\t")
			if len(f) != 6 {
				t.Fatalf("line %q", line)
			}
			var r wire.Record
			if err := wire.Decode([]byte(f[5]), &r); err != nil {
				t.Fatal(err)
			}
			if f[0] != fmt.Sprint("CreateTime:", r.TS) || f[1] != fmt.Sprint("Partition:", wire.Partition(f[4], 12)) || f[4] != r.Service+"/prod" ||
				f[3] != "content-type:application/json,rollcall-schema:snapshot/1" {
				t.Errorf("line %q", line)
			}
			if n := requests(r.Samples); said[n] != r.Service {
				t.Errorf("%s says %s, which is %q's", r.Service, n, said[n])
			} else {
				delete(said, n)
			}
			values = append(values, f[5])
		}
		if len(said) > 0 {
			t.Errorf("the console consumer was not told of %v", said)
		}
		if kcat, ok := testenv.Tool(t, "kcat"); ok {
			out, err := exec.Command(kcat, "-b", addr, "-C", "-t", s.Topics.Snapshots, "-e", "-q", "-f", "%s\n").Output()
			got := strings.Split(strings.TrimSpace(string(out)), "\n")
			if slices.Sort(got); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(values))) {
				t.Errorf("kcat sees %d records, others than the console consumer's %d: %v", len(got), len(values), err)
			}
		}
	})

	t.Run("lost acknowledgements", func(t *testing.T) {
		var cut cutter
		s := subject(t, addr, func(c *Config) {
			c.Topics, c.Dial, c.Linger, c.Partitions = topicsFor(t), cut.dial, time.Millisecond, 3
		})
		end := s.Go(t)
		for i := range 100 {
			if i%5 == 0 {
				cut.lose.Store(1)
			}
			s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%5), i))
			if i%10 == 0 {
				until(t, "the batch", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
			}
		}
		cut.lose.Store(0)
		end()
		if n := sinktest.IDs(t, s.Read(t, s.Topics.Snapshots)); n != 100 || cut.lost.Load() < 8 {
			t.Errorf("%d snapshots, %d acknowledgements cut", n, cut.lost.Load())
		}
	})

	t.Run("kill", func(t *testing.T) {
		// One outage for two sinks: one has the memory for it, the other has not.
		rich := subject(t, addr, func(c *Config) { c.Topics, c.LiveMaxAge, c.Drain = topicsFor(t), 2*time.Second, time.Minute })
		poor := subject(t, addr, func(c *Config) {
			c.Topics, c.LiveMaxAge, c.Drain, c.MemoryBytes = topicsFor(t), 2*time.Second, time.Minute, 4<<20
			for _, name := range []*string{&c.Topics.Snapshots, &c.Topics.Backfill, &c.Topics.Roster, &c.Topics.Rollups, &c.Topics.Findings} {
				*name += ".poor"
			}
		})
		endRich, endPoor := rich.Go(t), poor.Go(t)
		stopRich, stopPoor := traffic(rich, 1000), traffic(poor, 8000)
		pass(2 * time.Second)
		k.Kill()
		pass(4 * time.Second)
		until(t, "the budget to be full", func() bool { return poor.Ledger.Report(time.Now()).Total.Reasons[sink.DroppedBudget] > 50 })
		k.Start()
		for _, s := range []sinktest.Subject{rich, poor} {
			until(t, "delivery to go on", func() bool { return s.Sink.(*Sink).Status().Oldest < time.Second })
		}
		put, putPoor := stopRich(), stopPoor()
		endRich()
		endPoor()
		live, late := rich.Read(t, rich.Topics.Snapshots), rich.Read(t, rich.Topics.Backfill)
		if got := explained(t, append(live, late...), rich.Ledger.Report(time.Now())); got != put {
			t.Errorf("%d snapshots, %d in the topics", put, got)
		}
		if len(late) == 0 {
			t.Error("nothing was late")
		}
		r := poor.Ledger.Report(time.Now())
		got := explained(t, append(poor.Read(t, poor.Topics.Snapshots), poor.Read(t, poor.Topics.Backfill)...), r)
		if r.Total.Dropped == 0 || got+int(r.Total.Dropped) != putPoor {
			t.Errorf("%d snapshots, %d in the topics, %d dropped", putPoor, got, r.Total.Dropped)
		}
	})

	t.Run("hang", func(t *testing.T) {
		s := subject(t, addr, func(c *Config) { c.Topics, c.Timeout, c.Drain = topicsFor(t), time.Second, time.Minute })
		end := s.Go(t)
		stop := traffic(s, 1000)
		pass(2 * time.Second)
		k.Stop()
		pass(4 * time.Second)
		k.Cont()
		until(t, "delivery to go on", func() bool { return s.Sink.(*Sink).Status().Oldest < time.Second })
		n := stop()
		end()
		if got := explained(t, append(s.Read(t, s.Topics.Snapshots), s.Read(t, s.Topics.Backfill)...), s.Ledger.Report(time.Now())); got != n {
			t.Errorf("%d snapshots, %d in the topics", n, got)
		}
		if s.Sink.(*Sink).metrics.resent.Get() == 0 {
			t.Error("nothing was sent twice: the hang was none")
		}
	})

	t.Run("too large", func(t *testing.T) {
		topics := topicsFor(t)
		k.CreateTopic(topics.Snapshots, 2, map[string]string{"max.message.bytes": "60000"})
		s := subject(t, addr, func(c *Config) { c.Topics = topics })
		end := s.Go(t)
		for i := range 30 {
			s.Sink.Put(random("service", i, 4000))
		}
		s.Sink.Put(random("service", 30, 120_000))
		end()
		r := s.Ledger.Report(time.Now())
		if got := explained(t, s.Read(t, topics.Snapshots), r); got != 30 || r.Total.Reasons["refused_too_large"] != 1 {
			t.Errorf("%d in the topic, ledger %+v", got, r.Total)
		}
		if n := k.Topics()[topics.Backfill]; n != 2 {
			t.Errorf("backfill has %d partitions, live 2", n)
		}
	})

	t.Run("clock ahead", func(t *testing.T) {
		s := subject(t, addr, func(c *Config) { c.Topics, c.Partitions = topicsFor(t), 1 })
		end := s.Go(t)
		s.Sink.Put(sinktest.Snapshot("a", 1))
		until(t, "the first", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
		ahead := sinktest.Snapshot("a", 2)
		ahead.Time = ahead.Time.Add(2 * time.Hour)
		s.Sink.Put(ahead)
		until(t, "the second", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
		s.Sink.Put(sinktest.Snapshot("a", 3))
		end()
		r := s.Ledger.Report(time.Now())
		if got := explained(t, s.Read(t, s.Topics.Snapshots), r); got != 3 || s.Sink.(*Sink).metrics.retimed.Get() != 1 {
			t.Errorf("%d in the topic, ledger %+v", got, r.Total)
		}
	})

	t.Run("enlarges backfill", func(t *testing.T) {
		topics := topicsFor(t)
		k.CreateTopic(topics.Snapshots, 5, nil)
		k.CreateTopic(topics.Backfill, 2, nil)
		s := subject(t, addr, func(c *Config) { c.Topics = topics })
		s.Go(t)
		until(t, "backfill to have 5 partitions", func() bool { return k.Topics()[topics.Backfill] == 5 })
	})

	t.Run("killed", func(t *testing.T) {
		kills(t, addr, topicsFor(t), func(i int) {
			if i == 1 {
				k.Kill() // and what was attempted last is settled by a broker that was killed, too
				k.Start()
			}
		})
	})
}
