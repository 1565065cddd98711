package web

import (
	"bytes"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// frame is what every page of one environment gets of one tick: made once, however many watch.
type frame struct {
	dashboards.Now
	tick     time.Time // the Board's, zero before its first
	head     []byte    // `"as_of":…,"strip":{…},`: members of the event that go out each time
	findings []byte    // a JSON array
	texts    [][forms]atomic.Pointer[[]byte]
}

// newFrame is a frame of what the Board shows, without head and findings.
func newFrame(n dashboards.Now) *frame {
	return &frame{Now: n, texts: make([][forms]atomic.Pointer[[]byte], len(n.Rows))}
}

// text is the JSON of a row in a form, made when the first page asks for it, so that a hundred pages cost as much as one.
func (f *frame) text(row int, as form) []byte {
	made := &f.texts[row][as]
	if text := made.Load(); text != nil {
		return *text
	}
	text := rowJSON(f.Rows[row], as)
	made.Store(&text)
	return text
}

// frames holds the newest frame of each environment, and region of it, that somebody watches.
type frames struct {
	mu sync.Mutex
	by map[[2]string]*frame // by environment and region
}

// maxFrames bounds the frames that are remembered: a page may ask for any name.
const maxFrames = 64

// frame is the Board's last tick as pages of an environment and a region get it.
func (s *Server) frame(env, region string) *frame {
	key := [2]string{env, region}
	s.frames.mu.Lock()
	defer s.frames.mu.Unlock()
	tick := s.cfg.Board.AsOf()
	if f := s.frames.by[key]; f != nil && !tick.IsZero() && f.tick.Equal(tick) {
		return f
	}
	f := newFrame(s.look(env, region))
	f.tick = tick
	var b bytes.Buffer
	field(&b, "as_of", f.AsOf.UnixMilli())
	field(&b, "demo", s.cfg.Demo)
	field(&b, "envs", f.Envs)
	field(&b, "regions", f.Regions)
	field(&b, "strip", f.Strip)
	f.head = b.Bytes()
	f.findings, _ = json.Marshal(f.Findings) // texts and figures only
	if s.frames.by == nil || len(s.frames.by) >= maxFrames {
		s.frames.by = map[[2]string]*frame{}
	}
	s.frames.by[key] = f
	return f
}

// field writes one member of an object and a comma.
func field(b *bytes.Buffer, name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		return
	}
	b.WriteByte('"')
	b.WriteString(name)
	b.WriteString(`":`)
	b.Write(text)
	b.WriteByte(',')
}
