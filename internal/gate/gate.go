// Package gate bounds how much of something dear is done at once.
//
// It owns the places, the line before them, and what is said to who finds both full. What is done inside is none of its business.
package gate

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// ErrFull says that nobody more may wait: as many do as may. ErrLong says that somebody waited for as long as they may.
var (
	ErrFull = errors.New("the server is busy: as many such questions are answered, and wait, as may; ask again in a few seconds")
	ErrLong = errors.New("the server is busy: no such question before this one has been answered for long enough; ask again in a few seconds")
)

// RetryAfter is for how long who was sent away is told to stay away.
const RetryAfter = 5 * time.Second

// Gate lets so many in at once, and so many wait. It is safe for concurrent use.
type Gate struct {
	places  chan struct{}
	waiting atomic.Int64
	most    int64         // who may wait
	patient time.Duration // how long
	refused atomic.Uint64
}

// New makes a Gate with so many places, before which so many may wait, each at most as long as patient says; 0: as long as its context lives.
func New(places, waiting int, patient time.Duration) *Gate {
	return &Gate{places: make(chan struct{}, max(places, 1)), most: int64(max(waiting, 0)), patient: patient}
}

// Enter takes a place, and waits for one if it may. The error is ErrFull, ErrLong, or the context's; without one Leave must follow.
func (g *Gate) Enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	if g.waiting.Add(1) > g.most {
		g.waiting.Add(-1)
		g.refused.Add(1)
		return ErrFull
	}
	defer g.waiting.Add(-1)
	var late <-chan time.Time
	if g.patient > 0 {
		t := time.NewTimer(g.patient)
		defer t.Stop()
		late = t.C
	}
	select {
	case g.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		g.refused.Add(1)
		return ErrLong
	}
}

// Leave gives a place back.
func (g *Gate) Leave() { <-g.places }

// Places is how many there are.
func (g *Gate) Places() int { return cap(g.places) }

// Waiting is how many wait now.
func (g *Gate) Waiting() int { return int(g.waiting.Load()) }

// Refused is how many were sent away.
func (g *Gate) Refused() uint64 { return g.refused.Load() }

// Busy reports whether an error is a Gate's, and if it is says in the header of an answer, which has status 503 then, when to come again.
func Busy(h http.Header, err error) bool {
	if !errors.Is(err, ErrFull) && !errors.Is(err, ErrLong) {
		return false
	}
	h.Set("Retry-After", strconv.Itoa(int(RetryAfter.Seconds())))
	return true
}
