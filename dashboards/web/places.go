package web

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	// perBrowser is how many streams a browser may hold that speaks HTTP/1 with us: it opens six connections to a host for all its windows, and what else a page asks
	// needs some of them.
	perBrowser = 4
	// againAfter is when a page beyond that may come again. Each time it is told once how things are.
	againAfter = 10 * time.Second
)

// place is one open stream's.
type place struct {
	id      string
	browser string // empty: it does not say, or needs no bound
	crowded bool   // its browser holds as many streams as it may already
	every   chan time.Duration
}

// places are those of all open streams.
type places struct {
	most int

	mu sync.Mutex
	by map[string]*place
	of map[string]int // how many are a browser's, without the crowded
}

// enter takes a place; nil: there is none.
func (s *places) enter(browser string) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.by) >= s.most {
		return nil
	}
	p := &place{id: rand.Text(), browser: browser, every: make(chan time.Duration, 1)}
	if browser != "" {
		if p.crowded = s.of[browser] >= perBrowser; !p.crowded {
			s.of[browser]++
		}
	}
	s.by[p.id] = p
	return p
}

func (s *places) leave(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, p.id)
	if p.browser == "" || p.crowded {
		return
	}
	if s.of[p.browser]--; s.of[p.browser] == 0 {
		delete(s.of, p.browser)
	}
}

func (s *places) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.by)
}

// repace tells a stream how far apart its events are to be; false: there is no such stream.
func (s *places) repace(id string, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.by[id]
	if p == nil {
		return false
	}
	select {
	case <-p.every: // which it has not seen yet, and which does not count any more
	default:
	}
	p.every <- every // nobody else sends: s.mu is held
	return true
}
