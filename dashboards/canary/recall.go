package canary

import (
	"cmp"
	"math"
	"slices"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Turned is a change of the verdict.
type Turned = dashboards.CanaryTurn

// recall brings the answer in line with what has been told of this canary: a study of those who are there by now may lack the very hosts that a verdict rested on.
// Turns that were told are how it came to be, and a fail stays, with its figures.
func (a *Answer) recall(told []dashboards.Finding) {
	i := slices.IndexFunc(told, func(f dashboards.Finding) bool {
		return f.Canary != nil && f.Ended == nil && f.Service == a.Service && f.Env == a.Env && f.Canary.Version == a.version()
	})
	if i < 0 {
		return
	}
	f := &told[i]
	c := f.Canary
	turns := slices.Clone(c.Turns)
	if len(turns) == 0 {
		turns = []Turned{{T: f.Since, Verdict: c.Verdict}}
	}
	if c.Verdict == string(Fail) {
		a.Verdict, a.Reason, a.At = Fail, cmp.Or(c.Reason, f.Title), f.Since
		a.Metrics = recalled(a.Metrics, c.Failed)
	} else if last := turns[len(turns)-1]; last.Verdict != string(a.Verdict) {
		at := a.AsOf
		if k := len(a.Turns) - 1; k >= 0 && a.Turns[k].T > last.T && a.Turns[k].Verdict == string(a.Verdict) {
			at = a.Turns[k].T
		}
		turns = append(turns, Turned{T: at, Verdict: string(a.Verdict)})
	}
	if over := len(turns) - maxTurns; over > 0 {
		turns = slices.Delete(turns, 1, 1+over)
	}
	if a.Turns = turns; a.Since == 0 || turns[0].T < a.Since {
		a.Since = turns[0].T
	}
}

// recalled is measures with those that failed first, as they did at that time.
func recalled(found []MetricFound, failed []dashboards.CanaryHarm) []MetricFound {
	var first []MetricFound
	for i := range failed {
		h := &failed[i]
		nan := dashboards.Num(math.NaN())
		m := MetricFound{Name: h.Name, Kind: Kind(h.Kind), Action: Fails, Verdict: Fail, Text: h.Text, Zone: h.Zone, Hosts: h.Hosts,
			Effect: nan, Lo: nan, Hi: nan, Most: nan, Margin: nan, Baseline: nan, Canary: nan, Sigmas: nan}
		if k := slices.IndexFunc(found, func(m MetricFound) bool { return m.Name == h.Name && m.Zone == h.Zone }); k >= 0 {
			m = found[k]
			found = slices.Delete(found, k, k+1)
		}
		m.FailedAt, m.FailedAs = h.At, h.Text
		first = append(first, m)
	}
	return append(first, found...)
}

// harms are the metrics that failed it.
func (a *Answer) harms() (out []dashboards.CanaryHarm) {
	for i := range a.Metrics {
		if m := &a.Metrics[i]; m.FailedAt > 0 && m.Action == Fails {
			out = append(out, dashboards.CanaryHarm{Name: m.Name, Kind: string(m.Kind), Zone: m.Zone, At: m.FailedAt, Text: m.FailedAs, Hosts: m.Hosts})
		}
	}
	return out[:min(len(out), dashboards.MaxCanaryTurns)]
}
