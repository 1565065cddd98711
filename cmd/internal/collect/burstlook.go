package collect

import (
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// burstLook is one look at those whom bursts are for. There may be hundreds of orders over one service, each of a few hosts: who is there is found out once for all of them, and whom one is
// for by the value of a tag, so that an order costs as much as it is for. It belongs to one goroutine, for a moment.
type burstLook struct {
	d        *Daemon
	was      *plan
	now      time.Time
	jobs     map[string]job
	services map[[2]string]*membersOf
}

// membersOf are the instances of a service that are pulled here.
type membersOf struct {
	all []burstMember
	by  map[string]map[string][]int // where in all those are that have a tag's value, by tag; of the tags that were asked for
}

type burstMember struct {
	candidate
	of   *scrape.Job
	tags discovery.Tags
	last lastSeen
}

// lastSeen is what is known of a member's last pull, from when it was asked for.
type lastSeen struct {
	asked, ok bool
	scrape.LastPull
}

func (d *Daemon) lookAtBursts(was *plan, now time.Time) *burstLook {
	return &burstLook{d: d, was: was, now: now, jobs: *d.jobs.Load(), services: map[[2]string]*membersOf{}}
}

// slice is who of a burst's slice is ours, and can bear it.
func (l *burstLook) slice(o share.Placed) slice {
	s := slice{order: o}
	l.members(&o.Burst, func(m *burstMember) {
		if l.tooSlow(&o.Order, m) != "" {
			s.slow++
			return
		}
		s.all = append(s.all, m.candidate)
	})
	if o.Burst.Instances > 0 && o.Scope == share.ScopeGroup {
		s.others, s.waits = l.d.othersOf(o.ID)
	}
	return s
}

// members calls f with each whom a burst is for.
func (l *burstLook) members(b *discovery.Burst, f func(*burstMember)) {
	of := l.service(b.Service, b.Env)
	tag, value, tagged := "", "", false
	for n, v := range b.Tags.All() {
		if tag, value, tagged = n, v, true; n == discovery.TagHostName { // of few
			break
		}
	}
	if !tagged {
		for i := range of.all {
			f(&of.all[i])
		}
		return
	}
	for _, i := range of.having(tag)[value] {
		if m := &of.all[i]; b.Holds(m.Key, m.tags) {
			f(m)
		}
	}
}

func (l *burstLook) service(service, env string) *membersOf {
	name := [2]string{service, env}
	if of := l.services[name]; of != nil {
		return of
	}
	of := &membersOf{by: map[string]map[string][]int{}}
	l.services[name] = of
	for _, e := range l.d.roster.Of(service, env) {
		j := l.jobs[discovery.JobOf(e.Source)].Job
		if j == nil || !l.d.pulls(&e) {
			continue
		}
		tags := l.d.tagsOf(&e)
		of.all = append(of.all, burstMember{
			candidate: candidate{Key: e.Key, Version: tags.Get("service.version"), Zone: tags.Get("cloud.availability_zone"), job: j.Name, usual: j.Interval, asked: asked(j)},
			of:        j, tags: tags,
		})
	}
	return of
}

// having is who has which value of a tag; a host's name is that of its instances, too, with their port and without, as Burst.Holds has it.
func (of *membersOf) having(tag string) map[string][]int {
	if in := of.by[tag]; in != nil {
		return in
	}
	in := map[string][]int{}
	of.by[tag] = in
	for i := range of.all {
		m := &of.all[i]
		v := m.tags.Get(tag)
		in[v] = append(in[v], i)
		if tag != discovery.TagHostName {
			continue
		}
		for _, v := range slices.Compact([]string{m.Key.Host, m.Key.Addr()}) {
			if at := in[v]; len(at) == 0 || at[len(at)-1] != i {
				in[v] = append(at, i)
			}
		}
	}
	return in
}

// tooSlow is Daemon.tooSlow of a member, whose last pull is asked for once.
func (l *burstLook) tooSlow(o *discovery.Order, m *burstMember) string {
	if !m.last.asked {
		m.last.asked = true
		m.last.LastPull, m.last.ok = l.d.pool.Last(scrape.TargetKey{Key: m.Key, Job: m.job})
	}
	return l.d.tooSlow(o, m.of, m.Key, m.last, l.was, l.now)
}
