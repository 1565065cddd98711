package canary

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Convergence is how far a value (a version, a configuration) has come over the instances of a service.
type Convergence struct {
	By     string `json:"by"` // the tag, or the text of the applications
	Target string `json:"target"`
	Began  *int64 `json:"began"` // Unix ms: when an instance had it first; null: nobody has it
	// Milliseconds from then until half, 95 % and all of the instances that were there had it at once, for the first time; null: not yet.
	T50        *int64       `json:"t50_ms"`
	T95        *int64       `json:"t95_ms"`
	T100       *int64       `json:"t100_ms"`
	On         int          `json:"on"` // instances that have it now
	Of         int          `json:"of"`
	Values     []ValueCount `json:"values"`     // most frequent first
	Stragglers []Straggler  `json:"stragglers"` // who do not have it, longest first; at most 100
	Reverts    []Revert     `json:"reverts"`    // who had it and went to another, each where it went last, newest first; at most 100
}

// ValueCount is how many instances have a value.
type ValueCount struct {
	Value     string `json:"value"`
	Instances int    `json:"instances"`
}

// Straggler is an instance that does not have the target.
type Straggler struct {
	Instance string `json:"instance"`
	Value    string `json:"value"`
	Since    int64  `json:"since"` // Unix ms
}

// Revert is an instance's way from the target to something else.
type Revert struct {
	Instance string `json:"instance"`
	T        int64  `json:"t"` // Unix ms
	To       string `json:"to"`
}

const maxListed = 100

// Converge tells how a value of a tag came over the instances; by may be a short name (version, track), target empty for the newest value there is. Who is gone
// counts for as long as it was there.
func Converge(traces []dashboards.Trace, by, target string) Convergence {
	by = dashboards.TagName(cmp.Or(by, "version"))
	out := Convergence{By: by, Target: target, Values: []ValueCount{}, Stragglers: []Straggler{}, Reverts: []Revert{}}
	counts := map[string]int{}
	var there []*dashboards.Trace
	for i := range traces {
		if t := &traces[i]; t.Expected {
			there = append(there, t)
			counts[known(t, by)]++
		}
	}
	for v, n := range counts {
		out.Values = append(out.Values, ValueCount{v, n})
	}
	slices.SortFunc(out.Values, func(a, b ValueCount) int { return cmp.Or(b.Instances-a.Instances, strings.Compare(a.Value, b.Value)) })
	if out.Target == "" {
		out.Target = newestValue(there, by, counts)
	}
	out.Of, out.On = len(there), counts[out.Target]
	if out.Target == "" {
		return out
	}
	// Who was there, and who had it, over time.
	type step struct {
		t          int64
		there, has int
	}
	var steps []step
	begin := beginning(traces)
	for i := range traces {
		whole := traces[i]
		t := &whole
		if t.Begun.Sub(begin) <= sameMoment {
			t.Begun = begin // those who were there when the service was met were there at once
		}
		if t.Begun.UnixMilli() <= 0 || !t.Begun.Before(t.Last) && !t.Expected {
			continue
		}
		steps = append(steps, step{t.Begun.UnixMilli(), 1, 0})
		segs := knownSegments(t, by)
		for k, s := range segs {
			last := k == len(segs)-1
			if s.value == out.Target {
				steps = append(steps, step{s.from.UnixMilli(), 0, 1})
				if at := s.from.UnixMilli(); out.Began == nil || at < *out.Began {
					out.Began = &at
				}
				if !last || !t.Expected {
					steps = append(steps, step{s.to.UnixMilli(), 0, -1})
				}
				if !last && segs[k+1].value != out.Target {
					out.Reverts = append(out.Reverts, Revert{t.Instance, s.to.UnixMilli(), segs[k+1].value})
				}
			} else if last && t.Expected {
				out.Stragglers = append(out.Stragglers, Straggler{t.Instance, s.value, s.from.UnixMilli()})
			}
		}
		if !t.Expected {
			steps = append(steps, step{t.Last.UnixMilli(), -1, 0})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.t, b.t) })
	n, has := 0, 0
	for i, s := range steps {
		n, has = n+s.there, has+s.has
		if out.Began == nil || s.t < *out.Began || i+1 < len(steps) && steps[i+1].t == s.t || n == 0 {
			continue
		}
		took := s.t - *out.Began
		for _, m := range []struct {
			at    **int64
			share float64
		}{{&out.T50, 0.5}, {&out.T95, 0.95}, {&out.T100, 1}} {
			if *m.at == nil && float64(has) >= m.share*float64(n) {
				*m.at = &took
			}
		}
	}
	slices.SortStableFunc(out.Stragglers, func(a, b Straggler) int { return cmp.Compare(a.Since, b.Since) })
	slices.SortStableFunc(out.Reverts, func(a, b Revert) int { return cmp.Compare(b.T, a.T) })
	out.Stragglers = out.Stragglers[:min(len(out.Stragglers), maxListed)]
	seen := map[string]bool{}
	out.Reverts = slices.DeleteFunc(out.Reverts, func(r Revert) bool { // an instance counts once, however often it went to and fro
		was := seen[r.Instance]
		seen[r.Instance] = true
		return was
	})
	out.Reverts = out.Reverts[:min(len(out.Reverts), maxListed)]
	return out
}

// knownSegments are segments in which unknown is no value: one that tells none for a while is taken to be what it was, from its first value on.
func knownSegments(t *dashboards.Trace, by string) (out []segment) {
	for _, s := range segments(t, by) {
		switch k := len(out) - 1; {
		case k >= 0 && (s.value == "" || s.value == out[k].value):
			out[k].to = s.to
		default:
			out = append(out, s)
		}
	}
	return out
}

// known is the newest value that an instance told.
func known(t *dashboards.Trace, by string) string {
	segs := knownSegments(t, by)
	return segs[len(segs)-1].value
}

// newestValue is the value that was seen first most lately; of those met at one moment the highest.
func newestValue(there []*dashboards.Trace, by string, counts map[string]int) (newest string) {
	var at time.Time
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		if v == "" {
			continue
		}
		first := firstSeen(there, by, v)
		d := first.Sub(at)
		if newest == "" || d > sameMoment || d >= -sameMoment && compareVersions(v, newest) > 0 {
			newest, at = v, first
		}
	}
	return newest
}
