package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Sink delivers to Kafka. It implements sink.Sink.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	backlog   *backlog
	metrics   *meters
	zip       *zipper
	cluster   *cluster
	producers producers
	trouble   trouble
	scratch   sync.Pool // of *scratch

	pace      pace        // of the backfill
	open      atomic.Bool // what is put gets on its way
	lanes     sync.WaitGroup
	spawnLane func(*lane) // set by Run

	aheadSaid atomic.Int64 // when it was last said that our clock is ahead, Unix milliseconds
}

var _ sink.Sink = (*Sink)(nil)

// scratch is what one Put needs while it encodes.
type scratch struct {
	buf    []byte
	bodies [][]byte
}

// New checks the configuration and reads what the start before left in StoragePath; it neither connects nor writes. What is put before Run waits in memory.
func New(c Config) (*Sink, error) {
	c.fill()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	s := &Sink{cfg: c, log: c.Logger, metrics: newMeters(c.Metrics)}
	s.pace.bytes = float64(c.BackfillBytes)
	s.trouble = trouble{log: c.Logger, what: map[string]*fault{}}
	s.producers = producers{s: s, used: map[topicPartition]bool{}}
	s.scratch.New = func() any { return new(scratch) }
	s.backlog = newBacklog(&s.cfg, s.metrics)
	st, err := loadState(c.StoragePath)
	if err != nil {
		s.log.Warn("going on without what the start before left", "err", err)
	}
	s.backlog.recall(st, c.Partitions)
	if s.zip, err = newZip(); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	if s.cluster, err = newCluster(s); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	s.metrics.watch(s.backlog)
	return s, nil
}

// Put implements sink.Sink.
func (s *Sink) Put(snap *collector.Snapshot) {
	a := s.cfg.Ledger.Scraped(snap.Instance.Service, snap.Instance.Env)
	s.metrics.scraped.Inc()
	began := time.Now()
	ts := max(0, snap.Time.UnixMilli())
	sc := s.scratch.Get().(*scratch)
	sc.bodies = sc.bodies[:0]
	var err error
	sc.buf, err = wire.Split(sc.buf, snap, wire.Provenance{Term: snap.Term, Previous: s.backlog.tell(a.Key())}, wire.MaxRecord, func(_, parts int, body []byte) {
		s.metrics.encoded.Add(len(body))
		if parts > 1 {
			body = append([]byte(nil), body...) // the next part is encoded over it
		}
		sc.bodies = append(sc.bodies, body)
	})
	encoded := time.Since(began)
	s.metrics.encode.Update(encoded.Seconds())
	if err != nil || len(a.Key()) > maxKey {
		s.backlog.mu.Lock()
		s.backlog.lose(sink.Loss{Reason: sink.DroppedOversize, Partition: -1, Oldest: ts, Newest: ts}, sink.Count{Account: a, N: 1})
		s.backlog.mu.Unlock()
	} else {
		s.backlog.snapshot(a, ts, sc.bodies)
	}
	s.metrics.hand.Update((time.Since(began) - encoded).Seconds())
	s.scratch.Put(sc)
}

// Publish implements sink.Sink. A value larger than a record may be is dropped and counted; a topic that is none of the configured ones as well.
func (s *Sink) Publish(topic, key string, value []byte, t time.Time) {
	a := s.cfg.Ledger.Published(topic)
	s.metrics.published.Inc()
	if len(value) > maxValue || len(key) > maxKey {
		s.backlog.mu.Lock()
		s.backlog.lose(sink.Loss{Reason: sink.DroppedOversize, Topic: topic, Partition: -1}, sink.Count{Account: a, N: 1})
		s.backlog.mu.Unlock()
		return
	}
	s.backlog.publish(a, topic, key, max(0, t.UnixMilli()), value)
}

// Run implements sink.Sink: it delivers until ctx ends and then, for as long as Drain says, what is left. It returns when everything is settled or
// counted as dropped; nothing that happens to Kafka makes it return earlier.
func (s *Sink) Run(ctx context.Context) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer s.zip.close()
	defer s.cluster.transport.CloseIdleConnections()
	if err := s.openStore(); err != nil {
		return fmt.Errorf("deliver to Kafka: %w", err)
	}
	first := s.backlog.note(time.Now(), false) // whoever kills us has killed this start, and not the one before; keepState says what is wrong with the folder
	_ = first.save(s.cfg.StoragePath)
	if u := s.cfg.Ledger.Report(time.Now()).Unclean; u != nil {
		s.log.Warn("the start before this one did not end in order; what it took in last may be missing", "start", u.Start, "alive", time.UnixMilli(u.Saved),
			"unrecorded_before_its_end", time.Duration(u.Unrecorded)*time.Millisecond, "power_loss", u.PowerLoss)
	}
	var work, seal sync.WaitGroup
	s.spawnLane = func(n *lane) { s.lanes.Go(func() { n.run(hard, s) }) }
	for q := range s.backlog.all() {
		s.spawn(q)
	}
	work.Go(func() { s.keepStore(hard) })
	work.Go(func() { s.cluster.watch(hard) })
	work.Go(func() { s.closer(hard) })
	work.Go(func() { s.rekeyer(hard) })
	work.Go(func() { s.keepState(hard) })
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		seal.Go(func() {
			for p := (&packer{zip: s.zip.zip}); s.backlog.sealOne(p); {
			}
		})
	}
	s.open.Store(true)
	<-ctx.Done()
	s.drain()
	cut()
	work.Wait()
	s.lanes.Wait()
	s.backlog.end()
	seal.Wait()
	lost, kept := s.backlog.shut()
	if lost > 0 {
		s.log.Error("the time to drain is over; what was left is lost, and in the ledger", "batches", lost, "drain", s.cfg.Drain)
	}
	if kept > 0 {
		s.log.Info("what is left waits in the spool for the next start", "batches", kept)
	}
	st := s.backlog.note(time.Now(), true)
	err := st.save(s.cfg.StoragePath)
	if sp := s.backlog.store(); sp != nil {
		err = errors.Join(err, sp.Close())
	}
	return err
}

// spawn runs the lanes of a queue.
func (s *Sink) spawn(q *queue) {
	for _, n := range q.lanes {
		s.spawnLane(n)
	}
}

// learn takes Kafka's number of partitions of a topic.
func (s *Sink) learn(topic string, n int) {
	st := s.backlog.others[topic]
	if topic == s.cfg.Topics.Snapshots {
		st = s.backlog.snapshots
	}
	if st == nil {
		return
	}
	was := len(st.queues)
	for _, q := range s.backlog.learn(st, n) {
		s.spawn(q)
	}
	s.foster(st)
	if was != n {
		s.log.Info("topic has another number of partitions than believed; what waits is keyed again", "topic", topic, "believed", was, "is", n)
	}
}

// closer closes batches that have waited long enough.
func (s *Sink) closer(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		t.Reset(s.backlog.closeDue(time.Now()))
		select {
		case <-t.C:
		case <-s.backlog.opened:
		case <-ctx.Done():
			return
		}
	}
}

// rekeyer gives batches another partition.
func (s *Sink) rekeyer(ctx context.Context) {
	for {
		select {
		case <-s.backlog.unpacks:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			more, err := s.backlog.rekey(ctx, &packer{zip: s.zip.zip}, s.zip.unzip)
			if err != nil {
				s.log.Error("a batch of ours cannot be read back; it is lost, and in the ledger", "err", err)
			}
			if !more {
				break
			}
		}
	}
}

// drain waits until nothing is left, for as long as it may.
func (s *Sink) drain() {
	s.backlog.drain()
	end := time.NewTimer(s.cfg.Drain)
	defer end.Stop()
	for !s.backlog.empty(time.Now()) {
		select {
		case <-s.backlog.changed:
		case <-end.C:
			return
		case <-s.cfg.Cut:
			return
		}
	}
}

// Status is how delivery stands.
type Status struct {
	Memory  int64         // bytes that wait
	Budget  int64         // bytes that may
	Oldest  time.Duration // age of the oldest record that waits
	Spool   spool.Status  // of the disk; zero without one
	Trouble string        // what is held up and why, in words; empty when all is well
	Since   time.Time     // of Trouble
}

// Waits is how long the oldest record that was published to a topic, and is not settled, has waited; 0 where none is.
func (s *Sink) Waits(topic string) time.Duration { return s.backlog.waited(topic, time.Now()) }

// Status tells how delivery stands now.
func (s *Sink) Status() Status {
	st := Status{Budget: s.backlog.budget}
	st.Memory, _, st.Oldest = s.backlog.waiting(time.Now())
	if sp := s.backlog.store(); sp != nil {
		st.Spool = sp.Status()
	}
	if what, f, ok := s.trouble.now(); ok {
		st.Trouble, st.Since = fmt.Sprintf("%s: %s: %v", what, f.reason, f.err), f.began
	}
	return st
}
