package serve

import (
	"maps"
	"net/http"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
)

// newPage serves what the board shows, and all that is asked beside it. The past is read back as the board was made.
func (d *Daemon) newPage(c *config.Config, bo dashboards.Options) (*web.Server, error) {
	older, back, err := newPast(c, bo, d.o)
	if err != nil {
		return nil, err
	}
	d.back = back
	wc := web.Config{Board: d.board, TopicsAt: collect.Place(c.Kafka), History: d.history, Past: older, Measures: d.people.measures, Promises: d.people.promises, Said: d.people.said,
		Demo: d.o.Demo, Fault: d.o.Fault, Version: d.o.Build.Version, Log: d.o.Log.With("part", "web"), Metrics: d.o.Metrics.NewSet(), Extra: d.rules.routes()}
	d.askCollectors(c, &wc)
	own := http.NewServeMux()
	d.o.Metrics.Routes(own, d.Ready)
	for _, p := range []string{"/metrics", "/stats.json", "/stats.txt", "/stats.csv", "/-/healthy", "/-/ready", "/debug/pprof/"} {
		wc.Extra["GET "+p] = own
	}
	prom, err := d.promql(c, func(p *promql.Config) { p.Also = d.rules.store })
	if err != nil {
		return nil, err
	}
	maps.Copy(wc.Extra, prom.Routes())
	wc.PromSeries = prom.Series()
	if d.peers != nil {
		wc.Extra["GET "+peerPath] = http.HandlerFunc(d.peers.serve)
		wc.Extra["POST "+queryPath] = d.answering(prom)
	}
	return web.New(wc)
}

// askCollectors has the page ask the collector in this process; where there is none, those that the configuration names, and what they tell of themselves.
func (d *Daemon) askCollectors(c *config.Config, wc *web.Config) {
	var ask collectors
	var beside func() []dashboards.Exception
	if here := d.o.Collector; here != nil {
		mux := http.NewServeMux()
		here.Routes(mux)
		ask.here = mux
		wc.Extra["POST /api/v1/burst"] = mux // the page asks for a closer look where it asks for all else
		wc.Views, wc.Collector = here.Views, func() any { return here.Status() }
		beside = func() []dashboards.Exception { return exceptions(here.Status()) }
	} else {
		for _, u := range c.Dashboards.Collectors {
			ask.urls = append(ask.urls, u.Reveal())
		}
		wc.Views, beside = d.told.views, d.told.exceptions
	}
	if wc.Ask = ask.ask; ask.none() {
		wc.Ask = d.told.ask
	}
	wc.Exceptions = func() []dashboards.Exception { return append(beside(), d.rules.exceptions()...) }
}
