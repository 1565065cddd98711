package expose

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// stats is what Ostrich calls a summary: everything an application says at one moment, by name.
type stats struct {
	counters, gauges []number
	labels           []text
	metrics          []distribution
	nonfinite        int
}

type number struct {
	name  string
	value float64
}

type text struct{ name, value string }

type distribution struct {
	name   string
	fields []number // sorted by name once the stats are
}

func summarise(families []*dto.MetricFamily) *stats {
	s := &stats{}
	for _, f := range families {
		info := f.GetType() == dto.MetricType_GAUGE && strings.HasSuffix(f.GetName(), "_info") && len(f.Metric) == 1
		for _, m := range f.Metric {
			if info && len(m.Label) > 0 && m.GetGauge().GetValue() == 1 {
				for _, l := range m.Label {
					s.labels = append(s.labels, text{f.GetName() + "/" + escape(l.GetName()), l.GetValue()})
				}
				continue
			}
			s.add(f.GetType(), seriesName(f.GetName(), m.Label), m)
		}
	}
	return s
}

func (s *stats) add(kind dto.MetricType, name string, m *dto.Metric) {
	switch kind {
	case dto.MetricType_COUNTER:
		s.counters = append(s.counters, s.number(name, m.GetCounter().GetValue()))
	case dto.MetricType_GAUGE:
		s.gauges = append(s.gauges, s.number(name, m.GetGauge().GetValue()))
	case dto.MetricType_SUMMARY:
		s.metrics = append(s.metrics, summary(name, m.GetSummary()))
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		s.metrics = append(s.metrics, histogram(name, m.GetHistogram()))
	default:
		s.gauges = append(s.gauges, s.number(name, m.GetUntyped().GetValue()))
	}
}

func (s *stats) number(name string, v float64) number {
	if !finite(v) {
		s.nonfinite++
	}
	return number{name, v}
}

func (s *stats) addLabels(m map[string]string) {
	for n, v := range m {
		s.labels = append(s.labels, text{n, v})
	}
}

// sort orders each section by name; of two with one name, the last one stays, as a reader of JSON would have it.
func (s *stats) sort() {
	s.counters = sortByName(s.counters, func(n number) string { return n.name })
	s.gauges = sortByName(s.gauges, func(n number) string { return n.name })
	s.labels = sortByName(s.labels, func(t text) string { return t.name })
	s.metrics = sortByName(s.metrics, func(d distribution) string { return d.name })
	for i := range s.metrics {
		s.metrics[i].fields = sortByName(s.metrics[i].fields, func(n number) string { return n.name })
	}
}

func sortByName[T any](in []T, name func(T) string) []T {
	slices.SortStableFunc(in, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	out := in[:0]
	for i, v := range in {
		if i+1 < len(in) && name(in[i+1]) == name(v) {
			continue
		}
		out = append(out, v)
	}
	return out
}

// seriesName is name/label/value for each label, in the order of their names.
func seriesName(name string, labels []*dto.LabelPair) string {
	if len(labels) == 0 {
		return name
	}
	if !slices.IsSortedFunc(labels, byLabelName) {
		labels = slices.SortedFunc(slices.Values(labels), byLabelName)
	}
	var b strings.Builder
	b.WriteString(name)
	for _, l := range labels {
		b.WriteByte('/')
		b.WriteString(escape(l.GetName()))
		b.WriteByte('/')
		b.WriteString(escape(l.GetValue()))
	}
	return b.String()
}

func byLabelName(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) }

var escaper = strings.NewReplacer("%", "%25", "/", "%2F")

func escape(s string) string {
	if !strings.ContainsAny(s, "%/") {
		return s
	}
	return escaper.Replace(s)
}

func summary(name string, s *dto.Summary) distribution {
	d := distribution{name, countAndSum(float64(s.GetSampleCount()), s.GetSampleSum())}
	if s.GetSampleCount() == 0 {
		return d
	}
	for _, q := range s.Quantile {
		if finite(q.GetValue()) { // NaN: nothing observed lately
			d.fields = append(d.fields, number{quantileName(q.GetQuantile()), q.GetValue()})
		}
	}
	return d
}

func countAndSum(count, sum float64) []number {
	f := []number{{"count", count}}
	if finite(sum) {
		f = append(f, number{"sum", sum})
		if count > 0 {
			f = append(f, number{"average", sum / count})
		}
	}
	return f
}

// quantileName is Ostrich's: p and the digits after the point, two at least.
func quantileName(q float64) string {
	switch {
	case q <= 0:
		return "minimum"
	case q >= 1:
		return "maximum"
	}
	digits := strings.TrimPrefix(strconv.FormatFloat(q, 'f', -1, 64), "0.")
	if len(digits) < 2 {
		digits += "0"
	}
	return "p" + digits
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
