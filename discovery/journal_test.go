package discovery

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kept runs a journal of r over do, in a bubble, and is what it did.
func kept(t *testing.T, dir string, r *Roster, sources []string, do func()) JournalStatus {
	t.Helper()
	j := NewJournal(dir, r, nil)
	if err := j.Load(sources, time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	do()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return j.Status()
}

func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := NewRoster(RosterOptions{})
		kept(t, dir, a, []string{"z"}, func() {
			a.Apply(set("z", "/p", member("10.0.0.1:80", "team", "pay"), member("[::1]:81")), time.Now())
			a.Apply(set("gone", "/p2", member("10.0.0.9:80")), time.Now())
			time.Sleep(3 * time.Second)
		})
		b := NewRoster(RosterOptions{})
		kept(t, dir, b, []string{"z"}, func() {
			if got, want := states(b), "10.0.0.1:80=unconfirmed [::1]:81=unconfirmed"; got != want {
				t.Fatalf("got %s want %s", got, want)
			}
			if v := b.Targets()[0].Tags.Get("team"); v != "pay" {
				t.Fatalf("tag team = %q, want pay", v)
			}
			b.Apply(set("z", "/p", member("10.0.0.1:80", "team", "pay")), time.Now())
			if got, want := states(b), "10.0.0.1:80=present [::1]:81=departed"; got != want {
				t.Fatalf("after the source spoke: got %s want %s", got, want)
			}
		})
	})
}

// TestJournalRestart: a restart comes back with who departed and why, penalties, guards, orders.
func TestJournalRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newPlay(t, RosterOptions{})
		p.now = time.Now()
		at := func(d time.Duration) { time.Sleep(d); p.now = time.Now(); p.r.Tick(p.now) }
		var was []Entry
		kept(t, dir, p.r, []string{"z"}, func() {
			p.size("/a", 10)
			at(time.Minute)
			p.size("/a", 4)
			p.hear(true, 1)
			p.size("/b", 3)
			for range 4 {
				p.size("/b", 2)
				at(time.Second)
				p.size("/b", 3)
				at(time.Second)
			}
			p.size("/b", 2)
			p.size("/c", 10)
			at(time.Minute)
			p.size("/c", 9)
			p.r.Obey([]Order{{ID: "1", Kind: FreezeOrder, Path: "/c", By: "ann", At: p.now, Until: p.now.Add(time.Hour)}}, p.now)
			p.size("/c", 8)
			at(2 * time.Second)
			was = p.r.Entries()
		})
		b := newPlay(t, RosterOptions{})
		b.now = time.Now()
		kept(t, dir, b.r, []string{"z"}, func() {
			is := b.r.Entries()
			for i := range was {
				if was[i].State == Present { // not so sure any more
					was[i].State, was[i].Reason, was[i].Since = is[i].State, is[i].Reason, is[i].Since
				}
			}
			if d := cmp.Diff(was, is, cmp.Comparer(func(a, b Tags) bool { return a == b })); d != "" {
				t.Error(d)
			}
			b.is("21 unconfirmed, 2 departed")
			g := b.r.Guards()
			if len(g) != 2 || g[0].Scope != "/a" || g[0].Answering != 6 || g[0].Peak != 10 || g[1].Frozen == nil || g[1].Held != 1 {
				t.Errorf("guards are %+v", g)
			}
			if o := b.r.Orders(); len(o) != 1 || o[0].By != "ann" {
				t.Errorf("orders are %+v", o)
			}
			b.size("/b", 3)
			if e, _ := b.r.Find(node("/b", 2).Key.String()); e.State != Quarantined || e.Flaps != 5 {
				t.Errorf("the flapper is %s, %d flaps", e.State, e.Flaps)
			}
			b.size("/a", 10)
			b.size("/c", 9)
			b.is("21 present, 1 quarantined, 1 departed")
		})
		// The ensemble was rebuilt while nobody looked.
		c := newPlay(t, RosterOptions{})
		c.now = time.Now()
		kept(t, dir, c.r, []string{"z"}, func() {
			c.r.See(View{Source: "z", Complete: true, Connected: true}, c.now)
			c.is("22 unconfirmed, 1 departed")
		})
	})
}

func TestJournalDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := newPlay(t, RosterOptions{})
		kept(t, dir, a.r, nil, func() { a.size("/p", 10); time.Sleep(2 * time.Second) })
		file := filepath.Join(dir, journalFile)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(whole, []byte("10.0.0.5"))
		for _, tc := range []struct {
			name    string
			damage  func(b []byte) []byte
			n       int
			damaged uint64
		}{
			{"none", func(b []byte) []byte { return b }, 10, 0},
			{"a bit", func(b []byte) []byte { b[at] ^= 1; return b }, 9, 1},
			{"the end is torn", func(b []byte) []byte { return b[:len(b)-1] }, 10, 0},
			{"more of the end is torn", func(b []byte) []byte { return append(b, b[:100]...) }, 10, 1},
			{"a line of nothing", func(b []byte) []byte { return append(b, make([]byte, 500)...) }, 10, 1},
			{"a line of somebody else", func(b []byte) []byte { return append(b, "hello\n"...) }, 10, 1},
			{"a line without end", func(b []byte) []byte {
				return append(bytes.Repeat([]byte("x"), maxLine+1), append([]byte("\n"), b...)...)
			}, 10, 1},
			{"empty", func([]byte) []byte { return nil }, 0, 0},
		} {
			if err := os.WriteFile(file, tc.damage(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			r := NewRoster(RosterOptions{})
			j := NewJournal(dir, r, nil)
			if err := j.Load([]string{"z"}, time.Now()); err != nil || len(r.Entries()) != tc.n || j.Status().Damaged != tc.damaged {
				t.Errorf("%s: %d entries, %+v: %v", tc.name, len(r.Entries()), j.Status(), err)
			}
		}
	})
}

// TestJournalUnwritten: a journal that cannot be written whole leaves nothing behind that takes room, says so, and is written when it can be.
func TestJournalUnwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, journalFile)
		if err := os.MkdirAll(filepath.Join(file, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		p := newPlay(t, RosterOptions{})
		p.now = time.Now()
		j := NewJournal(dir, p.r, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		p.size("/p", 10)
		time.Sleep(2 * time.Second)
		if _, err := os.Stat(file + ".new"); !errors.Is(err, os.ErrNotExist) || j.Status().Err == "" {
			t.Errorf("%v, %+v", err, j.Status())
		}
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		cancel()
		if err := <-done; err != nil || j.Status().Err != "" {
			t.Errorf("%v, %+v", err, j.Status())
		}
		r := NewRoster(RosterOptions{})
		if err := NewJournal(dir, r, nil).Load([]string{"z"}, time.Now()); err != nil || len(r.Entries()) != 10 {
			t.Errorf("%d entries, %v", len(r.Entries()), err)
		}
	})
}

// TestJournalCost: what is written is what changed, and the file does not grow for ever.
func TestJournalCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newPlay(t, RosterOptions{})
		p.now = time.Now()
		j := NewJournal(dir, p.r, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		p.size("/p", 2000)
		time.Sleep(3 * time.Second)
		before := j.Status()
		p.size("/p", 1999)
		time.Sleep(3 * time.Second)
		if s := j.Status(); s.Lines != before.Lines+1 || s.Bytes-before.Bytes > 2000 {
			t.Errorf("one change cost %d lines, %d bytes", s.Lines-before.Lines, s.Bytes-before.Bytes)
		}
		for i := range 8 {
			for k, m := range p.sets["/p"] {
				c := *m
				c.Tags = TagsOf(map[string]string{"service.version": strconv.Itoa(i)})
				p.sets["/p"][k] = &c
			}
			p.now = time.Now()
			p.apply("/p")
			time.Sleep(2 * time.Second)
		}
		info, err := os.Stat(filepath.Join(dir, journalFile))
		if s := j.Status(); err != nil || s.Compactions < 2 || s.Err != "" || info.Size() > 20<<20 {
			t.Errorf("%v: %d bytes, %+v", err, info.Size(), s)
		}
		cancel()
		<-done
		r := NewRoster(RosterOptions{})
		if err := NewJournal(dir, r, nil).Load([]string{"z"}, time.Now()); err != nil || len(r.Entries()) != 2000 {
			t.Errorf("%d entries: %v", len(r.Entries()), err)
		}
	})
}

// TestJournalWithoutDisk: what could not be written is written when the disk is back.
func TestJournalWithoutDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		p := newPlay(t, RosterOptions{})
		j := NewJournal(dir, p.r, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		p.size("/p", 10)
		time.Sleep(3 * time.Second)
		if j.Status().Err == "" {
			t.Error("nobody noticed that there is no folder")
		}
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if s := j.Status(); s.Err != "" || s.Compactions != 1 {
			t.Errorf("%+v", s)
		}
		cancel()
		<-done
		r := NewRoster(RosterOptions{})
		if err := NewJournal(dir, r, nil).Load([]string{"z"}, time.Now()); err != nil || len(r.Entries()) != 10 {
			t.Errorf("%d entries: %v", len(r.Entries()), err)
		}
	})
}

// TestJournalReadsV1: the roster.json of older versions is read once.
func TestJournalReadsV1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		v1 := filepath.Join(dir, journalV1)
		const file = `{"v":1,"saved":"2026-11-22T00:00:00Z","entries":[
{"service":"checkout","env":"prod","host":"10.0.0.1","port":80,"source":"z","path":"/p","member":"x","format":"kingpin","shard":-1,"tags":{"team":"pay"},"state":"present","since":"2026-11-22T00:00:00Z","joined":"2026-11-22T00:00:00Z","verified":"2026-11-22T00:00:00Z"},
{"service":"checkout","env":"prod","host":"10.0.0.2","port":80,"source":"z","path":"/p","format":"kingpin","shard":-1,"tags":{},"state":"departed","reason":"left /p","since":"2026-11-22T00:00:00Z","joined":"2026-11-22T00:00:00Z","verified":"2026-11-22T00:00:00Z"}]}`
		if err := os.WriteFile(v1, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r := NewRoster(RosterOptions{KeepFor: 1 << 62})
			kept(t, dir, r, []string{"z"}, func() {
				if got, want := states(r), "10.0.0.1:80=unconfirmed 10.0.0.2:80=departed"; got != want {
					t.Errorf("got %s want %s", got, want)
				}
				time.Sleep(2 * time.Second)
			})
			if _, err := os.Stat(v1); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the old file is still there: %v", err)
			}
		}
		if err := errors.Join(os.Remove(filepath.Join(dir, journalFile)), os.WriteFile(v1, []byte(`{"v":1,"entries":[{"serv`), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := NewJournal(dir, NewRoster(RosterOptions{}), nil).Load([]string{"z"}, time.Now()); err == nil || !strings.Contains(err.Error(), v1) {
			t.Errorf("a damaged file must be named: %v", err)
		}
	})
}

// TestReloadAfterRestart: a reload while no source answers confirms nobody, and no rule sees what a rule has made.
func TestReloadAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		move := func(i *Instance) (string, bool) {
			i.StatsPort = i.Port + 1
			i.Tags = i.Tags.With(map[string]string{"rule": i.Tags.Get("rule") + "x"})
			return "port 81 is not ours", i.Port != 81
		}
		a := NewRoster(RosterOptions{Filter: move})
		now := time.Now()
		kept(t, dir, a, []string{"z"}, func() {
			a.Apply(set("z", "/p", member("10.0.0.1:80"), member("10.0.0.2:90"), member("10.0.0.3:81")), now)
			a.Apply(set("z", "/p", member("10.0.0.1:80"), member("10.0.0.3:81")), now)
			if got, want := states(a), "10.0.0.1:80=present 10.0.0.2:90=departed 10.0.0.3:81=filtered"; got != want {
				t.Fatalf("got %s want %s", got, want)
			}
		})
		const held = "10.0.0.1:80=unconfirmed 10.0.0.2:90=departed 10.0.0.3:81=filtered"
		for range 2 { // a second restart changes nothing
			b := NewRoster(RosterOptions{Filter: move})
			kept(t, dir, b, []string{"z"}, func() {
				for range 2 {
					if got := states(b); got != held {
						t.Fatalf("got %s want %s", got, held)
					}
					if cs := b.Refilter(move, now); len(cs) != 0 {
						t.Fatalf("a reload with the same rules moved %s", moves(cs))
					}
					if e := b.Entries()[0]; e.Tags.Get("rule") != "x" || e.StatsPort != 81 {
						t.Fatalf("the rule ran %d times: %+v", len(e.Tags.Get("rule")), e)
					}
				}
			})
			a = b
		}
		all := func(*Instance) (string, bool) { return "", true }
		if got, want := moves(a.Refilter(all, now)), "10.0.0.1:80:unconfirmed>unconfirmed 10.0.0.3:81:filtered>unconfirmed"; got != want {
			t.Fatalf("without the rule: got %s want %s", got, want)
		}
		a.Apply(set("z", "/p", member("10.0.0.1:80"), member("10.0.0.2:90"), member("10.0.0.3:81")), now)
		if got, want := states(a), "10.0.0.1:80=present 10.0.0.2:90=present 10.0.0.3:81=present"; got != want {
			t.Fatalf("the source spoke: got %s want %s", got, want)
		}
	})
}

func FuzzReplay(f *testing.F) {
	j := &Journal{}
	e := savedEntry{Entry: Entry{Instance: *node("/p", 1).instance(), State: Present}}
	for _, l := range []line{{Version: 2}, {Entry: &e}, {Gone: "x"}, {Orders: &[]Order{{ID: "1"}}}, {Heard: map[string]time.Time{"z": t0}}} {
		if err := j.add(l); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(j.buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		for l := range bytes.Lines(b) { // as if each were whole
			var got line
			if got, _ = parseLine(l); got.Entry != nil && got.Entry.Host != "" {
				r := NewRoster(RosterOptions{})
				NewJournal("", r, nil).fill(&replayed{entries: map[string]*savedEntry{"x": got.Entry}}, []string{got.Entry.Source}, t0)
			}
		}
		replay(bytes.NewReader(b))
	})
}

func (m *Member) instance() *Instance { return &m.Instance }
