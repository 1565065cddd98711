package promql

import (
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// metricName is what a column is called, and its quantile where it is one. It is the name that remote write gives it, so that a query says the same here and in a
// Prometheus that is written to.
func metricName(c *dashboards.RawColumn) (name, quantile string) {
	name = sanitise(c.Name, true)
	switch {
	case c.Field != "":
		if q, ok := quantileOf(c.Field); ok {
			return name, q
		}
		return name + "_" + sanitise(c.Field, false), ""
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
		dst = put(dst, sanitise(name, false), r.At(name, t), false)
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

// sanitise makes a name as Prometheus takes it without quotes: letters, digits, _, and in a metric's name colons; anything else becomes _, one for each character,
// and a digit in front gets one before it.
func sanitise(s string, metric bool) string {
	ok := func(i int, c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' && metric || i > 0 && c >= '0' && c <= '9'
	}
	good := s != ""
	for i, c := range s {
		good = good && ok(i, c)
	}
	if good {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		switch {
		case ok(i, c):
			b.WriteRune(c)
		case i == 0 && c >= '0' && c <= '9':
			b.WriteByte('_')
			b.WriteRune(c)
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// quantileOf reads p50, p99, p999 as 0.5, 0.99, 0.999.
func quantileOf(field string) (string, bool) {
	digits, ok := strings.CutPrefix(field, "p")
	if !ok || len(digits) < 1 || len(digits) > 8 {
		return "", false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	switch {
	case digits == "100":
		return "1", true
	case len(digits) == 1: // p5 is the fifth, as p05 is
		digits = "0" + digits
	}
	f, err := strconv.ParseFloat("0."+digits, 64)
	return strconv.FormatFloat(f, 'f', -1, 64), err == nil
}
