package kafka

import (
	"sync"
	"time"
)

// pace bounds what all backfill lanes together send.
type pace struct {
	bytes float64 // a second

	mu   sync.Mutex
	free time.Time // when all that was sent is paid for
}

// after is how long to wait after so many bytes were sent.
func (p *pace) after(bytes int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / p.bytes * float64(time.Second)))
	return p.free.Sub(now)
}
