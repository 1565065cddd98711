package dashboards

import (
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Recognised is what the Board makes of a service's metrics and members, and why: for those who wonder what is missing.
type Recognised struct {
	Expected, Present, Answering int
	Outcomes                     map[string]int // instances by how their newest scrape went
	Rate, Errors, Latency        RecognisedSignal
	LatencyName                  string // p99, mean, …; empty: there is none
	LatencyWindow                string // what its percentiles speak of
	// Bounds of the latency's classic buckets, in milliseconds; Native: it is a native histogram. Only of these it is known how many requests are over a time.
	Bounds  []float64
	Native  bool
	Uses    []string // gauges of what may run full or waits
	Classes int      // of exceptions
	// Lifetime are distributions whose percentiles are of the whole life of a process.
	Lifetime []string
	Tagged   map[string]int // instances that have a tag, of version, zone, track and host
	Metrics  []Metric
	About    About
	Dropped  uint64 // samples over the limit of names
}

// RecognisedSignal is which metrics mean a golden signal, and why.
type RecognisedSignal struct {
	Metrics []string
	Series  int
	Why     string // the pattern by which it was found; empty: it was not
	ByRule  bool   // somebody has named it, and it was not recognised by name
	None    bool   // somebody says that there is none
}

// Words says why, for people.
func (s *RecognisedSignal) Words() string {
	switch {
	case s.None:
		return "a rule says that there is none"
	case s.ByRule:
		return "named by the rule " + s.Why
	case s.Why == whyStatus:
		return "the series of the requests whose label says that they ended in a server error"
	case s.Why == whyCount:
		return "the count of the latency, as nothing else counts requests"
	case s.Why == "":
		return ""
	}
	return "known by name, as " + s.Why
}

// Recognised is what is made of a service; nil if there is none of that name.
func (b *Board) Recognised(name, env string) *Recognised {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	now := b.now().UnixMilli()
	s.mu.RLock()
	defer s.mu.RUnlock()
	set := &s.golden.set
	t := s.count(now, nil, nil)
	out := &Recognised{Expected: t.expected, Present: t.present, Answering: t.answering, Outcomes: map[string]int{}, Tagged: map[string]int{}, LatencyName: s.golden.name,
		Rate: s.why(set.rate, set.why[0]), Errors: s.why(set.errors, set.why[1]), Latency: s.why(nil, set.why[2]), Metrics: s.metrics(), About: s.about, Dropped: s.dropped,
		Uses: []string{}, Lifetime: []string{}}
	if !set.latency.none() {
		out.Latency.Metrics, out.Latency.Series = []string{set.latency.metric}, max(len(set.latency.parts), 1)
		out.LatencyWindow = set.latency.window.String()
	}
	for _, k := range set.latency.buckets {
		if at := k.le * set.latency.toMillis; !math.IsInf(at, 0) && !slices.Contains(out.Bounds, at) {
			out.Bounds = append(out.Bounds, at)
		}
	}
	for k := range s.hists {
		name, _, _ := strings.Cut(k.name, "\x00")
		out.Native = out.Native || name == set.latency.metric
	}
	for _, l := range s.beside {
		if l.kind == SideException {
			out.Classes++
		} else {
			out.Uses = append(out.Uses, l.name)
		}
	}
	for i := range s.cols {
		if c := &s.cols[i]; c.kindNow() == collector.Distribution && c.window == collector.Lifetime && c.instances > 0 && !slices.Contains(out.Lifetime, c.metric) {
			out.Lifetime = append(out.Lifetime, c.metric)
		}
	}
	slices.Sort(out.Lifetime)
	for _, in := range s.instances {
		if yes, _ := in.expected(s.rostered, now); !yes {
			continue
		}
		if in.last > 0 {
			out.Outcomes[in.outcome.String()]++
		}
		for _, tag := range []string{TagVersion, TagZone, TagTrack, TagHost} {
			if in.tag(tag) != "" {
				out.Tagged[tag]++
			}
		}
	}
	return out
}

// why tells a signal's columns by their metrics.
func (s *service) why(cols []uint32, why string) (out RecognisedSignal) {
	out.Why, out.ByRule = strings.CutPrefix(why, "=")
	if out.None = out.Why == NoMetric; out.None {
		out.Why = ""
	}
	out.Series, out.Metrics = len(cols), []string{}
	for _, n := range cols {
		if m := s.cols[n].metric; !slices.Contains(out.Metrics, m) {
			out.Metrics = append(out.Metrics, m)
		}
	}
	slices.Sort(out.Metrics)
	return out
}

// Matches reports whether a pattern of a Golden fits a metric's name.
func Matches(pattern, metric string) bool { return glob(pattern, metric) }
