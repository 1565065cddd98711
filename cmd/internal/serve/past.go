package serve

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/past"
	"github.com/rollcall-metrics/rollcall/sink/readback"
)

// topics is the road back out of Kafka, as the past of a service is read.
type topics struct{ *readback.Client }

// newPast reads back what the windows of a board do not hold any more.
func newPast(c *config.Config, board dashboards.Options, o Options) (*past.Past, *readback.Client, error) {
	as, secure, err := collect.Access(c.Kafka)
	if err != nil {
		return nil, nil, err
	}
	mechanism, err := as.Login()
	if err != nil {
		return nil, nil, err
	}
	back, err := readback.New(readback.Config{Brokers: c.Kafka.Brokers, TLS: secure, Login: mechanism, ClientID: c.Kafka.ClientID, Rack: c.Kafka.Rack})
	if err != nil {
		return nil, nil, err
	}
	t := collect.Topics(c.Kafka)
	p, err := past.New(past.Config{Kafka: topics{back}, Snapshots: t.Snapshots, Backfill: t.Backfill, Board: board, Log: o.Log.With("part", "past"), Metrics: o.Metrics.NewSet()})
	return p, back, err
}

// Partitions implements past.Kafka.
func (t topics) Partitions(ctx context.Context, topic string) (int, error) {
	n, err := t.Client.Partitions(ctx, topic)
	if errors.Is(err, readback.ErrNoTopic) {
		return 0, nil
	}
	return n, err
}

// Offsets implements past.Kafka.
func (t topics) Offsets(ctx context.Context, topic string, partition int, at time.Time) (first, from, end int64, err error) {
	s, err := t.Client.Span(ctx, topic, partition, at)
	return s.First, s.From, s.End, err
}

// Read implements past.Kafka.
func (t topics) Read(ctx context.Context, topic string, partition int, from, end int64, take func(at time.Time, key, value []byte) error) error {
	return t.Client.Read(ctx, readback.Span{Topic: topic, Partition: partition, From: from, End: end}, func(m readback.Message) error { return take(m.Time, m.Key, m.Value) })
}
