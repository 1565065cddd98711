package zk

import (
	"math/rand/v2"
	"time"
)

// pace is how many requests may be under way. A server that sheds load (it throttles, does not answer in time, or drops the connection again and again) is met
// by asking less: half as many at a time and a pause, longer at each time in a row; one answered window at a time it goes up again.
type pace struct {
	limit  int // never more than this
	now    int // so many at present
	good   int // answers since the last step
	until  time.Time
	pause  time.Duration // the last one
	jitter func(time.Duration) time.Duration
}

// The pauses that a struggling server gets: at least, and at most.
const (
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
)

func newPace(limit int) pace {
	return pace{limit: limit, now: limit, jitter: func(d time.Duration) time.Duration { return rand.N(d) }}
}

// open is how many may be under way at this time.
func (p *pace) open(now time.Time) int {
	if now.Before(p.until) {
		return 0
	}
	return p.now
}

// bad notes that a request was turned away, or not answered. What fails together counts once.
func (p *pace) bad(now time.Time) {
	if now.Before(p.until) {
		return
	}
	p.now, p.good = max(1, p.now/2), 0
	p.pause = min(maxPause, max(minPause, p.pause*2))
	p.until = now.Add(p.pause/2 + p.jitter(p.pause/2+1))
}

// well notes an answer.
func (p *pace) well() {
	if p.good++; p.good < p.now {
		return
	}
	p.good = 0
	p.pause = max(0, p.pause/2-time.Millisecond)
	p.now = min(p.limit, p.now+max(1, p.now/4))
}
