package promql

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// metricName is what a column is called, and its quantile where it is one. It is the name that remote write gives it, so that a query says the same here and in a
// Prometheus that is written to.
func metricName(c *dashboards.RawColumn) (name, quantile string) {
	name = promtext.Name(c.Name, true)
	switch {
	case c.Field != "":
		if q, ok := promtext.Quantile(c.Field); ok {
			return name, q
		}
		return name + "_" + promtext.Name(c.Field, false), ""
	case c.Kind == collector.Delta:
		return name + "_delta", ""
	}
	return name, ""
}

// typeOf is a column's type as Prometheus calls it.
func typeOf(c *dashboards.RawColumn) string {
	switch c.Kind {
	case collector.Counter:
		return "counter"
	case collector.Gauge, collector.Delta:
		return "gauge"
	case collector.Distribution:
		return "summary"
	}
	return "unknown"
}

// target is the labels that all series of an instance have: job, env, instance and its tags, as they were at a moment.
func target(dst []labels.Label, r *dashboards.RawInstance, t int64) []labels.Label {
	dst = append(dst[:0], labels.Label{Name: "job", Value: r.Service}, labels.Label{Name: "env", Value: r.Env}, labels.Label{Name: "instance", Value: r.Instance})
	for name := range r.Tags.All() {
		dst = put(dst, promtext.Name(name, false), r.At(name, t), false)
	}
	return dst
}

// put adds a label unless its name is there. Of a sample's own labels one whose name the target has becomes exported_…, as Prometheus has it.
func put(to []labels.Label, name, value string, own bool) []labels.Label {
	if value == "" {
		return to // the same as none
	}
	there := name == model.MetricNameLabel
	for i := range to {
		there = there || to[i].Name == name
	}
	switch {
	case !there:
		return append(to, labels.Label{Name: name, Value: value})
	case own:
		return put(to, "exported_"+name, value, false)
	}
	return to
}
