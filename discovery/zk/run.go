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

// run is the state of one Source.Run. But for answers everything in it belongs to the goroutine of loop, which sends requests and takes their answers as they come.
type run struct {
	*Source
	ctx   context.Context
	out   *discovery.Latest
	trees []*tree
	wake  chan struct{} // there are events or answers

	amu     sync.Mutex
	answers []*request
	spare   []*request // to be the next answers

	urgent, refresh queue
	pending         []*request
	pace            pace
	resting         bool // a timer runs for the end of a pause
	tokens          int  // refreshes that may go now
	filling         bool // more come soon
	timers          timers
	told            bool               // a complete view was published: from now on its paths must be kept up to date
	guesses         []discovery.Member // the last that were made; see guessed
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
			r.drain()
		case <-clock.C:
			for now := time.Now(); len(r.timers) > 0 && !r.timers[0].at.After(now); {
				heap.Pop(&r.timers).(timer).do()
			}
		}
	}
}

// tick tells once a second how far the source can be believed.
func (r *run) tick() {
	r.late(time.Now())
	r.putView(false)
	r.after(time.Second, r.tick)
}

// putView publishes the view; with paths, it is to be complete. A complete one lists every path that exists as far as is known: such as a walk of this
// connection found, and such as the last one did where this one has not been walked to its end. The first is published only once every tree was walked;
// of what lies below a path that we may not read, nothing is said.
func (r *run) putView(paths bool) {
	st := r.s.Status()
	v := discovery.View{Source: r.cfg.Name, Connected: st.Connected, Live: st.Connected, ReadOnly: st.ReadOnly, Server: st.Server, LastHeard: st.LastHeard, Err: st.Err}
	blind := map[string]string{}
	var known []*set
	var members, bad int
	walked := true
	for _, t := range r.trees {
		maps.Copy(blind, t.blind)
		walked = walked && t.walked
		v.Live = v.Live && t.state.live && t.state.epoch != 0 && t.current == t.state.epoch
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
