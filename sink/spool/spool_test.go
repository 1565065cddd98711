package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Path: "x"}, ""},
		{Config{}, "no path"},
		{Config{Path: "x", MaxBytes: 1}, "at least 16 MiB"},
		{Config{Path: "x", SegmentBytes: 1}, "want 256 KiB to 1 GiB"},
		{Config{Path: "x", MaxBytes: 16 << 20, SegmentBytes: 8 << 20}, "at most a fourth"},
		{Config{Path: "x", Fsync: 9}, "unknown fsync"},
	} {
		if err := tc.c.Validate(); (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.c, err, tc.want)
		}
	}
	for _, tc := range []struct {
		text string
		want Fsync
		ok   bool
	}{{"", FsyncInterval, true}, {"interval", FsyncInterval, true}, {"never", FsyncNever, true}, {"each", FsyncEach, true}, {"always", 0, false}} {
		if got, err := ParseFsync(tc.text); got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %v %v", tc.text, got, err)
		}
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	if _, err := Open(Config{Path: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(meta(0, 1), nil); err == nil {
		t.Error("a closed spool takes batches")
	}
	second, err := Open(Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	if b := second.Before(); !b.Any || !b.Clean || b.Doubtful || b.PowerLoss {
		t.Errorf("before: %+v", b)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestHowTheLastOneEnded(t *testing.T) {
	for _, tc := range []struct {
		name            string
		fsync           Fsync
		boot            string
		clean, doubtful bool
	}{
		{"closed", FsyncInterval, "a", true, false},
		{"killed", FsyncInterval, "a", false, false},
		{"power lost", FsyncInterval, "b", false, true},
		{"power lost, each synced", FsyncEach, "b", false, false},
		{"closed, then a new boot", FsyncInterval, "b", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			s := small(t, dir, func(s *Spool) { s.boot, s.cfg.Fsync = "a", tc.fsync })
			s.put(t, 0, 1)
			before := time.Now().UnixMilli()
			if err := s.tend(time.Now(), true); err != nil {
				t.Fatal(err)
			}
			if tc.clean {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s.abandon()
			n := small(t, dir, func(s *Spool) { s.boot = tc.boot })
			if b := n.Before(); b.Clean != tc.clean || b.Doubtful != tc.doubtful || b.PowerLoss != (!tc.clean && tc.boot == "b") || b.LastSeen < before || b.Batches != 1 {
				t.Errorf("%+v", b)
			}
			if e := n.put(t, 0, 2); n.Inherited(e.Pos) || !n.Inherited(n.waiting(t)[1]) {
				t.Error("what is inherited is not told from what is ours")
			}
		})
	}
}

func TestNextGivesEachOnceAndInOrder(t *testing.T) {
	s := small(t, t.TempDir(), nil)
	for seq := uint64(1); seq <= 60; seq++ {
		e := s.put(t, int32(seq%3), seq)
		if seq%2 == 0 {
			s.Release(e) // the owner has forgotten it
		}
	}
	var got []uint64
	from, left := Pos{}, 0
	for {
		es, next := s.Next(0, 0, from, 4, nil)
		if len(es) == 0 {
			break
		}
		for _, e := range es {
			got = append(got, e.First)
		}
		from = next
		left++
	}
	if want := "[6 12 18 24 30 36 42 48 54 60]"; fmt.Sprint(got) != want || left != 3 {
		t.Errorf("%v in %d", got, left)
	}
	if es, _ := s.Next(0, 0, Pos{}, 4, nil); len(es) != 0 {
		t.Errorf("given twice: %v", es)
	}
	if es := s.Recent(1055, 100, nil); len(es) != 3-1 || es[0].First != 56 {
		t.Errorf("recent: %v", es)
	}
	if ps := s.Partitions(0, nil); !slices.Equal(ps, []int32{0, 1, 2}) {
		t.Errorf("partitions %v", ps)
	}
	if n := len(s.loaded); n > maxLoaded {
		t.Errorf("%d indices in memory", n)
	}
	e, ok := s.Hold(Pos{1, segmentHead}, nil)
	if !ok || e.First != 1 {
		t.Errorf("hold: %v %t", e, ok)
	}
}

// What an earlier process left is told once, all of it, before any of it is given.
func TestStock(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	for seq := uint64(1); seq <= 40; seq++ {
		s.put(t, int32(seq%2), seq)
	}
	s.Done(Pos{1, segmentHead})
	s.tend(time.Now(), false)
	s.abandon()
	n := small(t, dir, nil)
	n.put(t, 0, 99)
	told := map[uint64]int{}
	tell := func(e Entry) { told[e.First]++ }
	es, _ := n.Next(0, 0, Pos{}, 2, tell)
	for _, e := range es {
		if told[e.First] != 1 {
			t.Errorf("%d given, told %d times", e.First, told[e.First])
		}
	}
	for n.Stock(tell) {
	}
	if len(told) != 39 || told[1] != 0 || told[99] != 0 || slices.Max(slices.Collect(maps.Values(told))) != 1 {
		t.Errorf("told %v", told)
	}
}

// Over the budget the oldest go that were never attempted; a segment that only an attempt holds takes no more of the disk than that.
func TestBudget(t *testing.T) {
	s := small(t, t.TempDir(), func(s *Spool) { s.cfg.SegmentBytes, s.cfg.MaxBytes = 64<<10, 1<<20 })
	big := make([]byte, 9<<10)
	var sent, ours Entry
	gone := map[uint64]bool{}
	for seq := uint64(1); seq <= 400; seq++ {
		for _, e := range s.Excess(int64(len(big))+200, func(p Pos) bool { return p == ours.Pos }, nil) {
			if gone[e.First] || e.First == sent.First || e.First == ours.First || len(e.Counts) != 1 {
				t.Fatalf("%d dropped", e.First)
			}
			gone[e.First] = true
		}
		e, err := s.Append(meta(0, seq), big)
		if err != nil {
			t.Fatal(err)
		}
		switch seq {
		case 3:
			sent = e
			if err := s.Attempt(attempt(e, 1)); err != nil {
				t.Fatal(err)
			}
		case 12:
			ours = e
		}
		if s.bytes > s.cfg.MaxBytes {
			t.Fatalf("%d bytes after %d", s.bytes, seq)
		}
	}
	for seq := range gone {
		if seq > uint64(len(gone))+2 {
			t.Errorf("%d went, and %d were older", seq, len(gone))
		}
	}
	var blocks int64
	for _, f := range files(t, s.cfg.Path, "*"+segSuffix) {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		blocks += allocated(st)
	}
	if d := blocks - s.bytes; d < -64<<10 || d > 64<<10 {
		t.Errorf("%d bytes on disk, %d by our account", blocks, s.bytes)
	}
	s.abandon()
	n := small(t, s.cfg.Path, nil)
	if a := n.Attempts(); len(a) != 1 || a[0].Pos != sent.Pos {
		t.Errorf("attempts %v", a)
	}
	for _, e := range []Entry{sent, ours} {
		got, ok := n.Hold(e.Pos, func(Entry) {})
		if b, err := n.Read(got); !ok || err != nil || string(b) != string(big) {
			t.Errorf("%v: %t %v", e.Pos, ok, err)
		}
	}
	if st := n.Status(); st.Batches != 400-len(gone) || st.Oldest > sent.Oldest {
		t.Errorf("%+v, %d gone", st, len(gone))
	}
}

func TestDiskFull(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		t.Run(fault.Error(), func(t *testing.T) {
			full := false
			dir := t.TempDir()
			s := small(t, dir, func(s *Spool) {
				s.write = func(f *os.File, b []byte, at int64) error {
					if full && strings.HasSuffix(f.Name(), segSuffix) {
						_ = writeAt(f, b[:len(b)/2], at)
						return &os.PathError{Op: "write", Path: f.Name(), Err: fault}
					}
					return writeAt(f, b, at)
				}
			})
			first := s.put(t, 0, 1)
			full = true
			for range 3 {
				if _, err := s.Append(meta(0, 2), batchOf(0, 2)); !errors.Is(err, fault) {
					t.Fatalf("%v", err)
				}
			}
			if st := s.Status(); !errors.Is(st.Fault, fault) || st.Batches != 1 || st.Since.IsZero() {
				t.Errorf("%+v", st)
			}
			if err := s.Attempt(attempt(first, 1)); err != nil {
				t.Errorf("an attempt: %v", err)
			}
			full = false
			s.retry = time.Time{} // a second has passed
			s.put(t, 0, 3)
			if st := s.Status(); st.Fault != nil {
				t.Errorf("%+v", st)
			}
			s.abandon()
			n := small(t, dir, nil)
			if got := n.waiting(t); len(got) != 2 || got[1] != first.Pos || n.damaged != (Damage{}) {
				t.Errorf("%v %+v", got, n.damaged)
			}
		})
	}
}

func TestFolderRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := small(t, dir, nil)
	for seq := range uint64(40) {
		s.put(t, 0, seq+1)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.tend(time.Now(), true); err != nil {
		t.Fatal(err)
	}
	if s.damaged.Entries != 40 {
		t.Errorf("%+v", s.damaged)
	}
	e := s.put(t, 0, 50)
	if err := s.Attempt(attempt(e, 1)); err != nil {
		t.Fatal(err)
	}
	s.abandon()
	n := small(t, dir, nil)
	if got := n.waiting(t); len(got) != 1 || len(n.Attempts()) != 1 {
		t.Errorf("%v", got)
	}
}

func TestAside(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	e := s.put(t, 2, 7)
	if gone, err := s.SetAside(e, batchOf(2, 7), "live", "too_large", 5000); err != nil || len(gone) != 0 {
		t.Fatal(gone, err)
	}
	if _, err := s.SetAside(Entry{Meta: meta(1, 9)}, batchOf(1, 9), "backfill", "record", 70_000); err != nil {
		t.Fatal(err)
	}
	if got := s.waiting(t); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
	list := func() (names []string) {
		if err := Asides(dir, func(a Aside, err error) {
			if err != nil || a.Reason == "" || a.Records != 2 {
				t.Errorf("%+v, %v", a, err)
			}
			names = append(names, a.Name)
		}); err != nil {
			t.Fatal(err)
		}
		return names
	}
	names := list()
	if len(names) != 2 {
		t.Fatal(names)
	}
	a, err := ReadAside(dir, names[0])
	if err != nil || string(a.Batch()) != string(batchOf(2, 7)) || a.Topic != "live" || a.Reason != "too_large" || a.At != 5000 || a.First != 7 || a.Partition != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := s.Retry(names[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.DropAside(names[1]); err != nil {
		t.Fatal(err)
	}
	if got := len(list()); got != 0 {
		t.Errorf("%d left", got)
	}
	s.abandon()
	n := small(t, dir, nil)
	if got := n.waiting(t); len(got) != 1 {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"../lock", "lock", "x.batch", ""} {
		if _, err := ReadAside(dir, bad); err == nil {
			t.Errorf("%q is read", bad)
		}
		if s.DropAside(bad) == nil {
			t.Errorf("%q is dropped", bad)
		}
	}
}

func TestAsideIsBounded(t *testing.T) {
	s := small(t, t.TempDir(), nil)
	s.asideMost = 50
	gone := 0
	for i := range s.asideMost + 3 {
		g, err := s.SetAside(Entry{Meta: meta(0, uint64(i+1))}, []byte("x"), "live", "record", int64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range g {
			gone++
			if a.First != uint64(gone) {
				t.Errorf("%d went as number %d", a.First, gone)
			}
		}
	}
	if gone != 3 {
		t.Errorf("%d gone", gone)
	}
}

// Past an eighth of the budget the oldest go, and the newest stays however large it is.
func TestAsideIsBoundedInBytes(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	budget := int(s.cfg.MaxBytes) / asideShare
	for i, tc := range []struct{ size, gone int }{{budget / 3, 0}, {budget / 3, 0}, {budget / 2, 1}, {2 * budget, 2}, {budget / 2, 1}} {
		gone, err := s.SetAside(Entry{Meta: meta(0, uint64(i+1))}, make([]byte, tc.size), "live", "record", int64(i+1))
		if err != nil || len(gone) != tc.gone {
			t.Errorf("number %d: %d gone, want %d: %v", i+1, len(gone), tc.gone, err)
		}
	}
}

// Several lanes may set aside within a millisecond: each batch is kept, and each that has to go is told once.
func TestAsideAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	var wg sync.WaitGroup
	var gone atomic.Int64
	s.asideMost = 30
	const lanes, each = 4, 20
	for range lanes {
		wg.Go(func() {
			for range each {
				g, err := s.SetAside(Entry{Meta: meta(0, 0)}, []byte("x"), "live", "record", 5000)
				if err != nil {
					t.Error(err)
				}
				gone.Add(int64(len(g)))
			}
		})
	}
	wg.Wait()
	names, err := asideNames(dir)
	if err != nil || len(names) != s.asideMost || gone.Load() != int64(lanes*each-s.asideMost) {
		t.Errorf("%d aside, %d gone: %v", len(names), gone.Load(), err)
	}
}

func TestLookWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir, nil)
	for seq := uint64(1); seq <= 30; seq++ {
		e := s.put(t, 0, seq)
		if seq%2 == 0 {
			if err := s.Attempt(attempt(e, int32(seq))); err != nil {
				t.Fatal(err)
			}
		}
		if seq%4 == 0 {
			s.Done(e.Pos)
		}
	}
	s.tend(time.Now(), false)
	v, err := Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	n, sent := 0, 0
	v.Each(func(e Entry, a *Attempt) bool {
		n++
		if a != nil {
			sent++
		}
		b, err := v.Read(e)
		if err != nil || string(b) != string(batchOf(0, e.First)) {
			t.Errorf("%v: %v", e.Pos, err)
		}
		if f, ok := v.Find(e.Pos.String()); !ok || f.First != e.First {
			t.Errorf("%v is not found", e.Pos)
		}
		return true
	})
	if n != 23 || sent != 8 || v.Status().Batches != 23 {
		t.Errorf("%d wait, %d attempted, %+v", n, sent, v.Status())
	}
	if _, ok := v.Find("7-7"); ok {
		t.Error("found what is not there")
	}
	s.put(t, 0, 31) // the owner is not disturbed
	if len(s.waiting(t)) != 0 {
		t.Error("what is held is given")
	}
	if _, err := Look(t.TempDir()); err == nil {
		t.Error("an empty folder is no spool")
	}
}

func TestRunSyncsAndBeats(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := small(t, dir, func(s *Spool) { s.cfg.Fsync = FsyncInterval })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		e := s.put(t, 0, 1)
		s.Done(e.Pos)
		time.Sleep(150 * time.Millisecond)
		s.jmu.Lock()
		if len(s.journal.wait) != 0 {
			t.Error("marks wait for more than 100 ms")
		}
		s.jmu.Unlock()
		time.Sleep(5 * time.Minute)
		now := time.Now().UnixMilli()
		cancel()
		<-done
		if len(files(t, dir, journalPrefix+"*")) != 1 || s.journal.n < 3 {
			t.Errorf("journal %d, files %v", s.journal.n, files(t, dir, journalPrefix+"*"))
		}
		s.abandon()
		if b := small(t, dir, nil).Before(); b.LastSeen < now-1000 || b.Clean {
			t.Errorf("%+v at %d", b, now)
		}
	})
}
