package spool

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// large makes a folder of so many bytes in batches of 100 KB. What stands in the batches are holes: opening does not read them.
func large(t testing.TB, size int64) (dir string, batches int) {
	t.Helper()
	dir = t.TempDir()
	c := Config{Path: dir, Fsync: FsyncNever}
	c.fill()
	s := blank(c)
	s.write = func(f *os.File, b []byte, at int64) error {
		if n := headLen(b); n > 0 && len(b) > 100<<10 {
			b = b[:n]
		}
		return writeAt(f, b, at)
	}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 100<<10)
	m := meta(0, 1)
	m.Counts = nil
	for i := range 40 {
		m.Counts = append(m.Counts, Count{fmt.Sprint("service-", i, "/production"), 5})
	}
	for s.bytes < size {
		m.Partition = int32(batches % 12)
		if _, err := s.Append(m, body); err != nil {
			t.Fatal(err)
		}
		batches++
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, batches
}

// However much waits, opening reads a tail a segment, and memory does not grow with it.
func TestOpensAtOnce(t *testing.T) {
	dir, batches := large(t, 2e9)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	s, err := Open(Config{Path: dir, Fsync: FsyncNever})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	defer s.Close()
	if st := s.Status(); st.Batches != batches {
		t.Errorf("%d batches of %d", st.Batches, batches)
	}
	told := 0
	began = time.Now()
	for s.Stock(func(Entry) { told++ }) {
	}
	stock := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d batches in %d segments: opened in %v, all told in %v, %d KB of memory", batches, len(s.segments), took, stock, grown>>10)
	if took > 2*time.Second || told != batches || grown > 32<<20 {
		t.Errorf("opened in %v, %d told, %d bytes of memory", took, told, grown)
	}
	runtime.KeepAlive(s)
}

func BenchmarkOpen(b *testing.B) {
	dir, _ := large(b, 10e9)
	for b.Loop() {
		s, err := Open(Config{Path: dir, Fsync: FsyncNever})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

// BenchmarkBatch is the life of a batch on its way: appended, attempted, done.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{5 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			s, err := Open(Config{Path: b.TempDir(), MaxBytes: 1 << 30, Fsync: FsyncNever})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			body := make([]byte, size)
			m := meta(0, 1)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				e, err := s.Append(m, body)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Attempt(Attempt{Pos: e.Pos, Topic: "rollcall.snapshots", Producer: 1000}); err != nil {
					b.Fatal(err)
				}
				s.Done(e.Pos)
			}
		})
	}
}
