package scrape

import (
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// jobRun is what the pool has of a job.
type jobRun struct {
	job    *Job
	allow  allowList
	m      *jobMetrics
	client *http.Client // where the job needs net/http
}

func (p *Pool) newJobRun(j *Job) *jobRun {
	r := &jobRun{job: j, allow: j.Allow.list(), m: p.m.job(j.Name)}
	if j.netHTTP() {
		r.client = p.newClient(r)
	}
	return r
}

func (r *jobRun) close() {
	if r.client != nil {
		r.client.CloseIdleConnections()
	}
}

// apply makes the newest set the pool's: who is new joins, who changed is changed in place, who is missing ends.
func (p *Pool) apply(now time.Time) {
	set := p.set
	p.set, p.fresh = nil, false
	seen := make(map[targetKey]bool, len(set))
	used := map[*Job]*jobRun{}
	count := map[*jobMetrics]int{}
	var joined []*target
	for i := range set {
		key := targetKey{set[i].Key, set[i].Job.Name}
		if seen[key] {
			p.c.Log.Warn("target listed twice", "target", key.Key, "job", key.job)
			continue
		}
		seen[key] = true
		run := used[set[i].Job]
		if run == nil {
			if run = p.jobs[set[i].Job]; run == nil {
				run = p.newJobRun(set[i].Job)
			}
			used[set[i].Job] = run
		}
		count[run.m]++
		t := p.targets[key]
		if t == nil {
			t = p.join(key)
			joined = append(joined, t)
		}
		p.update(t, &set[i], run, now)
	}
	for key, t := range p.targets {
		if !seen[key] {
			p.leave(t, now)
		}
	}
	for j, r := range p.jobs {
		if used[j] == nil {
			r.close()
		}
	}
	p.jobs = used
	p.m.count(count)
	p.schedule(joined, now)
	p.applied = true
}

// join makes a target, or takes back one that has left and whose last pull is still being ended.
func (p *Pool) join(key targetKey) *target {
	t := p.leaving[key]
	if t == nil {
		t = &target{key: key, at: -1, phase: phaseOf(key, p.c.Seed)}
	}
	delete(p.leaving, key)
	t.gone = false
	p.targets[key] = t
	return t
}

// update gives t its newest attributes. Its schedule only changes with its interval.
func (p *Pool) update(t *target, to *Target, run *jobRun, now time.Time) {
	old := t.spec.Load()
	if old != nil && old.job == to.Job && old.Same(&to.Instance) && old.Member == to.Member && old.Zxid == to.Zxid {
		return
	}
	s := newSpec(to, run, p.c.ExternalTags)
	t.spec.Store(s)
	if old != nil && old.interval != s.interval && t.at >= 0 {
		p.heap.set(t, t.slot(now, s.interval))
	}
}

// leave ends a target.
func (p *Pool) leave(t *target, now time.Time) {
	delete(p.targets, t.key)
	p.heap.remove(t)
	t.gone = true
	if end := t.started.Add(t.spec.Load().interval); end.After(now) {
		p.left[t.key] = end
	}
	if t.running {
		p.leaving[t.key] = t
		t.abort(true)
		return
	}
	t.drop()
}

// schedule gives those who joined their first slot. A few are pulled at once, so that a new instance is seen at once; at the start and when many join, each
// begins in its own place. One that left and came back within its interval was pulled in it already.
func (p *Pool) schedule(joined []*target, now time.Time) {
	for key, end := range p.left {
		if !end.After(now) {
			delete(p.left, key)
		}
	}
	var news []*target
	for _, t := range joined {
		if _, was := p.left[t.key]; was {
			delete(p.left, t.key)
			p.heap.set(t, t.slot(now, t.spec.Load().interval))
			continue
		}
		news = append(news, t)
	}
	if len(news) == 0 {
		return
	}
	atOnce := p.applied && p.bucket.take(len(news), now)
	for _, t := range news {
		if atOnce {
			p.heap.set(t, now)
		} else {
			p.heap.set(t, t.slot(now, t.spec.Load().interval))
		}
	}
}

// Why slots are skipped.
const (
	skippedRunning = "running" // the pull before is still under way
	skippedBusy    = "busy"    // no worker is free
	skippedSlept   = "slept"   // the collector itself stood still
	skippedStopped = "stopped" // the collector stopped while the target waited for a worker
)

// maxMissed bounds the skipped slots that one target remembers to tell.
const maxMissed = 16

type miss struct {
	due time.Time
	why string
}

// miss notes a slot in which t was not pulled.
func (p *Pool) miss(t *target, s *spec, due time.Time, why string) {
	s.run.m.skipped(why).Inc()
	if len(t.missed) < maxMissed {
		t.missed = append(t.missed, miss{due, why})
	}
}

// tell hands over a snapshot for a slot in which t was not pulled.
func (p *Pool) tell(t *target, s *spec, m miss) {
	x := p.pulls.get(0)
	reason := "the pull before was still under way"
	switch m.why {
	case skippedBusy:
		reason = "the collector is busy: no place was free in the whole interval"
	case skippedStopped:
		reason = "the collector stopped"
	case skippedSlept:
		reason = "the collector stood still"
	}
	x.snap = collector.Snapshot{Instance: s.Instance, Time: m.due, Interval: s.interval, Tags: s.tags, Info: t.info.tags,
		Outcome: collector.Skipped, Reason: reason, OnRelease: x.release}
	s.run.m.outcomes[collector.Skipped].Inc()
	p.c.Handle(&x.snap)
}
