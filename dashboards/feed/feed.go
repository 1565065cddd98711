// Package feed reads the topics into a Board.
//
// It owns the way out of Kafka: a reader a partition, without a consumer group, from as far back in time as the Board's window reaches; both lanes of
// snapshots and the roster. It says of itself whether what it brings can be believed: connecting, live or dead. What records mean is sink/wire's; what
// becomes of them is the Board's.
package feed

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/internal/fetch"
	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Config says what to read. Board and Brokers are needed; the rest has defaults.
type Config struct {
	Board   *dashboards.Board
	Brokers []string
	// The topics; default: sink.DefaultTopics.
	Snapshots, Backfill, Roster string
	// Findings is the topic of notes: it is read where it is there, and nobody waits for it.
	Findings string
	// Rollups is the topic of roll-ups, which go into History, and tell the Board of services that others own. A nil History: they are not read.
	Rollups string
	History *rollup.History
	// Owns says which partitions of snapshots are this process's to read, of how many; it is asked twice a second. nil: all.
	Owns   func(partition, of int) bool
	Window time.Duration // how far back to begin, default one hour
	SASL   login.SASL
	TLS    *tls.Config // nil: plain TCP
	// ClientID is as the brokers' logs and quotas name us; default rollcall-serve.
	ClientID string
	// Rack is where we are, as the brokers' broker.rack has it: records come from the nearest replica then, where the brokers name one; "": from the leader.
	Rack string
	// Told takes collectors' words about themselves, records with an Own, in the order of their partition and perhaps on several goroutines; nil: nobody does.
	Told    func(*wire.RosterRecord)
	Log     *slog.Logger
	Metrics *metrics.Set
}

const (
	maxWait = time.Second // for a record that comes: the broker answers with the first there is, so it costs no freshness
	// maxBytes is of one answer, as the topic has it: all partitions may be behind at once, and each holds one answer, unzipped.
	maxBytes    = 256 << 10
	askTimeout  = 5 * time.Second
	readAgain   = 50 * time.Millisecond // the first pause after a failure; each is twice the one before
	readRetry   = time.Second           // the longest
	dialTimeout = 3 * time.Second
	lookEvery   = 2 * time.Second // how often the cluster is asked for its partitions
	metadataTTL = time.Second
	// rosterBack is how far back the roster is read at least: the full state of a service comes every five minutes, and who left counts for fifteen.
	rosterBack = 21 * time.Minute
	// notesBack is how far back notes are read: what is over is known for a day, and what stands is told again each hour at least.
	notesBack = 26 * time.Hour
	clientID  = "rollcall-serve"
)

// lagBounds are seconds, finest where a scrape is to be seen: well within one.
var lagBounds = []float64{.01, .02, .05, .075, .1, .15, .2, .25, .3, .4, .5, .6, .7, .8, .9, 1, 1.2, 1.5, 2, 3, 5, 10, 30, 60}

func (c *Config) defaults() {
	t := sink.DefaultTopics()
	c.Snapshots, c.Backfill, c.Roster = cmp.Or(c.Snapshots, t.Snapshots), cmp.Or(c.Backfill, t.Backfill), cmp.Or(c.Roster, t.Roster)
	c.Findings, c.Rollups = cmp.Or(c.Findings, t.Findings), cmp.Or(c.Rollups, t.Rollups)
	c.Window = cmp.Or(c.Window, time.Hour)
	c.ClientID = cmp.Or(c.ClientID, clientID)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Board == nil {
		errs = append(errs, errors.New("there is no board to fill"))
	}
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers; give kafka.brokers"))
	}
	if c.Window < 0 {
		errs = append(errs, fmt.Errorf("window %s is negative", c.Window))
	}
	names := map[string]bool{c.Snapshots: true, c.Backfill: true, c.Roster: true, c.Findings: true, c.Rollups: true}
	if len(names) < 5 {
		errs = append(errs, errors.New("two topics have one name"))
	}
	if _, err := c.SASL.Login(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Feed reads the topics into a Board while it runs.
type Feed struct {
	cfg Config

	mu      sync.Mutex
	readers map[partition]*reader
	state   state
	seen    atomic.Int64 // when the newest record of the live lane came that was not history, Unix ms
	scraped atomic.Int64 // scrape time of the newest record, Unix ms
	count   atomic.Int64 // partitions of the live lane
	oldest  atomic.Int64 // scrape time of the oldest record, Unix ms; 0: none yet

	filling  filling
	fillers  chan struct{}
	rosters  *rosters
	records  map[string]*metrics.Counter
	fenced   *metrics.Counter
	bad      *metrics.Counter
	restarts *metrics.Counter
	late     *metrics.PrometheusHistogram
	badLog   limiter
	errLog   limiter
}

type partition struct {
	topic string
	n     int
}

// New makes a Feed. The error names everything that cannot be.
func New(c Config) (*Feed, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("make feed: %w", err)
	}
	f := &Feed{cfg: c, readers: map[partition]*reader{}, fillers: make(chan struct{}, fillers), filling: filling{from: map[partition]time.Time{}}, rosters: newRosters(), records: map[string]*metrics.Counter{}}
	for lane, topic := range map[string]string{"live": c.Snapshots, "backfill": c.Backfill, "roster": c.Roster, "findings": c.Findings, "rollups": c.Rollups} {
		f.records[topic] = c.Metrics.GetOrCreateCounter(fmt.Sprintf(`rollcall_feed_records_total{lane=%q}`, lane))
	}
	f.fenced = c.Metrics.GetOrCreateCounter("rollcall_feed_roster_fenced_total")
	f.bad = c.Metrics.GetOrCreateCounter("rollcall_feed_undecodable_total")
	f.restarts = c.Metrics.GetOrCreateCounter("rollcall_feed_reader_restarts_total")
	f.late = c.Metrics.GetOrCreatePrometheusHistogramExt("rollcall_feed_lag_seconds", lagBounds)
	c.Metrics.GetOrCreateGauge("rollcall_feed_lag_records", f.lag)
	c.Metrics.GetOrCreateGauge("rollcall_feed_live", func() float64 {
		if c.Board.Feed().State == dashboards.FeedLive {
			return 1
		}
		return 0
	})
	board := func(name string, get func(h dashboards.Health) float64) {
		c.Metrics.GetOrCreateGauge(name, func() float64 { return get(c.Board.Health()) })
	}
	board("rollcall_board_services", func(h dashboards.Health) float64 { return float64(h.Services) })
	board("rollcall_board_window_bytes", func(h dashboards.Health) float64 { return float64(h.Bytes) })
	board("rollcall_board_evicted_values", func(h dashboards.Health) float64 { return float64(h.Evictions.Values) })
	board("rollcall_board_records_seen", func(h dashboards.Health) float64 { return float64(h.Seen) })
	board("rollcall_board_records_lost", func(h dashboards.Health) float64 { return float64(h.Lost) })
	board("rollcall_board_records_duplicated", func(h dashboards.Health) float64 { return float64(h.Duplicated) })
	board("rollcall_board_records_fenced", func(h dashboards.Health) float64 { return float64(h.Fenced) })
	board("rollcall_board_freshness_p99_seconds", func(h dashboards.Health) float64 { return float64(h.Freshness.P99) / 1000 })
	return f, nil
}

// Run reads until ctx ends. Brokers that are away, topics that are not there yet, partitions that are added: it waits, says so, and goes on.
func (f *Feed) Run(ctx context.Context) error {
	mechanism, err := f.cfg.SASL.Login()
	if err != nil {
		return fmt.Errorf("read topics: %w", err)
	}
	topics := []string{f.cfg.Snapshots, f.cfg.Backfill, f.cfg.Roster, f.cfg.Findings}
	if f.cfg.History != nil {
		topics = append(topics, f.cfg.Rollups)
	}
	transport := &kafka.Transport{DialTimeout: dialTimeout, MetadataTTL: metadataTTL, MetadataTopics: topics, TLS: f.cfg.TLS, SASL: mechanism, ClientID: f.cfg.ClientID}
	defer transport.CloseIdleConnections()
	to := kafka.TCP(f.cfg.Brokers...)
	w := &watcher{
		f: f, topics: topics,
		client:  &kafka.Client{Addr: to, Timeout: askTimeout, Transport: transport},
		records: &fetch.Client{Addr: to, Transport: transport, Rack: f.cfg.Rack, MaxBytes: maxBytes, MaxWait: maxWait, Timeout: askTimeout},
	}
	f.tell(time.Now(), dashboards.FeedConnecting, "")
	var wg sync.WaitGroup
	wg.Go(func() { f.watchState(ctx) })
	w.run(ctx, &wg)
	f.stop()
	wg.Wait()
	return nil
}

// lag is how many records of all partitions were there when last looked and are not read yet.
func (f *Feed) lag() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var n int64
	for _, r := range f.readers {
		n += max(r.end.Load()-r.next.Load(), 0)
	}
	return float64(n)
}

// limiter lets one through every ten seconds and counts the others.
type limiter struct {
	mu   sync.Mutex
	next time.Time
	held int
}

func (l *limiter) allow(now time.Time) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.held++
		return 0, false
	}
	held, l.held, l.next = l.held, 0, now.Add(10*time.Second)
	return held, true
}

// Partitions is how many partitions the live lane has; 0: not known yet.
func (f *Feed) Partitions() int { return int(f.count.Load()) }

// Has reports whether the live lane's partition is read, as far as the present.
func (f *Feed) Has(n int) bool {
	r := f.reader(partition{f.cfg.Snapshots, n})
	return r != nil && r.caughtUp()
}
