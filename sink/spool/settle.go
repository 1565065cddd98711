package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

func appendTime(t time.Time) []byte { return binary.AppendVarint(nil, t.UnixMilli()) }

// Attempt journals how a batch is about to go out; only when it returns may the bytes leave. What was done before is written with it, so that of
// the attempts of a topic's partition at most the last is open after a crash. An error says that the journal could not be written: a process killed
// then may send the batch again as another.
func (s *Spool) Attempt(a Attempt) error {
	s.mu.Lock()
	s.attempts[a.Pos] = a
	s.jmu.Lock()
	s.mu.Unlock()
	s.journal.wait = appendAttempt(s.journal.wait, &a)
	err := s.flush()
	s.journal.bound()
	f := s.journal.f
	s.jmu.Unlock()
	if err == nil && s.cfg.Fsync == FsyncEach {
		err = unlessClosed(f.Sync())
	}
	if err != nil {
		return fmt.Errorf("journal attempt: %w", err)
	}
	return nil
}

// Attempts are the attempts whose end is not known: at the start those of the processes before.
func (s *Spool) Attempts() (out []Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.attempts {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Attempt) int { return a.Pos.compare(b.Pos) })
	return out
}

func (p Pos) compare(q Pos) int {
	if p.Segment != q.Segment {
		return int(min(1, max(-1, int64(p.Segment-q.Segment))))
	}
	return int(int64(p.Offset) - int64(q.Offset))
}

// Done says that batches need nothing any more: acknowledged, dropped, set aside or replaced. It is written with the next attempt, or soon.
func (s *Spool) Done(ps ...Pos) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jmu.Lock()
	for _, p := range ps {
		s.journal.wait = appendDone(s.journal.wait, p)
	}
	s.journal.bound()
	s.jmu.Unlock()
	for _, p := range ps {
		s.end(p)
	}
}

// marked writes the marks that wait, at once.
func (s *Spool) marked() {
	s.jmu.Lock()
	err := s.flush()
	s.jmu.Unlock()
	if err != nil {
		s.cfg.Logger.Error("the spool's journal cannot be written", "path", s.cfg.Path, "err", err)
	}
}

// end takes a batch out of its segment's sums, and the segment away when it was the last.
func (s *Spool) end(p Pos) {
	delete(s.attempts, p)
	g := s.segment(p.Segment)
	if g == nil || g.dead[p.Offset] {
		return
	}
	if g.stock && !g.held[p.Offset] && s.entries(g) == nil { // else what waits in nobody's hands would not be known
		return
	}
	g.dead[p.Offset] = true
	if g.held[p.Offset] {
		delete(g.held, p.Offset)
	} else if g.stock {
		if e, ok := g.find(p.Offset); ok {
			g.free(&e, -1)
		}
	}
	if g.alive--; g.alive > 0 || g == s.active {
		return
	}
	if g.exact {
		s.remove(g)
		return
	}
	s.entries(g) // which counts, and removes it where nothing is alive
}

func (s *Spool) segment(n uint64) *segment {
	i, ok := slices.BinarySearchFunc(s.segments, n, func(g *segment, n uint64) int { return (Pos{Segment: g.n}).compare(Pos{Segment: n}) })
	if !ok {
		return nil
	}
	return s.segments[i]
}

// remove takes a segment away.
func (s *Spool) remove(g *segment) {
	s.forget(g)
	if s.lock == nil {
		return // we only look
	}
	if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Logger.Warn("a spool's segment cannot be removed", "path", g.path, "err", err)
	}
}

// forget leaves a segment alone from now on.
func (s *Spool) forget(g *segment) {
	if g.f != nil {
		g.f.Close()
		g.f = nil
	}
	s.bytes -= g.cost
	s.segments = slices.DeleteFunc(s.segments, func(x *segment) bool { return x == g })
	s.loaded = slices.DeleteFunc(s.loaded, func(x *segment) bool { return x == g })
}

// Before reports whether p stands before q.
func (p Pos) Before(q Pos) bool { return p.compare(q) < 0 }

// ParsePos reads what String writes.
func ParsePos(s string) (p Pos, ok bool) {
	n, err := fmt.Sscanf(s, "%d-%d", &p.Segment, &p.Offset)
	return p, n == 2 && err == nil && p.String() == s
}
