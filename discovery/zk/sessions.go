package zk

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Sessions shares sessions: those who ask for the same ensemble in the same way get the same one. It outlives a reload of the configuration: a session ends only
// when nobody has used it for a while.
type Sessions struct {
	mu    sync.Mutex
	by    map[string]*shared
	used  chan struct{} // has a value when a session is to be looked after
	after time.Duration // how long an unused one is kept
}

type shared struct {
	s     *Session
	key   string
	users int
	idle  time.Time // since when nobody uses it; zero: somebody does
	stop  context.CancelFunc
	turn  sync.Mutex // held while it runs: it may be begun anew before it has ended
}

// keepUnused is long enough for a reload.
const keepUnused = 10 * time.Second

// NewSessions makes an empty pool. Its sessions live while Run does.
func NewSessions() *Sessions {
	return &Sessions{by: map[string]*shared{}, used: make(chan struct{}, 1), after: keepUnused}
}

// Session is the session of a configuration: an existing one where servers, preferences, timeout, read-only, digest and TLS are the same, else a new one of that
// name, log and metrics. tls says what Config.TLS was made of, such as the names and digests of its files, for that cannot be compared. Whoever gets it calls
// Hold while it is used, as a Source does while it runs; it must not call Session.Run.
func (p *Sessions) Session(cfg Config, tls string) (*Session, error) {
	c := cfg.withDefaults()
	key, err := json.Marshal([]any{c.Servers, c.Prefer, c.Dynamic, c.PreferObservers, c.SessionTimeout, c.ReadOnly, c.Digest, tls, c.TLS != nil, c.ACL, c.MaxPacket, c.MaxRequest, c.CallTimeout})
	if err != nil {
		return nil, fmt.Errorf("share zookeeper session %q: %w", c.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.by[string(key)]; have != nil {
		return have.s, nil
	}
	s, err := NewSession(cfg)
	if err != nil {
		return nil, err
	}
	h := &shared{s: s, key: string(key), idle: time.Now()}
	s.hold = func(n int) { p.hold(h, n) }
	p.by[h.key] = h
	p.look()
	return s, nil
}

func (p *Sessions) look() {
	select {
	case p.used <- struct{}{}:
	default:
	}
}

func (p *Sessions) hold(h *shared, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.users += n
	for p.by[h.key] != h { // it had ended, for want of users
		if p.by[h.key] == nil {
			p.by[h.key] = h
		} else {
			h.key += "+" // another has its place by now, and keeps it
		}
	}
	if h.idle = (time.Time{}); h.users == 0 {
		h.idle = time.Now()
	}
	p.look()
}

// Hold keeps a shared session going until release, which is called once. It does nothing to one that was made by NewSession.
func (s *Session) Hold() (release func()) {
	if s.hold == nil {
		return func() {}
	}
	s.hold(1)
	return sync.OnceFunc(func() { s.hold(-1) })
}

// Run holds the sessions that are used, until ctx ends and all of them are closed. It returns nil.
func (p *Sessions) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(max(10*time.Millisecond, min(time.Second, p.after/4)))
	defer tick.Stop()
	for {
		p.mu.Lock()
		for key, h := range p.by {
			switch {
			case h.users > 0 && h.stop == nil:
				run, cancel := context.WithCancel(ctx)
				h.stop = cancel
				wg.Go(func() {
					h.turn.Lock()
					defer h.turn.Unlock()
					if err := h.s.Run(run); err != nil {
						h.s.cfg.Log.Error("the ZooKeeper session cannot run", "session", h.s.cfg.Name, "err", err)
					}
				})
			case h.users == 0 && time.Since(h.idle) > p.after:
				if h.stop != nil {
					h.stop()
					h.stop = nil
				}
				delete(p.by, key)
			}
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-p.used:
		case <-tick.C:
		}
	}
}
