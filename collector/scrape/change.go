package scrape

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// changeChunk is how many changes are applied between two looks at who is due, so that many of them hold nobody up.
const changeChunk = 1000

// change is one target that is to be in the pool, or, without a Job, one that is to leave.
type change struct {
	key    TargetKey
	to     Target
	retire bool // it is to be pulled a last time
}

// Change drops some targets and puts others, who join or take the place of what the pool had under their key; the others are not touched, and it costs nothing
// for each of them. A key in both is put. It counts on top of the last Set and of the changes before it, so a full set must not be made out of knowledge older
// than a change that was given before it. Change may be called at any time, from any goroutine, and does not wait. A job that does not validate is an error, and
// then nothing changes; to drop who is not there is none.
func (p *Pool) Change(put []Target, drop []TargetKey) error {
	if err := checkJobs(put); err != nil {
		return fmt.Errorf("change targets: %w", err)
	}
	if len(put)+len(drop) == 0 || p.stopped.Load() {
		return nil
	}
	p.mu.Lock()
	p.changes = slices.Grow(p.changes, len(put)+len(drop))
	for _, key := range drop {
		p.changes = append(p.changes, change{key: key})
	}
	for i := range put {
		p.changes = append(p.changes, change{key: put[i].TargetKey(), to: put[i]})
	}
	p.mu.Unlock()
	p.wakeUp()
	return nil
}

func checkJobs(targets []Target) error {
	var last *Job
	checked := map[*Job]bool{}
	var errs []error
	for i := range targets {
		j := targets[i].Job
		if j == nil {
			return fmt.Errorf("%s has no job", targets[i].Key)
		}
		if e := targets[i].Every; e != 0 && e < minInterval {
			return fmt.Errorf("%s is to be pulled every %s, which is below %s", targets[i].Key, e, minInterval)
		}
		if j == last || checked[j] {
			continue
		}
		last, checked[j] = j, true
		errs = append(errs, j.Validate())
	}
	return errors.Join(errs...)
}

// applyChanges applies the oldest changes. One batch of them is one moment: of those who joined in it, few are pulled at once.
func (p *Pool) applyChanges(now time.Time) {
	n := min(len(p.changes), changeChunk)
	if n == 0 {
		return
	}
	var joined []*target
	for i := range p.changes[:n] {
		c := &p.changes[i]
		if c.to.Job != nil {
			if t := p.put(&c.to, now); t != nil {
				joined = append(joined, t)
			}
		} else if c.retire {
			p.retire(c.key, now)
		} else if t := p.targets[c.key]; t != nil {
			p.leave(t, now)
		}
	}
	clear(p.changes[:n])
	if p.changes = p.changes[n:]; len(p.changes) == 0 {
		p.changes = nil
	}
	joined = slices.DeleteFunc(joined, func(t *target) bool { return t.gone }) // again, in the same batch
	p.settle(joined, now)
}

// counts is how many targets there are by the outcome of their last pull; the last of all counts those that were not pulled yet.
type counts [collector.NumOutcomes + 1]int

const notYet = int(collector.NumOutcomes)

func lastOf(t *target) int {
	if r, ok := t.status.load(); ok {
		return int(r.outcome)
	}
	return notYet
}

func (c *counts) add(t *target, in int) {
	t.counted = in
	c[in]++
}

func (c *counts) drop(t *target) { c[t.counted]-- }

func (c *counts) move(t *target, in int) {
	c.drop(t)
	c.add(t, in)
}

// NotPulled is what Outcomes calls targets that were not pulled yet.
const NotPulled = "not scraped yet"

// Outcomes is how many targets there are by the outcome of their last pull, as words; those that are none are left out. It costs nothing for each target.
func (p *Pool) Outcomes() map[string]int {
	p.mu.Lock()
	c := p.counts
	p.mu.Unlock()
	out := map[string]int{}
	for i, n := range c {
		switch {
		case n == 0:
		case i == notYet:
			out[NotPulled] = n
		default:
			out[collector.Outcome(i).String()] = n
		}
	}
	return out
}
