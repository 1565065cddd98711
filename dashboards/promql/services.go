package promql

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// figures are the series about services as wholes: what the page's rows say.
var figures = [dashboards.NumFigures]struct {
	metric, help string
	label, value string // that tells it from others of the metric
}{
	dashboards.FigureExpected:  {instancesMetric, instancesHelp, "state", "expected"},
	dashboards.FigurePresent:   {instancesMetric, instancesHelp, "state", "present"},
	dashboards.FigureAnswering: {instancesMetric, instancesHelp, "state", "answering"},
	dashboards.FigureTrouble:   {"rollcall_service_trouble", "0: nothing is wrong with the service, 1: a warning, 2: it is bad.", "", ""},
	dashboards.FigureRate:      {"rollcall_service_requests_per_second", "Requests a second over all instances.", "", ""},
	dashboards.FigureErrors:    {"rollcall_service_errors_per_second", "Errors a second over all instances.", "", ""},
	dashboards.FigureLatency:   {latencyMetric, latencyHelp, "bound", "estimate"},
	dashboards.FigureLatencyLo: {latencyMetric, latencyHelp, "bound", "low"},
	dashboards.FigureLatencyHi: {latencyMetric, latencyHelp, "bound", "high"},
}

const (
	instancesMetric = "rollcall_service_instances"
	instancesHelp   = "Instances that should answer (expected), that are there, and that answer."
	latencyMetric   = "rollcall_service_latency_ms"
	latencyHelp     = "Latency over all instances, as label is says (p99, mean), with the bounds within which it certainly lies."
)

// has reports whether the service has the figure at all.
func has(s *dashboards.RawService, f dashboards.Figure) bool {
	switch f {
	case dashboards.FigureRate:
		return s.Rate
	case dashboards.FigureErrors:
		return s.Errors
	case dashboards.FigureLatency:
		return s.Latency != ""
	case dashboards.FigureLatencyLo, dashboards.FigureLatencyHi:
		return s.Latency != "" && s.Latency != "mean"
	}
	return true
}

// services gives the series about services that match, unless all that is asked for is yet to come.
func (q *querier) services(from int64, fits func(name, value string) bool, left []*labels.Matcher, fn func(found) bool) {
	var named [dashboards.NumFigures]bool
	any := false
	for f := range figures {
		named[f] = fits(model.MetricNameLabel, figures[f].metric)
		any = any || named[f]
	}
	if !any || !fits("instance", "") || from > q.board.AsOf().UnixMilli() {
		return
	}
	b := labels.NewScratchBuilder(6)
	q.board.RawServices(func(service, env string) bool { return fits("job", service) && fits("env", env) }, func(s *dashboards.RawService) bool {
		for f := range dashboards.NumFigures {
			if !named[f] || !has(s, f) {
				continue
			}
			b.Reset()
			b.Add(model.MetricNameLabel, figures[f].metric)
			b.Add("job", s.Service)
			b.Add("env", s.Env)
			for _, l := range [][2]string{{"owner", s.Owner}, {figures[f].label, figures[f].value}} {
				if l[0] != "" && l[1] != "" {
					b.Add(l[0], l[1])
				}
			}
			if figures[f].metric == latencyMetric {
				b.Add("is", s.Latency)
			}
			b.Sort()
			if ls := b.Labels(); matchAll(ls, left) && !fn(found{labels: ls, service: s, figure: f}) {
				return false
			}
		}
		return true
	})
}
