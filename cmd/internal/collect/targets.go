package collect

import (
	"sync"

	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// moved is who has moved on the roster since the pool was last told.
type moved struct {
	ready chan struct{} // has a value when there is something to take

	mu  sync.Mutex
	all bool // look at everybody: what decides over all of them has changed
	// handed: others may have pulled who is new to us.
	handed bool
	by     map[string]discovery.Change

	applying sync.Mutex // held from the look at who moved until the pool knows
}

func newMoved() *moved {
	return &moved{ready: make(chan struct{}, 1), by: map[string]discovery.Change{}}
}

func (m *moved) add(changes []discovery.Change) {
	m.mu.Lock()
	for _, c := range changes {
		if _, again := m.by[c.ID()]; again && c.Was == "" {
			c.Was = c.State // it has moved before: only who comes alone is sure to be in the pool nowhere
		}
		m.by[c.ID()] = c
	}
	m.mu.Unlock()
	m.wake()
}

func (m *moved) everybody() {
	m.mu.Lock()
	m.all = true
	m.mu.Unlock()
	m.wake()
}

// divided has everybody looked at, as who scrapes whom has changed.
func (m *moved) divided(handed bool) {
	m.mu.Lock()
	m.all, m.handed = true, m.handed || handed
	m.mu.Unlock()
	m.wake()
}

func (m *moved) wake() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

func (m *moved) take() (all, handed bool, by map[string]discovery.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, handed, by = m.all, m.handed, m.by
	m.all, m.handed, m.by = false, false, map[string]discovery.Change{}
	return all, handed, by
}

// applyTargets gives the pool who is to be scraped now: those who moved, or everybody anew.
func (d *Daemon) applyTargets() {
	d.moved.applying.Lock()
	defer d.moved.applying.Unlock()
	all, handed, by := d.moved.take()
	jobs := *d.jobs.Load()
	d.pool.Retire(d.retiring(jobs, by)) // first: who is dropped below was retired then
	var err error
	if all {
		err = d.pool.Set(d.allTargets(jobs, handed))
	} else {
		var put []scrape.Target
		var drop []scrape.TargetKey
		for id, c := range by {
			e, found := c.Entry, error(nil)
			if now, err := d.roster.Find(id); err == nil { // a later change may have overtaken this one
				e, found = now, err
			}
			j := jobs[discovery.JobOf(e.Source)].Job
			pulled := found == nil && j != nil && d.pulls(&e)
			if found == nil && e.State.Scraped() && !pulled {
				d.enrich.Forget(e.Key) // another collector counts it from here on
			}
			for name := range jobs {
				if c.Was == "" {
					break // the pool has never heard of it: a first load costs no look at each job
				}
				if !pulled || name != j.Name {
					drop = append(drop, scrape.TargetKey{Key: e.Key, Job: name})
				}
			}
			if pulled {
				// A division may be in force whose targets the pool has not got yet: who is not new may have been another's, or ours before a restart.
				put = append(put, scrape.Target{Instance: e.Instance, Job: j, Every: d.every(j, e.Key), Handed: c.Was != "" && d.others()})
			}
		}
		err = d.pool.Change(put, drop)
	}
	if err != nil {
		d.log.Warn("not every target can be scraped", "err", err)
	}
}

// inOrder reports whether one left as one should: it said so before. Its application is there for a moment yet, and has something to say.
func inOrder(e *discovery.Entry) bool {
	return e.State == discovery.Departed && e.Cause == discovery.Deregistered
}

// retiring is whom the pool pulls once more, of those who moved.
func (d *Daemon) retiring(jobs map[string]job, by map[string]discovery.Change) (keys []scrape.TargetKey) {
	for id, c := range by {
		e, err := d.roster.Find(id)
		if err != nil {
			e = c.Entry
		}
		name := discovery.JobOf(e.Source)
		switch {
		case inOrder(&e) && jobs[name].Job != nil && !d.paused.Load():
			keys = append(keys, scrape.TargetKey{Key: e.Key, Job: name})
		case inOrder(&c.Entry): // it is back, or nobody pulls it
			d.enrich.Forget(c.Key)
		}
	}
	return keys
}

// retired is called by the pool when nothing more comes of one who left in order.
func (d *Daemon) retired(k scrape.TargetKey) { d.enrich.Forget(k.Key) }

// allTargets is everybody to be scraped.
func (d *Daemon) allTargets(jobs map[string]job, handed bool) (out []scrape.Target) {
	orphans := map[string]int{}
	d.roster.Walk(func(e *discovery.Entry) bool {
		switch j := jobs[discovery.JobOf(e.Source)].Job; {
		case !d.pulls(e):
			if e.State.Scraped() {
				d.enrich.Forget(e.Key) // as above
			}
		case j == nil:
			orphans[e.Source]++
		default:
			out = append(out, scrape.Target{Instance: e.Instance, Job: j, Every: d.every(j, e.Key), Handed: handed})
		}
		return true
	})
	for source, n := range orphans { // for a moment in a reload that removes a job
		d.log.Debug("instances of a source that no job has are not scraped", "source", source, "instances", n)
	}
	return out
}

// pulls reports whether this collector is to scrape the one of an entry.
func (d *Daemon) pulls(e *discovery.Entry) bool {
	return e.State.Scraped() && !d.paused.Load() && d.mine(discovery.JobOf(e.Source), e.Key)
}

// others reports whether the group has other collectors, by the newest division, told to divided or not.
func (d *Daemon) others() bool {
	div := d.sharing.now.Load().Division()
	return div != nil && len(div.Members) > 1
}
