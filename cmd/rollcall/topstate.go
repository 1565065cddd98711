package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// topEvent is an event of /api/v1/stream, and the answer of /api/v1/now.
type topEvent struct {
	Full     bool                  `json:"full"`
	AsOf     int64                 `json:"as_of"`
	Strip    dashboards.Strip      `json:"strip"`
	Findings *[]dashboards.Finding `json:"findings"` // nil: as before
	Services []*dashboards.Row     `json:"services"`
	Gone     []string              `json:"gone"`
}

// topState is what the page's server has said, put together from its events.
type topState struct {
	asOf     int64
	strip    dashboards.Strip
	findings []dashboards.Finding
	rows     map[string]*dashboards.Row
	heard    time.Time // the last event, by our clock; zero: there was none
	lost     error     // the connection, since heard; nil: it stands
}

// apply takes an event.
func (s *topState) apply(e *topEvent, at time.Time) {
	if e.Full || s.rows == nil {
		s.rows = map[string]*dashboards.Row{}
	}
	s.asOf, s.strip, s.heard, s.lost = e.AsOf, e.Strip, at, nil
	if e.Findings != nil {
		s.findings = *e.Findings
	}
	for _, r := range e.Services {
		if r == nil {
			continue
		}
		if old := s.rows[r.Group()]; r.Spark == nil && old != nil && old.Spark != nil { // only its figures moved: they are the last point
			spark := *old.Spark
			if n := len(spark.Rate); n > 0 {
				spark.Rate = slices.Clone(spark.Rate)
				spark.Rate[n-1] = r.Rate
			}
			r.Spark = &spark
		}
		s.rows[r.Group()] = r
	}
	for _, g := range e.Gone {
		delete(s.rows, g)
	}
}

// age is how old what is shown is: what the server said of it, and the time since.
func (s *topState) age(now time.Time) (time.Duration, bool) {
	if s.heard.IsZero() || !s.strip.AgeMS.Known() {
		return 0, false
	}
	return time.Duration(float64(s.strip.AgeMS)*float64(time.Millisecond)) + max(now.Sub(s.heard), 0), true
}

// sorted are the rows that hold the text, by trouble.
func (s *topState) sorted(filter string) []*dashboards.Row {
	filter = strings.ToLower(filter)
	out := slices.DeleteFunc(slices.Collect(maps.Values(s.rows)), func(r *dashboards.Row) bool {
		return !strings.Contains(strings.ToLower(r.Group()+"\n"+r.Owner+"\n"+strings.Join(r.Why, "\n")), filter)
	})
	slices.SortFunc(out, func(a, b *dashboards.Row) int {
		return cmp.Or(cmp.Compare(b.Trouble, a.Trouble), cmp.Compare(prodFirst(a.Env), prodFirst(b.Env)), cmp.Compare(b.Expected-b.Answering, a.Expected-a.Answering), cmp.Compare(a.Group(), b.Group()))
	})
	return out
}

// prodFirst puts the environment that counts most before the others.
func prodFirst(env string) int {
	if env == "prod" || env == "production" {
		return 0
	}
	return 1
}

// wrong are the open findings, and how long ago the last was over where there are none.
func (s *topState) wrong(filter string) (open []*dashboards.Finding, lastEnd int64) {
	filter = strings.ToLower(filter)
	for i := range s.findings {
		f := &s.findings[i]
		switch {
		case f.Ended != nil:
			lastEnd = max(lastEnd, *f.Ended)
		case strings.Contains(strings.ToLower(f.Service+"/"+f.Env+"\n"+strings.Join(f.Services, "\n")+"\n"+f.Text+f.Title), filter):
			open = append(open, f)
		}
	}
	return open, lastEnd
}

// topDetail is what is read of /api/v1/service.
type topDetail struct {
	AsOf      int64                 `json:"as_of"`
	Row       *dashboards.Row       `json:"row"`
	Instances []dashboards.Instance `json:"instances"`
}

// failingScrape reports whether the last scrape of an instance went wrong.
func failingScrape(i *dashboards.Instance) bool { return i.Outcome != "ok" && i.Outcome != "" }

// sortedInstances are those that hold the text; whoever is away, or does not answer, stands first.
func (d *topDetail) sortedInstances(filter string) []*dashboards.Instance {
	filter = strings.ToLower(filter)
	var out []*dashboards.Instance
	for i := range d.Instances {
		x := &d.Instances[i]
		if strings.Contains(strings.ToLower(strings.Join([]string{x.Instance, x.Host, x.State, x.Reason, x.Outcome, x.OutcomeReason, x.Version, x.Zone, x.Track}, "\n")), filter) {
			out = append(out, x)
		}
	}
	rank := func(i *dashboards.Instance) int {
		switch {
		case i.State != "present":
			return 0
		case failingScrape(i):
			return 1
		}
		return 2
	}
	errors := func(i *dashboards.Instance) float64 {
		if i.ErrorRatio.Known() {
			return float64(i.ErrorRatio)
		}
		return 0
	}
	slices.SortFunc(out, func(a, b *dashboards.Instance) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(errors(b), errors(a)), cmp.Compare(a.Instance, b.Instance))
	})
	return out
}
