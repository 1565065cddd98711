package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// tell writes the words, of those who are still in trouble.
func (sh *shared) tell(c Cond) {
	f := &sh.finding
	f.Recovered, f.Closes = 0, 0
	for _, o := range sh.members {
		if len(o.where.Known) > 0 {
			sh.known = o.where.Known
		}
	}
	f.Services, f.Signals = slices.Sorted(slices.Values(sh.all)), sh.signals()
	slices.SortFunc(sh.members, func(a, b *open) int { return cmp.Compare(b.size(), a.size()) })
	if len(sh.members) >= sh.most {
		sh.tellWorst(c)
	}
	f.Only = sh.only(c)
	var there []string
	for _, o := range sh.members {
		there = append(there, o.finding.Service)
	}
	slices.Sort(there)
	there = slices.Compact(there)
	switch at, closes := sh.healed(); {
	case !at.IsZero():
		f.Title = sh.title(c, len(sh.all), "were")
		f.Heal(at, closes)
	case len(there) < len(sh.all):
		f.Title = sh.title(c, len(there), "are still")
	default:
		f.Title = sh.title(c, len(there), "are")
	}
	if len(sh.members) >= sh.most {
		sh.most = len(sh.members)
		sh.remember()
	}
}

// remember keeps how it is told while it is at its worst: of the gravest kind, in most of the services.
func (sh *shared) remember() {
	f, w, n := &sh.finding, &sh.worst, 0
	for _, o := range sh.members {
		if o.finding.Metric == f.Metric {
			n++
		}
	}
	graver := w.Metric == "" || f.Metric != "instances" && (w.Metric == "instances" || rank(f.Metric) < rank(w.Metric))
	if graver || f.Metric == w.Metric && n >= sh.worstIn {
		*w, sh.worstIn = *f, n
	}
}

// tellEnd writes the words of what is over, as it was at its worst: errors end before the last requests are fast again, and were the news.
func (sh *shared) tellEnd(c Cond) {
	id, service, since := sh.finding.ID, sh.finding.Service, sh.finding.Since
	sh.finding = sh.worst
	f := &sh.finding
	f.ID, f.Service, f.Since, f.Recovered, f.Closes = id, service, since, 0, 0
	f.Services = slices.Sorted(slices.Values(sh.all))
	f.Title = sh.title(c, len(sh.all), "were")
}

// title is the headline, with its news, about so many of the services.
func (sh *shared) title(c Cond, n int, verb string) string {
	f := &sh.finding
	f.News = fmt.Sprintf("%d services", n)
	if n < len(sh.all) {
		f.News = fmt.Sprintf("%d of %d services", n, len(sh.all))
	}
	if n, all := sh.instances(); all {
		return fmt.Sprintf("%s of %s %s gone or silent, %s", instances(n), f.News, verb, together(n, c))
	}
	return fmt.Sprintf("%s %s in trouble: %s", f.News, verb, sh.known.where(c))
}

// healed is since when all who are still there are well again, and until when they must stay so; zero while some are not.
func (sh *shared) healed() (at, closes time.Time) {
	for _, o := range sh.members {
		if o.finding.Recovered == 0 {
			return time.Time{}, time.Time{}
		}
		if t := time.UnixMilli(o.finding.Recovered); t.After(at) {
			at = t
		}
		if t := time.UnixMilli(o.finding.Closes); t.After(closes) {
			closes = t
		}
	}
	return at, closes
}

// tellWorst takes over what stays for as long as no more are in trouble at once.
func (sh *shared) tellWorst(c Cond) {
	f := &sh.finding
	f.Level, f.Why = dashboards.LevelWarn, "in trouble on "+sh.known.one(c)
	f.Events = sh.events()
	// It is told by its worst kind, as each of them is: what began as latency may have become errors.
	f.Metric = sh.members[0].finding.Metric
	clear := true
	for _, o := range sh.members {
		if m := o.finding.Metric; f.Metric == "instances" || m != "instances" && rank(m) < rank(f.Metric) {
			f.Metric = m
		}
		if o.finding.Level == dashboards.LevelBad {
			f.Level = dashboards.LevelBad
		}
		clear = clear && len(o.where.Cleared) > 0
	}
	at := Place{Conds: []Cond{c}}
	f.Regions, f.Where = at.regions(), at.holds()
	f.Cleared = []string{}
	if clear {
		f.Cleared = append(f.Cleared, sh.known.theRest(c, nil))
	}
}

// only says what is wrong there, the worst first.
func (sh *shared) only(c Cond) string {
	var parts []string
	var all went
	for i, o := range sh.members {
		all.join(&o.went)
		switch {
		case i < 4:
			parts = append(parts, o.finding.Service+" "+o.worstWhy+alsoSlow(o))
		case i == 4:
			parts = append(parts, fmt.Sprintf("and %d more", len(sh.members)-4))
		}
	}
	text := "Only " + sh.known.where(c) + ": " + strings.Join(parts, " · ") + "."
	if all.N > 0 {
		whose := "the hosts"
		if c.Dim == dashboards.TagHost {
			whose = "the host"
		}
		text += " " + all.words(whose)
	}
	return text
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

// instances is how many are gone or silent, where that is all that it is about; of what is over how many were at most.
func (sh *shared) instances() (n int, all bool) {
	if len(sh.members) == 0 {
		return sh.lost, sh.worst.Metric == "instances"
	}
	for _, o := range sh.members {
		if o.finding.Metric != "instances" {
			return 0, false
		}
		n += o.n
	}
	sh.lost = max(sh.lost, n)
	return n, n > 0
}

func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// where names a place that is not one service's.
func (k known) where(c Cond) string {
	switch c.Dim {
	case dashboards.TagZone, dashboards.TagRegion:
		return "everything in " + c.Value
	}
	return k.one(c)
}
