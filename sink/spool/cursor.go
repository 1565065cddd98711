package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"time"
)

const maxLoaded = 3 // segments whose index is in memory, beside the one that is written

var errGone = errors.New("its segment is gone")

// use makes a segment whose index is in memory the last that was used, and forgets the longest unused.
func (s *Spool) use(g *segment) {
	s.loaded = append(slices.DeleteFunc(s.loaded, func(x *segment) bool { return x == g }), g)
	for len(s.loaded) > maxLoaded {
		old := s.loaded[0]
		s.loaded = slices.Delete(s.loaded, 0, 1)
		if !old.bare {
			old.index = nil
		}
		if old.f != nil {
			old.f.Close()
			old.f = nil
		}
	}
}

// entries gives the index of a segment; nil where it cannot be read, which is counted once.
func (s *Spool) entries(g *segment) []Entry {
	if g == s.active || g.index != nil {
		if g != s.active {
			s.use(g)
		}
		return g.index
	}
	index, err := g.readIndex(s.intern)
	if errors.Is(err, errEntry) {
		// The index is damaged: the entries may not be.
		var bad int64
		index, bad, err = g.scan(g.end, s.intern)
		s.damaged.Bytes += bad + g.size - g.end
		s.damaged.Entries += uint64(max(0, g.count-len(index)))
		g.count, g.bare = len(index), true
	}
	if err != nil {
		s.cfg.Logger.Error("a segment of the spool cannot be read; what is in it is lost", "path", g.path, "batches", g.alive, "err", err)
		s.damaged.Entries += uint64(max(0, g.alive))
		s.shut(g)
		return nil
	}
	g.index = index
	s.prune(g)
	if g.stock {
		s.recount(g)
	}
	alive := 0
	for i := range index {
		if !g.dead[index[i].Offset] {
			alive++
		}
		if !g.exact {
			g.parts[stream{index[i].Kind, index[i].Partition}]++
		}
	}
	g.alive, g.exact = alive, true
	if alive == 0 {
		s.remove(g)
		return nil
	}
	s.use(g)
	return g.index
}

// Stock tells, a segment at a time, what an earlier process left: told once for each segment, before Next or Oldest gives an entry of it. It reports
// false when all has been told.
func (s *Spool) Stock(each func(Entry)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if !g.stock {
			s.tell(g, each)
			return true
		}
	}
	return false
}

func (s *Spool) tell(g *segment, each func(Entry)) {
	es := s.entries(g)
	g.stock = true
	for i := range es {
		if !g.dead[es[i].Offset] {
			each(es[i])
			g.free(&es[i], 1)
		}
	}
}

// Next gives up to max batches of a partition that wait on disk and that the owner does not hold, from a position on, in the order of writing, and
// the position to go on from. They are held from then on, until Release or Done. stock is told what Stock would tell of segments not told yet.
func (s *Spool) Next(kind uint8, partition int32, from Pos, max int, stock func(Entry)) (out []Entry, next Pos) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = from
	of := stream{kind, partition}
	for _, g := range slices.Clone(s.segments) {
		if g.n < from.Segment {
			continue
		}
		if !g.stock {
			s.tell(g, stock)
		}
		if g.exact && (g.parts[of] == 0 || g.alive <= 0) {
			continue
		}
		for _, e := range s.entries(g) {
			if e.Kind != kind || e.Partition != partition || g.dead[e.Offset] || g.held[e.Offset] || e.Pos.compare(from) < 0 {
				continue
			}
			if len(out) == max {
				return out, e.Pos
			}
			g.hold(&e)
			out = append(out, e)
		}
	}
	return out, s.endPos()
}

// endPos is behind all there is.
func (s *Spool) endPos() Pos {
	if s.active != nil {
		return Pos{s.active.n, uint32(s.active.end)}
	}
	return Pos{Segment: s.next}
}

// Recent gives the batches whose newest record is not older than limit, Unix milliseconds, and holds them: what a process before had only just
// written. It gives up to max, the newest first written last.
func (s *Spool) Recent(limit int64, max int, stock func(Entry)) (out []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range slices.Backward(slices.Clone(s.segments)) {
		if g.newest < limit || g.exact && g.alive <= 0 {
			continue
		}
		if !g.stock {
			s.tell(g, stock)
		}
		for _, e := range slices.Backward(s.entries(g)) {
			if len(out) == max {
				break
			}
			if e.Newest >= limit && !g.dead[e.Offset] && !g.held[e.Offset] {
				g.hold(&e)
				out = append(out, e)
			}
		}
	}
	slices.Reverse(out)
	return out
}

// Hold gives one entry and holds it; ok is false where it is not there any more. stock is as in Next.
func (s *Spool) Hold(p Pos, stock func(Entry)) (e Entry, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.segment(p.Segment)
	if g == nil || g.dead[p.Offset] {
		return Entry{}, false
	}
	if !g.stock {
		s.tell(g, stock)
	}
	if s.entries(g) == nil {
		return Entry{}, false
	}
	if e, ok = g.find(p.Offset); ok {
		g.hold(&e)
	}
	return e, ok
}

// Release lets Next give a batch again.
func (s *Spool) Release(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.segment(e.Segment)
	if g == nil { // it was lost in the owner's hands
		s.lose(&segment{oldest: e.Oldest, newest: e.Newest}, e.accounts())
	} else if g.held[e.Offset] {
		delete(g.held, e.Offset)
		g.free(&e, 1)
	}
}

// Partitions lists the partitions of a kind that have batches on disk.
func (s *Spool) Partitions(kind uint8, stock func(Entry)) (out []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[int32]bool{}
	for _, g := range slices.Clone(s.segments) {
		if !g.stock {
			s.tell(g, stock)
		}
		if !g.exact {
			s.entries(g)
		}
		for of := range g.parts {
			if of.kind == kind {
				seen[of.part] = true
			}
		}
	}
	for p := range seen {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Excess gives the oldest batches never attempted that have to go so that the folder fits its budget with more bytes: those of the oldest segments,
// which are then removed. The owner may refuse one that it is about to send; keep says so. What is given is done, and in nobody's hands.
func (s *Spool) Excess(more int64, keep func(Pos) bool, stock func(Entry)) (out []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+more <= s.cfg.MaxBytes {
		return nil
	}
	defer func() {
		if len(out) > 0 {
			s.marked()
		}
	}()
	now := time.Now()
	for _, g := range slices.Clone(s.segments) {
		if s.bytes+more <= s.cfg.MaxBytes || g == s.active {
			break
		}
		if now.Before(g.barren) {
			continue
		}
		if !g.stock {
			s.tell(g, stock)
		}
		for _, e := range slices.Clone(s.entries(g)) {
			if _, sent := s.attempts[e.Pos]; sent || g.dead[e.Offset] || keep(e.Pos) {
				continue
			}
			out = append(out, e)
			s.jmu.Lock()
			s.journal.wait = appendDone(s.journal.wait, e.Pos)
			s.journal.bound()
			s.jmu.Unlock()
			s.end(e.Pos)
		}
		if s.segment(g.n) != g {
			continue
		}
		g.barren = now.Add(barrenFor)
		if g.cost-g.needs() >= g.end/hollowShare {
			s.marked() // or what is a hole would seem to wait
			if err := s.hollow(g); err != nil {
				s.cfg.Logger.Warn("a spool's segment holds more of the disk than it needs", "path", g.path, "err", err)
			}
		}
	}
	return out
}

const (
	// barrenFor is how long a segment is left alone of which nothing more may go: over the budget every append asks.
	barrenFor = time.Second
	// hollowShare is the part of a segment that hollowing has to give back: so often, at most, a segment is written anew.
	hollowShare = 4
)

// needs is what the batches that are not done take of the disk at least.
func (g *segment) needs() int64 {
	n := segmentHead + max(0, g.size-g.end)
	for i := range g.index {
		if e := &g.index[i]; !g.dead[e.Offset] {
			n += e.bytes()
		}
	}
	return n
}

// hollow gives back what a segment takes of the disk for batches that are done, where a few that are not hold it: the file is replaced by one in
// which everybody stands where they stood, and the rest is holes.
func (s *Spool) hollow(g *segment) error {
	old, err := g.open()
	if err != nil {
		return err
	}
	name := g.path + ".new"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	err = s.write(f, segmentStart(g.n), 0)
	cost := int64(segmentHead)
	for _, e := range g.index {
		if g.dead[e.Offset] || err != nil {
			continue
		}
		b := make([]byte, e.bytes())
		if _, err = old.ReadAt(b, int64(e.Offset)); err == nil {
			err = s.write(f, b, int64(e.Offset))
		}
		cost += e.bytes()
	}
	footer := g.footer()
	if err == nil {
		err = s.write(f, footer, g.end)
	}
	if err == nil && s.cfg.Fsync != FsyncNever {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name, g.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	old.Close()
	g.f, g.bare, g.size = nil, false, g.end+int64(len(footer))
	cost += int64(len(footer))
	s.bytes += cost - g.cost
	g.cost = cost
	return nil
}

// IsLost reports whether an error of Read says that the batch is lost for good; others may pass.
func IsLost(err error) bool {
	return errors.Is(err, errEntry) || errors.Is(err, errGone) || errors.Is(err, os.ErrNotExist) || errors.Is(err, io.EOF)
}

// Read gives the batch of an entry. An error says that it is lost, or that the disk does not give it.
func (s *Spool) Read(e Entry) ([]byte, error) {
	b := make([]byte, e.Size)
	err := s.read(e, b)
	if err == nil && crc32.Checksum(b, castagnoli) != e.crc {
		err = errEntry
	}
	if err != nil {
		if IsLost(err) && !errors.Is(err, errGone) { // what went with its segment is counted
			s.mu.Lock()
			s.damaged.Entries++
			s.mu.Unlock()
		}
		return nil, fmt.Errorf("read batch %v: %w", e.Pos, err)
	}
	return b, nil
}

func (s *Spool) read(e Entry, b []byte) (err error) {
	s.mu.Lock()
	g := s.segment(e.Segment)
	var f *os.File
	if g != nil {
		f = g.f
	}
	s.mu.Unlock()
	if g == nil {
		return errGone
	}
	if f != nil {
		if _, err := f.ReadAt(b, int64(e.body)); !errors.Is(err, os.ErrClosed) {
			return err
		}
	}
	if f, err = os.Open(g.path); err != nil {
		return err
	}
	_, err = f.ReadAt(b, int64(e.body))
	return errors.Join(err, f.Close())
}
