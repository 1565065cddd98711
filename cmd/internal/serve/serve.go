// Package serve is the dashboards daemon: the topics → the board → the page, wired from one configuration. It may be run by `serve`, inside `up`, or in a test.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/feed"
	"github.com/rollcall-metrics/rollcall/dashboards/notify"
	"github.com/rollcall-metrics/rollcall/dashboards/promql"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Options are what a daemon needs beside its configuration.
type Options struct {
	Build   ops.Build
	Listen  string // HOST:PORT of the page
	Log     *slog.Logger
	Metrics *ops.Metrics
	// Collector is the collector in this process, if there is one: its sources and its ledger are shown too.
	Collector *collect.Daemon
	// Demo offers to break something, by Fault.
	Demo  bool
	Fault http.Handler
}

// Daemon serves the page.
type Daemon struct {
	o       Options
	atStart [3]string // what was read, as Reload compares it
	board   *dashboards.Board
	feed    *feed.Feed
	web     *web.Server
	say     *feed.Publisher
	alerts  *notify.Notifier
	history *rollup.History
	peers   *peers // nil: this is the only replica
	people  *people
	rules   *ruling
	sentry  *canary.Sentry
	back    *readback.Client // for the past
}

// New checks the configuration; it opens nothing.
func New(c *config.Config, o Options) (*Daemon, error) {
	g := c.Dashboards.Golden
	says, err := newPeople(c, o)
	if err != nil {
		return nil, err
	}
	dc := detect.Config{Promises: says.promises, Log: o.Log.With("part", "detect"), Metrics: o.Metrics.NewSet()}
	var others *peers
	if len(c.Dashboards.Peers) > 0 {
		var urls []string
		for _, u := range c.Dashboards.Peers {
			urls = append(urls, u.Reveal())
		}
		if others, err = newPeers(urls, o.Log.With("part", "peers")); err != nil {
			return nil, err
		}
		dc.Owns, dc.Others = others.ownsService, others.troubles
	}
	judge, err := detect.New(dc)
	if err != nil {
		return nil, err
	}
	say, err := publisher(c, o)
	if err != nil {
		return nil, err
	}
	topics := collect.Topics(c.Kafka)
	history := rollup.NewHistory(int(c.Dashboards.HistoryBytes))
	publish := func(n dashboards.Note) {
		n.From = o.Listen
		say.Put(topics.Findings, n.Key(), "", n.Append(nil), time.UnixMilli(n.TS))
	}
	d := &Daemon{o: o, atStart: atStart(c), say: say, history: history, people: says,
		sentry: canary.NewSentry(canary.SentryConfig{Measures: says.measures, Log: o.Log.With("part", "canary")})}
	bo := dashboards.Options{
		Window: c.Dashboards.Window.Std(config.DefaultWindow), MaxBytes: int(c.Dashboards.MaxBytes), Golden: dashboards.Golden{Rate: g.Rate, Errors: g.Errors, Latency: g.Latency},
		Percentile: quantile.Over,
		Judge: func(now time.Time, b *dashboards.Board) []dashboards.Finding {
			return append(judge.Judge(now, b), d.sentry.Judge(now, b)...)
		},
		Publish: publish, Alerted: func(n dashboards.Note) { d.rules.Take(n) },
		Roll: func(r dashboards.Rollup) {
			history.Add(&r)
			say.Put(topics.Rollups, rollup.Key(&r), rollup.QueueKey(&r), rollup.Append(nil, &r), time.UnixMilli(r.T))
		},
		Rolled: history.Has, Spark: history.Spark, Pinned: c.Dashboards.Pinned, About: says.about,
	}
	if others != nil {
		bo.Owns, others.tell = others.ownsService, judge.Troubles
	}
	board, err := dashboards.NewBoard(bo)
	if err != nil {
		return nil, err
	}
	says.board, says.history = board, history
	fc, err := feedConfig(c, board, o)
	if err != nil {
		return nil, err
	}
	fc.History = history
	if others != nil {
		fc.Owns = others.owns
	}
	var told words
	lives := trouble{say: board.Happened}
	fc.Told = func(r *wire.RosterRecord) {
		lives.hear(r)
		if o.Collector == nil {
			told.hear(r)
		}
	}
	f, err := feed.New(fc)
	if err != nil {
		return nil, err
	}
	if others != nil {
		others.count = f.Partitions
	}
	older, back, err := newPast(c, bo, o)
	if err != nil {
		return nil, err
	}
	d.back = back
	wc := web.Config{Board: board, TopicsAt: collect.Place(c.Kafka), History: history, Past: older, Measures: says.measures, Promises: says.promises, Said: says.said, Demo: o.Demo, Fault: o.Fault, Version: o.Build.Version, Log: o.Log.With("part", "web"), Metrics: o.Metrics.NewSet(), Extra: map[string]http.Handler{}}
	if d := o.Collector; d != nil {
		wc.Views = d.Views
		wc.Collector = func() any { return d.Status() }
		wc.Exceptions = func() []dashboards.Exception { return exceptions(d.Status()) }
	} else {
		wc.Views, wc.Exceptions = told.views, told.exceptions
	}
	var ask collectors
	if o.Collector != nil {
		mux := http.NewServeMux()
		o.Collector.Routes(mux)
		ask.here = mux
		wc.Extra["POST /api/v1/burst"] = mux // the page asks for a closer look where it asks for all else
	} else {
		for _, u := range c.Dashboards.Collectors {
			ask.urls = append(ask.urls, u.Reveal())
		}
	}
	if wc.Ask = ask.ask; ask.none() {
		wc.Ask = told.ask
	}
	d.board, d.feed, d.peers = board, f, others
	if d.rules, err = newRuling(c, d, publish); err != nil {
		return nil, err
	}
	beside := wc.Exceptions
	wc.Exceptions = func() []dashboards.Exception { return append(beside(), d.rules.exceptions()...) }
	maps.Copy(wc.Extra, d.rules.routes())
	own := http.NewServeMux()
	o.Metrics.Routes(own, d.Ready)
	for _, p := range []string{"/metrics", "/stats.json", "/stats.txt", "/stats.csv", "/-/healthy", "/-/ready", "/debug/pprof/"} {
		wc.Extra["GET "+p] = own
	}
	if others != nil {
		wc.Extra["GET "+peerPath] = http.HandlerFunc(others.serve)
	}
	prom, err := d.promql(c, func(p *promql.Config) { p.Also = d.rules.store })
	if err != nil {
		return nil, err
	}
	if others != nil {
		wc.Extra["POST "+queryPath] = d.answering(prom)
	}
	maps.Copy(wc.Extra, prom.Routes())
	wc.PromSeries = prom.Series()
	if d.alerts, err = notifier(c, board, d.rules, o); err != nil {
		return nil, err
	}
	if d.web, err = web.New(wc); err != nil {
		return nil, err
	}
	return d, nil
}

func feedConfig(c *config.Config, board *dashboards.Board, o Options) (feed.Config, error) {
	t := collect.Topics(c.Kafka)
	out := feed.Config{Brokers: c.Kafka.Brokers, ClientID: c.Kafka.ClientID, Rack: c.Kafka.Rack, Snapshots: t.Snapshots, Backfill: t.Backfill, Roster: t.Roster, Findings: t.Findings, Rollups: t.Rollups, Board: board,
		Window: c.Dashboards.Window.Std(config.DefaultWindow), Log: o.Log.With("part", "feed"), Metrics: o.Metrics.NewSet()}
	var err error
	out.SASL, out.TLS, err = access(c)
	return out, err
}

// access is how to log in at the brokers.
func access(c *config.Config) (login feed.SASL, secure *tls.Config, err error) {
	if s := c.Kafka.SASL; s != nil {
		login = feed.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password.Reveal(), PasswordFile: s.PasswordFile}
	}
	secure, err = collect.TLS(c.Kafka.TLS)
	return login, secure, err
}

func publisher(c *config.Config, o Options) (*feed.Publisher, error) {
	login, secure, err := access(c)
	if err != nil {
		return nil, err
	}
	return feed.NewPublisher(feed.PublisherConfig{Brokers: c.Kafka.Brokers, ClientID: c.Kafka.ClientID, SASL: login, TLS: secure, Log: o.Log.With("part", "publish"), Metrics: o.Metrics.NewSet()})
}

// exceptions says what of the collector's state a reader of the page has to know, with its consequence.
func exceptions(s collect.Status) (out []dashboards.Exception) {
	add := func(level, format string, args ...any) {
		out = append(out, dashboards.Exception{Level: level, Text: fmt.Sprintf(format, args...), Link: "/roster"})
	}
	if n := s.Delivery.Dropped; n > 0 {
		add("bad", "%d records were dropped and will not be seen", n)
	}
	if text := guarded(s.Guards); text != "" {
		add("warn", "%s", text)
	}
	if n := s.Roster["unparsable"]; n > 0 {
		add("warn", "%s not scraped", many(n, "member cannot be read and is", "members cannot be read and are"))
	}
	if n := s.Outcomes["forbidden"]; n > 0 {
		add("warn", "%s not scraped", many(n, "instance is not on the allow-list and is", "instances are not on the allow-list and are"))
	}
	if !s.ConfigOK {
		add("warn", "The configuration on disk is not the one that runs: the last reload failed")
	}
	return out
}

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// guarded is what guards hold, in one sentence: a page that is calm while ZooKeeper shows nobody must say so.
func guarded(gs []discovery.Guard) string {
	var held, answering, silent int
	from := "from " + many(len(gs), "serverset", "serversets")
	for _, g := range gs {
		if g.Scope == discovery.FleetScope { // it holds whom the guard of no serverset does, wherever they were
			from = "all over the fleet"
		}
		held, answering, silent = held+g.Held, answering+g.Answering, silent+g.Silent
	}
	switch {
	case held == 0:
		return ""
	case len(gs) == 1:
		return strings.ToUpper(gs[0].Verdict[:1]) + gs[0].Verdict[1:]
	case answering > 0 && answering >= silent:
		return fmt.Sprintf("ZooKeeper, not you: %d of %d instances that vanished %s answer; they are held and scraped on", answering, held, from)
	}
	return fmt.Sprintf("%d instances vanished together %s; %d answer so far, %d do not", held, from, answering, silent)
}

// parts are what the page reads of a configuration, all of it at its start.
var parts = [3]string{"`kafka`", "`dashboards`", "`alerting`"}

func atStart(c *config.Config) [3]string {
	return [3]string{config.Fingerprint(c.Kafka, "ca_file"), config.Fingerprint(c.Dashboards), config.Fingerprint(c.Alerting, "ca_file")}
}

// Reload refuses a configuration that changes what the page shows or where it reads: that takes a restart, and reads rule files anew, for Apply. The rest of a
// configuration is none of its business.
func (d *Daemon) Reload(c *config.Config) error {
	var changed []string
	for i, now := range atStart(c) {
		if now != d.atStart[i] {
			changed = append(changed, parts[i])
		}
	}
	if err := collect.OnlyAtStart(changed); err != nil {
		return err
	}
	if err := d.rules.read(c); err != nil {
		return err
	}
	d.people.store.Look()
	return nil
}

// Apply puts in force what Reload has read, once all others have taken the configuration, too.
func (d *Daemon) Apply() { d.rules.apply() }

// Board is what the page shows.
func (d *Daemon) Board() *dashboards.Board { return d.board }

// Handler serves the page and its API.
func (d *Daemon) Handler() http.Handler {
	if d.peers != nil {
		return d.peers.forward(d.web.Handler())
	}
	return d.web.Handler()
}

// Ready is nil once the feed has caught up with the topics.
func (d *Daemon) Ready() error {
	if f := d.board.Feed(); f.State != dashboards.FeedLive {
		return fmt.Errorf("the feed is %s: %s", f.State, f.Error)
	}
	return nil
}

// Run reads until ctx ends.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	parts := map[string]func(context.Context) error{"board": d.board.Run, "feed": d.feed.Run, "publisher": d.say.Run, "alerts": d.alerts.Run, "history": d.keep, "people": d.people.store.Run, "rules": d.rules.Run, "canaries": d.sentry.Run}
	d.people.store.Read() // before anything is recognised
	if d.peers != nil {
		parts["peers"] = d.peers.run
	}
	if d.o.Collector == nil { // which has a policy of its own
		parts["heap"] = holdHeap
	}
	for name, run := range parts {
		wg.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	d.back.Close()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// keep forgets history that is too old until ctx ends.
func (d *Daemon) keep(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			d.history.Expire(now.UnixMilli())
		}
	}
}

// Joins is how many milliseconds it took from the registration of an instance, as its agent noted it by host:port, to its first snapshot on the
// board: the median and the 99th percentile, unknown where nobody joined. Instances that joined again since are left out.
func (d *Daemon) Joins(registered map[string]time.Time) (p50, p99 dashboards.Num) {
	var took []float64
	for addr, seen := range d.board.FirstSeen() {
		if at, ok := registered[addr]; ok && !seen.Before(at) {
			took = append(took, float64(seen.Sub(at))/float64(time.Millisecond))
		}
	}
	if len(took) == 0 {
		return dashboards.Unknown(), dashboards.Unknown()
	}
	slices.Sort(took)
	at := func(q float64) dashboards.Num { return dashboards.Num(took[int(math.Ceil(q*float64(len(took))))-1]) }
	return at(.5), at(.99)
}
