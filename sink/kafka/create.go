package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	kafka "github.com/segmentio/kafka-go"
)

var errNotMade = errors.New("we are told not to make topics")

func errOr(err error) error {
	if err == nil {
		return errNotMade
	}
	return err
}

// create makes the missing topics, or says which command does. It reports whether it made any, and whether there are some that it cannot make.
func (c *cluster) create(ctx context.Context, missing []string, brokers int) (made, failing bool) {
	slices.SortFunc(missing, func(a, b string) int { return slices.Index(c.topics, a) - slices.Index(c.topics, b) })
	replication := replicas(c.s.cfg.Replication, brokers)
	req := &kafka.CreateTopicsRequest{}
	for _, name := range missing {
		req.Topics = append(req.Topics, kafka.TopicConfig{Topic: name, NumPartitions: c.partitions(name), ReplicationFactor: replication,
			ConfigEntries: settings(c.s.cfg.Topics, name, replication)})
	}
	var failed error
	var r *kafka.CreateTopicsResponse
	if !c.s.cfg.NoCreate {
		r, failed = c.client.CreateTopics(ctx, req)
	}
	for _, t := range req.Topics {
		err := failed
		if r != nil {
			err = r.Errors[t.Topic]
		}
		if err == nil && !c.s.cfg.NoCreate {
			made = true
			c.s.log.Info("made topic", "topic", t.Topic, "partitions", t.NumPartitions, "replication", replication)
		}
		if err == nil && !c.s.cfg.NoCreate || errors.Is(err, kafka.TopicAlreadyExists) {
			continue
		}
		failing = true
		c.s.trouble.is("topic "+t.Topic, 0, verdict{reason: "missing", wait: waitAuth}, fmt.Errorf("topic %q is missing; run: %s: %w", t.Topic, command(c.s.cfg.Brokers[0], t), errOr(err)))
	}
	return made, failing
}

// partitions of a topic to be made: the two lanes have equally many.
func (c *cluster) partitions(name string) int {
	t := c.s.cfg.Topics
	c.mu.Lock()
	defer c.mu.Unlock()
	switch name {
	case t.Snapshots:
		return max(c.s.cfg.Partitions, len(c.leaders[t.Backfill]))
	case t.Backfill:
		if n := len(c.leaders[t.Snapshots]); n > 0 {
			return n
		}
	}
	return c.s.cfg.Partitions
}

// command is what an operator runs to make the topic.
func command(broker string, t kafka.TopicConfig) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d --replication-factor %d", broker, t.Topic, t.NumPartitions, t.ReplicationFactor)
	for _, e := range t.ConfigEntries {
		fmt.Fprintf(&b, " --config %s=%s", e.ConfigName, e.ConfigValue)
	}
	return b.String()
}
