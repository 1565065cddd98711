package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/sink/readback"
)

const (
	dialTimeout = 3 * time.Second
	askTimeout  = 10 * time.Second
	watchEvery  = 5 * time.Second // between two looks for new partitions
	joinAgain   = time.Second
	// handOver is how long a generation's end waits for a write that is under way.
	handOver = 5 * time.Second
)

// Run exports until ctx ends, then finishes what it has in hand for as long as Drain says, commits and leaves the group. Nothing that happens to Kafka or to the
// output makes it return earlier.
func (x *Exporter) Run(ctx context.Context) error {
	var err error
	if x.client, err = readback.New(readback.Config{Brokers: x.cfg.Brokers, TLS: x.cfg.TLS, Login: x.cfg.Login, ClientID: x.cfg.ClientID, Rack: x.cfg.Rack}); err != nil {
		return err
	}
	defer x.client.Close()
	transport := &kafka.Transport{DialTimeout: dialTimeout, MetadataTTL: time.Second, TLS: x.cfg.TLS, SASL: x.cfg.Login, ClientID: x.cfg.ClientID}
	defer transport.CloseIdleConnections()
	x.kafka = &kafka.Client{Addr: kafka.TCP(x.cfg.Brokers...), Timeout: askTimeout, Transport: transport}
	defer func() {
		for _, w := range x.workers {
			w.close()
		}
		if c, ok := x.cfg.Output.(io.Closer); ok {
			if err := c.Close(); err != nil {
				x.log.Error("closing the output failed", "err", err)
			}
		}
	}()
	if !x.topicsThere(ctx) {
		return nil
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: x.cfg.Group, Brokers: x.cfg.Brokers, Topics: []string{x.cfg.Snapshots, x.cfg.Backfill}, StartOffset: kafka.FirstOffset,
		Dialer:         &kafka.Dialer{ClientID: x.cfg.ClientID, Timeout: dialTimeout, DualStack: true, TLS: x.cfg.TLS, SASLMechanism: x.cfg.Login},
		GroupBalancers: []kafka.GroupBalancer{balancer{}}, WatchPartitionChanges: true, PartitionWatchInterval: watchEvery,
		SessionTimeout: x.cfg.Session, HeartbeatInterval: x.cfg.Session / 5, RebalanceTimeout: max(x.cfg.Session, 2*handOver), JoinGroupBackoff: joinAgain,
	})
	if err != nil {
		return fmt.Errorf("join group %q: %w", x.cfg.Group, err)
	}
	for {
		gen, err := group.Next(ctx)
		if ctx.Err() != nil {
			return group.Close()
		}
		if err == nil {
			err = x.begin(ctx, gen)
		}
		if err != nil {
			x.trouble(fmt.Errorf("join group %q: %w", x.cfg.Group, err))
			pause(ctx, joinAgain)
		}
	}
}

// topicsThere waits until collectors have made the topics; false when ctx ends before.
func (x *Exporter) topicsThere(ctx context.Context) bool {
	for {
		_, err := x.client.Partitions(ctx, x.cfg.Snapshots)
		if err == nil {
			_, err = x.client.Partitions(ctx, x.cfg.Backfill)
		}
		if err == nil {
			x.fine()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		x.trouble(err)
		pause(ctx, joinAgain)
	}
}

// note is what is kept with the committed offset of the live lane.
type note struct {
	TS       int64  `json:"ts,omitempty"` // newest scrape time that was acknowledged, Unix ms
	Began    int64  `json:"b,omitempty"`  // when the group began to be, Unix ms
	Interval int64  `json:"i,omitempty"`  // longest scrape interval seen, ms
	Mark     string `json:"m,omitempty"`  // of the output
}

// committed is where the group is in a partition of a topic.
type committed struct {
	offset int64 // -1: nowhere yet
	note   note
}

// begin starts a worker for each partition of a generation.
func (x *Exporter) begin(ctx context.Context, gen *kafka.Generation) error {
	ask := map[string][]int{}
	for topic, as := range gen.Assignments {
		for _, a := range as {
			ask[topic] = append(ask[topic], a.ID)
		}
	}
	where, err := x.where(ctx, ask)
	if err != nil {
		return errors.Join(err, endGeneration(gen))
	}
	mine := map[int][]*tail{}
	for topic, ps := range ask {
		for _, p := range ps {
			mine[p] = append(mine[p], &tail{topic: topic, backfill: topic == x.cfg.Backfill, at: where[lane{topic, p}]})
		}
	}
	for p, w := range x.workers {
		if !w.continues(mine[p]) { // somebody else has read since, or does from now on
			w.close()
			delete(x.workers, p)
		}
	}
	for p, tails := range mine {
		w := x.workers[p]
		if w == nil {
			w = &worker{x: x, p: p, tails: tails}
			x.workers[p] = w
		}
		w.gen = gen
		gen.Start(func(ended context.Context) { w.run(ctx, ended) })
	}
	x.log.Info("partitions assigned", "group", gen.GroupID, "generation", gen.ID, "partitions", len(mine))
	return nil
}

// endGeneration leaves a generation that could not begin.
func endGeneration(gen *kafka.Generation) error {
	gen.Start(func(context.Context) {})
	return nil
}

// where asks for the group's offsets.
func (x *Exporter) where(ctx context.Context, topics map[string][]int) (map[lane]committed, error) {
	out := map[lane]committed{}
	if len(topics) == 0 {
		return out, nil
	}
	r, err := x.kafka.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: x.cfg.Group, Topics: topics})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the offsets of group %q: %w", x.cfg.Group, err)
	}
	for topic, ps := range r.Topics {
		for _, p := range ps {
			if p.Error != nil {
				return nil, fmt.Errorf("ask for the offset of %s/%d: %w", topic, p.Partition, p.Error)
			}
			c := committed{offset: p.CommittedOffset}
			if p.Metadata != "" {
				if err := json.Unmarshal([]byte(p.Metadata), &c.note); err != nil {
					x.log.Warn("what was kept with an offset cannot be read; what was delivered after it may be delivered twice", "topic", topic, "partition", p.Partition, "err", err)
				}
			}
			out[lane{topic, p.Partition}] = c
		}
	}
	return out, nil
}

// began is when the group began to be: the earliest that any of its commits says, else now.
func (x *Exporter) began(ctx context.Context) (time.Time, error) {
	n, err := x.client.Partitions(ctx, x.cfg.Snapshots)
	if err != nil {
		return time.Time{}, err
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	where, err := x.where(ctx, map[string][]int{x.cfg.Snapshots: all})
	out := time.Now()
	for _, c := range where {
		if c.note.Began != 0 && c.note.Began < out.UnixMilli() {
			out = time.UnixMilli(c.note.Began)
		}
	}
	return out, err
}

// maxMetadata is what brokers take with an offset unless told otherwise (offset.metadata.max.bytes).
const maxMetadata = 4096

// commit tells the group how far the tails are.
func (x *Exporter) commit(ctx context.Context, gen *kafka.Generation, p int, tails []*tail, n note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if len(text) > maxMetadata {
		if text, err = json.Marshal(note{TS: n.TS, Began: n.Began, Interval: n.Interval}); err != nil {
			return err
		}
	}
	req := &kafka.OffsetCommitRequest{GroupID: gen.GroupID, GenerationID: int(gen.ID), MemberID: gen.MemberID, Topics: map[string][]kafka.OffsetCommit{}}
	for _, t := range tails {
		c := kafka.OffsetCommit{Partition: p, Offset: t.at.offset}
		if !t.backfill || len(tails) == 1 {
			c.Metadata = string(text)
		}
		req.Topics[t.topic] = append(req.Topics[t.topic], c)
	}
	ctx, stop := context.WithTimeout(ctx, handOver)
	defer stop()
	r, err := x.kafka.OffsetCommit(ctx, req)
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	for topic, ps := range r.Topics {
		for _, p := range ps {
			if p.Error != nil {
				return fmt.Errorf("commit the offset of %s/%d: %w", topic, p.Partition, p.Error)
			}
		}
	}
	x.meters.commits.Inc()
	return nil
}

// trouble notes and says, once until it is over, what holds the export up.
func (x *Exporter) trouble(err error) {
	if x.meters.hold(err, time.Now()) {
		x.log.Warn("the export is held up; going on trying", "err", err)
	}
}

func (x *Exporter) fine() {
	if x.meters.hold(nil, time.Now()) {
		x.log.Info("the export goes on")
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
