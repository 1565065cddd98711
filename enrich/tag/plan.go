package tag

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

// plan is what is done with the samples of one scrape job.
type plan struct {
	relabel *metricRelabel // may be nil
	rules   []*rule
	places  bool // some rule looks addresses up
	limits  Limits
	digest  string // of relabelling and rules
	active  bool   // there is anything to do with samples
}

// newPlan compiles the plan of a job; rules are those of all jobs.
func newPlan(rs []Relabel, rules []*rule, sources []Rule, limits Limits) (*plan, error) {
	p := &plan{rules: rules, limits: limits, active: len(rs)+len(rules) > 0 || limits != (Limits{})}
	for _, r := range rules {
		p.places = p.places || r.from != ""
	}
	if len(rs) > 0 {
		m, err := newMetricRelabel(rs)
		if err != nil {
			return nil, fmt.Errorf("metric_relabel_configs%w", err)
		}
		p.relabel = m
	}
	b, err := json.Marshal([]any{sources, rs})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	p.digest = hex.EncodeToString(sum[:8])
	return p, nil
}

// fate is what becomes of a series.
type fate struct {
	do      action
	counter bool
	name    string
	labels  []collector.LabelPair
}

// fate finds out what becomes of a sample: relabelling first, then the first rule that fits. Its texts are its own.
func (p *plan) fate(s *collector.Sample, target []collector.LabelPair, db *geo.DB) fate {
	f := fate{do: keep}
	if p.relabel != nil {
		var kept, same bool
		if f.name, f.labels, kept, same = p.relabel.relabel(s, target); !kept {
			return fate{do: drop}
		}
		if !same {
			f.do = rename
			now := *s
			now.Name, now.Labels = f.name, f.labels
			s = &now
		}
	}
	for _, r := range p.rules {
		name, labels, ok := r.apply(s, db)
		if !ok {
			continue
		}
		f = fate{rename, r.counter, name, labels}
		if r.dropping {
			f.do = add
			if s.Kind != collector.Counter && s.Kind != collector.Untyped {
				f.do = refuse
			}
		}
		break
	}
	return f
}
