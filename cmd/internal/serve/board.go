package serve

import (
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/feed"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// boardOptions are what the board asks, and whom it tells.
func (d *Daemon) boardOptions(c *config.Config) (dashboards.Options, error) {
	dc := detect.Config{Promises: d.people.promises, Log: d.o.Log.With("part", "detect"), Metrics: d.o.Metrics.NewSet()}
	if d.peers != nil {
		dc.Owns, dc.Others = d.peers.ownsService, d.peers.troubles
	}
	judge, err := detect.New(dc)
	if err != nil {
		return dashboards.Options{}, err
	}
	d.sentry = canary.NewSentry(canary.SentryConfig{Measures: d.people.measures, Log: d.o.Log.With("part", "canary")})
	g := c.Dashboards.Golden
	out := dashboards.Options{
		Window: c.Dashboards.Window.Std(config.DefaultWindow), MaxBytes: int(c.Dashboards.MaxBytes), Golden: dashboards.Golden{Rate: g.Rate, Errors: g.Errors, Latency: g.Latency},
		Percentile: quantile.Over,
		Judge: func(now time.Time, b *dashboards.Board) []dashboards.Finding {
			return append(judge.Judge(now, b), d.sentry.Judge(now, b)...)
		},
		Publish: d.publish, Alerted: func(n dashboards.Note) { d.rules.Take(n) },
		Roll: d.roll, Rolled: d.history.Has, Spark: d.history.Spark, Pinned: c.Dashboards.Pinned, About: d.people.about,
	}
	if d.peers != nil {
		out.Owns, d.peers.tell = d.peers.ownsService, judge.Troubles
	}
	return out, nil
}

// roll keeps a rollup, and tells it to all others.
func (d *Daemon) roll(r dashboards.Rollup) {
	d.history.Add(&r)
	d.say.Put(d.topics.Rollups, rollup.Key(&r), rollup.QueueKey(&r), rollup.Append(nil, &r), time.UnixMilli(r.T))
}

// newFeed reads the topics into the board and the history.
func (d *Daemon) newFeed(c *config.Config) (*feed.Feed, error) {
	t := d.topics
	lives := trouble{say: d.board.Happened}
	fc := feed.Config{Brokers: c.Kafka.Brokers, ClientID: c.Kafka.ClientID, Rack: c.Kafka.Rack, Snapshots: t.Snapshots, Backfill: t.Backfill, Roster: t.Roster, Findings: t.Findings, Rollups: t.Rollups,
		Board: d.board, History: d.history, Window: c.Dashboards.Window.Std(config.DefaultWindow), Log: d.o.Log.With("part", "feed"), Metrics: d.o.Metrics.NewSet(),
		Told: func(r *wire.RosterRecord) {
			lives.hear(r)
			if d.o.Collector == nil {
				d.told.hear(r)
			}
		}}
	if d.peers != nil {
		fc.Owns = d.peers.owns
	}
	var err error
	if fc.SASL, fc.TLS, err = collect.Access(c.Kafka); err != nil {
		return nil, err
	}
	return feed.New(fc)
}

func publisher(c *config.Config, o Options) (*feed.Publisher, error) {
	as, secure, err := collect.Access(c.Kafka)
	if err != nil {
		return nil, err
	}
	return feed.NewPublisher(feed.PublisherConfig{Brokers: c.Kafka.Brokers, ClientID: c.Kafka.ClientID, SASL: as, TLS: secure, Log: o.Log.With("part", "publish"), Metrics: o.Metrics.NewSet()})
}
