package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// load reads what there is: journals, then segments.
func (s *Spool) load() (*known, error) {
	k, err := readJournals(s.cfg.Path)
	if err != nil {
		return nil, err
	}
	numbers, err := numbered(s.cfg.Path, "", segSuffix)
	if err != nil {
		return nil, err
	}
	s.next = max(1, k.next)
	there := map[uint64]bool{}
	for _, n := range numbers {
		there[n] = true
	}
	done := func(p Pos) bool { return !there[p.Segment] || k.dead[p.Segment][p.Offset] }
	var replaced []Pos
	for _, n := range numbers {
		s.next = max(s.next, n+1)
		g := newSegment(s.cfg.Path, n)
		if d := k.dead[n]; d != nil {
			g.dead = d
		}
		more, err := s.loadSegment(g, done)
		if errors.Is(err, os.ErrNotExist) {
			continue // a reader without the lock: it was just removed
		}
		if errors.Is(err, ErrVersion) {
			return nil, fmt.Errorf("segment %q: %w", filepath.Base(g.path), err)
		}
		if err != nil { // what is in it is lost, unless a later start can read it; the rest is not
			s.cfg.Logger.Error("a segment of the spool cannot be read", "path", g.path, "bytes", g.size, "err", err)
			s.damaged.Bytes += g.size
			s.unread = append(s.unread, g)
			continue
		}
		replaced = append(replaced, more...)
		s.segments = append(s.segments, g)
		s.bytes += g.cost
	}
	byNumber := map[uint64]*segment{}
	for _, g := range s.segments {
		byNumber[g.n] = g
	}
	for _, p := range replaced {
		k.done(p)
		if g := byNumber[p.Segment]; g != nil && !g.dead[p.Offset] {
			g.dead[p.Offset] = true
			g.alive--
		}
	}
	for p, a := range k.attempts {
		if s.known(p.Segment) {
			s.attempts[p] = a
		}
	}
	for _, g := range s.segments {
		if g.exact {
			s.prune(g)
		}
	}
	return k, nil
}

// loadSegment learns what a segment holds: by its tail, or by walking over it.
func (s *Spool) loadSegment(g *segment, done func(Pos) bool) (replaced []Pos, err error) {
	var head [segmentHead]byte
	f, err := g.open()
	if err != nil {
		return nil, err
	}
	defer func() {
		g.f = nil
		err = errors.Join(err, f.Close())
	}()
	n, _ := f.ReadAt(head[:], 0)
	if laterVersion(head[:n]) {
		return nil, ErrVersion
	}
	whole, err := g.peek()
	if err != nil {
		return nil, err
	}
	if whole {
		g.alive = g.count - len(g.dead)
		return nil, nil
	}
	all, bad, err := g.scan(g.size, s.intern)
	if err != nil {
		return nil, err
	}
	s.damaged.Bytes += bad
	all, replaced = prune(all, done)
	g.end = segmentHead
	for _, e := range all {
		g.note(e)
		g.end = int64(e.body) + int64(e.Size)
	}
	g.exact, g.bare = true, true
	return replaced, nil
}

// mend gives a segment that a crash left the index that it lacks, in the place of what was cut short. Where that fails, the index stays in memory.
func (s *Spool) mend(g *segment) {
	if g.alive == 0 {
		s.remove(g)
		return
	}
	f, err := os.OpenFile(g.path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	b := g.footer()
	if f.Truncate(g.end) != nil {
		return
	}
	if s.write(f, b, g.end) != nil || s.cfg.Fsync != FsyncNever && f.Sync() != nil {
		_ = f.Truncate(g.end)
		return
	}
	g.size, g.bare = g.end+int64(len(b)), false
	s.bytes += g.size - g.cost
	g.cost = g.size
	s.use(g)
}
