package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
)

// A segment: head (magic with the version, the number, crc), entries, and once it is full an index (each entry's offset, head and meta) with a tail.
const (
	version     = 1
	segmentHead = 20
	tailSize    = 44
	tailMagic   = "RCINDEX1"
	segSuffix   = ".seg"
)

var segMagic = [8]byte{'R', 'C', 'S', 'P', 'O', 'O', 'L', version}

// segment is one file of entries. The spool's lock guards it.
type segment struct {
	n    uint64
	path string
	size int64 // bytes of the file
	end  int64 // of the entries

	cost int64 // what it takes of the disk: less than its size where it was hollowed

	f     *os.File // open while it is written or was lately read
	index []Entry  // by offset; nil where it is not in memory
	bare  bool     // the index is not on disk: it stays in memory
	count int
	heads int  // bytes of the entries' heads
	alive int  // entries that are not done; at most so many, until exact
	exact bool // the index was seen
	dead  map[uint32]bool
	held  map[uint32]bool // in the owner's memory: not to be given by Next

	waiting map[account]uint64 // what was told of and is in nobody's hands: what is lost if the segment is
	barren  time.Time          // until when there is nothing in it that may go

	counts []Count // room for those of the next entries: what an index keeps lives and goes together

	parts  map[stream]int // entries by partition, once exact
	stock  bool           // its inheritance was told
	oldest int64          // times of records
	newest int64
	low    int  // no entry before this one in the index is alive
	broken bool // nothing can be appended
}

type stream struct {
	kind uint8
	part int32
}

func segmentPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", n, segSuffix))
}

func newSegment(dir string, n uint64) *segment {
	return &segment{n: n, path: segmentPath(dir, n), dead: map[uint32]bool{}, held: map[uint32]bool{}, parts: map[stream]int{}}
}

// segmentStart is a segment's head.
func segmentStart(n uint64) []byte {
	b := le.AppendUint64(bytes.Clone(segMagic[:]), n)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// laterVersion reports whether a sound head is of a version that we cannot read. A damaged head tells nothing, and is not needed.
func laterVersion(head []byte) bool {
	return len(head) == segmentHead && string(head[:7]) == string(segMagic[:7]) && head[7] > version && le.Uint32(head[16:]) == crc32.Checksum(head[:16], castagnoli)
}

// note takes an entry into the segment's sums.
func (g *segment) note(e Entry) {
	g.index = append(g.index, e)
	g.count++
	g.heads += int(e.body - e.Offset)
	if !g.dead[e.Offset] {
		g.alive++
	}
	g.parts[stream{e.Kind, e.Partition}]++
	if g.oldest == 0 || e.Oldest < g.oldest {
		g.oldest = e.Oldest
	}
	g.newest = max(g.newest, e.Newest)
}

// counted keeps counts for as long as the index.
func (g *segment) counted(c []Count) []Count {
	if len(c) == 0 {
		return nil
	}
	if cap(g.counts)-len(g.counts) < len(c) {
		g.counts = make([]Count, 0, max(256, len(c)))
	}
	from := len(g.counts)
	g.counts = append(g.counts, c...)
	return g.counts[from:len(g.counts):len(g.counts)]
}

// waits is the time of the oldest record of the first batch that is not done, or of the first of all where the index is not at hand; 0: none is.
func (g *segment) waits() int64 {
	if g.alive <= 0 {
		return 0
	}
	for g.low < len(g.index) && g.dead[g.index[g.low].Offset] {
		g.low++
	}
	if g.low < len(g.index) {
		return g.index[g.low].Oldest
	}
	return g.oldest
}

// find gives the entry at an offset; the index must be in memory.
func (g *segment) find(off uint32) (Entry, bool) {
	i := sort.Search(len(g.index), func(i int) bool { return g.index[i].Offset >= off })
	if i == len(g.index) || g.index[i].Offset != off {
		return Entry{}, false
	}
	return g.index[i], true
}

// footer is what is written behind the entries of a full segment.
func (g *segment) footer() []byte {
	var b []byte
	last := uint32(0)
	for i := range g.index {
		e := &g.index[i]
		b = binary.AppendUvarint(b, uint64(e.Offset-last))
		last = e.Offset
		at := len(b)
		b = append(b, make([]byte, entryHead)...)
		b = appendMeta(b, &e.Meta)
		h := b[at:]
		copy(h, entryMagic)
		le.PutUint32(h[4:], uint32(len(h)-entryHead))
		le.PutUint32(h[8:], uint32(e.Size))
		le.PutUint32(h[12:], e.crc)
		le.PutUint32(h[16:], headCRC(sealOf(e.Pos), h))
	}
	n := len(b)
	b = append(b, make([]byte, tailSize)...)
	t := b[n:]
	copy(t, tailMagic)
	le.PutUint32(t[8:], uint32(g.end))
	le.PutUint32(t[12:], uint32(n))
	le.PutUint32(t[16:], uint32(len(g.index)))
	le.PutUint32(t[20:], crc32.Checksum(b[:n], castagnoli))
	le.PutUint64(t[24:], uint64(g.oldest))
	le.PutUint64(t[32:], uint64(g.newest))
	le.PutUint32(t[40:], crc32.Update(sealOf(Pos{Segment: g.n}), castagnoli, t[:40]))
	return b
}

// open gives the segment's file for reading.
func (g *segment) open() (*os.File, error) {
	if g.f != nil {
		return g.f, nil
	}
	f, err := os.Open(g.path)
	if err != nil {
		return nil, err
	}
	g.f = f
	return f, nil
}

// peek learns from the tail how much a segment holds, without reading its index. ok is false where it has no whole tail.
func (g *segment) peek() (ok bool, err error) {
	f, err := g.open()
	if err != nil {
		return false, err
	}
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	g.size, g.cost = st.Size(), allocated(st)
	if g.size < segmentHead+tailSize {
		return false, nil
	}
	var t [tailSize]byte
	if _, err := f.ReadAt(t[:], g.size-tailSize); err != nil {
		return false, err
	}
	end, n := int64(le.Uint32(t[8:])), int64(le.Uint32(t[12:]))
	if string(t[:8]) != tailMagic || le.Uint32(t[40:]) != crc32.Update(sealOf(Pos{Segment: g.n}), castagnoli, t[:40]) || end+n+tailSize != g.size {
		return false, nil
	}
	g.end, g.count = end, int(le.Uint32(t[16:]))
	g.oldest, g.newest = int64(le.Uint64(t[24:])), int64(le.Uint64(t[32:]))
	return true, nil
}

// readIndex reads the index of a segment with a tail.
func (g *segment) readIndex(intern func([]byte) string) ([]Entry, error) {
	f, err := g.open()
	if err != nil {
		return nil, err
	}
	if g.size-g.end < tailSize {
		return nil, errEntry
	}
	b := make([]byte, g.size-g.end)
	if _, err := f.ReadAt(b, g.end); err != nil {
		return nil, err
	}
	b, t := b[:len(b)-tailSize], b[len(b)-tailSize:]
	if le.Uint32(t[20:]) != crc32.Checksum(b, castagnoli) {
		return nil, errEntry
	}
	out := make([]Entry, 0, g.count)
	off := uint64(0)
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || off+d > math.MaxUint32 {
			return nil, errEntry
		}
		off, b = off+d, b[n:]
		h := headLen(b)
		if h == 0 || h > len(b) {
			return nil, errEntry
		}
		e, err := parseHead(Pos{g.n, uint32(off)}, b[:h], intern)
		if err != nil {
			return nil, err
		}
		out, b = append(out, e), b[h:]
	}
	return out, nil
}

// scan finds the entries of a segment by walking over them, up to limit. It skips what is damaged and says how many bytes that were; what follows
// the last entry is not damage but what a crash cut short.
func (g *segment) scan(limit int64, intern func([]byte) string) (out []Entry, damaged int64, err error) {
	f, err := g.open()
	if err != nil {
		return nil, 0, err
	}
	w := window{f: f, end: limit}
	off, good := int64(segmentHead), int64(segmentHead)
	for off < limit {
		b, err := w.at(off, entryHead)
		if err != nil {
			return out, damaged, err
		}
		if n := headLen(b); n > 0 {
			if b, err = w.at(off, n); err != nil {
				return out, damaged, err
			}
			if len(b) >= n {
				e, err := parseHead(Pos{g.n, uint32(off)}, b[:n], intern)
				if err == nil && off+e.bytes() <= limit {
					damaged += off - good
					out = append(out, e)
					off += e.bytes()
					good = off
					continue
				}
			}
		}
		if off, err = w.next(off + 1); err != nil {
			return out, damaged, err
		}
	}
	return out, damaged, nil
}

// window reads a file in pieces.
type window struct {
	f    *os.File
	end  int64
	from int64
	buf  []byte
}

// at gives at least n bytes from off on, fewer where the file ends.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < w.from || off+int64(n) > w.from+int64(len(w.buf)) {
		size := min(int64(max(n, 16<<10)), w.end-off)
		if size <= 0 {
			return nil, nil
		}
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		got, err := w.f.ReadAt(w.buf[:size], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.from, w.buf = off, w.buf[:got]
	}
	return w.buf[off-w.from:], nil
}

// next is where from off on the next entry may begin.
func (w *window) next(off int64) (int64, error) {
	for off < w.end {
		b, err := w.at(off, len(entryMagic))
		if err != nil {
			return off, err
		}
		if i := bytes.Index(b, []byte(entryMagic)); i >= 0 {
			return off + int64(i), nil
		}
		if len(b) < len(entryMagic) {
			return w.end, nil
		}
		off += int64(len(b) - len(entryMagic) + 1)
	}
	return w.end, nil
}

// prune takes out what a crash left of groups that were not written whole: the entries of a group stand behind each other, and while an entry that
// they replace is not done, they count together or not at all. done says of an entry that it is.
func prune(all []Entry, done func(Pos) bool) (whole []Entry, replaced []Pos) {
	for i := 0; i < len(all); {
		e := &all[i]
		if len(e.replaces) == 0 {
			whole = append(whole, *e)
			i++
			continue
		}
		n := 1
		for i+n < len(all) && slices.Equal(all[i+n].replaces, e.replaces) && all[i+n].group == e.group+uint32(n) {
			n++
		}
		all := all[i : i+n]
		i += n
		switch {
		case !slices.ContainsFunc(e.replaces, func(p Pos) bool { return !done(p) }):
			whole = append(whole, all...)
		case e.group == 0 && uint32(n) == e.of:
			whole = append(whole, all...)
			replaced = append(replaced, e.replaces...)
		}
	}
	return whole, replaced
}
