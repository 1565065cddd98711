// Package sink is the delivery contract: what happens to a snapshot between enrichment and the topic.
//
// It owns Sink, Topics, Identity and the Ledger. sink/wire is the record, sink/kafka and sink/file deliver it.
package sink

import (
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Sink takes snapshots on their way out.
type Sink interface {
	// Put encodes the snapshot before it returns and never waits for the network; the caller releases the snapshot afterwards. What can not be
	// kept is counted in the Ledger with its reason, so Put has no error.
	Put(*collector.Snapshot)
	// Publish sends a record that is not a snapshot (a roster change, a finding, a roll-up) to one of Topics. Same promises as Put.
	Publish(topic, key string, value []byte, t time.Time)
	// Run delivers until ctx ends, then drains for as long as drain allows.
	Run(ctx context.Context) error
}

// Topics names the topics.
type Topics struct {
	Snapshots string
	Backfill  string
	Roster    string
	Rollups   string
	Findings  string
}

// DefaultTopics are the names everybody expects.
func DefaultTopics() Topics {
	return Topics{"rollcall.snapshots", "rollcall.snapshots.backfill", "rollcall.roster", "rollcall.rollups", "rollcall.findings"}
}

// Key is the record key of a service: service/env. Kafka's partition of a service is Java's murmur2 of it.
func Key(service, env string) string { return service + "/" + env }
