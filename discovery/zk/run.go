package zk

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// run is the state of one Source.Run. Everything in it belongs to the goroutine of loop; requests are made in others, which hand back what is to be done with
// the answer.
type run struct {
	*Source
	ctx     context.Context
	out     *discovery.Latest
	trees   []*tree
	wake    chan struct{}
	results chan func()
	workers sync.WaitGroup

	urgent, refresh queue
	inFlight        int
	tokens          int  // refreshes that may go now
	filling         bool // more come soon
	timers          timers
	told            bool // a complete view was published: from now on its paths must be kept up to date
}

// job is a request: it runs in a worker and returns what the loop does with the answer.
type job struct {
	t     *tree
	epoch uint64
	do    func(context.Context) func()
}

// queue is first in, first out.
type queue struct{ jobs []job }

func (q *queue) push(j job) { q.jobs = append(q.jobs, j) }

// pop passes over what belongs to a connection that is gone.
func (q *queue) pop() (job, bool) {
	for len(q.jobs) > 0 {
		j := q.jobs[0]
		q.jobs[0] = job{}
		if q.jobs = q.jobs[1:]; len(q.jobs) == 0 {
			q.jobs = nil
		}
		if j.t.state.live && j.epoch == j.t.state.epoch {
			return j, true
		}
	}
	return job{}, false
}

// timer is something to be done later.
type timer struct {
	at time.Time
	do func()
}

type timers []timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timers) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = timer{}
	*h = (*h)[:len(*h)-1]
	return last
}

func (r *run) after(d time.Duration, do func()) {
	heap.Push(&r.timers, timer{time.Now().Add(d), do})
}

func (r *run) loop() error {
	clock := time.NewTimer(0)
	defer clock.Stop()
	_, changed := r.s.Changed()
	r.tick()
	for {
		r.start()
		if len(r.timers) > 0 {
			clock.Reset(time.Until(r.timers[0].at))
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-changed:
			_, changed = r.s.Changed()
			r.putView(false)
		case <-r.wake:
			for _, t := range r.trees {
				t.take()
			}
		case do := <-r.results:
			r.inFlight--
			do()
		case <-clock.C:
			for now := time.Now(); len(r.timers) > 0 && !r.timers[0].at.After(now); {
				heap.Pop(&r.timers).(timer).do()
			}
		}
	}
}

// start gives jobs to workers, the urgent ones first.
func (r *run) start() {
	for r.inFlight < r.cfg.InFlight {
		j, ok := r.urgent.pop()
		if !ok {
			break
		}
		r.work(j)
	}
	for r.tokens > 0 && r.inFlight < (r.cfg.InFlight+7)/8 {
		j, ok := r.refresh.pop()
		if !ok {
			break
		}
		r.tokens--
		r.work(j)
	}
	if len(r.refresh.jobs) > 0 && !r.filling {
		r.filling = true
		r.after(100*time.Millisecond, func() { r.filling, r.tokens = false, r.cfg.RefreshRate/10+1 })
	}
}

func (r *run) work(j job) {
	r.inFlight++
	ctx := j.t.ctx
	r.workers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, r.s.cfg.CallTimeout)
		defer cancel()
		done := j.do(ctx)
		r.results <- func() {
			if j.t.state.live && j.epoch == j.t.state.epoch {
				done()
			}
		}
	})
}

// tick tells once a second how far the source can be believed.
func (r *run) tick() {
	r.putView(false)
	r.after(time.Second, r.tick)
}

// putView publishes the view; with paths, it is to be complete. A complete one lists every path that exists as far as is known: such as a walk of this
// connection found, and such as the last one did where this one has not been walked to its end. The first is published only once every tree was walked;
// of what lies below a path that we may not read, nothing is said.
func (r *run) putView(paths bool) {
	st := r.s.Status()
	v := discovery.View{Source: r.cfg.Name, Connected: st.Connected, ReadOnly: st.ReadOnly, Server: st.Server, LastHeard: st.LastHeard, Err: st.Err}
	blind := map[string]string{}
	var known []*set
	var members, bad int
	walked := true
	for _, t := range r.trees {
		maps.Copy(blind, t.blind)
		walked = walked && t.walked
		for _, s := range t.sets {
			if s.listed {
				known, members, bad = append(known, s), members+len(s.members), bad+s.unparsable
			}
		}
	}
	r.m.sets.Set(float64(len(known)))
	r.m.members.Set(float64(members))
	r.m.unparsable.Set(float64(bad))
	if len(blind) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(blind)))
		v.Err = errors.Join(errOf(v.Err), fmt.Errorf("%d paths cannot be read, such as %s: %s", len(blind), first, blind[first])).Error()
	}
	if v.Complete = paths && (r.told || walked); v.Complete {
		r.told = true
		for _, s := range known {
			s.named = true
			v.Paths = append(v.Paths, s.path)
		}
		slices.Sort(v.Paths)
		v.Hidden = slices.Sorted(maps.Keys(blind))
	}
	r.out.PutView(v)
}

func errOf(s string) error {
	if s == "" {
		return nil
	}
	return errors.New(s)
}
