// Package export brings the snapshots to those who want them in another form: it reads both lanes in a consumer group and hands the records, each once as far as
// it can tell, to an Output.
//
// It owns the group, the offsets, what is filtered and what was already delivered. It must not know what an output makes of a record. An offset is committed
// only after the output has acknowledged everything before it: at least once. What is here is, file by file:
//
//	export.go   the configuration, and what an output promises
//	group.go    who reads what: generations of the group, commits
//	worker.go   one partition: both lanes, batches, retries
//	memory.go   which ids were delivered
//	filter.go   which services and metrics
//	meters.go   own metrics, and Status
package export

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Record is one record of the topic. It is valid until Write returns.
type Record struct {
	*wire.Record
	Raw      []byte // as it stands in the topic, nothing filtered
	Backfill bool
	// Known says that the output has delivered it already: it is shown for what follows from it, and must not be delivered again.
	Known bool
}

// Output is where an export delivers to. One that is an io.Closer is closed when Run ends.
type Output interface {
	// Open begins a partition of the snapshots. Until Close nobody else of the group delivers it. mark is what Write returned last before the offsets were
	// committed from which reading now begins; "" if there was none.
	Open(ctx context.Context, partition int, mark string) (Part, Recall, error)
}

// Part delivers one partition.
type Part interface {
	// Write delivers records of one partition, in their order, and returns when all are acknowledged for good, with a mark to be kept with the offsets. After an error
	// it is called again with the same records. It is called without any about once a second, to let time pass. Refusing a record for good is not an error: it is
	// counted by the output.
	Write(ctx context.Context, rs []Record) (mark string, err error)
	// Close ends the partition: nothing more is written. What Write has returned for is safe.
	Close() error
}

// Recall is what a Part knows, or has to know, of what was before.
type Recall struct {
	Mark      string // of now, where it has not changed since Open; committed at once
	Delivered IDs    // records that were delivered after the mark was made
	Intervals int    // for how many scrape intervals before the committed offsets records are to be shown, as Known
}

// Config shapes an Exporter. Brokers, Group and Output must be given.
type Config struct {
	Name    string // in the log and the metrics; default: Group
	Brokers []string
	TLS     *tls.Config    // nil: plain TCP
	Login   sasl.Mechanism // nil: none
	// ClientID is as the brokers' logs and quotas name us; default rollcall-export- and Name.
	ClientID string
	Rack     string // where we are, as the brokers' broker.rack has it: records come from the nearest replica then, where the brokers name one; "": from the leader
	Group    string // consumer group: exports of one group share the partitions
	// The topics; default: sink.DefaultTopics.
	Snapshots, Backfill string
	// From is where a group begins that has no offsets yet: so long ago; 0 is now, All the beginning.
	From   time.Duration
	Filter Filter
	Output Output

	BatchRecords int             // records handed over at once, at most; default 1,000
	BatchBytes   int             // default 2 MiB
	Linger       time.Duration   // how long a batch waits for company; default 100 ms
	CommitEvery  time.Duration   // default 1 s
	Drain        time.Duration   // how long Run goes on after its context has ended with what it has in hand; default 10 s
	Cut          <-chan struct{} // closed: the drain ends at once; may be nil
	Session      time.Duration   // after which the group takes this member for dead; default 10 s

	Logger  *slog.Logger // nil: silent
	Metrics *metrics.Set // nil: a private set
}

// All as From is the beginning of the topics.
const All = time.Duration(1<<63 - 1)

func (c *Config) fill() {
	d := sink.DefaultTopics()
	c.Name = cmp.Or(c.Name, c.Group)
	c.ClientID = cmp.Or(c.ClientID, "rollcall-export-"+c.Name)
	c.Snapshots, c.Backfill = cmp.Or(c.Snapshots, d.Snapshots), cmp.Or(c.Backfill, d.Backfill)
	c.BatchRecords = cmp.Or(c.BatchRecords, 1000)
	c.BatchBytes = cmp.Or(c.BatchBytes, 2<<20)
	c.Linger = cmp.Or(c.Linger, 100*time.Millisecond)
	c.CommitEvery = cmp.Or(c.CommitEvery, time.Second)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.Session = cmp.Or(c.Session, 10*time.Second)
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
	fault(c.Group == "", "no consumer group")
	fault(c.Output == nil, "no output")
	fault(c.Snapshots == c.Backfill, "the two lanes have one name, %q", c.Snapshots)
	fault(c.From < 0, "from %v: want 0 or more", c.From)
	fault(c.BatchRecords < 1 || c.BatchBytes < 1<<10, "batches of %d records and %d bytes: want at least 1 and 1024", c.BatchRecords, c.BatchBytes)
	fault(c.Linger < 0 || c.Linger > 10*time.Second, "linger %v: want up to 10s", c.Linger)
	fault(c.CommitEvery < 10*time.Millisecond || c.CommitEvery > time.Minute, "commit every %v: want 10ms to 1m", c.CommitEvery)
	fault(c.Drain < 0, "drain %v: want 0 or more", c.Drain)
	fault(c.Session < time.Second, "session %v: want at least 1s", c.Session)
	if err := c.Filter.compile(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Exporter brings records from the topics to its output while it runs.
type Exporter struct {
	cfg    Config
	log    *slog.Logger
	meters *meters

	client  *readback.Client
	kafka   *kafka.Client
	workers map[int]*worker // by partition, kept from one generation of the group to the next
}

// New checks the configuration; it dials nothing.
func New(c Config) (*Exporter, error) {
	c.fill()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure export %q: %w", c.Name, err)
	}
	return &Exporter{cfg: c, log: c.Logger.With("export", c.Name), meters: newMeters(c.Metrics, c.Name), workers: map[int]*worker{}}, nil
}
