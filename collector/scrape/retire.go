package scrape

import (
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// lastWithin is how long a last pull may take, and how long it may wait for a worker: who leaves in order is still there for a moment, not for longer.
const lastWithin = time.Second

// What became of the last pulls of those who left in order.
const (
	lastOK      = "ok"
	lastFailed  = "failed"   // it was gone already, or did not answer in time
	lastLeftOut = "left_out" // its last pull timed out or broke a limit, too many left at once, no worker was free, or it is not known whose it is
)

// Retire drops targets that leave in order, and pulls each once more before: at once, or when the pull that is under way has ended well. What their counters say last is
// not lost then. The snapshot is an ordinary one but for its Slot, which is none: it stands beside that of the slot. Nothing is told of one that fails, as whoever leaves
// may be gone already; rollcall_scrape_last_total counts what became of each. A last pull takes a second at most, and the target's timeout at most; when more than 100
// leave within a second, the rest is dropped without one. It is an error of nobody to retire who is not there. Config.Retired is called for each key.
//
// It counts as Change does, and unlike a change it is not undone by the Set that comes after it. Retire may be called at any time, from any goroutine, and does not wait.
func (p *Pool) Retire(keys []TargetKey) {
	if len(keys) == 0 || p.stopped.Load() {
		return
	}
	p.mu.Lock()
	for _, k := range keys {
		p.changes = append(p.changes, change{key: k, retire: true})
	}
	p.mu.Unlock()
	p.wakeUp()
}

// keepRetiring leaves of the changes that a Set is to take the place of what it must not undo.
func (p *Pool) keepRetiring() {
	for i := range p.changes {
		if c := &p.changes[i]; c.retire {
			p.retiring = append(p.retiring, c.key)
		}
	}
	p.changes = nil
}

// retire drops the target of a key as Retire says.
func (p *Pool) retire(key TargetKey, now time.Time) {
	t := p.targets[key]
	if t == nil {
		if l := p.leaving[key]; l == nil || !l.retired { // else it is at it
			p.c.Retired(key)
		}
		return
	}
	if t.bad != notBad || !p.c.Fresh(now) || !p.lasts.take(1, now) {
		t.spec.Load().run.m.last(lastLeftOut).Inc()
		t.retired = t.running
		if p.leave(t, now); !t.retired {
			p.c.Retired(key)
		}
		return
	}
	p.detach(t, now)
	p.leaving[key] = t
	t.last, t.retired, t.missed = true, true, nil
	switch {
	case t.running:
		t.leavesInOrder()
	case !t.queued:
		p.start(t, slot{due: now})
	}
}

// again reports whether t, whose pull has just ended, is to be pulled a last time.
func (p *Pool) again(t *target, o collector.Outcome) bool {
	if !t.gone || !t.last {
		return false
	}
	t.last = false
	if p.stopped.Load() || o != collector.OK {
		t.spec.Load().run.m.last(lastFailed).Inc()
		return false
	}
	t.lasting, t.wanted, t.was = true, slot{due: time.Now()}, t.bad
	p.pulled[t.was]++
	return true
}

// tellRetired tells that nothing more comes of t, which is gone.
func (p *Pool) tellRetired(t *target) {
	if t.retired {
		t.retired = false
		p.c.Retired(t.key)
	}
}

// scrapeLast pulls t a last time.
func (p *Pool) scrapeLast(t *target, late time.Duration) collector.Outcome {
	s := t.spec.Load()
	if late > lastWithin {
		s.run.m.last(lastLeftOut).Inc()
		return collector.Skipped
	}
	now := time.Now()
	snap := collector.Snapshot{Instance: s.Instance, Time: now, Interval: s.interval, Term: p.c.Term(), Tags: s.tags}
	e := p.exchange(exchange{p: p, t: t, s: s, started: now, deadline: now.Add(min(s.timeout, lastWithin))})
	defer e.over()
	if err := e.stats(&snap); err != nil {
		s.run.m.last(lastFailed).Inc()
		return e.unheard(err)
	}
	s.run.m.last(lastOK).Inc()
	e.good(&snap)
	e.hand(&snap)
	return collector.OK
}

// unheard ends a pull whose failure nobody is told of.
func (e *exchange) unheard(err error) collector.Outcome {
	if e.x != nil {
		e.x.release()
		e.x = nil
	}
	if e.t.isAborted() {
		return collector.OK // by us
	}
	o, _ := classify(err, e.at)
	return o
}
