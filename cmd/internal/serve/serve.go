// Package serve is the dashboards daemon: the topics → the board → the page, wired from one configuration. It may be run by `serve`, inside `up`, or in a test.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/feed"
	"github.com/rollcall-metrics/rollcall/dashboards/notify"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/readback"
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
	topics  sink.Topics
	board   *dashboards.Board
	feed    *feed.Feed
	web     *web.Server
	say     *feed.Publisher
	alerts  *notify.Notifier
	history *rollup.History
	peers   *peers // nil: this is the only replica
	people  *people
	told    words // by collectors in other processes
	rules   *ruling
	sentry  *canary.Sentry
	back    *readback.Client // for the past
}

// New checks the configuration; it opens nothing.
func New(c *config.Config, o Options) (*Daemon, error) {
	d := &Daemon{o: o, atStart: atStart(c), topics: collect.Topics(c.Kafka), history: rollup.NewHistory(int(c.Dashboards.HistoryBytes))}
	var err error
	if d.people, err = newPeople(c, o); err != nil {
		return nil, err
	}
	if d.peers, err = replicas(c, o); err != nil {
		return nil, err
	}
	if d.say, err = publisher(c, o); err != nil {
		return nil, err
	}
	bo, err := d.boardOptions(c)
	if err != nil {
		return nil, err
	}
	if d.board, err = dashboards.NewBoard(bo); err != nil {
		return nil, err
	}
	d.people.board, d.people.history = d.board, d.history
	if d.feed, err = d.newFeed(c); err != nil {
		return nil, err
	}
	if d.peers != nil {
		d.peers.count = d.feed.Partitions
	}
	if d.rules, err = newRuling(c, d); err != nil {
		return nil, err
	}
	if d.alerts, err = notifier(c, d.board, d.rules, o); err != nil {
		return nil, err
	}
	if d.web, err = d.newPage(c, bo); err != nil {
		return nil, err
	}
	return d, nil
}

// replicas are those that serve beside this one; nil where there are none.
func replicas(c *config.Config, o Options) (*peers, error) {
	if len(c.Dashboards.Peers) == 0 {
		return nil, nil
	}
	var urls []string
	for _, u := range c.Dashboards.Peers {
		urls = append(urls, u.Reveal())
	}
	return newPeers(urls, o.Log.With("part", "peers"))
}

// publish tells all others, and this process after a restart.
func (d *Daemon) publish(n dashboards.Note) {
	n.From = d.o.Listen
	d.say.Put(d.topics.Findings, n.Key(), "", n.Append(nil), time.UnixMilli(n.TS))
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
