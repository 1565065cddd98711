package web

import (
	"net/http"
	"strconv"
	"time"
)

// heartbeat is how long a stream says nothing at most.
const heartbeat = 5 * time.Second

// stream sends what is new to one page until it goes: once a second, or as seldom as the page asks. What a page does not read in time it misses as events, not as
// changes: the next event holds everything that changed since the last one that it got.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	var env, region, parts, every, browser string
	err := params(r, map[string]*string{"env": &env, "region": &region, "parts": &parts, "every": &every, "browser": &browser})
	asked := time.Duration(0)
	if err == nil && every != "" {
		asked, err = pace(every)
	}
	if err != nil {
		fail(w, r, http.StatusBadRequest, err.Error())
		return
	}
	p := s.places.enter(browser)
	if p == nil {
		s.refused.Inc()
		w.Header().Set("Retry-After", "10")
		fail(w, r, http.StatusServiceUnavailable, "too many pages watch already; close some, or raise the limit")
		return
	}
	defer s.places.leave(p)
	s.follow(r, env, region)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := newPipe(w, takesGzip(r), s.sent)
	if out.zip != nil {
		h.Set("Content-Encoding", "gzip")
		h.Set("Vary", "Accept-Encoding")
	}
	defer func() {
		out.close()
		if out.stuck {
			s.cut.Inc()
			s.cfg.Log.Info("a page reads nothing: its stream is ended, and it may open another when it reads again", "from", r.RemoteAddr, "waited", patience)
		}
	}()
	if !out.say("retry: 1000\n\n") {
		return
	}
	c := &client{sent: map[string]seen{}, parts: parts != "", stream: p.id}
	if p.crowded {
		c.again = againAfter
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var last time.Time // no event before
	for {
		// The channel first: a tick between the two is seen twice, never missed.
		updated := s.cfg.Board.Updated()
		select { // what the page has asked for meanwhile holds from the next event on, however much is new
		case asked = <-p.every:
		default:
		}
		if now := time.Now(); last.IsZero() || now.Sub(last) >= asked-slack {
			if n := s.frame(env, region); !n.AsOf.Equal(c.asOf) || c.events == 0 {
				last = now
				out.put(c.event(n))
				c.rest() // before it is sent, which may take long
				if !out.event() {
					return
				}
				s.events.Inc()
				if p.crowded {
					out.end()
					return
				}
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-updated:
		case asked = <-p.every:
		case <-beat.C:
			if !out.say(": still here\n\n") {
				return
			}
		}
	}
}

// repace is POST /api/v1/stream/{id}: from now on the page wants events so far apart.
func (s *Server) repace(r *http.Request) (any, error) {
	text, err := param(r, "every")
	if err != nil {
		return nil, err
	}
	every, err := pace(text)
	if err != nil {
		return nil, err
	}
	if !s.places.repace(r.PathValue("id"), every) {
		return nil, &problem{http.StatusNotFound, "there is no such stream here; open one with every=" + text}
	}
	return struct {
		Every int64 `json:"every_ms"`
	}{every.Milliseconds()}, nil
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
