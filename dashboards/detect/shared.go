package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// One cause is one finding: when several services of an environment are in trouble in the same place at the same time, it is about the place.
const (
	sharedBy     = 3 // services
	sharedByHost = 2 // a host is so small a place that two are no chance
	sharedWithin = time.Minute
	// mostEvents are told of what happened before; what happened to several within sharedEvent is one of them, and names mostNamed of them.
	mostEvents  = 8
	mostNamed   = 3
	sharedEvent = 10 * time.Second
)

// ownDims are one service's own: the same version of two services is two versions.
var ownDims = []string{dashboards.TagVersion, dashboards.TagTrack}

// meeting is where several services meet.
type meeting struct {
	env string
	Cond
}

// shared is the finding about a place.
type shared struct {
	at      meeting
	finding dashboards.Finding
	members []*open
	all     []string // every service that was ever in it
	since   time.Time
	lost    int                // instances gone or silent, as last known
	most    int                // members at once
	worst   dashboards.Finding // as it was told at its worst
	worstIn int                // services of that kind then
	known   known              // what is told of the place by name
	told    bool               // by this process, as of the last judgement
}

// meetingsOf are where an open finding is, by every name of the place that services may have in common: a service that is alone on its host in a rack may be in
// trouble because of either.
func meetingsOf(o *open) (out []meeting) {
	if o == nil || len(o.where.Conds) != 1 || len(o.where.Also) > 0 {
		return nil
	}
	names := o.where.Names
	if !slices.Contains(names, o.where.Conds[0]) {
		names = append(slices.Clone(names), o.where.Conds[0])
	}
	for _, c := range names {
		if m := (meeting{o.finding.Env, c}); !slices.Contains(ownDims, c.Dim) && (o.left == nil || o.left.at != m) {
			out = append(out, m)
		}
	}
	return out
}

// needs is how many services make a place shared.
func (m meeting) needs() int {
	if m.Dim == dashboards.TagHost {
		return sharedByHost
	}
	return sharedBy
}

// meet brings findings in one place together, those of other replicas among them. A service's finding stays with the place until it is over, however it is located
// alone; what else goes wrong with the service is another finding (outgrown).
func (d *Detector) meet(now time.Time, known map[meeting]*dashboards.Finding) {
	for m, sh := range d.places {
		switch f := known[m]; {
		case f == nil && !sh.told: // nobody has told of it yet, or any more: what it is now comes from those who are there
			for _, o := range sh.members {
				o.shared = nil
			}
			delete(d.places, m)
		case f != nil && f.ID != sh.finding.ID && (f.Since < sh.finding.Since || f.Since == sh.finding.Since && f.ID < sh.finding.ID):
			sh.follow(f)
		}
	}
	for {
		var alone []*open
		for _, w := range d.services {
			alone = append(alone, w.signal, w.members, w.apart)
		}
		for _, x := range d.others {
			alone = append(alone, x.open)
		}
		at := map[meeting][]*open{}
		for _, o := range alone {
			if o == nil || o.shared != nil {
				continue
			}
			for _, m := range meetingsOf(o) {
				at[m] = append(at[m], o)
			}
		}
		// The place that most services share is the one; of equals the narrowest name.
		var best meeting
		var from []*open
		most := 0
		for m, os := range at {
			slices.SortFunc(os, func(a, b *open) int {
				return cmp.Or(cmp.Compare(a.since.UnixMilli(), b.since.UnixMilli()), strings.Compare(a.finding.ID, b.finding.ID))
			})
			// Who has been in trouble there alone for long is no part of what begins now.
			for i := range os {
				sh := d.places[m]
				if sh == nil {
					sh = begun(m, os[i], known[m])
				}
				n, joins := d.sharing(sh, os[i:])
				if joins && (len(sh.all) > 0 || n >= m.needs()) && (n > most || n == most && narrower(m, best)) {
					best, from, most = m, os[i:], n
				}
				if len(sh.all) > 0 {
					break
				}
			}
		}
		if most == 0 {
			break
		}
		sh := d.places[best]
		if sh == nil {
			sh = begun(best, from[0], known[best])
			d.places[best] = sh
			if d.owns(sh.finding.Service, sh.finding.Env) {
				d.cfg.Log.Info("findings share a place", "id", sh.finding.ID, "env", best.env, "place", one(best.Cond), "services", most)
			}
		}
		for _, o := range from {
			if d.joins(o, sh) {
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
			sh.tellEnd(m.Cond)
			if sh.told {
				d.list(sh.finding, now)
			}
			continue
		}
		sh.tell(m.Cond)
		sh.told = d.tellsOf(sh)
	}
}

// sharing is how many services there are in a place with those who belong there, and whether any of them does.
func (d *Detector) sharing(sh *shared, os []*open) (n int, joins bool) {
	services := map[string]bool{}
	for _, s := range sh.all {
		services[s] = true
	}
	for _, o := range os {
		if d.joins(o, sh) {
			services[o.finding.Service] = true
			joins = true
		}
	}
	return len(services), joins
}

// begun is a place of which nothing is known here. The first who is there gives the finding its name, so what a page shows already goes on; where one about the place
// stands, that one does.
func begun(m meeting, first *open, f *dashboards.Finding) *shared {
	sh := &shared{at: m, since: first.since, finding: first.finding}
	if f != nil {
		sh.follow(f)
		sh.since = time.UnixMilli(f.Since)
	}
	sh.finding.Place = m.Dim + "=" + m.Value
	if first.far {
		sh.finding.Events = []dashboards.Event{}
	}
	return sh
}

// joins reports whether a finding in a place belongs to what goes on there: it began with it, or was a part of it before its service changed hands.
func (d *Detector) joins(o *open, sh *shared) bool {
	return o.since.Sub(sh.since) <= sharedWithin || d.cfg.Owns != nil && slices.Contains(sh.all, o.finding.Service)
}

// size orders findings of a place: the more, the worse.
func (o *open) size() float64 { return o.peak.Is * o.peak.Of }

// narrower orders names for what is the same place to all who are there: a host before its rack, a rack before its zone.
func narrower(a, b meeting) bool {
	width := func(m meeting) int {
		return slices.Index([]string{dashboards.TagHost, "", dashboards.TagZone, dashboards.TagRegion}, m.Dim)
	}
	wa, wb := width(a), width(b)
	if wa < 0 {
		wa = 1
	}
	if wb < 0 {
		wb = 1
	}
	return cmp.Or(cmp.Compare(wa, wb), strings.Compare(a.Dim, b.Dim), strings.Compare(a.Value, b.Value), strings.Compare(a.env, b.env)) < 0
}
