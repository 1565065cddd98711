package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	heartbeat = 5 * time.Second
	// patience is how long one write to a browser may take. Meanwhile it misses events, not changes: the next event holds everything that
	// changed since the last one it got.
	patience = 15 * time.Second
)

// stream sends what is new to one page until it goes: once a second, or as seldom as the page asks, or as its connection bears.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	var env, region, parts, every string
	err := params(r, map[string]*string{"env": &env, "region": &region, "parts": &parts, "every": &every})
	asked := time.Duration(0)
	if err == nil && every != "" {
		asked, err = pace(every)
	}
	if err != nil {
		fail(w, r, http.StatusBadRequest, err.Error())
		return
	}
	if !s.enter() {
		w.Header().Set("Retry-After", "10")
		fail(w, r, http.StatusServiceUnavailable, "too many pages watch already; close some, or raise the limit")
		return
	}
	defer s.leave()
	s.follow(r, env, region)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	var out io.Writer = w
	flush := rc.Flush
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Vary", "Accept-Encoding")
		z := zips.Get().(*gzip.Writer)
		defer zips.Put(z)
		z.Reset(w)
		out = z
		flush = func() error {
			if err := z.Flush(); err != nil {
				return err
			}
			return rc.Flush()
		}
	}
	write := func(b []byte) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(patience)) // a writer that knows no deadlines has none to miss
		if _, err := out.Write(b); err != nil {
			return false
		}
		s.sent.Add(len(b))
		return flush() == nil
	}
	if !write([]byte("retry: 1000\n\n")) {
		return
	}
	c := &client{sent: map[string]seen{}, parts: parts != ""}
	p := pacer{asked: asked}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var next time.Time // no event before
	for {
		// The channel first: a tick between the two is seen twice, never missed.
		updated := s.cfg.Board.Updated()
		if now := time.Now(); !now.Before(next) {
			if n := s.frame(env, region); !n.AsOf.Equal(c.asOf) || c.events == 0 {
				c.slow = p.slow
				if !write(c.event(n)) {
					return
				}
				s.events.Inc()
				p.took(time.Since(now))
				next = now.Add(p.every() - slack)
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-updated:
		case <-beat.C:
			if !write([]byte(": still here\n\n")) {
				return
			}
		}
	}
}

// slack is how much sooner than asked an event may come: the Board's ticks do not come to the millisecond.
const slack = 250 * time.Millisecond

// mostEvery bounds how seldom a page may ask for events: it must hear of what breaks.
const mostEvery = time.Minute

func pace(text string) (time.Duration, error) {
	n, err := strconv.Atoi(text)
	if d := time.Duration(n) * time.Millisecond; err == nil && d >= 0 && d <= mostEvery {
		return d, nil
	}
	return 0, badRequest("every=%q is no pace; give milliseconds, at most %d", clip(text), mostEvery.Milliseconds())
}

// paces are how far apart events are for a connection that does not bear them as they come.
var paces = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}

const (
	// heavy is how long a write takes that shows a connection that does not keep up: what waits in the buffers between is full by then.
	heavy = time.Second
	// swift is a write that shows that it keeps up, and recovers how many of these in a row end a slower pace.
	swift    = 100 * time.Millisecond
	recovers = 30
)

// pacer finds the pace that a connection bears: a write that took long is followed by a pause twice as long, a while without any by a shorter one.
type pacer struct {
	asked time.Duration // by the page
	slow  time.Duration // 0: as asked
	good  int           // swift writes in a row
}

func (p *pacer) every() time.Duration { return max(p.asked, p.slow) }

// took learns from a write.
func (p *pacer) took(d time.Duration) {
	switch {
	case d >= heavy:
		i, _ := slices.BinarySearch(paces, 2*d)
		p.slow, p.good = max(p.slow, paces[min(i, len(paces)-1)]), 0
	case d > swift:
		p.good = 0
	case p.slow > 0:
		if p.good++; p.good == recovers {
			was := p.slow
			p.slow, p.good = 0, 0
			if i := slices.Index(paces, was); i > 0 {
				p.slow = paces[i-1]
			}
		}
	}
}
