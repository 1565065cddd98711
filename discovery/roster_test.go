package discovery

import (
	"context"
	"errors"
	"strconv"
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
	s := Set{Source: source, Path: path, Verified: t0}
	for _, m := range ms {
		m.Source, m.Path = source, path
		s.Members = append(s.Members, &m)
	}
	return s
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
			r := NewRoster(RosterOptions{Guard: GuardOptions{Off: true}})
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
	r := NewRoster(RosterOptions{Guard: GuardOptions{Off: true}})
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

// TestRosterHiddenPaths: what a source may not read keeps what is known of it, and no more than that.
func TestRosterHiddenPaths(t *testing.T) {
	r := NewRoster(RosterOptions{Guard: GuardOptions{Off: true}})
	for i, p := range []string{"/a", "/a/b", "/ab", "/c"} {
		r.Apply(set("z", p, member("10.0.0."+strconv.Itoa(i+1)+":80")), t0)
	}
	r.See(View{Source: "z", Complete: true, Paths: []string{}, Hidden: []string{"/a"}}, t0)
	if got, want := states(r), "10.0.0.1:80=present 10.0.0.2:80=present 10.0.0.3:80=departed 10.0.0.4:80=departed"; got != want {
		t.Fatalf("got %s want %s", got, want)
	}
	r.See(View{Source: "z", Complete: true, Paths: []string{"/a"}}, t0)
	if got, want := states(r), "10.0.0.1:80=present 10.0.0.2:80=departed 10.0.0.3:80=departed 10.0.0.4:80=departed"; got != want {
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

func TestRosterTick(t *testing.T) {
	r := NewRoster(RosterOptions{KeepFor: time.Hour, KeepAtMost: 1, Guard: GuardOptions{Off: true}})
	r.Apply(set("z", "/p", member("10.0.0.1:80"), member("10.0.0.2:80")), t0)
	r.Apply(set("z", "/p", member("10.0.0.2:80")), t0.Add(time.Second))
	r.Apply(set("z", "/p"), t0.Add(2*time.Second))
	r.Tick(t0.Add(3 * time.Second))
	if got, want := states(r), "10.0.0.2:80=departed"; got != want {
		t.Fatalf("over the limit the oldest goes first: got %s want %s", got, want)
	}
	r.Tick(t0.Add(2 * time.Hour))
	if got := states(r); got != "" {
		t.Fatalf("still there after KeepFor: %s", got)
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
		r := NewRoster(RosterOptions{Guard: GuardOptions{Off: true}})
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

// reasons is what the roster says of every entry, and of those that another job pulls.
func reasons(r *Roster) string {
	var out []string
	for _, e := range append(r.Entries(), r.Shadowed()...) {
		out = append(out, e.Source+" "+string(e.State)+" "+e.Reason)
	}
	return strings.Join(out, "\n")
}

func TestRosterTwoJobs(t *testing.T) {
	m := member("10.0.0.1:80")
	a, b := set("a", "/p", m), set("b#2", "/p", m)
	const both = "a present seen by job b too, which does not pull it\nb#2 filtered seen by job a too, which pulls it"
	notA := func(i *Instance) (string, bool) { return "not by a", i.Source != "a" }
	for _, tc := range []struct {
		name   string
		filter func(*Instance) (string, bool)
		sets   []Set
		want   string
	}{
		{"the first by name comes first", nil, []Set{a, b}, both},
		{"the first by name comes last", nil, []Set{b, a}, both},
		{"one job sees it at two paths", nil, []Set{a, set("a#2", "/q", m)}, "a present "},
		{"the rules of the first leave it to the second", notA, []Set{a, b}, "b#2 present "},
		{"in the other order, too", notA, []Set{b, a}, "b#2 present "},
		{"no rule keeps it", func(*Instance) (string, bool) { return "no", false }, []Set{b, a}, "a filtered no"},
		{"the owner loses it", nil, []Set{a, b, set("a", "/p")}, "b#2 present "},
		{"the other loses it", nil, []Set{a, b, set("b#2", "/p")}, "a present "},
		{"both lose it", nil, []Set{a, b, set("b#2", "/p"), set("a", "/p")}, "a departed left /p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewRoster(RosterOptions{Filter: tc.filter, Guard: GuardOptions{Off: true}})
			for _, s := range tc.sets {
				r.Apply(s, t0)
			}
			if got := reasons(r); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
			if n := len(r.Targets()); n > 1 {
				t.Errorf("%d targets", n)
			}
		})
	}
}

// TestRosterKnowsWhoseSchemeItIs: a member may not lower its job's https, a rule may.
func TestRosterKnowsWhoseSchemeItIs(t *testing.T) {
	m := member("10.0.0.1:80")
	m.Scheme = "http"
	r := NewRoster(RosterOptions{})
	for _, tc := range []struct {
		rule  func(*Instance)
		ruled bool
	}{
		{func(*Instance) {}, false},
		{func(i *Instance) { i.Scheme = "https" }, true},
		{func(*Instance) {}, false},
	} {
		r.Refilter(func(i *Instance) (string, bool) { tc.rule(i); return "", true }, t0)
		r.Apply(set("z", "/p", m), t0)
		if got := r.Targets()[0]; got.RuledScheme != tc.ruled {
			t.Errorf("%+v, want %t", got, tc.ruled)
		}
	}
}

// BenchmarkLeave is one service of 100 leaving a roster of 20,000 sets.
func BenchmarkLeave(b *testing.B) {
	r := NewRoster(RosterOptions{})
	for i := range 20_000 {
		r.Apply(set("z", "/other/"+strconv.Itoa(i)), t0)
	}
	var ms []Member
	for i := range 100 {
		ms = append(ms, member("10.0.0.1:"+strconv.Itoa(1000+i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Apply(set("z", "/p", ms...), t0)
		r.Apply(set("z", "/p"), t0)
	}
}

// TestGuardOverReload: a name that comes to be another kind of source's is guarded as that kind is, from the first word on.
func TestGuardOverReload(t *testing.T) {
	kind := func(path, format string, n int) (out []*Member) {
		for i := range n {
			m := node(path, i)
			m.Source, m.Format = "apps", format
			out = append(out, m)
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		listed bool // before the reload the configuration names them
		tell   func(r *Roster, now time.Time)
	}{
		{"a list becomes a serverset", true, func(*Roster, time.Time) {}},
		{"a list becomes a serverset, told by the reload", true, func(r *Roster, now time.Time) { r.Refilter(nil, now) }},
		{"a serverset becomes a list", false, func(*Roster, time.Time) {}},
		{"a serverset becomes a list, told by the reload", false, func(r *Roster, now time.Time) { r.Refilter(nil, now) }},
	} {
		listed := tc.listed
		r := NewRoster(RosterOptions{NoGuard: func(string) bool { return listed }})
		now := t0
		apply := func(path, format string, n int) {
			now = now.Add(time.Minute)
			r.Apply(Set{Source: "apps", Path: path, Members: kind(path, format, n), Verified: now}, now)
			if err := r.check(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
		format := map[bool]string{true: "static", false: "kingpin"}
		apply("/p", "kingpin", 30)
		apply("/q", format[listed], 5)
		listed = !listed
		tc.tell(r, now)
		apply("/q", format[listed], 20)
		apply("/q", format[!listed], 20)
		apply("/q", format[listed], 20)
		apply("/p", "kingpin", 1)
		if got, want := len(r.Guards()), map[bool]int{true: 1, false: 0}[tc.listed]; got != want {
			t.Errorf("%s: %d guards, want %d: %v", tc.name, got, want, r.Counts())
		}
	}
}
