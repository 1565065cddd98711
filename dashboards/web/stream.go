package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

const (
	heartbeat = 5 * time.Second
	// patience is how long one write to a browser may take. Meanwhile it misses events, not changes: the next event holds everything that
	// changed since the last one it got.
	patience = 15 * time.Second
)

// stream sends what is new to one page, once a second, until it goes.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	var env, region string
	if err := params(r, map[string]*string{"env": &env, "region": &region}); err != nil {
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
	c := &client{sent: map[string][2]uint64{}}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		// The channel first: a tick between the two is seen twice, never missed.
		updated := s.cfg.Board.Updated()
		n := s.frame(env, region)
		if !n.AsOf.Equal(c.asOf) || c.events == 0 {
			if !write(c.event(s, n)) {
				return
			}
			s.events.Inc()
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

// client is what one page has been sent.
type client struct {
	events   int
	asOf     time.Time
	sent     map[string][2]uint64 // figure and spark sequence of each row
	findings []byte
	buf      bytes.Buffer
}

// event writes the difference between what the page has and what is, as one event.
func (c *client) event(s *Server, n *frame) []byte {
	full := c.events == 0
	c.events++
	c.asOf = n.AsOf
	b := &c.buf
	b.Reset()
	b.WriteString("event: now\ndata: {")
	if full {
		b.WriteString(`"full":true,`)
	}
	b.Write(n.head)
	if full || !bytes.Equal(n.findings, c.findings) {
		c.findings = n.findings
		b.WriteString(`"findings":`)
		b.Write(n.findings)
		b.WriteByte(',')
	}
	b.WriteString(`"services":[`)
	there := make(map[string]bool, len(n.Rows))
	first := true
	for _, r := range n.Rows {
		there[r.Group()] = true
		had, known := c.sent[r.Group()]
		if known && had == [2]uint64{r.FigureSeq, r.SparkSeq} {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.Write(s.rows.text(r, !known || had[1] != r.SparkSeq))
		c.sent[r.Group()] = [2]uint64{r.FigureSeq, r.SparkSeq}
	}
	b.WriteString(`],"gone":[`)
	first = true
	for g := range c.sent {
		if there[g] {
			continue
		}
		delete(c.sent, g)
		if !first {
			b.WriteByte(',')
		}
		first = false
		name, _ := json.Marshal(g) // a string
		b.Write(name)
	}
	b.WriteString("]}\n\n")
	return b.Bytes()
}

// rowCache holds the JSON of rows, so that a hundred pages cost as much as one.
type rowCache struct {
	mu   sync.Mutex
	rows map[string]*rowText
}

type rowText struct {
	row         *dashboards.Row
	bare, whole []byte
}

// text is the row's JSON, with or without its spark.
func (c *rowCache) text(r *dashboards.Row, spark bool) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[string]*rowText{}
	}
	key := r.Group() + "\x00" + r.Region
	t := c.rows[key]
	if t == nil || t.row != r {
		if len(c.rows) > 100_000 {
			clear(c.rows)
		}
		t = &rowText{row: r}
		c.rows[key] = t
	}
	if spark {
		if t.whole == nil {
			t.whole, _ = json.Marshal(r) // figures and texts only
		}
		return t.whole
	}
	if t.bare == nil {
		bare := *r
		bare.Spark = nil
		t.bare, _ = json.Marshal(&bare)
	}
	return t.bare
}
