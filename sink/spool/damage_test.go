package spool

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// stand makes a folder with two full segments, one that was being written, attempts, and batches that are done. It gives what waits, and the attempts.
func stand(t testing.TB, dir string) (want map[uint64]Pos, attempts map[Pos]Attempt) {
	t.Helper()
	s := small(t, dir, func(s *Spool) { s.cfg.SegmentBytes = 900 })
	var es []Entry
	for seq := uint64(1); seq <= 12; seq++ {
		es = append(es, s.put(t, int32(seq%3), seq))
	}
	for i, e := range es {
		if i%4 == 1 {
			if err := s.Attempt(attempt(e, int32(i))); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 0 {
			s.Done(e.Pos)
		}
	}
	if _, err := s.Replace([]Pos{es[3].Pos}, []Meta{meta(0, 100), meta(1, 101)}, [][]byte{batchOf(0, 100), batchOf(1, 101)}); err != nil {
		t.Fatal(err)
	}
	if len(s.segments) < 3 {
		t.Fatalf("%d segments", len(s.segments))
	}
	want, attempts = map[uint64]Pos{}, map[Pos]Attempt{}
	for _, a := range s.Attempts() {
		attempts[a.Pos] = a
	}
	for _, g := range s.segments {
		for _, e := range s.entries(g) {
			if !g.dead[e.Offset] {
				want[e.First] = e.Pos
			}
		}
	}
	s.abandon()
	return want, attempts
}

// harmed flips bits at an offset of one file of a folder, or cuts it there, loads it as an open does, without writing (every so often it opens a copy),
// and mends the file again.
func harmed(t testing.TB, master, name string, off int, cut bool, look func(s *Spool, doubtful bool)) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(master, name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if cut {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = writeAt(f, b[off:], int64(off)) }()
		err = f.Truncate(int64(off))
		if err != nil {
			t.Fatal(err)
		}
	} else {
		b := []byte{0}
		if _, err := f.ReadAt(b, int64(off)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = writeAt(f, b, int64(off)) }()
		if err := writeAt(f, []byte{b[0] ^ byte(1+off%255)}, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if off%197 == 0 {
		dir := filepath.Join(t.TempDir(), "s")
		copyFolder(t, master, dir)
		s := small(t, dir, nil)
		look(s, s.Before().Doubtful)
		s.abandon()
		return
	}
	s := blank(Config{Path: master, Logger: slog.New(slog.DiscardHandler)})
	defer s.release()
	k, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	look(s, k.damaged > 0)
}

// A flip anywhere in a segment costs at most the batch in which it is; a cut what stood behind it. Nothing else is lost, or comes back.
func TestSegmentDamagedAtEveryOffset(t *testing.T) {
	master := filepath.Join(t.TempDir(), "master")
	want, _ := stand(t, master)
	all := files(t, master, "*"+segSuffix)
	for i, file := range all {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var n uint64
		if _, err := fmt.Sscanf(name, "%016x", &n); err != nil {
			t.Fatal(err)
		}
		for off := range b {
			for _, cut := range []bool{false, true} {
				harmed(t, master, name, off, cut, func(s *Spool, _ bool) {
					got := s.waiting(t)
					lost := 0
					for seq, p := range want {
						if q, ok := got[seq]; !ok {
							lost++
							if p.Segment != n || cut && int(p.Offset)+400 < off {
								t.Fatalf("%s, offset %d, cut %t: %d at %v is lost", name, off, cut, seq, p)
							}
						} else if q != p {
							t.Fatalf("%d moved from %v to %v", seq, p, q)
						}
					}
					for seq := range got {
						if _, ok := want[seq]; !ok {
							t.Fatalf("%s, offset %d, cut %t: %d is back", name, off, cut, seq)
						}
					}
					// The last of the last segment cannot be told from one that was never written whole.
					if !cut && (lost > 1 || lost == 1 && s.damaged == (Damage{}) && i < len(all)-1) {
						t.Fatalf("%s, offset %d: %d batches are lost by one byte, damage %+v", name, off, lost, s.damaged)
					}
				})
			}
		}
	}
}

// A flip or a cut anywhere in the journal loses no batch; a stamp is the same, or not there, and then what is sent is in doubt.
func TestJournalDamagedAtEveryOffset(t *testing.T) {
	master := filepath.Join(t.TempDir(), "master")
	want, attempts := stand(t, master)
	file := files(t, master, journalPrefix+"*")[0]
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for off := range b {
		for _, cut := range []bool{false, true} {
			harmed(t, master, filepath.Base(file), off, cut, func(s *Spool, doubtful bool) {
				got := s.waiting(t)
				for seq, p := range want {
					if got[seq] != p {
						t.Fatalf("offset %d, cut %t: %d at %v is lost", off, cut, seq, p)
					}
				}
				now := s.Attempts()
				for _, a := range now {
					if w, ok := attempts[a.Pos]; ok && a != w {
						t.Fatalf("offset %d, cut %t: the stamp %+v was %+v", off, cut, a, w)
					}
				}
				if !cut && !doubtful && (len(got) != len(want) || len(now) != len(attempts)) {
					t.Fatalf("offset %d: %d batches wait of %d, %d of %d attempts, and nobody doubts it", off, len(got), len(want), len(now), len(attempts))
				}
			})
		}
	}
}

// Several faults at once: nothing panics, and what is read is what was written.
func TestRandomDamage(t *testing.T) {
	master := filepath.Join(t.TempDir(), "master")
	stand(t, master)
	var names []string
	for _, pattern := range []string{"*" + segSuffix, journalPrefix + "*"} {
		for _, f := range files(t, master, pattern) {
			names = append(names, filepath.Base(f))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir := filepath.Join(t.TempDir(), "s")
		copyFolder(t, master, dir)
		for range rapid.IntRange(1, 8).Draw(rt, "faults") {
			file := filepath.Join(dir, rapid.SampledFrom(names).Draw(rt, "file"))
			b, err := os.ReadFile(file)
			if err != nil || len(b) == 0 {
				continue
			}
			at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				b[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
			case 1:
				b = b[:at]
			case 2:
				clear(b[at:min(len(b), at+rapid.IntRange(1, 600).Draw(rt, "zeros"))])
			case 3:
				b = append(b, b[at:]...)
			}
			if err := os.WriteFile(file, b, 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		s := small(t, dir, nil)
		defer s.abandon()
		s.waiting(t)
		s.Stock(func(Entry) {})
		s.Partitions(0, func(Entry) {})
		s.put(t, 1, 500)
		s.Excess(1<<30, func(Pos) bool { return false }, func(Entry) {})
		if v, err := Look(dir); err != nil {
			rt.Fatal(err)
		} else {
			v.Each(func(e Entry, _ *Attempt) bool { _, _ = v.Read(e); return true })
		}
	})
}

func FuzzEntry(f *testing.F) {
	m := meta(3, 7)
	m.replaces, m.group, m.of = []Pos{{4, 5}, {6, 7}}, 1, 2
	f.Add(appendHead(nil, Pos{1, 20}, &m, []byte("batch"))[entryHead:])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b, func(b []byte) string { return string(b) })
		if err != nil {
			return
		}
		again, err := parseMeta(appendMeta(nil, &m), func(b []byte) string { return string(b) })
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("%+v reads %+v, %v", m, again, err)
		}
	})
}

func FuzzJournal(f *testing.F) {
	a := Attempt{Pos{1, 2}, "topic", 3, 4, 5, 6, 7}
	f.Add(append(appendDone(appendAttempt(nil, &a), Pos{1, 2}), 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := newKnown()
		k.replay(b)
		for len(b) > 0 {
			if n := recordLen(b); n > 0 {
				k.take(b[1], b[recordHead:n-4])
			}
			k.take(b[0]%8, b[1:])
			b = b[1:]
		}
	})
}

func FuzzAside(f *testing.F) {
	f.Add([]byte(asideMagic + "\x05\x00\x00\x00\x01t\x01r\x02"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseAside(b) })
}
