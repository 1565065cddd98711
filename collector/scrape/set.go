package scrape

import (
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
)

// jobRun is what the pool has of a job.
type jobRun struct {
	job     *Job
	allow   allowList
	limits  stats.Options
	allowed string // the same in words: connections are opened anew when it changes
	m       *jobMetrics
	client  *http.Client // where the job needs net/http
	tokens  *tokens      // where a token is fetched
	proxies *proxies     // nil: there are none
	broken  error        // why no proxy can be asked
	targets int
}

func (p *Pool) newJobRun(j *Job) *jobRun {
	r := &jobRun{job: j, allow: j.Allow.list(), limits: j.limits(), allowed: fmt.Sprint(j.Allow), m: p.m.job(j.Name)}
	if j.OAuth2 != nil {
		r.tokens = newTokens(j.OAuth2)
	}
	if j.Proxy.any() {
		r.proxies, r.broken = j.Proxy.look()
	}
	if j.netHTTP() {
		r.client = p.newClient(r)
	}
	return r
}

// add counts targets that joined the job, or left it.
func (r *jobRun) add(n int) {
	r.targets += n
	r.m.targets.Add(int64(n))
}

func (r *jobRun) close() {
	r.tokens.close()
	if r.client != nil {
		r.client.CloseIdleConnections()
	}
}

// apply makes the newest set the pool's: who is new joins, who changed is changed in place, who is missing ends.
func (p *Pool) apply(now time.Time) {
	for _, key := range p.retiring {
		p.retire(key, now)
	}
	set := p.set
	p.retiring = nil
	p.set, p.fresh = nil, false
	seen := make(map[TargetKey]bool, len(set))
	var joined []*target
	for i := range set {
		key := set[i].TargetKey()
		if seen[key] {
			p.c.Log.Warn("target listed twice", "target", key.Key, "job", key.Job)
			continue
		}
		seen[key] = true
		if t := p.put(&set[i], now); t != nil {
			joined = append(joined, t)
		}
	}
	for key, t := range p.targets {
		if !seen[key] {
			p.leave(t, now)
		}
	}
	p.settle(joined, now)
}

// put has a target in the pool as to says, and returns it if it is new there.
func (p *Pool) put(to *Target, now time.Time) (joined *target) {
	run := p.jobs[to.Job]
	if run == nil {
		run = p.newJobRun(to.Job)
		p.jobs[to.Job] = run
	}
	key := to.TargetKey()
	t := p.targets[key]
	if t == nil {
		t = p.join(key)
		joined = t
		run.add(1)
		p.counts.add(t, lastOf(t))
	} else if old := t.spec.Load(); old.run != run {
		old.run.add(-1)
		run.add(1)
	} else if old.Same(&to.Instance) && old.every == to.Every && old.Member == to.Member && old.Zxid == to.Zxid {
		return nil
	}
	p.update(t, to, run, now)
	return joined
}

// settle ends what a set or a change has begun: those who joined get their first slot, jobs that have nobody any more end.
func (p *Pool) settle(joined []*target, now time.Time) {
	for j, r := range p.jobs {
		if r.targets == 0 {
			r.close()
			delete(p.jobs, j)
		}
	}
	p.pulls.mayUnproven.Store(unprovenBytes + int64(len(p.targets))*unprovenEach)
	p.schedule(joined, now)
}

// join makes a target, or takes back one that has left and whose last pull is still being ended.
func (p *Pool) join(key TargetKey) *target {
	t := p.leaving[key]
	if t == nil {
		t = &target{key: key, at: -1, phase: phaseOf(key, p.c.Seed)}
	}
	delete(p.leaving, key)
	t.gone, t.retired = false, false
	if t.running {
		t.last = false
		t.stays()
	}
	p.targets[key] = t
	return t
}

// update gives t its newest attributes. Its schedule only changes with its interval.
func (p *Pool) update(t *target, to *Target, run *jobRun, now time.Time) {
	old, s := t.spec.Load(), newSpec(to, run, p.c.ExternalTags)
	t.spec.Store(s)
	if old != nil && old.interval != s.interval && t.at >= 0 {
		p.heap.set(t, t.slot(now, s.interval))
	}
}

// detach takes a target out of the pool, whatever a worker does with it.
func (p *Pool) detach(t *target, now time.Time) {
	s := t.spec.Load()
	delete(p.targets, t.key)
	s.run.add(-1)
	p.counts.drop(t)
	p.heap.remove(t)
	t.gone = true
	if end := t.started.Add(s.interval); end.After(now) {
		p.left[t.key] = end
	}
}

// leave ends a target.
func (p *Pool) leave(t *target, now time.Time) {
	p.detach(t, now)
	t.last = false
	if t.running {
		p.leaving[t.key] = t
		t.abort(true)
		return
	}
	t.drop()
}

// schedule gives those who joined their first slot. A few are pulled at once, so that a new instance is seen at once; at the start and when many join, each
// begins in its own place. One that left and came back within its interval was pulled in it already; so was one that another collector had until now.
func (p *Pool) schedule(joined []*target, now time.Time) {
	p.sweep(now)
	var news []*target
	for _, t := range joined {
		end, was := p.left[t.key]
		if delete(p.left, t.key); was && end.After(now) || t.spec.Load().handed {
			p.heap.set(t, t.slot(now, t.spec.Load().interval))
			continue
		}
		news = append(news, t)
	}
	if len(news) == 0 {
		return
	}
	atOnce := p.c.AtOnce || p.applied && p.bucket.take(len(news), now)
	for _, t := range news {
		if atOnce {
			p.heap.set(t, now)
		} else {
			p.heap.set(t, t.slot(now, t.spec.Load().interval))
		}
	}
}

// sweep forgets those who left an interval ago, each time they have doubled: so it costs a change nothing that grows with their number.
func (p *Pool) sweep(now time.Time) {
	if len(p.left) < p.sweepAt {
		return
	}
	maps.DeleteFunc(p.left, func(_ TargetKey, end time.Time) bool { return !end.After(now) })
	p.sweepAt = max(1024, 2*len(p.left))
}

// Why slots are skipped.
const (
	skippedRunning = "running" // the pull before is still under way
	skippedBusy    = "busy"    // no worker is free
	skippedSlept   = "slept"   // the collector itself stood still
	skippedStopped = "stopped" // the collector stopped while the target waited for a worker
	skippedLarge   = "large"   // too many are pulled whose bodies are too large
)

var skippedReasons = [...]string{skippedRunning, skippedBusy, skippedSlept, skippedStopped, skippedLarge}

// maxMissed bounds the skipped slots that one target remembers to tell.
const maxMissed = 16

type miss struct {
	slot
	why string
}

// miss notes a slot in which t was not pulled.
func (p *Pool) miss(t *target, s *spec, in slot, why string) {
	s.run.m.skipped[why].Inc()
	if len(t.missed) < maxMissed {
		t.missed = append(t.missed, miss{in, why})
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
	case skippedLarge:
		reason = fmt.Sprintf("its last body was too large, and %d such are pulled at once", gorgedAtOnce)
	}
	x.snap = collector.Snapshot{Instance: s.Instance, Time: m.due, Interval: m.every, Slot: t.slotOf(m.due, m.every), Term: p.c.Term(), Tags: s.tags, Info: t.info.tags,
		Outcome: collector.Skipped, Reason: reason, OnRelease: x.release}
	s.run.m.outcomes[collector.Skipped].Inc()
	p.c.Handle(&x.snap)
}
