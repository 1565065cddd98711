package serve

import (
	"fmt"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards/promql"
)

// promql answers PromQL over the windows, with what change makes different.
func (d *Daemon) promql(c *config.Config, change func(*promql.Config)) (*promql.API, error) {
	p := c.Dashboards.PromQL
	pc := promql.Config{Board: d.board, MaxSamples: p.MaxSamples, MaxSeries: p.MaxSeries, Timeout: p.Timeout.Std(0), Concurrent: p.Concurrent, Partial: d.partial,
		Version: d.o.Build.Version, Log: d.o.Log.With("part", "promql"), Metrics: d.o.Metrics.NewSet()}
	change(&pc)
	return promql.New(pc)
}

// partial says what is missing from answers out of this replica's windows.
func (d *Daemon) partial() string {
	if d.peers == nil {
		return ""
	}
	all, here := 0, 0
	for _, r := range d.board.Rows() {
		all++
		if d.peers.ownsService(r.Service, r.Env) {
			here++
		}
	}
	if here == all {
		return ""
	}
	return fmt.Sprintf("%d of %d services are known in detail to this replica of serve; ask the others for theirs, each as a data source of its own", here, all)
}
