package scrape

import (
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// TargetStatus is one target as /api/v1/targets shows it.
type TargetStatus struct {
	Instance     discovery.Instance
	Job          *Job
	URL          string
	Health       string // up, down or unknown, as Prometheus says it
	Outcome      collector.Outcome
	LastError    string // of the last pull; empty if it was good
	LastScrape   time.Time
	LastDuration time.Duration
	Samples      int // of the last pull
	BodyBytes    int
	Interval     time.Duration
	Timeout      time.Duration
	Skew         time.Duration // the target's clock minus ours, by the Date of its last answer; 0 within a second
	PeriodNote   string        // why the distributions are not those of the job's OstrichPeriod; empty if they are
}

// Status is every target of the pool with the end of its last pull, in the order of keys and jobs.
func (p *Pool) Status() []TargetStatus {
	p.mu.Lock()
	ts := make([]*target, 0, len(p.targets))
	for _, t := range p.targets {
		ts = append(ts, t)
	}
	p.mu.Unlock()
	out := make([]TargetStatus, 0, len(ts))
	for _, t := range ts {
		out = append(out, t.told())
	}
	slices.SortFunc(out, func(a, b TargetStatus) int {
		if c := a.Instance.Key.Compare(b.Instance.Key); c != 0 {
			return c
		}
		if a.Job.Name < b.Job.Name {
			return -1
		}
		return 1
	})
	return out
}

// Find is one target of the pool, in no more time than it takes to look it up.
func (p *Pool) Find(key TargetKey) (TargetStatus, bool) {
	p.mu.Lock()
	t := p.targets[key]
	p.mu.Unlock()
	if t == nil {
		return TargetStatus{}, false
	}
	return t.told(), true
}

// LastPull is the end of a target's last pull.
type LastPull struct {
	Outcome collector.Outcome
	Reason  string // empty if it was good
	Took    time.Duration
}

// Last is the end of a target's last pull, and nothing else of it: for whoever asks of many, and often. ok is false where there was none.
func (p *Pool) Last(key TargetKey) (last LastPull, ok bool) {
	p.mu.Lock()
	t := p.targets[key]
	p.mu.Unlock()
	if t == nil {
		return LastPull{}, false
	}
	r, ok := t.status.load()
	if !ok || r.time.IsZero() {
		return LastPull{}, false
	}
	return LastPull{r.outcome, r.reason, r.took}, true
}

func (t *target) told() TargetStatus {
	s := t.spec.Load()
	st := TargetStatus{Instance: s.Instance, Job: s.job, URL: s.url(), Health: "unknown", Interval: s.interval, Timeout: s.timeout}
	if r, ok := t.status.load(); ok {
		st.Outcome, st.LastError, st.LastScrape, st.LastDuration, st.Samples, st.BodyBytes = r.outcome, r.reason, r.time, r.took, r.samples, r.bytes
		st.Skew, st.PeriodNote = r.skew, r.period
		if st.Health = "down"; r.outcome == collector.OK {
			st.Health = "up"
		}
	}
	return st
}
