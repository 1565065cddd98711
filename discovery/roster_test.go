package discovery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var t0 = time.Unix(1_764_000_000, 0)

func member(addr string, tags ...string) Member {
	h, p, err := SplitAddr(addr)
	if err != nil {
		panic(err)
	}
	m := map[string]string{}
	for i := 0; i+1 < len(tags); i += 2 {
		m[tags[i]] = tags[i+1]
	}
	return Member{Instance: Instance{Key: Key{"checkout", "prod", h, p}, Member: "x-" + addr, Format: "kingpin", Shard: NoShard, Tags: TagsOf(m)}}
}

func set(source, path string, ms ...Member) Set {
	return Set{Source: source, Path: path, Members: ms, Verified: t0}
}

// states is what the roster says, as "addr=state" joined by spaces.
func states(r *Roster) string {
	var out []string
	for _, e := range r.Entries() {
		name := e.Member
		if e.Host != "" {
			name = e.Addr()
		}
		out = append(out, name+"="+string(e.State))
	}
	return strings.Join(out, " ")
}

func moves(cs []Change) string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Addr()+":"+string(c.Was)+">"+string(c.State))
	}
	return strings.Join(out, " ")
}

func TestRosterApply(t *testing.T) {
	a, b := member("10.0.0.1:80"), member("10.0.0.2:80")
	a2 := member("10.0.0.1:80", "service.version", "2")
	rejoined := a
	rejoined.Member, rejoined.Zxid = "y-10.0.0.1:80", 9
	bad := Member{Instance: Instance{Key: Key{Service: "checkout", Env: "prod"}, Member: "junk"}, Err: errors.New("no port")}
	failing := a
	failing.Status = "failing"
	for _, tc := range []struct {
		name   string
		sets   []Set
		states string
		last   string // moves of the last set
	}{
		{"join", []Set{set("z", "/p", a, b)}, "10.0.0.1:80=present 10.0.0.2:80=present", "10.0.0.1:80:>present 10.0.0.2:80:>present"},
		{"leave", []Set{set("z", "/p", a, b), set("z", "/p", a)}, "10.0.0.1:80=present 10.0.0.2:80=departed", "10.0.0.2:80:present>departed"},
		{"come back", []Set{set("z", "/p", a), set("z", "/p"), set("z", "/p", a)}, "10.0.0.1:80=present", "10.0.0.1:80:departed>present"},
		{"change of tags is no leave", []Set{set("z", "/p", a), set("z", "/p", a2)}, "10.0.0.1:80=present", "10.0.0.1:80:present>present"},
		{"joined again under a new name: nothing happened", []Set{set("z", "/p", a), set("z", "/p", a, rejoined), set("z", "/p", rejoined)}, "10.0.0.1:80=present", ""},
		{"one bad member hurts itself", []Set{set("z", "/p", a, bad)}, "junk=unparsable 10.0.0.1:80=present", ":0:>unparsable 10.0.0.1:80:>present"},
		{"failing", []Set{set("z", "/p", a), set("z", "/p", failing)}, "10.0.0.1:80=failing", "10.0.0.1:80:present>failing"},
		{"two paths hold it, one leaves", []Set{set("z", "/p", a), set("z", "/q", a), set("z", "/p")}, "10.0.0.1:80=present", "10.0.0.1:80:present>present"},
		{"the second holder leaves", []Set{set("z", "/p", a), set("z", "/q", a), set("z", "/q")}, "10.0.0.1:80=present", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewRoster(RosterOptions{})
			var last []Change
			for _, s := range tc.sets {
				last = r.Apply(s, t0)
			}
			if got := states(r); got != tc.states {
				t.Errorf("states\n got %s\nwant %s", got, tc.states)
			}
			if got := moves(last); got != tc.last {
				t.Errorf("moves\n got %s\nwant %s", got, tc.last)
			}
		})
	}
}

func TestRosterViewDropsPaths(t *testing.T) {
	r := NewRoster(RosterOptions{})
	r.Apply(set("z", "/p", member("10.0.0.1:80")), t0)
	r.Apply(set("z", "/q", member("10.0.0.2:80")), t0)
	r.Apply(set("other", "/q", member("10.0.0.3:80")), t0)
	r.See(View{Source: "z", Connected: false}, t0)
	if got, want := states(r), "10.0.0.1:80=present 10.0.0.2:80=present 10.0.0.3:80=present"; got != want {
		t.Fatalf("a source that cannot see emptied the roster: %s", got)
	}
	r.See(View{Source: "z", Complete: true, Paths: []string{"/p"}}, t0)
	if got, want := states(r), "10.0.0.1:80=present 10.0.0.2:80=departed 10.0.0.3:80=present"; got != want {
		t.Fatalf("got %s want %s", got, want)
	}
}

func TestRosterFilter(t *testing.T) {
	drop := func(i *Instance) (string, bool) { return "port 80 is not allowed", i.Port != 80 }
	r := NewRoster(RosterOptions{Filter: drop})
	r.Apply(set("z", "/p", member("10.0.0.1:80"), member("10.0.0.2:81")), t0)
	if got, want := states(r), "10.0.0.1:80=filtered 10.0.0.2:81=present"; got != want {
		t.Fatalf("got %s want %s", got, want)
	}
	if n := len(r.Targets()); n != 1 {
		t.Fatalf("%d targets, want 1", n)
	}
	if got, want := moves(r.Refilter(func(*Instance) (string, bool) { return "", true }, t0)), "10.0.0.1:80:filtered>present"; got != want {
		t.Fatalf("refilter: got %s want %s", got, want)
	}
}

func TestRosterExpire(t *testing.T) {
	r := NewRoster(RosterOptions{KeepFor: time.Hour, KeepAtMost: 1})
	r.Apply(set("z", "/p", member("10.0.0.1:80"), member("10.0.0.2:80")), t0)
	r.Apply(set("z", "/p", member("10.0.0.2:80")), t0.Add(time.Second))
	r.Apply(set("z", "/p"), t0.Add(2*time.Second))
	r.Expire(t0.Add(3 * time.Second))
	if got, want := states(r), "10.0.0.2:80=departed"; got != want {
		t.Fatalf("over the limit the oldest goes first: got %s want %s", got, want)
	}
	r.Expire(t0.Add(2 * time.Hour))
	if got := states(r); got != "" {
		t.Fatalf("still there after KeepFor: %s", got)
	}
}

func TestRosterDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roster.json")
	a := NewRoster(RosterOptions{})
	if err := a.Load(file, []string{"z"}, t0); err != nil {
		t.Fatalf("no file is an empty roster: %v", err)
	}
	a.Apply(set("z", "/p", member("10.0.0.1:80", "team", "pay"), member("[::1]:81")), t0)
	a.Apply(set("gone", "/p2", member("10.0.0.9:80")), t0)
	if err := a.Save(file, t0); err != nil {
		t.Fatal(err)
	}
	b := NewRoster(RosterOptions{})
	if err := b.Load(file, []string{"z"}, t0.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, want := states(b), "10.0.0.1:80=unconfirmed [::1]:81=unconfirmed"; got != want {
		t.Fatalf("got %s want %s", got, want)
	}
	if v := b.Targets()[0].Tags.Get("team"); v != "pay" {
		t.Fatalf("tag team = %q, want pay", v)
	}
	b.Apply(set("z", "/p", member("10.0.0.1:80", "team", "pay")), t0.Add(2*time.Minute))
	if got, want := states(b), "10.0.0.1:80=present [::1]:81=departed"; got != want {
		t.Fatalf("after the source spoke: got %s want %s", got, want)
	}
	if err := os.WriteFile(file, []byte(`{"v":1,"entries":[{"serv`), 0o644); err != nil {
		t.Fatal(err)
	}
	c := NewRoster(RosterOptions{})
	if err := c.Load(file, []string{"z"}, t0); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("a damaged file must be named: %v", err)
	}
}

type sourceFunc struct {
	name string
	run  func(context.Context, *Latest) error
}

func (s *sourceFunc) Name() string                               { return s.name }
func (s *sourceFunc) Run(ctx context.Context, out *Latest) error { return s.run(ctx, out) }

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := NewRoster(RosterOptions{})
		starts := map[string]*atomic.Int32{"a": {}, "b": {}}
		source := func(name, last string) Source {
			return &sourceFunc{name, func(ctx context.Context, out *Latest) error {
				starts[name].Add(1)
				out.PutSet(set(name, "/"+name, member(last)))
				<-ctx.Done()
				return ctx.Err()
			}}
		}
		var n int
		w := NewWatcher(r, func(cs []Change) { n += len(cs) })
		done := make(chan error, 1)
		a, b := source("a", "10.0.0.2:80"), source("b", "10.0.0.3:80")
		if err := w.Set([]Source{a, b}); err != nil {
			t.Fatal(err)
		}
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		if got, want := states(r), "10.0.0.2:80=present 10.0.0.3:80=present"; got != want || n == 0 {
			t.Fatalf("got %s want %s, %d changes", got, want, n)
		}
		w.Set([]Source{a})
		synctest.Wait()
		if got, want := states(r), "10.0.0.2:80=present 10.0.0.3:80=departed"; got != want || starts["a"].Load() != 1 {
			t.Fatalf("one source taken away: got %s want %s, a started %d times", got, want, starts["a"].Load())
		}
		w.Set([]Source{source("a", "10.0.0.4:80")})
		synctest.Wait()
		if got, want := states(r), "10.0.0.2:80=departed 10.0.0.3:80=departed 10.0.0.4:80=present"; got != want || starts["a"].Load() != 2 {
			t.Fatalf("one source replaced: got %s want %s, a started %d times", got, want, starts["a"].Load())
		}
		if err := w.Set([]Source{a, a}); err == nil {
			t.Fatal("two sources of one name were taken")
		}
		w.Set([]Source{&sourceFunc{"broken", func(context.Context, *Latest) error { return errors.New("bad path") }}})
		if err := <-done; err == nil || !strings.Contains(err.Error(), `"broken"`) {
			t.Fatalf("a source that cannot run must be named: %v", err)
		}
		cancel()
	})
}

func TestLatest(t *testing.T) {
	l := NewLatest()
	for range 100 { // a slow reader sees the latest, not a queue
		l.PutSet(set("z", "/p", member("10.0.0.1:80")))
		l.PutView(View{Source: "z"})
	}
	l.PutSet(set("a", "/p", member("10.0.0.3:80")))
	l.PutSet(set("z", "/p", member("10.0.0.2:80")))
	l.PutView(View{Source: "z", Complete: true, Paths: []string{"/p"}})
	l.PutView(View{Source: "z", Connected: true})
	<-l.Ready()
	sets, views := l.Take()
	if len(sets) != 2 || sets[0].Source != "a" || sets[1].Members[0].Addr() != "10.0.0.2:80" {
		t.Errorf("sets %+v", sets)
	}
	if len(views) != 1 || !views[0].Connected || !views[0].Complete || len(views[0].Paths) != 1 {
		t.Errorf("a complete list of paths was lost before anybody took it: %+v", views)
	}
	if sets, views := l.Take(); len(sets)+len(views) != 0 {
		t.Error("taken twice")
	}
}

func TestTags(t *testing.T) {
	a := TagsOf(map[string]string{"b": "2", "a": "1", "": "x", "e": ""})
	b := TagsOf(map[string]string{"a": "1", "b": "2"})
	if a != b || a.Len() != 2 || a.Get("b") != "2" || a.Get("c") != "" {
		t.Fatalf("%v %v", a.Map(), b.Map())
	}
	if c := a.With(map[string]string{"a": "", "c": "3"}); c != TagsOf(map[string]string{"b": "2", "c": "3"}) {
		t.Fatalf("With: %v", c.Map())
	}
	if n := TagsOf(map[string]string{"b": "1", "\x00a": "2\x00", "c": "\x00"}); n != TagsOf(map[string]string{"a": "2", "b": "1"}) {
		t.Fatalf("NULs: %v", n.Map())
	}
	if (Tags{}).Len() != 0 || !TagsOf(nil).IsZero() {
		t.Fatal("the zero Tags is empty")
	}
}
