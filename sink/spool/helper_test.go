package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small opens a spool whose segments and journals are so small that a few batches fill them.
func small(t testing.TB, dir string, change func(*Spool)) *Spool {
	t.Helper()
	c := Config{Path: dir, Fsync: FsyncNever}
	c.fill()
	s := blank(c)
	s.cfg.SegmentBytes, s.cfg.MaxBytes, s.journalRoom, s.journalLimit = 2000, 1<<20, 0, 600
	if change != nil {
		change(s)
	}
	if err := s.open(); err != nil {
		s.release()
		t.Fatal(err)
	}
	t.Cleanup(func() { s.release() })
	return s
}

// abandon leaves a spool as a killed process does.
func (s *Spool) abandon() { s.release() }

func meta(part int32, seq uint64) Meta {
	return Meta{Partition: part, Of: 4, Start: 3, First: seq, Last: seq + 1, Oldest: int64(1000 + seq), Newest: int64(1001 + seq), Records: 2,
		Counts: []Count{{fmt.Sprint("service-", seq%3, "/prod"), 2}}}
}

func batchOf(part int32, seq uint64) []byte {
	b := []byte(fmt.Sprintf("batch %d of partition %d ", seq, part))
	for len(b) < 100+int(seq%7)*20 {
		b = append(b, byte(len(b)*int(seq+1)))
	}
	return b
}

func (s *Spool) put(t testing.TB, part int32, seq uint64) Entry {
	t.Helper()
	e, err := s.Append(meta(part, seq), batchOf(part, seq))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// waiting is what waits, by its first sequence; every batch is read and compared.
func (s *Spool) waiting(t testing.TB) map[uint64]Pos {
	t.Helper()
	out := map[uint64]Pos{}
	for part := range int32(8) {
		from := Pos{}
		for {
			es, next := s.Next(0, part, from, 3, func(Entry) {})
			for _, e := range es {
				if _, twice := out[e.First]; twice {
					t.Fatalf("sequence %d stands twice", e.First)
				}
				b, err := s.Read(e)
				if errors.Is(err, errEntry) {
					continue
				}
				if err != nil || string(b) != string(batchOf(part, e.First)) {
					t.Fatalf("sequence %d of %d reads %q, %v", e.First, part, b, err)
				}
				if want := meta(part, e.First); e.Oldest != want.Oldest || e.Newest != want.Newest || e.Records != 2 || e.Of != 4 || e.Start != 3 || len(e.Counts) != 1 || e.Counts[0] != want.Counts[0] {
					t.Fatalf("entry %+v", e)
				}
				out[e.First] = e.Pos
			}
			if len(es) == 0 {
				break
			}
			from = next
		}
	}
	return out
}

func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func attempt(e Entry, seq int32) Attempt {
	return Attempt{Pos: e.Pos, Topic: "live", Partition: e.Partition, Producer: 77, Epoch: 2, Sequence: seq, At: time.Now().UnixMilli()}
}

func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
