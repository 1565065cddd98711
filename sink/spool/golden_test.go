package spool

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden folder anew")

// A folder of this version, made once: what later versions must read. A folder of version N is read by versions N and N+1.
func TestGolden(t *testing.T) {
	golden := filepath.Join("testdata", "v1")
	if *update {
		os.RemoveAll(golden)
		s := small(t, golden, func(s *Spool) { s.boot = "golden" })
		for seq := uint64(1); seq <= 20; seq++ {
			e := s.put(t, int32(seq%3), seq)
			if seq == 4 {
				a := attempt(e, 40)
				a.At = 1_700_000_000_000
				if err := s.Attempt(a); err != nil {
					t.Fatal(err)
				}
			}
			if seq%5 == 0 {
				s.Done(e.Pos)
			}
		}
		if _, err := s.SetAside(Entry{Meta: meta(1, 50)}, batchOf(1, 50), "live", "record", 1_700_000_000_000); err != nil {
			t.Fatal(err)
		}
		if err := s.tend(time.UnixMilli(1_700_000_000_000), true); err != nil {
			t.Fatal(err)
		}
		s.abandon()
	}
	dir := filepath.Join(t.TempDir(), "s")
	copyFolder(t, golden, dir)
	s := small(t, dir, nil)
	got := slices.Sorted(maps.Keys(s.waiting(t)))
	if want := "[1 2 3 4 6 7 8 9 11 12 13 14 16 17 18 19]"; fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
	if a := s.Attempts(); len(a) != 1 || a[0].Sequence != 40 || a[0].Producer != 77 || a[0].Epoch != 2 || a[0].Topic != "live" || a[0].Partition != 1 || a[0].At != 1_700_000_000_000 {
		t.Errorf("%+v", a)
	}
	asides := 0
	if err := Asides(dir, func(a Aside, err error) {
		if asides++; err != nil || a.First != 50 || a.Reason != "record" {
			t.Errorf("%+v %v", a, err)
		}
	}); err != nil || asides != 1 {
		t.Errorf("%d aside, %v", asides, err)
	}
	if b := s.Before(); b.Clean || !b.Any || !b.PowerLoss {
		t.Errorf("%+v", b)
	}
}

// What a later version wrote is not touched.
func TestLaterVersion(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	s.put(t, 0, 1)
	s.abandon()
	file := files(t, dir, "*"+segSuffix)[0]
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sound := slices.Clone(b)
	b[7] = version + 1
	le.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: dir}); !errors.Is(err, ErrVersion) {
		t.Errorf("segment: %v", err)
	}
	if err := os.WriteFile(file, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	journal := files(t, dir, journalPrefix+"*")[0]
	if err := os.WriteFile(journal, appendRecord(nil, recordOpen, binary.AppendUvarint(nil, version+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: dir}); err == nil {
		t.Error("journal: it is opened")
	}
}

// What a later minor version may add, marks of another kind and fields behind those of an entry, is passed over and is no damage.
func TestAddedLater(t *testing.T) {
	k := newKnown()
	b := appendRecord(nil, recordOpen, append(binary.AppendUvarint(binary.AppendVarint(binary.AppendUvarint(binary.AppendUvarint(nil, version), 5), 7), 0), "boot"...))
	b = appendDone(appendRecord(b, 99, []byte("what is this")), Pos{3, 20})
	k.replay(appendRecord(b, recordReady, []byte("more")))
	if !k.ready || !k.dead[3][20] || k.damaged != 0 || k.later || k.next != 5 {
		t.Errorf("%+v", k)
	}
	m := meta(1, 7)
	got, err := parseMeta(append(appendMeta(nil, &m), "more"...), func(b []byte) string { return string(b) })
	if err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
		t.Errorf("%+v, %v", got, err)
	}
}
