// Package promql answers PromQL over the windows of a Board: Prometheus' own engine, and the part of its HTTP API that Grafana, promtool and rules ask.
//
// It owns how what instances said becomes series, the bounds of a query, and the shapes of the answers. It must not know where the Board's data comes from. Names and
// labels are those that remote write gives them.
package promql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/gate"
)

// Config says what to answer from. Board is needed; the rest has defaults.
type Config struct {
	Board      *dashboards.Board
	MaxSamples int           // values that one query may hold at once, default 5,000,000
	MaxSeries  int           // series that one selector may find, default 200,000
	Timeout    time.Duration // of one query, the time it waits for others too; default 20 s
	Concurrent int           // queries at once; the others wait; default 4
	Waiting    int           // how many may wait; who comes then is told to come again; default 64
	// Also is series beside those of the Board, such as those that rules give; where both have one of the same labels, the Board's counts. nil: there are none.
	Also storage.Queryable
	// Owns says of which services this replica tells; nil: of all. Others says which other replicas may know of what matchers select, and what is not there yet, "" if all
	// is, of what this one has to know of it from a time (Unix ms) on; it stands beside the answer as a warning. nil: there are none. What others send for one query is 8
	// bytes at most for each of MaxSamples, and they have half of Timeout.
	Owns    func(service, env string) bool
	Others  func(ms []*labels.Matcher, from int64) (others []Other, lacks string)
	Version string // of this program, for those who ask what it is
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *metrics.Set
}

func (c *Config) defaults() {
	c.MaxSamples = cmp.Or(c.MaxSamples, 5_000_000)
	c.MaxSeries = cmp.Or(c.MaxSeries, 200_000)
	c.Timeout = cmp.Or(c.Timeout, 20*time.Second)
	c.Concurrent, c.Waiting = cmp.Or(c.Concurrent, 4), cmp.Or(c.Waiting, 64)
	if c.Owns == nil {
		c.Owns = func(string, string) bool { return true }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
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
		errs = append(errs, errors.New("there is no board to ask"))
	}
	if c.MaxSamples < 1 || c.MaxSeries < 1 || c.Concurrent < 1 || c.Waiting < 0 || c.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("%d samples, %d series, %d at once, timeout %s: all must be positive", c.MaxSamples, c.MaxSeries, c.Concurrent, c.Timeout))
	}
	return errors.Join(errs...)
}

// lookback is how far back an instant looks for a value. It is Prometheus': what has ended is told by markers, after two and a half intervals, whatever the interval is.
const lookback = 5 * time.Minute

// API answers queries. It is safe for concurrent use.
type API struct {
	cfg     Config
	engine  *promql.Engine
	parser  parser.Parser
	gate    line
	asked   *gate.Gate // of other replicas' questions
	unheard *metrics.Counter
	queries map[string]*metrics.Counter // by what became of them
	took    *metrics.PrometheusHistogram
}

// New makes an API; it starts nothing. The error names everything that cannot be.
func New(c Config) (*API, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("make promql: %w", err)
	}
	a := &API{cfg: c, parser: parser.NewParser(parser.Options{}), gate: line{gate.New(c.Concurrent, c.Waiting, 0)}, asked: gate.New(c.Concurrent, c.Waiting, 0), queries: map[string]*metrics.Counter{}}
	a.engine = promql.NewEngine(promql.EngineOpts{Logger: c.Log, MaxSamples: c.MaxSamples, Timeout: c.Timeout, ActiveQueryTracker: a.gate, LookbackDelta: lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Second.Milliseconds() * 10 }, EnableAtModifier: true, EnableNegativeOffset: true, Parser: a.parser})
	for _, outcome := range []string{"success", errBadData, errTimeout, errCanceled, errExecution, errInternal, errUnavailable} {
		a.queries[outcome] = c.Metrics.GetOrCreateCounter(fmt.Sprintf("rollcall_promql_queries_total{outcome=%q}", outcome))
	}
	a.unheard = c.Metrics.GetOrCreateCounter("rollcall_promql_peer_failures_total")
	a.took = c.Metrics.GetOrCreatePrometheusHistogramExt("rollcall_promql_query_seconds", []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10})
	return a, nil
}

// Querier implements storage.Queryable, over what all replicas know.
func (a *API) Querier(from, to int64) (storage.Querier, error) {
	own, err := a.here(from, to)
	if err != nil || a.cfg.Others == nil {
		return own, err
	}
	w := &whole{api: a, own: own, from: from, to: to}
	w.left.Store(int64(a.cfg.MaxSamples) * bytesPerSample)
	return w, nil
}

// here is what this replica knows.
func (a *API) here(from, to int64) (storage.Querier, error) {
	return a.with(&querier{board: a.cfg.Board, owns: a.cfg.Owns, from: from, to: to, maxSeries: a.cfg.MaxSeries}, from, to)
}

// line lets so many queries run at once, and so many wait.
type line struct{ *gate.Gate }

// Insert implements promql.QueryTracker.
func (l line) Insert(ctx context.Context, _ string) (int, error) { return 0, l.Enter(ctx) }

// Delete implements promql.QueryTracker.
func (l line) Delete(int) { l.Leave() }

// GetMaxConcurrent implements promql.QueryTracker.
func (l line) GetMaxConcurrent() int { return l.Places() }

// Close implements promql.QueryTracker.
func (l line) Close() error { return nil }
