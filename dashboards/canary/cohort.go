package canary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Cohorts are the two groups of a service's instances that are compared. Without any there is Reason.
type Cohorts struct {
	By               string // "track" or "version"
	Canary, Baseline Cohort
	Zones            []string // the baseline is of these zones only, as the canary is; nil: of all
	Reason           string
}

// Cohort is one group.
type Cohort struct {
	Name    string // its track, or its version
	Version string // what it runs, or most of it
	Members []*dashboards.Trace
}

// Tracks by the names that people give them.
var (
	canaryTracks   = []string{"canary"}
	controlTracks  = []string{"baseline", "control"} // made to be compared with: the same as production, and as young as the canary
	everydayTracks = []string{"production", "prod", "stable", "main", "live", ""}
)

// sameMoment is how far apart two versions may have been seen first to count as equally old: a service that is met while both run.
const sameMoment = 15 * time.Second

// leastBaseline is how many instances of the canary's own zones make a baseline; fewer, and it is of all zones.
const leastBaseline = 4

// Form finds the cohorts among the instances that are there: those of track canary beside those of track baseline, else of production; where no instance has
// the track canary, those of the newest version beside the largest other one. A version that is given is the only one that the canary may run.
func Form(traces []dashboards.Trace, version string) Cohorts {
	var there []*dashboards.Trace
	for i := range traces {
		if traces[i].Expected || traces[i].Answering {
			there = append(there, &traces[i])
		}
	}
	if len(there) == 0 {
		return Cohorts{Reason: "no instance is there"}
	}
	pick := func(tracks []string) (out []*dashboards.Trace) {
		for _, t := range there {
			if slices.Contains(tracks, strings.ToLower(t.Tags[dashboards.TagTrack])) {
				out = append(out, t)
			}
		}
		return out
	}
	c := Cohorts{By: "track"}
	c.Canary = Cohort{Name: "canary", Members: pick(canaryTracks)}
	if len(c.Canary.Members) == 0 {
		return formByVersion(there, version)
	}
	c.Canary.Version = mostly(c.Canary.Members)
	if version != "" {
		c.Canary.Members, c.Canary.Version = running(c.Canary.Members, version, true), version
		if len(c.Canary.Members) == 0 {
			c.Reason = fmt.Sprintf("no canary runs %s yet; they run %s", version, versions(pick(canaryTracks)))
			return c
		}
	}
	for _, tracks := range [][]string{controlTracks, everydayTracks} {
		if c.Baseline.Members = pick(tracks); len(c.Baseline.Members) > 0 {
			break
		}
	}
	// While the canary's version is rolled out, those who have it already are no baseline.
	if rest := running(c.Baseline.Members, c.Canary.Version, false); c.Canary.Version != "" && len(rest) > 0 {
		c.Baseline.Members = rest
	}
	if len(c.Baseline.Members) == 0 {
		c.Reason = "there is a canary, and nobody of another track to compare it with"
		return c
	}
	c.Baseline.Name = cmp.Or(c.Baseline.Members[0].Tags[dashboards.TagTrack], "no track")
	c.Baseline.Version = mostly(c.Baseline.Members)
	c.narrow()
	return c
}

func formByVersion(there []*dashboards.Trace, version string) Cohorts {
	c := Cohorts{By: "version"}
	by := map[string][]*dashboards.Trace{}
	for _, t := range there {
		by[t.Tags[dashboards.TagVersion]] = append(by[t.Tags[dashboards.TagVersion]], t)
	}
	delete(by, "")
	var names []string
	for v := range by {
		names = append(names, v)
	}
	first := map[string]time.Time{}
	for _, v := range names {
		first[v] = firstSeen(by[v], dashboards.TagVersion, v)
	}
	slices.SortFunc(names, func(a, b string) int { // newest first
		if d := first[a].Sub(first[b]); d > sameMoment || d < -sameMoment {
			return cmp.Compare(0, d)
		}
		return compareVersions(b, a)
	})
	newest := version
	switch {
	case len(names) == 0:
		c.Reason = "no instance says its version or its track"
		return c
	case newest == "":
		newest = names[0]
	case by[newest] == nil:
		c.Reason = fmt.Sprintf("nobody runs %s yet; they run %s", newest, versions(there))
		return c
	}
	names = slices.DeleteFunc(names, func(v string) bool { return v == newest })
	if len(names) == 0 {
		c.Reason = fmt.Sprintf("all %s run %s: there is nothing to compare it with", count(len(there), "instance"), newest)
		return c
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(len(by[b]), len(by[a])) })
	c.Canary = Cohort{newest, newest, by[newest]}
	c.Baseline = Cohort{names[0], names[0], by[names[0]]}
	c.narrow()
	return c
}

// narrow takes for the baseline only those of the canary's zones, where they are enough: a zone that is slower is not the version's doing.
func (c *Cohorts) narrow() {
	var zones []string
	for _, t := range c.Canary.Members {
		if z := t.Tags[dashboards.TagZone]; z != "" && !slices.Contains(zones, z) {
			zones = append(zones, z)
		}
	}
	var near []*dashboards.Trace
	for _, t := range c.Baseline.Members {
		if slices.Contains(zones, t.Tags[dashboards.TagZone]) {
			near = append(near, t)
		}
	}
	if len(near) >= leastBaseline && len(near) < len(c.Baseline.Members) {
		slices.Sort(zones)
		c.Baseline.Members, c.Zones = near, zones
	}
}

func running(of []*dashboards.Trace, version string, yes bool) (out []*dashboards.Trace) {
	for _, t := range of {
		if (t.Tags[dashboards.TagVersion] == version) == yes {
			out = append(out, t)
		}
	}
	return out
}

// versions are those that they run, the first few.
func versions(of []*dashboards.Trace) string {
	const few = 5
	var all []string
	for _, t := range of {
		if v := t.Tags[dashboards.TagVersion]; v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, compareVersions)
	if len(all) > few {
		all = append(all[:few], "…")
	}
	return cmp.Or(strings.Join(all, ", "), "what they do not say")
}

// mostly is the version that most run; of equally many the highest.
func mostly(of []*dashboards.Trace) string {
	n := map[string]int{}
	best := ""
	for _, t := range of {
		n[t.Tags[dashboards.TagVersion]]++
	}
	for v, k := range n {
		if v != "" && (best == "" || k > n[best] || k == n[best] && compareVersions(v, best) > 0) {
			best = v
		}
	}
	return best
}

// firstSeen is when any of the instances had a value first.
func firstSeen(of []*dashboards.Trace, name, value string) (first time.Time) {
	for _, t := range of {
		for _, s := range segments(t, name) {
			if s.value == value && (first.IsZero() || s.from.Before(first)) {
				first = s.from
			}
		}
	}
	return first
}

// segment is a time for which a tag of an instance was one value.
type segment struct {
	from, to time.Time
	value    string
}

// segments are an instance's values of a tag or text, from its first scrape to its last.
func segments(t *dashboards.Trace, name string) []segment {
	out := []segment{{from: t.Begun, to: t.Last, value: t.At(name, t.Begun)}}
	for _, c := range t.Moves {
		if at := time.UnixMilli(c.T); c.Name == name && at.After(t.Begun) {
			out[len(out)-1].to = at
			out = append(out, segment{at, t.Last, c.Now})
		}
	}
	return out
}

// compareVersions compares texts as people number versions: digits by their value, all else by its letters.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if d := cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n)); d != 0 {
				return d
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
