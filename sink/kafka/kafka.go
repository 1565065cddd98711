// Package kafka delivers to Kafka: nothing lost that fits its spool, nothing twice, the fresh before the late.
//
// It owns the road from a snapshot to an acknowledged batch: queues by partition, batches, their stamps, two lanes, one retry policy (judge),
// the topics. It knows the record only as bytes that sink/wire makes. What is here is, file by file:
//
//	kafka.go    the configuration
//	sink.go     Put, Publish, Run and the drain
//	backlog.go  what waits: queues by partition, and which batch is next; settle.go how that ends, and the memory's budget
//	disk.go     which part of it is on disk only; store.go opens the spool
//	batch.go    v2 record batches and their stamps; unpack.go reads them back, group.go orders their records, zip.go compresses
//	join.go     small batches that wait for the same way, made into one
//	rekey.go    batches whose partition turned out to be another, or that are too large
//	pace.go     how fast the backfill may be
//	lane.go     one way to one partition of one topic: one unsettled attempt at a time
//	policy.go   what an answer means
//	survey.go   brokers, leaders, partitions, topics; create.go makes topics
//	state.go    what the next start must know
package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// Config shapes a Sink. Brokers and Ledger must be given; the rest has defaults.
type Config struct {
	Brokers []string // host:port, one or more to begin with
	// ClientID is as the brokers' logs and quotas name us; default rollcall- and the collector's number.
	ClientID string
	Topics   sink.Topics  // empty names: those of sink.DefaultTopics
	Ledger   *sink.Ledger // accounts for every snapshot; its identity goes into the ids

	StoragePath string // folder of delivery.json, which the next start reads; empty: the next start knows nothing

	// Spool keeps what waits on disk; nil: it waits in memory only, and a process that is killed loses it. Run opens the folder.
	Spool *spool.Config

	BackfillBytes int // a second, compressed, that all backfill lanes send together at most; default 16 MiB

	LiveMaxAge  time.Duration   // a batch older than this at its first send goes to the backfill lane; default 20 s
	Linger      time.Duration   // how long a batch waits for company; default 100 ms, and with a spool 75 ms at most: within 100 it is on disk
	MemoryBytes int64           // budget of all that waits in memory; default 256 MiB. Over it the oldest batch never attempted is dropped and counted
	Drain       time.Duration   // how long Run goes on delivering after its context has ended; default 10 s
	Cut         <-chan struct{} // closed: the drain ends at once; may be nil
	Timeout     time.Duration   // of one request; default 10 s

	Partitions  int  // of topics that we create, and what is believed of the snapshots until Kafka was seen once; default 12
	Replication int  // of topics that we create; 0: 3, or as many brokers as there are
	NoCreate    bool // do not make topics that are missing, only say which command makes them

	SASL login.SASL
	TLS  *tls.Config                                                       // nil: plain TCP
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer

	Logger  *slog.Logger // nil: silent
	Metrics *metrics.Set // nil: a private set
}

const inFlight = 4 // requests to one broker at once; the backfill lanes have half of them at most

func (c *Config) fill() {
	d := sink.DefaultTopics()
	c.Topics.Snapshots = cmp.Or(c.Topics.Snapshots, d.Snapshots)
	c.Topics.Backfill = cmp.Or(c.Topics.Backfill, d.Backfill)
	c.Topics.Roster = cmp.Or(c.Topics.Roster, d.Roster)
	c.Topics.Rollups = cmp.Or(c.Topics.Rollups, d.Rollups)
	c.Topics.Findings = cmp.Or(c.Topics.Findings, d.Findings)
	c.LiveMaxAge = cmp.Or(c.LiveMaxAge, 20*time.Second)
	c.Linger = cmp.Or(c.Linger, 100*time.Millisecond)
	if c.Spool != nil {
		c.Linger = min(c.Linger, 75*time.Millisecond)
	}
	c.BackfillBytes = cmp.Or(c.BackfillBytes, 16<<20)
	c.MemoryBytes = cmp.Or(c.MemoryBytes, 256<<20)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Partitions = cmp.Or(c.Partitions, 12)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Metrics = cmp.Or(c.Metrics, metrics.NewSet())
}

func (c *Config) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(len(c.Brokers) == 0, "no brokers: give at least one host:port")
	for _, b := range c.Brokers {
		_, _, err := net.SplitHostPort(b)
		fault(err != nil, "broker %q: want host:port", b)
	}
	fault(c.Ledger == nil, "no ledger")
	fault(c.Ledger != nil && (c.Ledger.Identity().Collector == 0 || c.Ledger.Identity().Start == 0), "the ledger has no identity")
	seen := map[string]bool{}
	for _, t := range topicNames(c.Topics) {
		fault(!legalTopic(t), "topic %q: want 1 to 249 of letters, digits, '.', '_' and '-'", t)
		fault(seen[t], "topic %q is named twice: each kind of record needs its own", t)
		seen[t] = true
	}
	// Bounds: a linger over a second breaks the promise of seconds; less memory than a few batches would drop what is on its way.
	fault(c.Linger < time.Millisecond || c.Linger > time.Second, "linger %v: want 1ms to 1s", c.Linger)
	fault(c.LiveMaxAge < time.Second, "live_max_age %v: want at least 1s", c.LiveMaxAge)
	fault(c.MemoryBytes < 4<<20, "%d bytes of memory: want at least 4 MiB", c.MemoryBytes)
	fault(c.Drain < 0, "drain %v: want 0 or more", c.Drain)
	fault(c.Timeout < 100*time.Millisecond, "timeout %v: want at least 100ms", c.Timeout)
	fault(c.BackfillBytes < 1<<10, "%d bytes of backfill a second: want at least 1 KiB", c.BackfillBytes)
	if c.Spool != nil {
		if err := c.Spool.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("spool: %w", err))
		}
	}
	fault(c.Partitions < 1 || c.Partitions > 10_000, "%d partitions: want 1 to 10000", c.Partitions)
	fault(c.Replication < 0 || c.Replication > 32, "replication %d: want 0 to 32", c.Replication)
	if _, err := c.SASL.Login(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func topicNames(t sink.Topics) []string {
	return []string{t.Snapshots, t.Backfill, t.Roster, t.Rollups, t.Findings}
}

// legalTopic follows org.apache.kafka.common.internals.Topic.
func legalTopic(s string) bool {
	if s == "" || len(s) > 249 || s == "." || s == ".." {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
