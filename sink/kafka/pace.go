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

// due is how long to wait before anything more is sent.
func (p *pace) due(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.free.Sub(now))
}

// spend notes that so many bytes are sent.
func (p *pace) spend(bytes int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / p.bytes * float64(time.Second)))
}
