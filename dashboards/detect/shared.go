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
		if !slices.Contains(ownDims, c.Dim) {
			out = append(out, meeting{o.finding.Env, c})
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

// meet brings findings in one place together, those of other replicas among them. A service's finding stays with the place until it is over, whatever is said of it
// alone.
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
			alone = append(alone, w.signal, w.members)
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
			sh := d.places[m]
			if sh == nil {
				sh = begun(m, os[0], known[m])
			}
			services := map[string]bool{}
			for _, s := range sh.all {
				services[s] = true
			}
			joins := 0
			for _, o := range os {
				if d.joins(o, sh) {
					services[o.finding.Service] = true
					joins++
				}
			}
			if joins == 0 || len(sh.all) == 0 && len(services) < m.needs() {
				continue
			}
			if n := len(services); n > most || n == most && narrower(m, best) {
				best, from, most = m, os, n
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
			sh.tell(m.Cond, "were")
			sh.recall()
			if sh.told {
				d.list(sh.finding, now)
			}
			continue
		}
		sh.tell(m.Cond, "are")
		sh.told = d.tellsOf(sh)
	}
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

// tell writes the words.
func (sh *shared) tell(c Cond, verb string) {
	f := &sh.finding
	slices.SortFunc(sh.members, func(a, b *open) int { return cmp.Compare(b.size(), a.size()) })
	f.News = fmt.Sprintf("%d services", len(sh.all))
	f.Title = fmt.Sprintf("%s %s in trouble: %s", f.News, verb, where(c))
	if n, all := sh.instances(); all {
		f.Title = fmt.Sprintf("%s of %s %s gone or silent, %s", instances(n), f.News, verb, together(n, c))
	}
	f.Services, f.Signals = slices.Sorted(slices.Values(sh.all)), sh.signals()
	if len(sh.members) < sh.most {
		return // some are over: what it was at its worst stays
	}
	sh.most = len(sh.members)
	f.Level, f.Why = dashboards.LevelWarn, "in trouble on "+one(c)
	f.Events = sh.events()
	// It is told by its worst kind, as each of them is: what began as latency may have become errors.
	f.Metric = sh.members[0].finding.Metric
	for _, o := range sh.members {
		if m := o.finding.Metric; f.Metric == "instances" || m != "instances" && rank(m) < rank(f.Metric) {
			f.Metric = m
		}
	}
	var parts []string
	clear := true
	for i, o := range sh.members {
		if o.finding.Level == dashboards.LevelBad {
			f.Level = dashboards.LevelBad
		}
		clear = clear && len(o.where.Cleared) > 0
		switch {
		case i < 4:
			parts = append(parts, o.finding.Service+" "+o.worstWhy+alsoSlow(o))
		case i == 4:
			parts = append(parts, fmt.Sprintf("and %d more", len(sh.members)-4))
		}
	}
	at := Place{Conds: []Cond{c}}
	f.Regions, f.Where = at.regions(), at.holds()
	f.Only = "Only " + where(c) + ": " + strings.Join(parts, " · ") + "."
	f.Cleared = []string{}
	if clear {
		f.Cleared = append(f.Cleared, theRest(c, nil))
	}
	if w := &sh.worst; w.Metric == "" || w.Metric == "instances" || f.Metric != "instances" && rank(f.Metric) <= rank(w.Metric) {
		*w = *f
	}
}

// recall says of what is over what it was at its worst: errors end before the last requests are fast again, and were the news.
func (sh *shared) recall() {
	if w := &sh.worst; w.Metric != "" {
		f := &sh.finding
		f.Metric, f.Level, f.Only, f.Why, f.Cleared, f.Events, f.Signals = w.Metric, w.Level, w.Only, w.Why, w.Cleared, w.Events, w.Signals
	}
}

// alsoSlow is how much slower a service is as well: of several services what else has changed would be too much to read.
func alsoSlow(o *open) string {
	for _, a := range o.also {
		if strings.Contains(a, "ms → ") || strings.Contains(a, " s → ") {
			return ", " + a
		}
	}
	return ""
}

// events is what happened to the services before, each by its name, and the same of several at once by all of theirs: it is known of one's own.
func (sh *shared) events() []dashboards.Event {
	type same struct{ kind, text string }
	out := []dashboards.Event{}
	who := map[int][]string{} // by place in out
	last := map[same]int{}
	for _, o := range sh.members {
		if o.far {
			continue
		}
		for _, e := range o.finding.Events {
			k := same{e.Kind, e.Text}
			i, ok := last[k]
			if ok = ok && max(out[i].T-e.T, e.T-out[i].T) <= sharedEvent.Milliseconds(); !ok {
				i = len(out)
				out, last[k] = append(out, e), i
			}
			out[i].T, out[i].N = min(out[i].T, e.T), max(out[i].N, e.N)
			if !slices.Contains(who[i], o.finding.Service) {
				who[i] = append(who[i], o.finding.Service)
			}
		}
	}
	for i := range out {
		names := slices.Sorted(slices.Values(who[i]))
		text := strings.Join(names, ", ")
		if len(names) > mostNamed {
			text = fmt.Sprintf("%d services", len(names))
		}
		out[i].Text = text + ": " + out[i].Text
	}
	slices.SortStableFunc(out, func(a, b dashboards.Event) int {
		return cmp.Or(cmp.Compare(a.T, b.T), strings.Compare(a.Text, b.Text))
	})
	return out[max(0, len(out)-mostEvents):]
}

// signals is which lines are in trouble of each service that still is: what both its findings say, where two are here.
func (sh *shared) signals() map[string][]string {
	out := map[string][]string{}
	for _, o := range sh.members {
		f := &o.finding
		out[f.Service] = append(out[f.Service], f.Signals[f.Service]...)
	}
	for service, signals := range out {
		slices.Sort(signals)
		out[service] = slices.Compact(signals)
	}
	return out
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
