package dashboards

import (
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// column is one line of numbers that instances of a service have: a metric, one label set of it, or one field of a distribution.
type column struct {
	raw    string // the name as the application has it
	metric string // the same, or its base where labels stood in the name
	labels []collector.LabelPair
	field  string // of a distribution: count, sum, p99, …; else empty
	kind   collector.Kind
	window collector.Window
	// Untyped numbers are counters or gauges by the votes of the instances that have seen enough.
	counters, gauges int
	instances        int  // how many have it
	uptime           bool // falls when the process starts again
}

// is reports whether the column is where a sample's number belongs.
func (c *column) is(s *collector.Sample, field string) bool {
	if c.raw != s.Name || c.field != field || len(c.labels) != len(s.Labels) && len(s.Labels) > 0 {
		return false
	}
	for i, l := range s.Labels {
		if c.labels[i] != l {
			return false
		}
	}
	return true
}

// kindNow is the declared kind, or what the votes say of an untyped number.
func (c *column) kindNow() collector.Kind {
	switch {
	case c.kind != collector.Untyped || c.counters+c.gauges == 0:
		return c.kind
	case c.counters >= c.gauges:
		return collector.Counter
	}
	return collector.Gauge
}

// rises reports whether differences of the column are what matters: counters, and the counts, sums and buckets of distributions that never reset.
func (c *column) rises() bool {
	switch c.kindNow() {
	case collector.Counter:
		return true
	case collector.Distribution:
		return (c.field == "count" || c.field == "sum") && c.window != collector.Latched && c.window != collector.Interval
	}
	return false
}

// lossy reports whether 24 bits of mantissa say all that anybody draws. Integers and decimals are exact anyway.
func (c *column) lossy() bool {
	switch c.kindNow() {
	case collector.Gauge:
		return true
	case collector.Distribution:
		return c.field != "count" && c.field != "sum"
	}
	return false
}

// label is the value of one label of the column, or "".
func (c *column) label(name string) string {
	for _, l := range c.labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// columnKey appends what tells a column apart.
func columnKey(dst []byte, name string, labels []collector.LabelPair, field string) []byte {
	dst = append(dst, name...)
	for _, l := range labels {
		dst = append(dst, 0)
		dst = append(dst, l.Name...)
		dst = append(dst, 1)
		dst = append(dst, l.Value...)
	}
	if field != "" {
		dst = append(dst, 2)
		dst = append(dst, field...)
	}
	return dst
}

// newColumn copies the sample's names.
func newColumn(s *collector.Sample, field string) column {
	name := strings.Clone(s.Name)
	c := column{raw: name, metric: name, uptime: strings.Contains(strings.ToLower(name), "uptime"), field: strings.Clone(field), kind: s.Kind, window: s.Window}
	for _, l := range s.Labels {
		c.labels = append(c.labels, collector.LabelPair{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)})
	}
	if c.kind == collector.Untyped && countedByName(c.metric) {
		c.kind = collector.Counter
	}
	if len(c.labels) == 0 {
		c.metric, c.labels = scoped(c.metric)
	}
	return c
}

// countedByName reports names that say of themselves that they count.
func countedByName(name string) bool {
	return strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_bucket")
}

// scopeLabels are the labels that are looked for inside a name, where applications write http_requests_total/code/200/method/get. A label name with a
// dot in it (client.as.number) is one in any case.
var scopeLabels = []string{"code", "status", "status_code", "statuscode", "method", "handler", "route", "path", "class", "exception", "outcome", "result",
	"as", "asn", "country", "client", "le", "quantile", "tenant", "endpoint", "type", "op", "operation", "shard", "topic", "partition", "state", "reason"}

// scoped takes a name apart whose end is label/value pairs. What is not wholly such is left as it is.
func scoped(name string) (base string, labels []collector.LabelPair) {
	base = name
	for {
		i := strings.LastIndexByte(base, '/')
		if i < 0 {
			break
		}
		j := strings.LastIndexByte(base[:i], '/')
		if j <= 0 {
			break
		}
		l := unescape(base[j+1 : i])
		if !strings.Contains(l, ".") && !slices.Contains(scopeLabels, strings.ToLower(l)) {
			break
		}
		labels = append(labels, collector.LabelPair{Name: l, Value: unescape(base[i+1:])})
		base = base[:j]
	}
	slices.SortFunc(labels, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
	return base, labels
}

func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return strings.NewReplacer("%2F", "/", "%2f", "/", "%25", "%").Replace(s)
}

// unitOf is the unit that a metric's name tells, "" where it tells none.
func unitOf(metric string) string {
	n := strings.ToLower(metric)
	n = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(n, "_total"), "_bucket"), "_count")
	if i := strings.LastIndexAny(n, "_./- "); i >= 0 {
		n = n[i+1:]
	}
	switch n {
	case "ms", "msec", "msecs", "millis", "milliseconds":
		return "ms"
	case "us", "usec", "usecs", "micros", "microseconds":
		return "us"
	case "ns", "nsec", "nanos", "nanoseconds":
		return "ns"
	case "s", "sec", "secs", "seconds":
		return "s"
	case "bytes":
		return "bytes"
	case "kb":
		return "KB"
	case "mb":
		return "MB"
	case "ratio":
		return "ratio"
	case "percent", "pct":
		return "percent"
	}
	return ""
}

// toMillis is what a latency of a metric is multiplied with to be milliseconds; names that say no unit mean milliseconds.
func toMillis(metric string) float64 {
	switch unitOf(metric) {
	case "us":
		return 1e-3
	case "ns":
		return 1e-6
	case "s":
		return 1e3
	}
	return 1
}

// percentile reads the name of a field: p50 is .5, p999 and p9990 are .999, p5 is .05. ok is false for what is no percentile.
func percentile(field string) (p float64, ok bool) {
	if len(field) < 2 || len(field) > 8 || field[0] != 'p' {
		return 0, false
	}
	digits := field[1:]
	if digits == "100" {
		return 1, true
	}
	if len(digits) == 1 {
		digits = "0" + digits
	}
	f := 0.1
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return 0, false
		}
		p += float64(d-'0') * f
		f /= 10
	}
	return math.Round(p*1e7) / 1e7, true
}
