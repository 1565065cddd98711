// Package collect is the collector daemon: sources → roster → pool → enrich → sink, wired from one configuration. It may be run by `collect`, inside `up`, or in a
// test.
package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
	"github.com/rollcall-metrics/rollcall/enrich/tag"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
)

// Options are what a daemon needs beside its configuration.
type Options struct {
	Storage string        // folder for the roster, the collector's identity and what it remembers; made if missing
	Drain   time.Duration // how long the sink may deliver after the end; default 10s
	Log     *slog.Logger
	Metrics *ops.Metrics
	Geo     *config.Geo // takes the place of the configuration's, for the demo
	Listen  string      // HOST:PORT of its API, for the other collectors of its group; "": they are not told
	Scheme  string      // of its API: https, or http where it is empty
}

// Daemon is one collector.
type Daemon struct {
	o   Options
	log *slog.Logger

	mu      sync.Mutex
	conf    *config.Config
	atStart [][2]string     // as of the start, files included
	spoken  map[string]bool // sources that have said who is there

	roster  *discovery.Roster
	journal *discovery.Journal
	watcher *discovery.Watcher
	sources map[string]source
	zk      *zk.Sessions

	monitors bool // ZooKeeper's own servers are scraped, too
	ensemble atomic.Pointer[ensemble.Source]
	sessions atomic.Pointer[[]*zk.Session]   // with the configured ensemble
	static   atomic.Pointer[map[string]bool] // sources that need no guard
	lists    atomic.Pointer[map[string][]*listed]

	targets atomic.Pointer[tag.Targets]
	jobs    atomic.Pointer[map[string]job]
	geo     *geo.DB
	enrich  *tag.Enricher
	pool    *scrape.Pool
	sink    *kafka.Sink
	ledger  *sink.Ledger

	moved     *moved
	history   history       // of the roster, for those who follow it
	cut       chan struct{} // closed: the drain ends
	paused    atomic.Bool
	counts    counts
	published *publisher
	sharing   sharing
	bursts    *bursts
	peers     *http.Client
	askers    chan struct{} // a place for each who asks a service's instances beside their schedule
	own       ownMetrics
	status    kept[Status]

	tracksEvery time.Duration // how often the versions' ages are saved
	filesEvery  time.Duration // how often the files of tls_config are looked at
}

type ownMetrics struct {
	reloadOK   atomic.Int64
	reloadTime atomic.Int64
	enriched   *metrics.PrometheusHistogram
	set        *metrics.Set // of tags
	zk         *metrics.Set // of ZooKeeper sessions
}

// New checks the configuration and everything it names. It opens files below Storage, and nothing else.
func New(c *config.Config, o Options) (*Daemon, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = ops.NewMetrics(ops.ThisBuild())
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if err := os.MkdirAll(o.Storage, 0o750); err != nil {
		return nil, fmt.Errorf("make storage folder: %w", err)
	}
	d := &Daemon{o: o, log: o.Log, monitors: true, conf: c, atStart: atStart(c, o), sources: map[string]source{}, zk: zk.NewSessions(), spoken: map[string]bool{}, sharing: sharing{lists: make(chan struct{}, 1)}, tracksEvery: time.Minute, filesEvery: 10 * time.Second, moved: newMoved(), cut: make(chan struct{}), bursts: newBursts(), askers: make(chan struct{}, asksAtOnce)}
	ident, err := sink.OpenIdentity(o.Storage)
	if err != nil {
		return nil, err
	}
	d.ledger = sink.NewLedger(ident, time.Now())
	if d.geo, err = geo.New(geoConfig(c, o)); err != nil {
		return nil, err
	}
	if d.enrich, err = tag.New(d.tagConfig(c)); err != nil {
		return nil, err
	}
	if err := d.setJobs(c); err != nil {
		return nil, err
	}
	d.roster = discovery.NewRoster(d.rosterOptions(c))
	d.journal = discovery.NewJournal(o.Storage, d.roster, d.log.With("part", "roster"))
	d.watcher = discovery.NewWatcher(d.roster, d.onChange)
	list, err := d.buildSources(c)
	if err != nil {
		return nil, err
	}
	if err := d.watcher.Set(list); err != nil {
		return nil, err
	}
	kc, err := kafkaConfig(c, o, d.ledger)
	if err != nil {
		return nil, err
	}
	kc.Cut = d.cut
	if d.sink, err = kafka.New(kc); err != nil {
		return nil, err
	}
	d.published = newPublisher(ident, d.roster, d.sink, kc.Topics.Roster)
	d.published.mine, d.published.term, d.published.waits = d.publishes, d.term, d.sink.Waits
	d.peers = share.NewClient()
	if err := d.newSharing(c, ident.Hex()); err != nil {
		return nil, err
	}
	d.pool, err = scrape.New(scrape.Config{Handle: d.handle, Fresh: d.fresh, Behind: d.sink.Behind, Term: d.term, Retired: d.retired, Log: d.log.With("part", "scrape"), Metrics: o.Metrics.NewSet()})
	if err != nil {
		return nil, err
	}
	d.ownSeries()
	return d, nil
}

// handle takes a snapshot from the pool to the sink.
func (d *Daemon) handle(s *collector.Snapshot) {
	d.counts.add(s)
	if s.Outcome.Asked() {
		d.roster.Heard(s.Instance.Key, s.Outcome.Answered(), s.Time)
	}
	if j := (*d.jobs.Load())[discovery.JobOf(s.Instance.Source)].Job; j != nil && s.Interval < j.Interval {
		s.Usual = j.Interval
	}
	began := time.Now()
	d.enrich.Enrich(s)
	d.own.enriched.Update(time.Since(began).Seconds())
	d.sink.Put(s)
	s.Release()
}

// filter relabels an instance, before it is put on the roster.
func (d *Daemon) filter(i *discovery.Instance) (string, bool) {
	return d.targets.Load().Filter(i)
}

func (d *Daemon) onChange(changes []discovery.Change) {
	d.published.changes(changes)
	for _, c := range changes {
		if !c.State.Scraped() && !inOrder(&c.Entry) { // else when its last scrape is in: see retired
			d.enrich.Left(c.Key)
		}
	}
	d.moved.add(changes)
	d.history.add(changes)
}

// Run collects until ctx ends. Then it stops from left to right: discovery, the pool, and the sink, which delivers what it has within Options.Drain, or
// until cut ends.
func (d *Daemon) Run(ctx, cut context.Context) error {
	now := time.Now()
	if err := d.journal.Load(d.sourceNames(), now); err != nil {
		d.log.Warn("the roster of the last run cannot be read", "err", err)
	}
	if err := d.enrich.LoadTracks(d.tracksFile()); err != nil {
		d.log.Warn("the versions' ages of the last run cannot be read", "err", err)
	}
	if err := errors.Join(d.geo.Load(), d.enrich.Load()); err != nil {
		d.log.Warn("some of what enriches is missing", "err", err)
	}
	d.moved.everybody()
	d.applyTargets()

	end, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fail := func(what string, err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			cancel(fmt.Errorf("%s: %w", what, err))
		}
	}
	// Each stage has a context of its own, ended when the stage before it has stopped.
	poolCtx, endPool := context.WithCancel(context.WithoutCancel(ctx))
	sinkCtx, endSink := context.WithCancel(context.WithoutCancel(ctx))
	defer endPool()
	defer endSink()
	journalCtx, endJournal := context.WithCancel(context.WithoutCancel(ctx))
	defer endJournal()
	var first, pool, last, kept sync.WaitGroup
	kept.Go(func() { d.journal.Run(journalCtx) })
	first.Go(func() { fail("discovery", d.watcher.Run(end)) })
	first.Go(func() { fail("zookeeper", d.zk.Run(end)) })
	first.Go(func() { d.follow(end) })
	first.Go(func() { fail("share", d.runShare(end)) })
	first.Go(func() { d.seed(end) })
	first.Go(func() { d.followWords(end) })
	first.Go(func() { d.followBursts(end) })
	first.Go(func() { d.followSlices(end) })
	first.Go(func() { d.saveTracks(end) })
	first.Go(func() { d.holdHeap(end) })
	first.Go(func() { d.followFiles(end) })
	first.Go(func() { fail("expected counts", d.followExpected(end)) })
	first.Go(func() { fail("geo", d.geo.Run(end)) })
	first.Go(func() { fail("tags", d.enrich.Run(end)) })
	pool.Go(func() { fail("scrape", d.pool.Run(poolCtx)) })
	last.Go(func() { fail("sink", d.sink.Run(sinkCtx)) })

	<-end.Done()
	first.Wait()
	endPool()
	pool.Wait()
	endJournal()
	kept.Wait()
	stop := context.AfterFunc(cut, func() { close(d.cut) })
	defer stop()
	endSink()
	last.Wait()
	if err := d.enrich.SaveTracks(d.tracksFile()); err != nil {
		d.log.Warn("what the next run would know is not saved", "err", err)
	}
	if err := context.Cause(end); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// follow hands the roster's changes to the pool at once, and its full states to the sink.
func (d *Daemon) follow(ctx context.Context) {
	full := time.NewTicker(time.Second)
	defer full.Stop()
	begun := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.moved.ready:
			d.applyTargets()
		case now := <-full.C:
			d.published.full(now)
			// It remembers who has spoken, though nobody asks at that time.
			if err := d.Ready(); err == nil && !begun {
				begun = true
				debug.FreeOSMemory() // reading a large fleet takes much more than keeping it does: docs/performance.md
			}
		}
	}
}

func (d *Daemon) tracksFile() string { return filepath.Join(d.o.Storage, "tracks.json") }

// saveTracks writes the versions' ages now and then. The file also says until when they were known, so it is written though they did not change: after
// a crash a version that is new is younger than that.
func (d *Daemon) saveTracks(ctx context.Context) {
	tick := time.NewTicker(d.tracksEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := d.enrich.SaveTracks(d.tracksFile()); err != nil {
				d.log.Warn("the versions' ages are not saved", "err", err)
			}
		}
	}
}

// Ready is nil once every source has said who is there, or the roster of the last run serves in its place.
func (d *Daemon) Ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var silent []string
	for _, name := range slices.Sorted(maps.Keys(d.sources)) {
		if !d.spoken[name] {
			silent = append(silent, name)
		}
	}
	if len(silent) == 0 {
		return nil
	}
	for _, v := range d.roster.Views() {
		if v.Complete {
			d.spoken[v.Source] = true
		}
	}
	for _, p := range d.roster.Paths() { // of the last run, or of a peer: who has departed long ago says nothing
		if p.Members > 0 {
			d.spoken[p.Source] = true
		}
	}
	if silent = slices.DeleteFunc(silent, func(name string) bool { return d.spoken[name] }); len(silent) > 0 {
		return fmt.Errorf("nobody is known yet of %s", strings.Join(silent, ", "))
	}
	return nil
}

// Pause stops scraping for good, so that what is under way can be counted.
func (d *Daemon) Pause() {
	d.paused.Store(true)
	d.moved.everybody()
	d.applyTargets()
}

// counts is what went from the pool to the sink.
type counts struct{ scrapes, ok, samples atomic.Uint64 }

func (c *counts) add(s *collector.Snapshot) {
	c.scrapes.Add(1)
	if s.Outcome == collector.OK {
		c.ok.Add(1)
		c.samples.Add(uint64(len(s.Samples)))
	}
}

// Counts is what this start has done so far.
type Counts struct {
	Discovered                  int // instances on the roster that are scraped, static ones aside
	Scrapes, ScrapesOK, Samples uint64
	Acknowledged, Waiting       uint64
}

// Counts reads them now.
func (d *Daemon) Counts() Counts {
	t := d.ledger.Report(time.Now()).Total
	c := Counts{Scrapes: d.counts.scrapes.Load(), ScrapesOK: d.counts.ok.Load(), Samples: d.counts.samples.Load(), Acknowledged: t.Acknowledged, Waiting: t.Waiting()}
	d.roster.Walk(func(e *discovery.Entry) bool {
		if e.State.Scraped() && e.Format != "static" {
			c.Discovered++
		}
		return true
	})
	return c
}

// ReloadFailed notes that a configuration could not be read.
func (d *Daemon) ReloadFailed() {
	d.own.reloadOK.Store(0)
	d.status.forget()
}

// Reload puts another configuration in force, touching only what changed. On an error the old one stays, whole.
func (d *Daemon) Reload(c *config.Config) (err error) {
	defer d.status.forget()
	defer func() {
		d.own.reloadOK.Store(map[bool]int64{true: 1}[err == nil])
		if err == nil {
			d.own.reloadTime.Store(time.Now().Unix())
		}
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.appliable(c); err != nil {
		return err
	}
	old := d.conf
	if err := d.enrich.Update(d.tagConfig(c)); err != nil {
		return err
	}
	if err := d.setJobs(c); err != nil {
		return errors.Join(err, d.enrich.Update(d.tagConfig(old)))
	}
	back := func(err error) error { return errors.Join(err, d.enrich.Update(d.tagConfig(old)), d.setJobs(old)) }
	share, drop, err := d.nextShare(c)
	if err != nil {
		return back(err)
	}
	list, err := d.buildSources(c)
	if err != nil {
		drop()
		return back(err)
	}
	if err := d.watcher.Set(list); err != nil { // two of one name, which no configuration that was checked has
		drop()
		return back(err)
	}
	d.conf = c
	share()
	d.onChange(d.roster.Refilter(d.filter, time.Now()))
	d.moved.everybody() // jobs may be others
	return nil
}

// Config is the configuration in force.
func (d *Daemon) Config() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conf
}
