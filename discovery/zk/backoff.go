package zk

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// backoff spreads attempts to connect: none before the first, up to a second after a lost connection, then longer and longer a round (decorrelated jitter), up to a
// limit below the session timeout, for a session must not run out while we sleep and the servers are back. Once it has run out anyway the limit is higher.
//
// A connection counts as made when it has held for a while: a server that takes everybody in and drops them right after the handshake sheds load, and whoever came
// back at once, as after a connection that was lost in its prime, would keep it down.
type backoff struct {
	limit time.Duration
	rand  func(time.Duration) time.Duration // in [0, d); nil: rand.N

	mu    sync.Mutex
	begun bool
	prev  time.Duration
	tries int // rounds since a connection that held
	skip  bool
	since time.Time // when the present connection was made
	gone  bool      // the session has run out
}

const (
	maxBackoff   = 30 * time.Second // between two rounds, where there is no session to keep
	leastBackoff = time.Second / 3  // after a round that failed
	settled      = 5 * time.Second  // how long a connection holds before it counts
)

func (b *backoff) next(firstOfRound bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := b.rand
	if by == nil {
		by = func(d time.Duration) time.Duration { return rand.N(d) }
	}
	limit := b.limit
	if b.gone {
		limit = maxBackoff
	}
	switch {
	case !b.begun || b.skip:
		b.begun, b.skip = true, false
		return 0
	case !firstOfRound:
		return by(100 * time.Millisecond)
	}
	if b.tries++; b.tries == 1 {
		b.prev = by(time.Second)
	} else {
		b.prev = min(limit, leastBackoff+by(3*max(leastBackoff, b.prev)-leastBackoff))
	}
	return b.prev
}

// opened is for a connection made, lost for its end.
func (b *backoff) opened(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since, b.gone = now, false
}

func (b *backoff) lost(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= settled {
		b.tries = 0
	}
}

// sessionGone is for a session that has run out without a connection.
func (b *backoff) sessionGone() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
}

// hurry makes the next attempt come at once.
func (b *backoff) hurry() {
	b.mu.Lock()
	b.skip = true
	b.mu.Unlock()
}

// wait sleeps before an attempt, or until ctx ends.
func (b *backoff) wait(ctx context.Context, firstOfRound bool) error {
	t := time.NewTimer(b.next(firstOfRound))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
