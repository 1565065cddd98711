package zk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// fleet is a source under test, and the roster that follows it.
type fleet struct {
	t       testing.TB
	roster  *discovery.Roster
	session *Session
	source  *Source
	mu      sync.Mutex
	changes []discovery.Change
}

func rule(t testing.TB, path, service string, o serverset.Options) Rule {
	t.Helper()
	p, err := serverset.ParsePattern(path, service, "")
	must(t, err)
	return Rule{p, o}
}

// follow runs a session and a source with a roster until the test ends.
func follow(t testing.TB, cfg Config, sc SourceConfig) *fleet {
	t.Helper()
	cfg.Name = "reading"
	sc.Name, sc.Log = "apps", testLog(t)
	if len(sc.Rules) == 0 {
		sc.Rules = []Rule{rule(t, "/discovery/{service}/{env}", "", serverset.Options{})}
	}
	s, _ := runSession(t, cfg)
	src, err := NewSource(sc, s)
	must(t, err)
	f := &fleet{t: t, roster: discovery.NewRoster(discovery.RosterOptions{Guard: discovery.GuardOptions{Off: true}}), session: s, source: src}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	watcher := discovery.NewWatcher(f.roster, func(cs []discovery.Change) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changes = append(f.changes, cs...)
	})
	must(t, watcher.Set([]discovery.Source{src}))
	go func() { done <- watcher.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(20 * time.Second):
			t.Error("the source did not end")
		}
	})
	return f
}

// states is the roster as "service/env/addr=state", departed ones left out, joined by spaces.
func (f *fleet) states() string {
	var out []string
	for _, e := range f.roster.Entries() {
		if e.State == discovery.Departed {
			continue
		}
		name := e.Key.String()
		if e.Host == "" {
			name = e.Group() + "/" + e.Member
		}
		out = append(out, name+"="+string(e.State))
	}
	return strings.Join(out, " ")
}

func (f *fleet) waitFor(want string) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); f.states() != want; {
		select {
		case <-tick.C:
		case <-late:
			f.t.Fatalf("after 30 s\n got %s\nwant %s\nviews %+v\nstatus %+v", f.states(), want, f.roster.Views(), f.session.Status())
		}
	}
}

func (f *fleet) entry(id string) discovery.Entry {
	e, _ := f.roster.Find(id)
	return e
}

// departures counts how often anybody left.
func (f *fleet) departures() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.changes {
		if c.State == discovery.Departed {
			n++
		}
	}
	return n
}

// writer is a client that plays the applications.
type writer struct {
	t testing.TB
	s *Session
}

func newWriter(t testing.TB, addr string) writer {
	return writer{t, connected(t, Config{Servers: []string{addr}, SessionTimeout: 40 * time.Second})} // or as much of it as the server gives
}

func (w writer) put(path, data string, mode Mode) string {
	w.t.Helper()
	dir, _ := parent(path)
	must(w.t, w.s.MakePath(deadline(w.t), dir))
	p, err := w.s.Create(deadline(w.t), path, []byte(data), mode)
	must(w.t, err)
	return p
}

// join registers a KingPin member and returns its path.
func (w writer) join(set, host string, port uint16, data string) string {
	w.t.Helper()
	return w.put(set+"/"+serverset.NewKingPinName(host, port), data, Ephemeral)
}

func (w writer) set(path, data string) {
	w.t.Helper()
	_, err := w.s.Set(deadline(w.t), path, []byte(data), AnyVersion)
	must(w.t, err)
}

func (w writer) rm(path string) {
	w.t.Helper()
	must(w.t, w.s.Delete(deadline(w.t), path, AnyVersion))
}

// ways are the two ways of watching: one recursive watch, or a one-shot watch a path where the server is too old for that.
var ways = map[string]bool{"recursive": false, "oneshot": true}

// bothWays runs a test each way against each kind of server; via is what the source is to talk to.
func bothWays(t *testing.T, run func(t *testing.T, srv *testenv.ZooKeeperServer, via *proxy)) {
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		for way, old := range ways {
			t.Run(way, func(t *testing.T) {
				w := connected(t, Config{Servers: []string{srv.Addr}})
				clear := func(root string) {
					if there, _, _ := w.Exists(deadline(t), root); there {
						must(t, removeAll(deadline(t), w, root))
					}
				}
				clear("/discovery")
				clear("/aurora")
				run(t, srv, newProxy(t, srv.Addr, old))
			})
		}
	})
}

func removeAll(ctx context.Context, s *Session, path string) error {
	names, _, err := s.Children(ctx, path)
	for _, n := range names {
		err = errors.Join(err, removeAll(ctx, s, join(path, n)))
	}
	return errors.Join(err, s.Delete(ctx, path, AnyVersion))
}

func TestSourceFollowsMembers(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, srv *testenv.ZooKeeperServer, via *proxy) {
		w := newWriter(t, srv.Addr)
		a := w.join("/discovery/checkout/prod", "10.0.0.1", 80, `{"v":1,"version":"1","zone":"a"}`)
		f := follow(t, Config{Servers: []string{via.addr}}, SourceConfig{})
		f.waitFor("checkout/prod/10.0.0.1:80=present")
		if e := f.entry("checkout/prod/10.0.0.1:80"); e.Tags.Get("service.version") != "1" || e.Zxid == 0 || e.Verified.IsZero() || e.Path != "/discovery/checkout/prod" {
			t.Errorf("%+v", e)
		}
		// A join.
		b := w.join("/discovery/checkout/prod", "10.0.0.2", 80, "10.0.0.2:80")
		f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
		// A change of data.
		w.set(a, `{"v":1,"version":"2","zone":"a","status":"failing"}`)
		f.waitFor("checkout/prod/10.0.0.1:80=failing checkout/prod/10.0.0.2:80=present")
		w.set(a, `{"v":1,"version":"3"}`)
		eventually(t, "version 3", func() bool {
			return f.entry("checkout/prod/10.0.0.1:80").Tags.Get("service.version") == "3"
		})
		// A leave.
		w.rm(b)
		f.waitFor("checkout/prod/10.0.0.1:80=present")
		// The same endpoint joins again under a new name, in one step: nobody leaves.
		n := f.departures()
		dir, _ := parent(a)
		again := dir + "/" + serverset.NewKingPinName("10.0.0.1", 80)
		_, err := w.s.Multi(deadline(t), DeleteOp(a, AnyVersion), CreateOp(again, []byte(`{"v":1,"version":"4"}`), Ephemeral))
		must(t, err)
		eventually(t, "version 4", func() bool {
			return f.entry("checkout/prod/10.0.0.1:80").Tags.Get("service.version") == "4"
		})
		if f.departures() != n {
			t.Errorf("a member that was replaced in one step was seen to leave")
		}
		// What the serverset's own node says holds for members that do not say otherwise.
		w.set(dir, `{"tags":{"team":"payments"},"version":"0"}`)
		w.join("/discovery/checkout/prod", "10.0.0.3", 80, "")
		if !via.old { // else it is seen with the next list, which the join brings
			eventually(t, "the tag of the serverset", func() bool {
				return f.entry("checkout/prod/10.0.0.1:80").Tags.Get("team") == "payments"
			})
		}
		eventually(t, "the tag of the serverset, on the new one", func() bool {
			e := f.entry("checkout/prod/10.0.0.3:80")
			return e.Tags.Get("team") == "payments" && e.Tags.Get("service.version") == "0"
		})
	})
}

func TestSourceFollowsServicesAndEnvironments(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, srv *testenv.ZooKeeperServer, via *proxy) {
		w := newWriter(t, srv.Addr)
		f := follow(t, Config{Servers: []string{via.addr}}, SourceConfig{Rules: []Rule{
			rule(t, "/discovery/{service}/{env}", "", serverset.Options{}),
			rule(t, "/aurora/{role}/{env}/{job}", "{role}.{job}", serverset.Options{Endpoint: "http"}),
		}})
		eventually(t, "a first view", func() bool { return len(f.roster.Views()) > 0 && f.roster.Views()[0].Connected })
		// The roots are not there yet.
		a := w.join("/discovery/checkout/prod", "10.0.0.1", 80, "")
		f.waitFor("checkout/prod/10.0.0.1:80=present")
		b := w.join("/discovery/checkout/dev", "10.0.0.2", 80, "")
		c := w.join("/discovery/search/prod", "10.0.0.3", 80, "")
		m := w.put("/aurora/www/prod/web/member_", `{"serviceEndpoint":{"host":"10.0.0.4","port":1},"additionalEndpoints":{"http":{"host":"10.0.0.4","port":8080}},"shard":2,"status":"ALIVE"}`, EphemeralSequential)
		w.put("/aurora/www/prod/web/vector_", `{"vector":[]}`, EphemeralSequential)
		f.waitFor("checkout/dev/10.0.0.2:80=present checkout/prod/10.0.0.1:80=present search/prod/10.0.0.3:80=present www.web/prod/10.0.0.4:1=present")
		if e := f.entry("www.web/prod/10.0.0.4:1"); e.StatsPort != 8080 || e.Shard != 2 || e.Format != "finagle" {
			t.Errorf("%+v", e)
		}
		// An environment, a service and a root vanish.
		w.rm(b)
		w.rm("/discovery/checkout/dev")
		f.waitFor("checkout/prod/10.0.0.1:80=present search/prod/10.0.0.3:80=present www.web/prod/10.0.0.4:1=present")
		w.rm(c)
		w.rm("/discovery/search/prod")
		w.rm("/discovery/search")
		w.rm(m)
		must(t, removeAll(deadline(t), w.s, "/aurora"))
		f.waitFor("checkout/prod/10.0.0.1:80=present")
		// They come back.
		w.join("/discovery/search/prod", "10.0.0.3", 80, "")
		w.put("/aurora/www/prod/web/member_", `{"serviceEndpoint":{"host":"10.0.0.4","port":1},"additionalEndpoints":{"http":{"host":"10.0.0.4","port":8080}}}`, EphemeralSequential)
		f.waitFor("checkout/prod/10.0.0.1:80=present search/prod/10.0.0.3:80=present www.web/prod/10.0.0.4:1=present")
		w.rm(a)
		f.waitFor("search/prod/10.0.0.3:80=present www.web/prod/10.0.0.4:1=present")
	})
}

// One broken member hurts itself only, and is named.
func TestSourceBrokenMember(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, srv *testenv.ZooKeeperServer, via *proxy) {
		w := newWriter(t, srv.Addr)
		var want []string
		for i := range 20 {
			w.join("/discovery/checkout/prod", fmt.Sprintf("10.0.0.%d", i+10), 80, "{broken")
			want = append(want, fmt.Sprintf("checkout/prod/10.0.0.%d:80=present", i+10))
		}
		w.put("/discovery/checkout/prod/member_", "\x0c\x00\x01\x0b", EphemeralSequential)
		w.put("/discovery/checkout/prod/huge_", strings.Repeat("x", serverset.MaxData+1), Persistent)
		w.put("/discovery/checkout/prod/notes", "call Bob", Persistent)
		w.put("/discovery/checkout/prod/folder/below", "", Persistent) // no member: has children
		w.put("/discovery/checkout/prod/checkout.lock", "", Persistent)
		f := follow(t, Config{Servers: []string{via.addr}}, SourceConfig{})
		f.waitFor("checkout/prod/huge_=unparsable checkout/prod/member_0000000020=unparsable checkout/prod/notes=unparsable " + strings.Join(want, " "))
		for name, why := range map[string]string{"member_0000000020": "Thrift", "huge_": "over the limit of 65536", "notes": "of any known format"} {
			if e := f.entry("/discovery/checkout/prod/" + name); !strings.Contains(e.Reason, why) {
				t.Errorf("%s: %q does not say %q", name, e.Reason, why)
			}
		}
	})
}

func TestSourceLimits(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	w := newWriter(t, srv.Addr)
	for i := range 8 {
		w.put(fmt.Sprintf("/discovery/checkout/prod/%032x-10.0.0.%d:80", i, i+1), "", Ephemeral)
	}
	f := follow(t, Config{Servers: []string{srv.Addr}}, SourceConfig{MaxMembers: 5})
	eventually(t, "five members and three over the limit", func() bool {
		return strings.Count(f.states(), "=present") == 5 && strings.Count(f.states(), "=unparsable") == 3
	})
	e := f.entry("/discovery/checkout/prod/00000000000000000000000000000007-10.0.0.8:80")
	if !strings.Contains(e.Reason, "more than 5 members") {
		t.Errorf("%+v", e)
	}
}

// A path that may not be listed is named in the view; what lies beside it is followed.
func TestSourceForbidden(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	owner := connected(t, Config{Servers: []string{srv.Addr}, Digest: "a:b"})
	w := newWriter(t, srv.Addr)
	w.join("/discovery/checkout/prod", "10.0.0.1", 80, "")
	must(t, owner.MakePath(deadline(t), "/discovery/secret"))
	must(t, setACL(owner, "/discovery/secret", "a", "b"))
	f := follow(t, Config{Servers: []string{srv.Addr}}, SourceConfig{})
	f.waitFor("checkout/prod/10.0.0.1:80=present")
	eventually(t, "the view to say so", func() bool {
		v := f.roster.Views()
		return len(v) == 1 && strings.Contains(v[0].Err, "/discovery/secret") && strings.Contains(v[0].Err, "not authenticated")
	})
	w.join("/discovery/checkout/prod", "10.0.0.2", 80, "")
	f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
}

func TestSourceFaults(t *testing.T) {
	s, err := NewSession(Config{Servers: []string{"127.0.0.1:1"}})
	must(t, err)
	_, err = NewSource(SourceConfig{MaxMembers: -1, Reconcile: 1, Rules: []Rule{{}, rule(t, "/a/{service}", "", serverset.Options{Format: "x"})}}, s)
	for _, want := range []string{"name: none", "a pattern is empty", "format \"x\"", "max members", "reconcile"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestRoots(t *testing.T) {
	var rules []Rule
	for _, p := range []string{"/discovery/{service}/{env}", "/a/b/{service}", "/a/{service}", "/ab/{service}", "/discovery/{service}"} {
		rules = append(rules, rule(t, p, "", serverset.Options{}))
	}
	if got := roots(rules); !slices.Equal(got, []string{"/a", "/ab", "/discovery"}) {
		t.Errorf("%q", got)
	}
	if got := roots(append(rules, rule(t, "/{service}", "", serverset.Options{}))); !slices.Equal(got, []string{"/"}) {
		t.Errorf("%q", got)
	}
}
