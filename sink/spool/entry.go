package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// Count says how many snapshots or records of one key a batch holds.
type Count struct {
	Key string
	N   uint64
}

// Meta is what an entry says of its batch.
type Meta struct {
	Kind      uint8  // of records, as the owner numbers them
	Partition int32  // for which the batch is made
	Of        int32  // of so many
	Start     uint64 // of the collector, that gave the sequences
	First     uint64 // sequences; 0 where records have none
	Last      uint64
	Oldest    int64 // times of records, Unix milliseconds
	Newest    int64
	Records   int
	Unclear   bool    // its records may be in the topic already
	Counts    []Count // a snapshot in parts counts where its last part is

	replaces []Pos // the entries whose place this one takes, with the others of its group
	group    uint32
	of       uint32 // entries of the group
}

// Pos is where an entry stands: it is its name for as long as the folder lives.
type Pos struct {
	Segment uint64 // from 1
	Offset  uint32
}

func (p Pos) String() string { return fmt.Sprintf("%d-%d", p.Segment, p.Offset) }

// Entry is one batch on disk.
type Entry struct {
	Pos
	Meta
	Size int // bytes of the batch

	body uint32 // offset of the batch
	crc  uint32 // of the batch
}

// bytes is what the entry takes of its segment.
func (e *Entry) bytes() int64 { return int64(e.body-e.Offset) + int64(e.Size) }

// An entry in a segment: magic, length of the meta, length of the batch, crc of the batch, crc of all of these with the meta; meta; batch. The
// crc begins with the entry's own position, so that no content can pass for an entry where one was damaged.
const (
	entryMagic = "RCSB"
	entryHead  = 20
	maxMeta    = 4 << 20
	maxBatch   = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errEntry = errors.New("it is damaged or cut short")
	le       = binary.LittleEndian
)

// sealOf begins the crc of what stands at a position.
func sealOf(p Pos) uint32 { return seal(p, make([]byte, 0, sealSize)) }

const sealSize = 12

// seal is sealOf with a few bytes behind b for scratch.
func seal(p Pos, b []byte) uint32 {
	at := len(b)
	b = le.AppendUint64(b, p.Segment)
	b = le.AppendUint32(b, p.Offset)
	return crc32.Checksum(b[at:], castagnoli)
}

// appendHead appends an entry's head and meta, to stand at p, for a batch.
func appendHead(dst []byte, p Pos, m *Meta, batch []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, entryHead)...)
	dst = appendMeta(dst, m)
	dst = slices.Grow(dst, sealSize)
	h := dst[at:]
	copy(h, entryMagic)
	le.PutUint32(h[4:], uint32(len(h)-entryHead))
	le.PutUint32(h[8:], uint32(len(batch)))
	le.PutUint32(h[12:], crc32.Checksum(batch, castagnoli))
	le.PutUint32(h[16:], headCRC(seal(p, dst), h))
	return dst
}

// headCRC goes on from the seal of the head's place.
func headCRC(seal uint32, h []byte) uint32 {
	c := crc32.Update(seal, castagnoli, h[:16])
	return crc32.Update(c, castagnoli, h[entryHead:])
}

// headLen is the length of the head and meta that begin b, or 0 where none does.
func headLen(b []byte) int {
	if len(b) < entryHead || string(b[:4]) != entryMagic {
		return 0
	}
	meta, batch := le.Uint32(b[4:]), le.Uint32(b[8:])
	if meta > maxMeta || batch > maxBatch {
		return 0
	}
	return entryHead + int(meta)
}

// parseHead is the entry whose head and meta are h, standing at p.
func parseHead(p Pos, h []byte, intern func([]byte) string) (Entry, error) {
	if n := headLen(h); n == 0 || n != len(h) || le.Uint32(h[16:]) != headCRC(sealOf(p), h) {
		return Entry{}, errEntry
	}
	m, err := parseMeta(h[entryHead:], intern)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Pos: p, Meta: m, Size: int(le.Uint32(h[8:])), body: p.Offset + uint32(len(h)), crc: le.Uint32(h[12:])}, nil
}

const (
	flagUnclear  = 1
	flagReplaces = 2
)

func appendMeta(dst []byte, m *Meta) []byte {
	flags := byte(0)
	if m.Unclear {
		flags |= flagUnclear
	}
	if len(m.replaces) > 0 {
		flags |= flagReplaces
	}
	dst = append(dst, m.Kind, flags)
	for _, v := range []uint64{uint64(m.Partition), uint64(m.Of), m.Start, m.First, m.Last} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = binary.AppendVarint(dst, m.Oldest)
	dst = binary.AppendVarint(dst, m.Newest-m.Oldest)
	dst = binary.AppendUvarint(dst, uint64(m.Records))
	if len(m.replaces) > 0 {
		dst = binary.AppendUvarint(dst, uint64(m.group))
		dst = binary.AppendUvarint(dst, uint64(m.of))
		dst = binary.AppendUvarint(dst, uint64(len(m.replaces)))
		for _, p := range m.replaces {
			dst = appendPos(dst, p)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Counts)))
	for _, c := range m.Counts {
		dst = binary.AppendUvarint(dst, uint64(len(c.Key)))
		dst = append(dst, c.Key...)
		dst = binary.AppendUvarint(dst, c.N)
	}
	return dst
}

// parseMeta is the inverse of appendMeta. What follows the fields that we know is a later version's and left.
func parseMeta(b []byte, intern func([]byte) string) (m Meta, err error) {
	r := reader{b: b}
	m.Kind = r.byte()
	flags := r.byte()
	m.Unclear = flags&flagUnclear != 0
	m.Partition, m.Of = int32(r.upTo(math.MaxInt32)), int32(r.upTo(math.MaxInt32))
	m.Start, m.First, m.Last = r.uvarint(), r.uvarint(), r.uvarint()
	m.Oldest = r.varint()
	m.Newest = m.Oldest + r.varint()
	m.Records = int(r.upTo(math.MaxInt32))
	if flags&flagReplaces != 0 {
		m.group, m.of = uint32(r.upTo(math.MaxUint32)), uint32(r.upTo(math.MaxUint32))
		for range r.upTo(uint64(len(b))) {
			p := Pos{r.uvarint(), uint32(r.upTo(math.MaxUint32))}
			if r.bad {
				break
			}
			m.replaces = append(m.replaces, p)
		}
	}
	n := r.upTo(uint64(len(b)))
	if n > 0 && !r.bad {
		m.Counts = make([]Count, 0, min(n, uint64(len(r.b)/2+1)))
	}
	for range n {
		key := r.bytes(r.upTo(maxMeta))
		c := Count{N: r.uvarint()}
		if r.bad {
			break
		}
		c.Key = intern(key)
		m.Counts = append(m.Counts, c)
	}
	if r.bad {
		return Meta{}, errEntry
	}
	return m, nil
}

// reader takes bytes apart; after a fault it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	b := r.bytes(1)
	if r.bad {
		return 0
	}
	return b[0]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) upTo(limit uint64) uint64 {
	v := r.uvarint()
	if v > limit {
		r.bad, r.b = true, nil
		return 0
	}
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}
