package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
)

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func binaryText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendTimeMilli(dst []byte, ms int64) []byte { return binary.AppendVarint(dst, ms) }

// View reads a folder that another process may own and write at this moment: what it gives was so a moment ago.
type View struct{ s *Spool }

// Look opens a folder for reading only.
func Look(path string) (*View, error) {
	c := Config{Path: path}
	c.fill()
	if _, err := os.Stat(filepath.Join(path, "lock")); err != nil {
		return nil, fmt.Errorf("look at spool %q: it is none: %w", path, err)
	}
	var s *Spool
	var k *known
	var err error
	for range 5 { // the owner may take a journal away between two looks
		s = blank(c)
		if k, err = s.load(); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look at spool %q: %w", path, err)
	}
	s.damaged.Bytes += k.damaged
	return &View{s}, nil
}

// Status tells how the folder stands.
func (v *View) Status() Status {
	v.count()
	return v.s.Status()
}

// count makes the number of batches that wait exact.
func (v *View) count() {
	for _, g := range v.s.segments {
		if !g.exact {
			alive := 0
			for _, e := range v.index(g) {
				if !g.dead[e.Offset] {
					alive++
				}
			}
			g.alive = alive
		}
	}
}

// index is a segment's, without keeping it or changing anything.
func (v *View) index(g *segment) []Entry {
	if g.index != nil {
		return g.index
	}
	defer func() {
		if g.f != nil {
			g.f.Close()
			g.f = nil
		}
	}()
	index, err := g.readIndex(v.s.intern)
	if err != nil {
		index, _, _ = g.scan(g.end, v.s.intern)
	}
	return index
}

// Each walks over the batches that wait, in the order of writing, with their attempts, until yield says no. The attempt is nil for one never attempted.
func (v *View) Each(yield func(Entry, *Attempt) bool) {
	for _, g := range v.s.segments {
		for _, e := range v.index(g) {
			if g.dead[e.Offset] {
				continue
			}
			var at *Attempt
			if a, ok := v.s.attempts[e.Pos]; ok {
				at = &a
			}
			if !yield(e, at) {
				return
			}
		}
	}
}

// Read gives the batch of an entry.
func (v *View) Read(e Entry) ([]byte, error) { return v.s.Read(e) }

// Find gives the entry of a name as Pos writes it.
func (v *View) Find(name string) (e Entry, ok bool) {
	p, ok := ParsePos(name)
	if !ok {
		return Entry{}, false
	}
	g := v.s.segment(p.Segment)
	if g == nil || g.dead[p.Offset] {
		return Entry{}, false
	}
	index := v.index(g)
	i := slices.IndexFunc(index, func(e Entry) bool { return e.Offset == p.Offset })
	if i < 0 {
		return Entry{}, false
	}
	return index[i], true
}
