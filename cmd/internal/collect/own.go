package collect

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/enrich/tag"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// ownSeries are the daemon's own metrics beside those of its parts.
func (d *Daemon) ownSeries() {
	d.own.reloadOK.Store(1)
	d.own.reloadTime.Store(time.Now().Unix())
	set := d.o.Metrics.NewSet()
	set.NewGauge("rollcall_config_last_reload_successful", func() float64 { return float64(d.own.reloadOK.Load()) })
	set.NewGauge("rollcall_config_last_reload_success_timestamp_seconds", func() float64 { return float64(d.own.reloadTime.Load()) })
	for _, state := range []discovery.State{discovery.Present, discovery.Unconfirmed, discovery.Quarantined, discovery.Failing, discovery.Departed, discovery.Unparsable, discovery.Filtered} {
		set.NewGauge(fmt.Sprintf("rollcall_roster_instances{state=%q}", state), func() float64 {
			return float64(d.roster.Counts()[state])
		})
	}
	set.NewGauge("rollcall_roster_missing_instances", func() float64 { return float64(d.Status().Missing.Count) })
	for what, of := range map[string]func(discovery.Guard) int{
		"held":           func(g discovery.Guard) int { return g.Held },
		"held_answering": func(g discovery.Guard) int { return g.Answering },
		"held_silent":    func(g discovery.Guard) int { return g.Silent },
	} {
		set.NewGauge("rollcall_roster_"+what+"_instances", func() (n float64) {
			for _, g := range d.roster.Guards() {
				n += float64(of(g))
			}
			return n
		})
	}
	set.NewGauge("rollcall_roster_oldest_path_seconds", func() float64 { return d.Status().oldest.Seconds() })
	set.NewGauge("rollcall_roster_saved", func() float64 {
		if d.journal.Status().Err != "" {
			return 0
		}
		return 1
	})
	d.own.enriched = set.NewPrometheusHistogramExt(fmt.Sprintf("%s{stage=%q}", collector.StageSeconds, collector.StageEnriched), collector.StageBounds())
	set.NewGauge("rollcall_burst_targets", func() float64 { return float64(len(d.bursts.plan.Load().paces)) })
	set.NewGauge("rollcall_burst_added_scrapes_per_second", func() float64 { return d.bursts.plan.Load().added })
	d.published.own = d.word
}

// word is what the roster's topic is told of this collector.
func (d *Daemon) word() wire.Own {
	s := d.Status()
	return wire.Own{Sources: s.Sources, Guards: s.Guards, Roster: s.Roster, Outcomes: s.Outcomes, Delivery: s.Delivery, Kafka: s.Kafka, ConfigOK: s.ConfigOK}
}

// tagMetrics is one set over all reloads: a second one would give every series twice.
func (d *Daemon) tagMetrics() *metrics.Set {
	if d.own.set == nil {
		d.own.set = d.o.Metrics.NewSet()
	}
	return d.own.set
}

// zkMetrics is one set for the sessions, which outlive the sources that share them.
func (d *Daemon) zkMetrics() *metrics.Set {
	if d.own.zk == nil {
		d.own.zk = d.o.Metrics.NewSet()
	}
	return d.own.zk
}

// Check makes of a configuration all that a daemon would, without opening or dialling anything: its errors are those that a start would give.
func Check(c *config.Config) error {
	d := &Daemon{log: slog.New(slog.DiscardHandler), sources: map[string]source{}, zk: zk.NewSessions(), o: Options{Log: slog.New(slog.DiscardHandler), Metrics: ops.NewMetrics(ops.Build{})}}
	if len(c.ZooKeeper.Servers) == 0 {
		with := *c
		with.ZooKeeper.Servers = []string{"embedded:2181"} // `up` brings its own; `collect` says at its start that it has none
		c = &with
	}
	_, err := d.buildSources(c)
	errs := []error{err, d.setJobs(c)}
	_, err = tag.New(d.tagConfig(c))
	errs = append(errs, err)
	_, err = TLS(c.Kafka.TLS)
	return errors.Join(append(errs, err)...)
}
