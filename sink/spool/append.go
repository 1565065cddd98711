package spool

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// retryAfter is how long a folder that took nothing is left alone.
const retryAfter = time.Second

// Append writes a batch. On an error it is not in the spool, and the next appends fail at once, without asking the disk, for a second.
func (s *Spool) Append(m Meta, batch []byte) (Entry, error) {
	m.replaces = nil
	var out [1]Entry
	if err := s.append(out[:], []Meta{m}, [][]byte{batch}, nil); err != nil {
		return Entry{}, err
	}
	return out[0], nil
}

// Replace writes batches in the place of others that are there: after a crash either the old are there or the new, all of them.
func (s *Spool) Replace(old []Pos, ms []Meta, batches [][]byte) ([]Entry, error) {
	for i := range ms {
		ms[i].replaces, ms[i].group, ms[i].of = old, uint32(i), uint32(len(ms))
	}
	out := make([]Entry, len(ms))
	if err := s.append(out, ms, batches, old); err != nil {
		return nil, err
	}
	return out, nil
}

// append writes batches, and fills out, which has a place for each. What it keeps of ms is in memory of its own.
func (s *Spool) append(out []Entry, ms []Meta, batches [][]byte, old []Pos) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	g, err := s.room(int64(sizeOf(ms, batches)))
	if err != nil {
		return err
	}
	b, at := s.scratch[:0], g.end
	for i := range ms {
		p := Pos{g.n, uint32(at) + uint32(len(b))}
		h := len(b)
		b = appendHead(b, p, &ms[i], batches[i])
		out[i] = Entry{Pos: p, Meta: ms[i], Size: len(batches[i]), body: p.Offset + uint32(len(b)-h), crc: le.Uint32(b[h+12:])}
		b = append(b, batches[i]...)
	}
	if s.scratch = b[:0]; cap(b) > 4<<20 {
		s.scratch = nil
	}
	if len(b) > 0 {
		err = s.write(g.f, b, at)
	}
	if err == nil && s.cfg.Fsync == FsyncEach {
		err = g.f.Sync()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// What was written in part must not be taken for an entry that was promised, nor be followed by one.
		if terr := g.f.Truncate(at); terr != nil {
			g.broken = true
		}
		return s.failed(err)
	}
	s.fault = nil
	for i := range out {
		e := &out[i]
		e.Counts = g.counted(e.Counts)
		for j := range e.Counts {
			e.Counts[j].Key = s.intern([]byte(e.Counts[j].Key))
		}
		g.note(*e)
		g.held[e.Offset] = true // the owner has it
	}
	g.end += int64(len(b))
	s.bytes += g.end - g.size
	g.size, g.cost = g.end, g.end
	if len(old) > 0 {
		s.jmu.Lock()
		for _, p := range old {
			s.journal.wait = appendDone(s.journal.wait, p)
		}
		s.journal.bound()
		s.jmu.Unlock()
		s.marked()
		for _, p := range old {
			s.end(p)
		}
	}
	return nil
}

func sizeOf(ms []Meta, batches [][]byte) (n int) {
	for i := range ms {
		n += entryHead + 128 + len(batches[i]) + 16*len(ms[i].replaces)
		for _, c := range ms[i].Counts {
			n += len(c.Key) + 16
		}
	}
	return n
}

// room gives the segment that the next entries go to. It is called by the one who writes.
func (s *Spool) room(size int64) (*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.fault != nil && time.Now().Before(s.retry) {
		return nil, s.fault
	}
	g := s.active
	if g != nil && (g.broken || g.end+size > s.cfg.SegmentBytes && g.count > 0 || g.count >= maxEntries || g.heads >= maxHeads) {
		if err := s.full(g); err != nil {
			return nil, s.failed(err)
		}
		g, s.active = nil, nil
	}
	if g != nil {
		return g, nil
	}
	if segmentHead+size > math.MaxUint32 {
		return nil, fmt.Errorf("append to spool: a batch of %d bytes is too large", size)
	}
	if _, err := os.Stat(filepath.Join(s.cfg.Path, "lock")); errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		if err := s.restore(); err != nil {
			return nil, s.failed(err)
		}
	}
	g = newSegment(s.cfg.Path, s.next)
	f, err := os.OpenFile(g.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		s.next++ // where the name is taken by what we cannot read
		return nil, s.failed(err)
	}
	if err := s.write(f, segmentStart(g.n), 0); err != nil {
		f.Close()
		os.Remove(g.path)
		return nil, s.failed(err)
	}
	g.f, g.end, g.size, g.cost, g.exact, g.stock = f, segmentHead, segmentHead, segmentHead, true, true
	s.next++
	s.bytes += g.size
	s.active, s.names = g, true
	s.segments = append(s.segments, g)
	return g, nil
}

// full ends a segment: its index is written, unless nothing in it is needed any more. Without a whole index the next start walks over it.
func (s *Spool) full(g *segment) error {
	if g.alive == 0 {
		s.remove(g)
		return nil
	}
	if !g.broken {
		b := g.footer()
		if err := s.write(g.f, b, g.end); err != nil {
			_ = g.f.Truncate(g.end)
			return err
		}
		s.bytes += int64(len(b))
		g.size = g.end + int64(len(b))
		g.cost = g.size
	}
	g.bare, g.counts = g.broken, nil
	if s.cfg.Fsync == FsyncNever {
		g.f.Close()
	} else {
		s.unsynced = append(s.unsynced, g.f)
	}
	g.f = nil
	s.use(g)
	return nil
}

// failed notes that the disk does not take anything.
func (s *Spool) failed(err error) error {
	now := time.Now()
	if s.fault == nil {
		s.since = now
	}
	s.fault, s.retry = fmt.Errorf("append to spool: %w", err), now.Add(retryAfter)
	return s.fault
}

// writeAt writes all of b.
func writeAt(f *os.File, b []byte, at int64) error {
	n, err := f.WriteAt(b, at)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
