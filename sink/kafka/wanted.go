package kafka

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/sink"
)

// replicas is how many a topic gets: so many, or with 0 three, or as many as there are brokers.
func replicas(replication, brokers int) int {
	return cmp.Or(replication, max(1, min(3, brokers)))
}

// Keep is how long a topic that we make keeps its records.
func Keep(t sink.Topics, name string) time.Duration {
	switch name {
	case t.Snapshots, t.Backfill:
		return 48 * time.Hour
	case t.Roster:
		return 30 * 24 * time.Hour
	}
	return 90 * 24 * time.Hour
}

// settings of a topic to be made. Records keep the time that we give them and the compression that we gave them.
func settings(t sink.Topics, name string, replication int) []kafka.ConfigEntry {
	out := []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "compression.type", ConfigValue: "producer"},
		{ConfigName: "message.timestamp.type", ConfigValue: "CreateTime"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(Keep(t, name).Milliseconds(), 10)},
	}
	if replication >= 3 {
		out = append(out, kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"})
	}
	return out
}

// Wanted are the topics as a Sink makes them where none is there; partitions 0 is its default, replication 0 follows from the brokers.
func Wanted(t sink.Topics, partitions, replication, brokers int) (out []kafka.TopicConfig) {
	n := replicas(replication, brokers)
	for _, name := range topicNames(t) {
		out = append(out, kafka.TopicConfig{Topic: name, NumPartitions: cmp.Or(partitions, 12), ReplicationFactor: n, ConfigEntries: settings(t, name, n)})
	}
	return out
}

// Command is what an operator runs to make a topic.
func Command(broker string, t kafka.TopicConfig) string { return command(broker, t) }

// Zipped is how many bytes values take in batches as a Sink makes them, without what frames them.
func Zipped(values [][]byte) (n int, err error) {
	z, err := newZip()
	if err != nil {
		return 0, fmt.Errorf("measure: %w", err)
	}
	defer z.close()
	var batch, out []byte
	for i, v := range values {
		batch = append(batch, v...)
		if i == len(values)-1 || len(batch)+len(values[i+1]) > maxBatch {
			out = z.zip(out[:0], batch)
			n += len(out)
			batch = batch[:0]
		}
	}
	return n, nil
}
