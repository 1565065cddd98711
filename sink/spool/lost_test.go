package spool

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// books is a ledger of the spool's owner: what is told and not yet settled.
type books struct{ in, lost map[string]uint64 }

func newBooks() *books { return &books{map[string]uint64{}, map[string]uint64{}} }

func (b *books) told(e Entry) {
	for _, c := range e.Counts {
		b.in[c.Key] += c.N
	}
}

func (b *books) settled(e Entry) {
	for _, c := range e.Counts {
		b.in[c.Key] -= c.N
	}
}

func (b *books) take(l Lost) {
	for _, c := range l.Counts {
		b.lost[c.Key] += c.N
		b.in[c.Key] -= c.N
	}
}

func (b *books) sum() (n uint64) {
	for _, v := range b.in {
		n += v
	}
	return n
}

// What is lost with a segment, whatever became of the segment, is told with its counts, and only what nobody holds: the owner settles that.
func TestLostIsTold(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, s *Spool){
		"unreadable": func(t *testing.T, s *Spool) {
			for _, f := range files(t, s.cfg.Path, "*"+segSuffix)[:2] {
				if err := errors.Join(os.Remove(f), os.Mkdir(f, 0o700)); err != nil {
					t.Fatal(err)
				}
			}
		},
		"index and entries damaged": func(t *testing.T, s *Spool) {
			for _, f := range files(t, s.cfg.Path, "*"+segSuffix)[:2] {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				clear(b[segmentHead : len(b)-tailSize])
				if err := os.WriteFile(f, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
		"folder removed": func(t *testing.T, s *Spool) {
			if err := os.RemoveAll(s.cfg.Path); err != nil {
				t.Fatal(err)
			}
			if err := s.tend(time.Now(), true); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBooks()
			s := small(t, filepath.Join(t.TempDir(), "s"), func(s *Spool) { s.cfg.Lost = b.take })
			var es []Entry
			for seq := uint64(1); seq <= 80; seq++ {
				e := s.put(t, int32(seq%3), seq)
				b.told(e)
				es = append(es, e)
			}
			if len(s.segments) < maxLoaded+4 {
				t.Fatalf("%d segments", len(s.segments))
			}
			held := map[Pos]Entry{}
			for i, e := range es {
				switch i % 4 {
				case 0:
					held[e.Pos] = e
				case 1:
					s.Done(e.Pos)
					b.settled(e)
				default:
					s.Release(e)
				}
			}
			harm(t, s)
			for part := range int32(3) {
				for from := (Pos{}); ; {
					out, next := s.Next(0, part, from, 5, nil)
					for _, e := range out {
						held[e.Pos] = e
					}
					if from = next; len(out) == 0 {
						break
					}
				}
			}
			if len(b.lost) == 0 {
				t.Error("nothing is told lost")
			}
			n := 0
			for p, e := range held { // the owner settles what it holds; one it forgets instead is lost then
				if n++; n%3 == 0 && s.segment(p.Segment) == nil {
					s.Release(e)
					continue
				}
				s.Done(p)
				b.settled(e)
			}
			if b.sum() != 0 {
				t.Errorf("in the books for ever: %v", b.in)
			}
		})
	}
}

// One segment that cannot be read costs what is in it and nothing else; when it can be read again, what was done does not come back.
func TestOneSegmentCannotBeRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	want, attempts := stand(t, dir)
	bad := files(t, dir, "*"+segSuffix)[0]
	if err := errors.Join(os.Rename(bad, bad+".kept"), os.Mkdir(bad, 0o700)); err != nil {
		t.Fatal(err)
	}
	s := small(t, dir, nil)
	got := s.waiting(t)
	for seq, p := range want {
		if _, ok := got[seq]; ok == (p.Segment == 1) {
			t.Errorf("%d at %v is there: %t", seq, p, ok)
		}
	}
	for seq := uint64(200); seq < 240; seq++ { // journals come and go
		s.Done(s.put(t, 1, seq).Pos)
		if err := s.tend(time.Now(), true); err != nil {
			t.Fatal(err)
		}
	}
	if s.Status().Damage.Bytes == 0 {
		t.Error("it is not counted")
	}
	s.abandon()
	if err := errors.Join(os.Remove(bad), os.Rename(bad+".kept", bad)); err != nil {
		t.Fatal(err)
	}
	n := small(t, dir, nil)
	if got := n.waiting(t); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, a := range n.Attempts() {
		if attempts[a.Pos] != a {
			t.Errorf("%+v", a)
		}
		delete(attempts, a.Pos)
	}
	if len(attempts) != 0 {
		t.Errorf("forgotten: %+v", attempts)
	}
}

// A sync that failed is done again: nothing that it left out is taken for safe, and no journal goes before the one that follows it is on disk.
func TestFailedSyncIsDoneAgain(t *testing.T) {
	synced := map[string]int{}
	broken := false
	s := small(t, t.TempDir(), func(s *Spool) {
		s.cfg.Fsync = FsyncInterval
		s.fsync = func(f *os.File) error {
			if broken {
				return errors.New("no")
			}
			synced[filepath.Base(f.Name())]++
			return f.Sync()
		}
	})
	for seq := uint64(1); seq <= 30; seq++ {
		s.put(t, 0, seq)
	}
	var segments []string
	for _, f := range s.unsynced {
		segments = append(segments, filepath.Base(f.Name()))
	}
	if len(segments) < 2 {
		t.Fatalf("%d full segments", len(segments))
	}
	old := files(t, s.cfg.Path, journalPrefix+"*")
	s.mu.Lock()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	s.mu.Unlock()
	clear(synced)
	broken = true
	for range 3 {
		if err := s.tend(time.Now(), true); err == nil {
			t.Fatal("it is said to be safe")
		}
	}
	if now := files(t, s.cfg.Path, journalPrefix+"*"); len(now) != len(old)+1 {
		t.Errorf("journals %v after %v", now, old)
	}
	if err := s.sync(); err == nil || !s.journal.dirty || !s.names || len(s.unsynced) != len(segments) {
		t.Errorf("%v, dirty %t, names %t, %d files", err, s.journal.dirty, s.names, len(s.unsynced))
	}
	broken = false
	if err := s.tend(time.Now(), true); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(segments, filepath.Base(journalPath("", s.journal.n)), filepath.Base(s.cfg.Path)) {
		if synced[name] == 0 {
			t.Errorf("%s was never synced: %v", name, synced)
		}
	}
	if now := files(t, s.cfg.Path, journalPrefix+"*"); len(now) != 1 || s.journal.dirty || s.names || len(s.unsynced) != 0 {
		t.Errorf("%v, dirty %t, names %t, %d files", now, s.journal.dirty, s.names, len(s.unsynced))
	}
}

// An attempt whose batch is not there is forgotten, and is not written into every journal from then on.
func TestAttemptWithoutBatch(t *testing.T) {
	for _, full := range []bool{false, true} {
		dir := t.TempDir()
		s := small(t, dir, nil)
		s.put(t, 0, 1)
		ghost := Entry{Pos: Pos{1, 999_999}}
		if err := s.Attempt(attempt(ghost, 7)); err != nil {
			t.Fatal(err)
		}
		if full {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s.abandon()
		n := small(t, dir, nil)
		n.waiting(t)
		if _, ok := n.Hold(ghost.Pos, func(Entry) {}); ok || len(n.Attempts()) != 0 {
			t.Errorf("full %t: %+v", full, n.Attempts())
		}
	}
}

// While the journal cannot be written its marks do not pile up, and when it can be written again it says all.
func TestMarksThatWaitAreBounded(t *testing.T) {
	dir := t.TempDir()
	full := false
	s := small(t, dir, func(s *Spool) {
		s.cfg.SegmentBytes, s.journalLimit = 1<<20, 1<<20
		s.write = func(f *os.File, b []byte, at int64) error {
			if full && filepath.Base(f.Name())[0] == 'j' {
				return errors.New("no space")
			}
			return writeAt(f, b, at)
		}
	})
	first := s.put(t, 0, 1)
	done := s.put(t, 0, 2)
	full = true
	a := attempt(first, 3)
	if err := s.Attempt(a); err == nil {
		t.Fatal("it is said to be journalled")
	}
	s.Done(done.Pos)
	for range 40 {
		s.Done(make([]Pos, 10_000)...)
		_ = s.tend(time.Now(), true)
		if n := len(s.journal.wait); n > 2*maxWait {
			t.Fatalf("%d bytes wait", n)
		}
	}
	full = false
	if err := s.tend(time.Now(), true); err != nil {
		t.Fatal(err)
	}
	b := attempt(first, 4)
	if err := s.Attempt(b); err != nil {
		t.Fatal(err)
	}
	s.abandon()
	n := small(t, dir, nil)
	if got := n.waiting(t); len(got) != 1 || got[1] != first.Pos {
		t.Errorf("%v", got)
	}
	if got := n.Attempts(); len(got) != 1 || got[0] != b {
		t.Errorf("%+v", got)
	}
}

// Wherever a crash strikes while a batch goes aside, or comes back, it is in one place afterwards.
func TestAsideIsInOnePlace(t *testing.T) {
	for _, retry := range []bool{false, true} {
		for _, full := range []bool{false, true} {
			for _, where := range []string{"before", "between", "after"} {
				dir := t.TempDir()
				s := small(t, dir, nil)
				s.put(t, 1, 1)
				e := s.put(t, 1, 2)
				s.put(t, 2, 3)
				if retry {
					if _, err := s.SetAside(e, batchOf(1, 2), "live", "record", 5); err != nil {
						t.Fatal(err)
					}
				}
				name := "5-" + e.Pos.String() + "-1-2" + asideTail
				path := filepath.Join(dir, asideDir, name)
				switch {
				case !retry && where == "between":
					b, err := os.ReadFile(writeOne(t, e, batchOf(1, 2)))
					if err == nil {
						err = os.WriteFile(path, b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				case !retry && where == "after":
					if _, err := s.SetAside(e, batchOf(1, 2), "live", "record", 5); err != nil {
						t.Fatal(err)
					}
				case retry && where == "before":
					if err := os.Rename(path, path+retryTail); err != nil {
						t.Fatal(err)
					}
				case retry && where == "between":
					b, err := os.ReadFile(path)
					if err == nil {
						err = s.Retry(name)
					}
					if err == nil {
						err = os.WriteFile(path+retryTail, b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				case retry:
					if err := s.Retry(name); err != nil {
						t.Fatal(err)
					}
				}
				if full {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				s.abandon()
				n := small(t, dir, nil)
				waits, aside := 0, 0
				if got := n.waiting(t); got[2] != (Pos{}) {
					waits++
				} else if len(got) != 2 {
					t.Errorf("%v", got)
				}
				if err := Asides(dir, func(a Aside, err error) {
					if aside++; err != nil || a.First != 2 {
						t.Errorf("%+v %v", a, err)
					}
				}); err != nil {
					t.Fatal(err)
				}
				wantAside := retry == (where == "before")
				if waits+aside != 1 || (aside == 1) != wantAside {
					t.Errorf("retry %t, full %t, %s: %d wait, %d aside", retry, full, where, waits, aside)
				}
				if left := files(t, filepath.Join(dir, asideDir), "*"+retryTail); len(left) != 0 {
					t.Errorf("left %v", left)
				}
			}
		}
	}
}

// writeOne makes the file of a batch that is set aside, in a folder of its own.
func writeOne(t *testing.T, e Entry, batch []byte) string {
	t.Helper()
	dir := t.TempDir()
	s := small(t, dir, nil)
	if _, err := s.SetAside(Entry{Meta: e.Meta}, batch, "live", "record", 5); err != nil {
		t.Fatal(err)
	}
	return files(t, filepath.Join(dir, asideDir), "*"+asideTail)[0]
}

// Over the budget every append asks what may go. Where nothing may, that costs no writing, and no reading each time.
func TestExcessIsCheapWhereNothingMayGo(t *testing.T) {
	var written int64
	s := small(t, t.TempDir(), func(s *Spool) {
		s.cfg.SegmentBytes, s.cfg.MaxBytes = 8000, 64_000
		s.write = func(f *os.File, b []byte, at int64) error {
			written += int64(len(b))
			return writeAt(f, b, at)
		}
	})
	keep := map[Pos]Entry{}
	for seq := uint64(1); s.bytes < s.cfg.MaxBytes+16_000; seq++ {
		e := s.put(t, 0, seq)
		if seq%3 != 0 { // so much of each segment that hollowing it gives a third
			keep[e.Pos] = e
		}
		s.Release(e)
	}
	asked := 0
	kept := func(p Pos) bool { asked++; _, ok := keep[p]; return ok }
	s.Excess(0, kept, nil)
	before := written
	for range 200 {
		for _, g := range s.segments { // as if a second had passed
			g.barren = time.Time{}
		}
		s.Excess(1<<20, kept, nil)
	}
	if written-before > s.cfg.MaxBytes {
		t.Errorf("%d bytes are written over and over", written-before)
	}
	asked = 0
	for range 1000 {
		s.Excess(1<<20, kept, nil)
	}
	if asked > 2*len(keep) {
		t.Errorf("%d questions about %d batches", asked, len(keep))
	}
	for _, e := range keep {
		if _, err := s.Read(e); err != nil {
			t.Fatal(err)
		}
	}
}
