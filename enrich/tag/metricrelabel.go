package tag

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/rollcall-metrics/rollcall/collector"
)

// metricRelabel is the metric_relabel_configs of a job. What became of a series is remembered, so that in the steady state it costs a look-up.
//
// As in Prometheus the rules see a sample's name as __name__, its labels, and the labels of its target (job, instance, and the tags by their names) as far as a
// rule names them as source; a target's label that a rule leaves alone does not become one of the sample.
type metricRelabel struct {
	rules  []*relabel.Config
	target []string // labels of the target that are asked for

	mu       sync.Mutex
	now, old map[uint64]*relabelled // two generations: what the last relabelMemo series needed stays
}

// relabelled is what becomes of a series.
type relabelled struct {
	drop, same bool
	name       string
	labels     []collector.LabelPair
}

const relabelMemo = 200_000 // series of a job, twice

func newMetricRelabel(rs []Relabel) (*metricRelabel, error) {
	rules, err := compileRelabel(rs)
	if err != nil {
		return nil, err
	}
	m := &metricRelabel{rules: rules, now: map[uint64]*relabelled{}}
	for _, r := range rules {
		for _, l := range r.SourceLabels {
			if l != model.MetricNameLabel && !slices.Contains(m.target, string(l)) {
				m.target = append(m.target, string(l))
			}
		}
	}
	return m, nil
}

// apply relabels the samples in place and tells whether anything changed.
func (m *metricRelabel) apply(seed maphash.Seed, s *collector.Snapshot, dropped *metrics.Counter) (changed bool) {
	var target []collector.LabelPair
	var salt uint64
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
			salt = salt*31 + maphash.String(seed, n) ^ maphash.String(seed, v)
		}
	}
	kept := kept{all: s.Samples}
	for i := range s.Samples {
		smp := &s.Samples[i]
		key := hashSample(seed, smp) ^ salt
		r := m.known(key)
		if r == nil {
			r = m.relabel(smp, target)
			m.remember(key, r)
		}
		switch {
		case r.drop:
			dropped.Inc()
			changed = true
			continue
		case !r.same:
			smp.Name, smp.Labels = r.name, r.labels
			changed = true
		}
		kept.keep(i)
	}
	s.Samples = kept.end()
	return changed
}

func (m *metricRelabel) known(key uint64) *relabelled {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.now[key]
	if r == nil {
		if r = m.old[key]; r != nil {
			m.now[key] = r
		}
	}
	return r
}

func (m *metricRelabel) remember(key uint64, r *relabelled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.now) >= relabelMemo {
		m.old, m.now = m.now, map[uint64]*relabelled{}
	}
	m.now[key] = r
}

func (m *metricRelabel) relabel(s *collector.Sample, target []collector.LabelPair) *relabelled {
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, l := range target {
		b.Set(l.Name, l.Value)
	}
	for _, l := range s.Labels { // a sample's own label hides its target's
		b.Set(l.Name, l.Value)
	}
	b.Set(model.MetricNameLabel, s.Name)
	if !relabel.ProcessBuilder(b, m.rules...) {
		return &relabelled{drop: true}
	}
	out := &relabelled{name: b.Get(model.MetricNameLabel)}
	b.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, "__") {
			return
		}
		if labelOf(s.Labels, l.Name) == "" && labelOf(target, l.Name) == l.Value {
			return
		}
		out.labels = append(out.labels, collector.LabelPair{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)})
	})
	if out.name == "" {
		return &relabelled{drop: true}
	}
	out.name = strings.Clone(out.name)
	slices.SortFunc(out.labels, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
	if out.name == s.Name && slices.Equal(out.labels, s.Labels) {
		return &relabelled{same: true}
	}
	return out
}
