package kafka

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// lane is the way to one partition of one topic. One batch at a time is attempted, until it is settled; its stamps follow each other without a
// gap.
type lane struct {
	topic string
	kind  sink.Lane
	q     *queue
	wake  chan struct{} // something may be there to take
	stop  chan struct{} // closed when the partition is gone

	orphan *batch // all that it sends: an attempt of an earlier start, with its stamp

	// Of the goroutine that runs the lane:
	known    bool // producer is ours
	producer producer
	next     int32     // sequence of the next batch
	single   time.Time // until then batches are not joined: the topic has refused one as too large
	timer    *time.Timer
}

// sameTime is how far apart, in milliseconds, times may be of which a broker takes all or none.
const sameTime = 60_000

// run sends what comes until ctx ends or the partition is gone.
func (n *lane) run(ctx context.Context, s *Sink) {
	if b := n.orphan; b != nil {
		n.producer, n.next, n.known = b.producer, nextSequence(b.sequence, b.n), true
		if slot, ok := s.cluster.slot(ctx, n); ok {
			n.deliver(ctx, s, b, slot)
		}
		return
	}
	for {
		slot, ok := n.turn(ctx, s)
		if !ok {
			return
		}
		if wait := s.pace.due(time.Now()); wait > 0 && n.kind == sink.Backfill {
			slot.free()
			pause(ctx, min(wait, time.Second))
			continue
		}
		b, _ := s.backlog.take(n, time.Now())
		if b == nil {
			slot.free()
			continue
		}
		if time.Now().After(n.single) {
			b = s.backlog.join(n, b, s.zip)
		}
		if n.kind == sink.Backfill {
			s.pace.spend(b.zipped(), time.Now())
		}
		n.deliver(ctx, s, b, slot)
	}
}

// turn waits until there is something to send, a producer to send it as, and room at the broker. Only then the batch is taken, so that its lane is
// chosen by its age at its first send.
func (n *lane) turn(ctx context.Context, s *Sink) (slot, bool) {
	for {
		s.backlog.refill(n)
		some, wait := s.backlog.waits(n, time.Now())
		if !some {
			if n.timer == nil {
				n.timer = time.NewTimer(wait)
			} else {
				n.timer.Reset(wait)
			}
			select {
			case <-n.wake:
			case <-n.timer.C:
			case <-n.stop:
				n.timer.Stop()
				return slot{}, false
			case <-ctx.Done():
				n.timer.Stop()
				return slot{}, false
			}
			n.timer.Stop()
			continue
		}
		if !n.known {
			p, ok := s.producers.of(ctx, n)
			if !ok {
				return slot{}, false
			}
			n.producer, n.next, n.known = p, 0, true
		}
		return s.cluster.slot(ctx, n)
	}
}

// deliver attempts a batch until it is settled or ctx ends; then it stays taken, and the end counts it. The slot is given back.
func (n *lane) deliver(ctx context.Context, s *Sink, b *batch, slot slot) {
	var last string // reason of the attempt before
	same := 0       // attempts in a row with it
	if b.wire == nil && !n.load(ctx, s, b) {
		slot.free()
		return
	}
	for {
		if !b.stamped {
			n.stamp(b)
		}
		n.journal(s, b)
		began := time.Now()
		throttle, v := n.attempt(ctx, s, b)
		b.unclear = b.unclear || v.unclear
		s.metrics.attempted(n.kind, v.reason, time.Since(began))
		if throttle > 0 {
			slot.g.throttle(throttle, time.Now())
		}
		slot.free()
		if v.reason != last {
			last, same = v.reason, 0
		}
		if same++; v.tries > 0 && same >= v.tries {
			v.step = refused
		}
		switch v.step {
		case settled:
			if b.back > 0 {
				s.metrics.retimed.Add(b.n)
				s.ahead(n, b)
			}
			if v.reason == "duplicate" || b.unclear {
				s.metrics.resent.Inc()
			}
			s.trouble.over(n.topic, n.q.part)
			s.backlog.acknowledged(b, n.kind)
			return
		case renew:
			if !n.renew(ctx, s, b) {
				return
			}
		case divide:
			if v.reason == "timestamp" && b.newest-b.oldest < sameTime { // its records share their fate
				if b.earlier() {
					break // again, with other times
				}
				n.refuse(s, b, v)
				return
			}
			n.single = time.Now().Add(time.Minute)
			ok, err := s.backlog.divide(b, &packer{zip: s.zip.zip}, s.zip.unzip)
			if errors.Is(err, errDisk) {
				v.wait = time.Second
				break // later, again
			}
			if err != nil {
				s.log.Error("a batch is too large for its topic and cannot be divided", "topic", n.topic, "partition", n.q.part, "err", err)
			}
			if ok {
				if b.unclear {
					s.metrics.maybeDouble.Add(b.n)
				}
				n.after(b)
				return
			}
			n.refuse(s, b, v)
			return
		case refused:
			n.refuse(s, b, v)
			return
		}
		if v.reason == "unknown_topic" && s.backlog.giveBack(b) {
			s.trouble.over(n.topic, n.q.part)
			return
		}
		wait := backoff(v.wait, same)
		pause(ctx, wait*3/4+rand.N(wait/2+1))
		if ctx.Err() != nil {
			return
		}
		var ok bool
		if slot, ok = s.cluster.slot(ctx, n); !ok {
			return
		}
	}
}

const loads = 10 // how often a batch is read back that the disk does not give

// load reads a batch back that is on disk only. It reports false for one that is lost, which the ledger then knows, and at the end.
func (n *lane) load(ctx context.Context, s *Sink, b *batch) bool {
	for tries := 1; ; tries++ {
		err := s.backlog.load(b)
		if err == nil {
			return true
		}
		if spool.IsLost(err) || tries == loads {
			s.log.Error("a batch cannot be read back from the spool; its records are lost", "topic", n.topic, "partition", n.q.part, "records", b.n, "first", b.first, "last", b.last, "err", err)
			s.backlog.drop(b, sink.DroppedDamaged)
			return false
		}
		s.trouble.is("spool", 0, verdict{reason: "read"}, err)
		if pause(ctx, time.Second); ctx.Err() != nil {
			return false
		}
	}
}

// stamp gives a batch its place in this lane, for good.
func (n *lane) stamp(b *batch) {
	b.producer, b.sequence, b.stamped, b.journaled = n.producer, n.next, true, false
	stamp(b.wire, b.producer, b.sequence)
	n.next = nextSequence(n.next, b.n)
}

// journal has the disk know a batch's stamp before the bytes leave. Where it does not take it, they leave all the same: a process that is killed then may send
// the batch again as another.
func (n *lane) journal(s *Sink, b *batch) {
	if b.journaled || !b.spooled {
		return
	}
	err := s.backlog.disk.spool.Attempt(spool.Attempt{Pos: b.entry.Pos, Topic: n.topic, Partition: n.q.part, Producer: b.producer.id, Epoch: b.producer.epoch,
		Sequence: b.sequence, At: time.Now().UnixMilli()})
	if b.journaled = err == nil; err != nil {
		s.trouble.is("spool", 0, verdict{reason: "journal"}, err)
	} else {
		s.trouble.over("spool", 0)
	}
}

// after readies the lane for what follows a batch that will not be sent any more. A refused batch has used no sequence; one that may be in the topic
// may have used it, and only another producer is sure not to use it twice.
func (n *lane) after(b *batch) {
	n.next = b.sequence
	if b.unclear {
		n.known = false
	}
}

func (n *lane) refuse(s *Sink, b *batch, v verdict) {
	n.after(b)
	if s.backlog.setAside(b, n.topic, v.reason) {
		s.log.Error("Kafka refuses a batch for good; it is set aside: see rollcall spool", "topic", n.topic, "partition", n.q.part, "reason", v.reason,
			"records", b.n, "first", b.first, "last", b.last)
		return
	}
	s.log.Error("Kafka refuses a batch for good; its records are lost", "topic", n.topic, "partition", n.q.part, "reason", v.reason,
		"records", b.n, "first", b.first, "last", b.last)
	s.backlog.drop(b, "refused_"+v.reason)
}

// renew gives the lane a producer of its own and the batch a new stamp. Where an earlier attempt may have succeeded, its records may now be in the
// topic twice: their ids tell.
func (n *lane) renew(ctx context.Context, s *Sink, b *batch) bool {
	p, ok := s.producers.fresh(ctx)
	if !ok {
		return false
	}
	if b.unclear {
		s.metrics.maybeDouble.Add(b.n)
	}
	n.producer, n.next, n.known = p, 0, true
	b.wire = bytes.Clone(b.wire) // a request that was given up may still read the old bytes
	b.stamped = false
	b.inherited = false // what may be double is counted
	s.log.Warn("Kafka has lost track of this producer; the partition goes on as another", "topic", n.topic, "partition", n.q.part, "maybe_double", b.unclear)
	return true
}

// attempt sends a batch once.
func (n *lane) attempt(ctx context.Context, s *Sink, b *batch) (throttle time.Duration, v verdict) {
	wire := b.wire
	if b.back > 0 {
		wire = retime(wire, b.back)
	}
	resp, err := s.cluster.client.RawProduce(ctx, &kafka.RawProduceRequest{Topic: n.topic, Partition: int(n.q.part), RequiredAcks: kafka.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(wire)}})
	if err != nil {
		v = judge(err, nil)
		s.trouble.is(n.topic, n.q.part, v, err)
		return 0, v
	}
	v = judge(nil, resp.Error)
	if v.step == again || v.step == renew {
		s.trouble.is(n.topic, n.q.part, v, resp.Error)
	}
	return resp.Throttle, v
}

// ahead says, now and then, that Kafka takes what we scrape only with earlier times than ours.
func (s *Sink) ahead(n *lane, b *batch) {
	now := time.Now().UnixMilli()
	if said := s.aheadSaid.Load(); now-said < sayAgain.Milliseconds() && now >= said || !s.aheadSaid.CompareAndSwap(said, now) {
		return
	}
	s.log.Warn("Kafka takes records only with earlier times than ours; is this host's clock ahead? They keep the time of the scrape, and Kafka is told an earlier one",
		"topic", n.topic, "partition", n.q.part, "earlier", b.back, "newest", time.UnixMilli(b.newest))
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
