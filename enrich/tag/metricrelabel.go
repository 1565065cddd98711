package tag

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/rollcall-metrics/rollcall/collector"
)

// metricRelabel is the metric_relabel_configs of a job.
//
// As in Prometheus the rules see a sample's name as __name__, its labels, and the labels of its target (job, instance, and the tags by their names) as far as a
// rule names them as source; a target's label that a rule leaves alone does not become one of the sample.
type metricRelabel struct {
	rules  []*relabel.Config
	target []string // labels of the target that are asked for
}

func newMetricRelabel(rs []Relabel) (*metricRelabel, error) {
	rules, err := compileRelabel(rs)
	if err != nil {
		return nil, err
	}
	m := &metricRelabel{rules: rules}
	for _, r := range rules {
		for _, l := range r.SourceLabels {
			if l != model.MetricNameLabel && !slices.Contains(m.target, string(l)) {
				m.target = append(m.target, string(l))
			}
		}
	}
	return m, nil
}

// of are the labels of a snapshot's target that are asked for.
func (m *metricRelabel) of(s *collector.Snapshot) (target []collector.LabelPair) {
	for _, n := range m.target {
		v := ""
		switch n {
		case jobLabel:
			v = s.Instance.Service
		case instanceLabel:
			v = s.Instance.Addr()
		case envLabel:
			v = s.Instance.Env
		default:
			v = s.Tags.Get(n)
		}
		if v != "" {
			target = append(target, collector.LabelPair{Name: n, Value: v})
		}
	}
	return target
}

// relabel is a sample's name and labels behind the rules, as texts of their own; same: they are as they were.
func (m *metricRelabel) relabel(s *collector.Sample, target []collector.LabelPair) (name string, out []collector.LabelPair, kept, same bool) {
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, l := range target {
		b.Set(l.Name, l.Value)
	}
	for _, l := range s.Labels { // a sample's own label hides its target's
		b.Set(l.Name, l.Value)
	}
	b.Set(model.MetricNameLabel, s.Name)
	if !relabel.ProcessBuilder(b, m.rules...) {
		return "", nil, false, false
	}
	if name = b.Get(model.MetricNameLabel); name == "" {
		return "", nil, false, false
	}
	b.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, "__") {
			return
		}
		if labelOf(s.Labels, l.Name) == "" && labelOf(target, l.Name) == l.Value {
			return
		}
		out = append(out, collector.LabelPair{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)})
	})
	slices.SortFunc(out, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
	if name == s.Name && slices.Equal(out, s.Labels) {
		return "", nil, true, true
	}
	return strings.Clone(name), out, true, false
}
