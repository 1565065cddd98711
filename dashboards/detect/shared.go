package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// One cause is one finding: when several services of an environment are in trouble in the same place at the same time, it is about the place.
const (
	sharedBy     = 3 // services
	sharedWithin = time.Minute
)

// sharedDims are the places that services have in common; a version is one service's own.
var sharedDims = []string{dashboards.TagHost, dashboards.TagZone, dashboards.TagRegion, "client.as.number", "client.geo.country.iso_code"}

// place is where several services meet.
type meeting struct {
	env string
	Cond
}

// shared is the finding about a place.
type shared struct {
	finding dashboards.Finding
	members []*open
	all     []string // every service that was ever in it
	since   time.Time
	lost    int // instances gone or silent, as last known
	most    int // members at once
}

// meetingOf is where an open finding is, if that is a place that services have in common.
func meetingOf(o *open) (meeting, bool) {
	if o == nil || len(o.where.Conds) != 1 || !slices.Contains(sharedDims, o.where.Conds[0].Dim) {
		return meeting{}, false
	}
	return meeting{o.finding.Env, o.where.Conds[0]}, true
}

// meet brings findings in one place together. A service's finding stays with the place until it is over, whatever is said of it alone.
func (d *Detector) meet(now time.Time) {
	at := map[meeting][]*open{}
	for _, w := range d.services {
		for _, o := range []*open{w.signal, w.members} {
			if m, ok := meetingOf(o); ok && o.shared == nil {
				at[m] = append(at[m], o)
			}
		}
	}
	for m, os := range at {
		slices.SortFunc(os, func(a, b *open) int {
			return cmp.Or(a.since.Compare(b.since), strings.Compare(a.finding.ID, b.finding.ID))
		})
		sh := d.places[m]
		if sh == nil {
			services := map[string]bool{}
			for _, o := range os {
				if o.since.Sub(os[0].since) <= sharedWithin {
					services[o.finding.Service] = true
				}
			}
			n := len(services)
			if n < sharedBy {
				continue
			}
			// The first of them gives its name: what a page shows already goes on.
			sh = &shared{since: os[0].since, finding: os[0].finding}
			d.places[m] = sh
			d.cfg.Log.Info("findings share a place", "id", sh.finding.ID, "env", m.env, "place", one(m.Cond), "services", n)
		}
		for _, o := range os {
			if o.since.Sub(sh.since) <= sharedWithin {
				o.shared = sh
				sh.members = append(sh.members, o)
				if !slices.Contains(sh.all, o.finding.Service) {
					sh.all = append(sh.all, o.finding.Service)
				}
			}
		}
	}
	for m, sh := range d.places {
		sh.members = slices.DeleteFunc(sh.members, func(o *open) bool { return o.over })
		if len(sh.members) == 0 {
			delete(d.places, m)
			sh.tell(m.Cond, "were")
			d.list(sh.finding, now)
			continue
		}
		sh.tell(m.Cond, "are")
	}
}

// tell writes the words.
func (sh *shared) tell(c Cond, verb string) {
	f := &sh.finding
	slices.SortFunc(sh.members, func(a, b *open) int { return cmp.Compare(b.peak.Is*b.peak.Of, a.peak.Is*a.peak.Of) })
	f.News = fmt.Sprintf("%d services", len(sh.all))
	f.Title = fmt.Sprintf("%s %s in trouble: %s", f.News, verb, where(c))
	if n, all := sh.instances(); all {
		f.Title = fmt.Sprintf("%s of %s %s gone or silent, %s", instances(n), f.News, verb, together(n, c))
	}
	f.Services = slices.Sorted(slices.Values(sh.all))
	if len(sh.members) < sh.most {
		return // some are over: what it was at its worst stays
	}
	sh.most = len(sh.members)
	f.Level, f.Events, f.Why = dashboards.LevelWarn, sh.members[0].finding.Events, "in trouble on "+one(c)
	var parts []string
	clear := true
	for i, o := range sh.members {
		if o.finding.Level == dashboards.LevelBad {
			f.Level = dashboards.LevelBad
		}
		clear = clear && len(o.where.Cleared) > 0
		switch {
		case i < 4:
			parts = append(parts, o.finding.Service+" "+o.worstWhy)
		case i == 4:
			parts = append(parts, fmt.Sprintf("and %d more", len(sh.members)-4))
		}
	}
	f.Only = "Only " + where(c) + ": " + strings.Join(parts, " · ") + "."
	f.Cleared = []string{}
	if clear {
		f.Cleared = append(f.Cleared, theRest(c, nil))
	}
}

// instances is how many are gone or silent, and whether that is all that it is about.
func (sh *shared) instances() (n int, all bool) {
	for _, o := range sh.members {
		if o.finding.Metric != "instances" {
			return 0, false
		}
		n += o.n
	}
	if n > 0 {
		sh.lost = n
	}
	return sh.lost, sh.lost > 0
}

func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// where names a place that is not one service's.
func where(c Cond) string {
	switch c.Dim {
	case dashboards.TagZone, dashboards.TagRegion:
		return "everything in " + c.Value
	}
	return one(c)
}
