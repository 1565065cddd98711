package collect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

const (
	historySize = 4096 // changes that one who lost the connection can catch up with
	maxWatchers = 200
	aliveEvery  = 5 * time.Second
)

// history is the last changes of the roster, for those who follow them. The zero value is empty.
type history struct {
	mu       sync.Mutex
	ring     []discovery.Change // the newest is number next-1, at (next-1) % historySize
	next     uint64
	waiting  chan struct{} // closed by the next change
	watchers int
}

func (h *history) add(changes []discovery.Change) {
	if len(changes) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(changes) - historySize; n > 0 { // the first roster of a large fleet
		h.next += uint64(n)
		changes = changes[n:]
	}
	if h.ring == nil {
		h.ring = make([]discovery.Change, historySize)
	}
	for _, c := range changes {
		h.ring[h.next%historySize] = c
		h.next++
	}
	if h.waiting != nil {
		close(h.waiting)
		h.waiting = nil
	}
}

// after is up to 256 changes from number n on, the number after them, how many were lost before them, and, if there are none, what closes when there are.
func (h *history) after(n uint64) (out []discovery.Change, next, lost uint64, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, h.next)
	if h.next > historySize && n < h.next-historySize {
		lost = h.next - historySize - n
		n += lost
	}
	for ; n < h.next && len(out) < 256; n++ {
		if h.ring != nil {
			out = append(out, h.ring[n%historySize])
		}
	}
	if len(out) == 0 {
		if h.waiting == nil {
			h.waiting = make(chan struct{})
		}
		more = h.waiting
	}
	return out, n, lost, more
}

func (h *history) enter() (next uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers >= maxWatchers {
		return 0, false
	}
	h.watchers++
	return h.next, true
}

func (h *history) leave() {
	h.mu.Lock()
	h.watchers--
	h.mu.Unlock()
}

// serveEvents sends the roster's changes as they happen, as server-sent events; a comment every 5 s says that the connection lives. The id of an event
// may be given back as Last-Event-ID, or as ?after=, to go on behind it: `gap` then says how many are lost, or that the collector was started anew.
func (d *Daemon) serveEvents(w http.ResponseWriter, r *http.Request) {
	q, err := queryOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	n, ok := d.history.enter()
	if !ok {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many follow the roster already; try again later")
		return
	}
	defer d.history.leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	var b bytes.Buffer
	start := d.published.ident.Start
	b.WriteString(": the roster's changes\n\n")
	if last := r.Header.Get("Last-Event-ID") + r.FormValue("after"); last != "" {
		was, number, _ := strings.Cut(last, "-")
		seen, err := strconv.ParseUint(number, 10, 64)
		if err == nil && was == strconv.FormatUint(start, 10) {
			n = seen + 1
		} else {
			b.WriteString("event: gap\ndata: {\"restarted\":true}\n\n")
		}
	}
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		changes, next, lost, more := d.history.after(n)
		if lost > 0 {
			fmt.Fprintf(&b, "event: gap\ndata: {\"lost\":%d}\n\n", lost)
		}
		for i := range changes {
			c := &changes[i]
			if !q.entry(&c.Entry) || !q.state(&c.Entry, false, c.At) {
				continue
			}
			if text, err := json.Marshal(c); err == nil {
				fmt.Fprintf(&b, "id: %d-%d\nevent: change\ndata: %s\n\n", start, next-uint64(len(changes)-i), text)
			}
		}
		n = next
		if b.Len() > 0 {
			out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a reader that stands still is let go
			if _, err := w.Write(b.Bytes()); err != nil || out.Flush() != nil {
				return
			}
			b.Reset()
		}
		if more == nil {
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-alive.C:
			b.WriteString(": alive\n\n")
		}
	}
}
