package scrape

import (
	"runtime"
	runtimemetrics "runtime/metrics"
	"sync/atomic"
	"time"
)

// crowd is how many goroutines may wait for a processor, for each that there is, while pulls still begin. More at once would bring no more answers an hour, and each would
// take longer, until all of them time out.
const crowd = 64

// together is how far apart the moments are at which pulls begin, where many are due: those in between begin together, so that a core which is mostly idle wakes for
// ten of them once. It is also how long it takes until another look is had at a crowd.
const together = 5 * time.Millisecond

// load says whether this process has processors to spare.
type load struct {
	waiting []runtimemetrics.Sample // goroutines that could run
	crowded atomic.Bool             // as of the last look
	again   bool                    // the scheduler will look again soon
}

func (l *load) init() {
	l.waiting = []runtimemetrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
}

// room is how many pulls may begin now.
func (p *Pool) room() int {
	runtimemetrics.Read(p.load.waiting)
	n := crowd*runtime.GOMAXPROCS(0) - int(p.load.waiting[0].Value.Uint64())
	if p.c.Behind() {
		n = 0
	}
	p.load.crowded.Store(n <= 0)
	return n
}

// launch gives targets that wait to workers, as many as there are places and processors for. False means that there are too few processors for all: the scheduler has to look
// again. It lets one begin then, so that a process which is busy with something else still pulls.
func (p *Pool) launch() bool {
	if p.inLine() == 0 {
		p.load.crowded.Store(false)
		return true
	}
	room := p.room()
	if room <= 0 && !p.c.Behind() {
		room = 1
	}
	for ; p.workers.busy < p.c.MaxInFlight; room-- {
		if room <= 0 {
			return false
		}
		t := p.pick()
		if t == nil {
			return true
		}
		p.workers.give(t, p.worker)
	}
	return true
}

// following is what a worker does next that has just ended a pull: the next one, or nil.
func (p *Pool) following() *target {
	if p.inLine() == 0 {
		return nil
	}
	if p.room() <= 0 {
		if !p.load.again {
			p.load.again = true
			p.wakeUp()
		}
		return nil
	}
	return p.pick()
}
