package kafka

import (
	"context"
	"sync"

	kafka "github.com/segmentio/kafka-go"
)

// producers hands out producer ids: one for all lanes at the start, and a fresh one to a lane that needs another.
type producers struct {
	s *Sink

	mu    sync.Mutex
	first producer
	known bool
	used  map[topicPartition]bool // by whom first was taken
}

type topicPartition struct {
	topic string
	part  int32
}

// of is the producer of this start, or, for a lane whose partition has had that one before, a fresh one: a sequence must never be used for
// two batches, because Kafka acknowledges the second without storing it. ok is false when ctx ended before Kafka gave one.
func (p *producers) of(ctx context.Context, n *lane) (producer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := topicPartition{n.topic, n.q.part}
	if p.used[k] {
		return p.fresh(ctx)
	}
	if !p.known {
		p.first, p.known = p.fresh(ctx)
	}
	p.used[k] = p.known
	return p.first, p.known
}

// fresh asks Kafka for a new producer until it gives one.
func (p *producers) fresh(ctx context.Context) (producer, bool) {
	for n := 1; ctx.Err() == nil; n++ {
		r, err := p.s.cluster.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
		v := verdict{}
		switch {
		case err != nil:
			v = judge(err, nil)
		case r.Error != nil:
			v, err = judge(nil, r.Error), r.Error
		default:
			p.s.metrics.producerIDs.Inc()
			p.s.trouble.over("producer id", 0)
			return producer{int64(r.Producer.ProducerID), int16(r.Producer.ProducerEpoch)}, true
		}
		p.s.trouble.is("producer id", 0, v, err)
		pause(ctx, backoff(max(v.wait, waitShort), n))
	}
	return producer{}, false
}
