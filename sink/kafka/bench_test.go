package kafka

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// fleet is snapshots as a small fleet gives them: 48 services, each with names of its own, some 4 KB a record.
func fleet() (out []*collector.Snapshot) {
	for i := range 480 {
		service := i % 48
		s := sinktest.Snapshot(fmt.Sprint("service-", service), i)
		for j := range 100 {
			s.Samples = append(s.Samples, collector.Sample{Name: fmt.Sprintf("service_%d/http/requests/status_%d", service, 200+j), Kind: collector.Counter, Value: fmt.Sprint((i*7919 + j*104729) % 1_000_003)})
		}
		out = append(out, s)
	}
	return out
}

// BenchmarkProduce sends the same snapshots, encoded anew each, to the same embedded broker: by this sink with and without a spool, and in two other ways; an operation is a record acknowledged.
func BenchmarkProduce(b *testing.B) {
	snaps := fleet()
	size := len(wire.AppendSnapshot(nil, snaps[0], wire.ID{Sequence: 1}, wire.Provenance{}))
	// cpu says what an operation costs the processor, broker included: that holds on a busy machine too, where time does not.
	cpu := func(b *testing.B) func() {
		before := used(b)
		return func() {
			b.StopTimer()
			b.ReportMetric(float64(used(b)-before)/float64(b.N), "cpu-ns/op")
		}
	}
	setup := func(b *testing.B) string {
		addr, _ := embedded(b, broker.Config{DataDir: b.TempDir(), RetentionBytes: 32 << 20, Sweep: time.Second})
		s := subject(b, addr, func(c *Config) { c.Logger = nil })
		end := s.Go(b)
		s.Sink.Publish(s.Topics.Roster, "k", []byte("{}"), time.Now())
		s.Sink.Put(snaps[0])
		end() // the topics are there
		return addr
	}
	ours := func(spooled bool) func(b *testing.B) {
		return func(b *testing.B) {
			addr := setup(b)
			s := subject(b, addr, func(c *Config) {
				if c.Logger = nil; spooled {
					c.Spool = &spool.Config{Path: b.TempDir()}
				}
			})
			k := s.Sink.(*Sink)
			end := s.Go(b)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			done := cpu(b)
			n := 0
			for b.Loop() {
				s.Sink.Put(snaps[n%len(snaps)])
				if n++; n%1000 == 0 {
					for k.Status().Memory > 32<<20 {
						<-k.backlog.changed
					}
				}
			}
			end()
			done()
			if r := s.Ledger.Report(time.Now()).Total; r.Acknowledged != uint64(n) {
				b.Fatalf("%+v, want %d", r, n)
			}
			b.ReportMetric(float64(k.metrics.packedOut.Get())/float64(n), "wire-B/op")
		}
	}
	b.Run("rollcall", ours(true))
	b.Run("without-spool", ours(false))
	b.Run("writer", func(b *testing.B) {
		addr := setup(b)
		tr := &kafka.Transport{}
		defer tr.CloseIdleConnections()
		w := &kafka.Writer{Addr: kafka.TCP(addr), Transport: tr, Topic: sink.DefaultTopics().Snapshots, RequiredAcks: kafka.RequireAll, BatchSize: 10_000, BatchBytes: 900 << 10,
			BatchTimeout: 100 * time.Millisecond, Compression: kafka.Zstd, Balancer: kafka.Murmur2Balancer{}}
		b.SetBytes(int64(size))
		b.ReportAllocs()
		done := cpu(b)
		n := 0
		var pending []kafka.Message
		flush := func() {
			if err := w.WriteMessages(context.Background(), pending...); err != nil {
				b.Fatal(err)
			}
			pending = pending[:0]
		}
		for b.Loop() {
			s := snaps[n%len(snaps)]
			pending = append(pending, kafka.Message{Key: []byte(s.Instance.Group()), Time: s.Time,
				Value: wire.AppendSnapshot(nil, s, wire.ID{Collector: 1, Start: 1, Sequence: uint64(n + 1)}, wire.Provenance{})})
			if n++; len(pending) == 2640 { // twelve batches of 900 KB: as much at once as the others have under way
				flush()
			}
		}
		flush()
		done()
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("franz", func(b *testing.B) {
		addr := setup(b)
		c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(sink.DefaultTopics().Snapshots), kgo.ProducerBatchCompression(kgo.ZstdCompression()),
			kgo.ProducerBatchMaxBytes(900<<10), kgo.ProducerLinger(100*time.Millisecond), kgo.MaxBufferedBytes(32<<20))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(size))
		b.ReportAllocs()
		done := cpu(b)
		n := 0
		var failed atomic.Int64
		for b.Loop() {
			s := snaps[n%len(snaps)]
			n++
			c.Produce(context.Background(), &kgo.Record{Key: []byte(s.Instance.Group()), Timestamp: s.Time,
				Value: wire.AppendSnapshot(nil, s, wire.ID{Collector: 1, Start: 1, Sequence: uint64(n)}, wire.Provenance{})},
				func(_ *kgo.Record, err error) {
					if err != nil {
						failed.Add(1)
					}
				})
		}
		if err := c.Flush(context.Background()); err != nil || failed.Load() > 0 {
			b.Fatal(err, failed.Load())
		}
		done()
		c.Close()
	})
}

func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPut is the part of a scrape that waits for the sink: encoding and queueing, with nobody who delivers.
func BenchmarkPut(b *testing.B) {
	snaps := fleet()
	s := subject(b, "127.0.0.1:1", func(c *Config) { c.Logger, c.MemoryBytes = nil, 16<<20 })
	b.SetBytes(int64(len(wire.AppendSnapshot(nil, snaps[0], wire.ID{Sequence: 1}, wire.Provenance{}))))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.Sink.Put(snaps[n%len(snaps)])
		n++
	}
}

func BenchmarkPack(b *testing.B) {
	p, _ := testPacker(b)
	for _, order := range []string{"as they come", "by service"} {
		b.Run(order, func(b *testing.B) {
			var rows []row
			var buf []byte
			snaps := fleet()
			for i := 0; len(buf) < maxBatch-8000; i++ {
				s := snaps[(i*13)%len(snaps)]
				key := s.Instance.Group()
				if order == "as they come" {
					key = "one/key" // which sorts nothing
				}
				at := len(buf)
				buf = wire.AppendSnapshot(buf, s, wire.ID{Collector: 1, Start: 1, Sequence: uint64(i + 1)}, wire.Provenance{})
				rows = append(rows, row{key, s.Time.UnixMilli(), at, len(buf)})
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			var w []byte
			for b.Loop() {
				w = p.pack(rows, buf, headers("snapshot/1"))
			}
			b.ReportMetric(float64(len(buf))/float64(len(w)), "ratio")
		})
	}
}
