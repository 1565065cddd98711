package zk

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// backoff spreads attempts to connect: none before the first, up to a second after a lost connection, then longer and longer a round (decorrelated jitter), up to a
// limit below the session timeout, for a session must not run out while we sleep and the servers are back.
type backoff struct {
	limit time.Duration

	mu    sync.Mutex
	begun bool
	prev  time.Duration
	skip  bool
}

func (b *backoff) next(firstOfRound bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.begun || b.skip:
		b.begun, b.skip = true, false
		return 0
	case !firstOfRound:
		return rand.N(100 * time.Millisecond)
	}
	b.prev = min(b.limit, rand.N(max(time.Second/3, b.prev)*3))
	return b.prev
}

// reset is for a connection made.
func (b *backoff) reset() {
	b.mu.Lock()
	b.prev = 0
	b.mu.Unlock()
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
