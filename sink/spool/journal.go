package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Attempt is how a batch went out, or will in a moment: with it the same bytes can be made again. Only one attempt of a topic's partition is open at a
// time.
type Attempt struct {
	Pos       Pos
	Topic     string
	Partition int32
	Producer  int64
	Epoch     int16
	Sequence  int32
	At        int64 // Unix milliseconds
}

// The journal: records of magic, kind, length, content, crc. It begins with all that is known, up to recordReady, so that those before it can go.
const (
	journalPrefix = "journal-"
	recordMagic   = 0xC5
	recordHead    = 4
	maxRecord     = 1<<16 - 1

	recordOpen    = 1 // version, next segment, when, boot, policy
	recordAttempt = 2
	recordDone    = 3 // a batch needs nothing any more
	recordDead    = 4 // batches of one segment that are done
	recordReady   = 5 // what is known is whole
	recordClosed  = 6 // the process ended in order
	recordBeat    = 7 // the process lives

	journalRoom  = 8 << 20 // bytes set aside on disk, so that marks can be written when the disk is full
	journalLimit = 4 << 20 // bytes after which the next journal begins
)

func journalPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%016x", journalPrefix, n))
}

func appendRecord(dst []byte, kind byte, content []byte) []byte {
	at := len(dst)
	dst = append(dst, recordMagic, kind, byte(len(content)), byte(len(content)>>8))
	dst = append(dst, content...)
	return le.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

func appendPos(dst []byte, p Pos) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, p.Segment), uint64(p.Offset))
}

func appendAttempt(dst []byte, a *Attempt) []byte {
	var few [96]byte
	b := appendPos(few[:0], a.Pos)
	b = binary.AppendUvarint(b, uint64(a.Partition))
	b = binary.AppendVarint(b, a.Producer)
	b = binary.AppendVarint(b, int64(a.Epoch))
	b = binary.AppendVarint(b, int64(a.Sequence))
	b = binary.AppendVarint(b, a.At)
	return appendRecord(dst, recordAttempt, append(b, a.Topic...))
}

func appendDone(dst []byte, p Pos) []byte {
	var few [16]byte
	return appendRecord(dst, recordDone, appendPos(few[:0], p))
}

// known is what a journal says.
type known struct {
	number   uint64
	next     uint64 // segment number that was never used
	boot     string
	fsync    Fsync
	ready    bool // its beginning is whole
	closed   bool
	beat     int64 // the last sign of life, Unix milliseconds
	attempts map[Pos]Attempt
	dead     map[uint64]map[uint32]bool
	damaged  int64 // bytes
	later    bool  // a later version wrote it
}

func newKnown() *known {
	return &known{attempts: map[Pos]Attempt{}, dead: map[uint64]map[uint32]bool{}}
}

func (k *known) done(p Pos) {
	delete(k.attempts, p)
	d := k.dead[p.Segment]
	if d == nil {
		d = map[uint32]bool{}
		k.dead[p.Segment] = d
	}
	d[p.Offset] = true
}

// replay takes in the records of b. What is damaged is skipped and counted; a journal ends with zeros, or where it was cut.
func (k *known) replay(b []byte) {
	bad := 0
	for len(b) > 0 {
		n := recordLen(b)
		if n == 0 {
			if len(bytes.TrimLeft(b[:min(len(b), 64)], "\x00")) == 0 && len(bytes.TrimLeft(b, "\x00")) == 0 {
				break
			}
			i := bytes.IndexByte(b[1:], recordMagic)
			if i < 0 {
				bad += len(bytes.TrimRight(b, "\x00"))
				break
			}
			b, bad = b[1+i:], bad+1+i
			continue
		}
		if !k.take(b[1], b[recordHead:n-4]) {
			bad += n
		}
		b = b[n:]
	}
	k.damaged += int64(bad)
}

// recordLen is the length of the whole, sound record that begins b; 0 where none does.
func recordLen(b []byte) int {
	if len(b) < recordHead+4 || b[0] != recordMagic {
		return 0
	}
	n := recordHead + int(b[2]) + int(b[3])<<8
	if len(b) < n+4 || le.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return 0
	}
	return n + 4
}

func (k *known) take(kind byte, content []byte) bool {
	r := reader{b: content}
	pos := func() Pos { return Pos{r.uvarint(), uint32(r.upTo(math.MaxUint32))} }
	switch kind {
	case recordOpen:
		if v := r.uvarint(); v > version && !r.bad {
			k.later = true
			return true
		}
		next, beat, fsync := r.uvarint(), r.varint(), r.upTo(uint64(FsyncEach))
		if r.bad {
			return false
		}
		k.next, k.beat, k.fsync, k.boot, k.closed = max(k.next, next), beat, Fsync(fsync), string(r.b), false
	case recordAttempt:
		a := Attempt{Pos: pos(), Partition: int32(r.upTo(math.MaxInt32)), Producer: r.varint(), Epoch: int16(r.varint()), Sequence: int32(r.varint()), At: r.varint()}
		a.Topic = string(r.b)
		if r.bad {
			return false
		}
		if !k.dead[a.Pos.Segment][a.Pos.Offset] {
			k.attempts[a.Pos] = a
		}
		k.beat = max(k.beat, a.At)
	case recordDone:
		p := pos()
		if r.bad {
			return false
		}
		k.done(p)
	case recordDead:
		p := Pos{Segment: r.uvarint()}
		for len(r.b) > 0 && !r.bad {
			p.Offset += uint32(r.upTo(math.MaxUint32))
			if !r.bad {
				k.done(p)
			}
		}
		return !r.bad
	case recordReady:
		k.ready = true
	case recordClosed:
		k.closed = true
	case recordBeat:
		k.beat = max(k.beat, r.varint())
	}
	return !r.bad
}

// readJournals reads what the last journal says; where its beginning is not whole, what the one before says as well.
func readJournals(dir string) (*known, error) {
	numbers, err := numbered(dir, journalPrefix, "")
	if err != nil {
		return nil, err
	}
	k := newKnown()
	from := max(0, len(numbers)-1)
	for ; from > 0; from-- {
		b, err := os.ReadFile(journalPath(dir, numbers[from]))
		if err != nil {
			return nil, err
		}
		if one := newKnown(); func() bool { one.replay(b); return one.ready }() {
			break
		}
	}
	for _, n := range numbers[from:] {
		b, err := os.ReadFile(journalPath(dir, n))
		if err != nil {
			return nil, err
		}
		k.replay(b)
		k.number = n
	}
	if k.later {
		return nil, ErrVersion
	}
	return k, nil
}

// numbered lists the numbers of the files with these names, rising.
func numbered(dir, prefix, suffix string) (out []uint64, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		hex, ok := strings.CutPrefix(name, prefix)
		hex, ok2 := strings.CutSuffix(hex, suffix)
		var n uint64
		if !ok || !ok2 || len(hex) != 16 {
			continue
		}
		if _, err := fmt.Sscanf(hex, "%016x", &n); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// journal is the file that marks are written to. Its own lock guards it, inside the spool's.
type journal struct {
	n     uint64
	f     *os.File
	at    int64  // bytes written
	wait  []byte // marks that wait for the next write
	dirty bool   // written since it was synced
	holes bool   // marks were given up: only a new journal, which begins with all that is known, makes it whole
	old   []uint64
}

// maxWait is how many bytes of marks wait for a journal that cannot be written. All that they say is in memory as well.
const maxWait = 1 << 20

// bound gives up the marks that wait when they are too many.
func (j *journal) bound() {
	if len(j.wait) > maxWait {
		j.wait, j.holes = nil, true
	}
}

// beginning is a journal's first records: all that is known.
func (s *Spool) beginning() []byte {
	b := binary.AppendUvarint(nil, version)
	b = binary.AppendUvarint(b, s.next)
	b = binary.AppendVarint(b, time.Now().UnixMilli())
	b = binary.AppendUvarint(b, uint64(s.cfg.Fsync))
	out := appendRecord(nil, recordOpen, append(b, s.boot...))
	for _, g := range slices.Concat(s.segments, s.unread) {
		offs := slices.Sorted(maps.Keys(g.dead))
		for len(offs) > 0 {
			b := binary.AppendUvarint(nil, g.n)
			last := uint32(0)
			for len(offs) > 0 && len(b) < maxRecord-16 {
				b = binary.AppendUvarint(b, uint64(offs[0]-last))
				last, offs = offs[0], offs[1:]
			}
			out = appendRecord(out, recordDead, b)
		}
	}
	for _, a := range s.attempts {
		out = appendAttempt(out, &a)
	}
	return appendRecord(out, recordReady, nil)
}

// begin starts the next journal. Those before it are removed by the next sync, or at once where nothing is ever synced.
func (s *Spool) begin() error {
	s.jmu.Lock()
	defer s.jmu.Unlock()
	j := &s.journal
	b := s.beginning()
	n := j.n + 1
	path := journalPath(s.cfg.Path, n)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	reserve(f, int64(len(b))+s.journalRoom)
	if err := s.write(f, b, 0); err != nil {
		f.Close()
		os.Remove(path)
		return err
	}
	if j.f != nil {
		j.f.Close()
	}
	if j.n > 0 {
		j.old = append(j.old, j.n)
	}
	j.n, j.f, j.at, j.wait, j.dirty, j.holes = n, f, int64(len(b)), j.wait[:0], true, false
	s.begun, s.names = int64(len(b)), true
	return nil
}

var errHoles = errors.New("more waited for the journal than it takes; a new one has to begin")

// flush writes the marks that wait.
func (s *Spool) flush() error {
	j := &s.journal
	if len(j.wait) == 0 && !j.holes {
		return nil
	}
	if j.f == nil {
		return errClosed
	}
	if j.holes {
		return errHoles
	}
	if err := s.write(j.f, j.wait, j.at); err != nil {
		return err
	}
	j.at += int64(len(j.wait))
	j.wait, j.dirty = j.wait[:0], true
	return nil
}
