package zk

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// running runs a session whose way home is short.
func running(t *testing.T, cfg Config, ensemble ...string) *Session {
	t.Helper()
	cfg.Log = testLog(t)
	s, err := NewSession(cfg)
	must(t, err)
	s.homeAfter = 200 * time.Millisecond
	for _, path := range ensemble {
		s.ensemble = path
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	must(t, s.Await(deadline(t)))
	return s
}

func on(s *Session, addr string) func() bool {
	return func() bool { st := s.Status(); return st.Connected && st.Server == addr }
}

// A preferred server is tried first, left when it does not answer, and gone back to when it does again.
func TestPreferred(t *testing.T) {
	t.Parallel()
	srv, _ := testenv.SharedZooKeeper(t)
	near, far := newProxy(t, srv.Addr, false), newProxy(t, srv.Addr, false)
	s := running(t, Config{Servers: []string{far.addr}, Prefer: []string{near.addr}, SessionTimeout: 8 * time.Second})
	if !on(s, near.addr)() {
		t.Fatalf("%+v", s.Status())
	}
	id := s.Status().SessionID
	near.hold()
	eventually(t, "the other server", on(s, far.addr))
	near.release()
	eventually(t, "the way back", on(s, near.addr))
	if st := s.Status(); st.SessionID != id {
		t.Errorf("the session was lost on the way: %+v", st)
	}
}

// Reading goes to an observer with a session of its own, to the voters while the observer is away, and back. Nobody leaves over it.
func TestObserverFirst(t *testing.T) {
	t.Parallel()
	e, ok := testenv.Ensemble(t, 3, 1, testenv.LocalSessions())
	if !ok {
		return // said at the end of the run; with CI=true the call above has failed
	}
	var voters []string
	for _, v := range e.Voters {
		voters = append(voters, v.Addr)
	}
	w := connected(t, Config{Servers: voters, SessionTimeout: 10 * time.Second})
	must(t, w.MakePath(deadline(t), "/discovery/checkout/prod"))
	for i := range 3 {
		_, err := w.Create(deadline(t), "/discovery/checkout/prod/"+serverset.NewKingPinName("10.0.0.1", uint16(i+1)), nil, Ephemeral)
		must(t, err)
	}
	s := running(t, Config{Servers: voters, SessionTimeout: 8 * time.Second, ReadOnly: true, Dynamic: true, PreferObservers: true})
	src, err := NewSource(SourceConfig{Name: "apps", Rules: []Rule{rule(t, "/discovery/{service}/{env}", "", serverset.Options{})}}, s)
	must(t, err)
	f := &fleet{t: t, roster: discovery.NewRoster(discovery.RosterOptions{}), session: s, source: src}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	watcher := discovery.NewWatcher(f.roster, func(cs []discovery.Change) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changes = append(f.changes, cs...)
	})
	must(t, watcher.Set([]discovery.Source{src}))
	go func() { done <- watcher.Run(ctx) }()
	defer func() { cancel(); <-done }()
	all := "checkout/prod/10.0.0.1:1=present checkout/prod/10.0.0.1:2=present checkout/prod/10.0.0.1:3=present"
	f.waitFor(all)
	eventually(t, "the observer, which only the ensemble has told of", on(s, e.Observers[0].Addr))
	f.waitFor(all)
	e.Observers[0].Kill()
	eventually(t, "a voter", func() bool { st := s.Status(); return st.Connected && slices.Contains(voters, st.Server) })
	_, err = w.Create(deadline(t), "/discovery/checkout/prod/"+serverset.NewKingPinName("10.0.0.1", 4), nil, Ephemeral)
	must(t, err)
	f.waitFor(all + " checkout/prod/10.0.0.1:4=present")
	e.Observers[0].Start()
	eventually(t, "the observer again", on(s, e.Observers[0].Addr))
	_, err = w.Create(deadline(t), "/discovery/checkout/prod/"+serverset.NewKingPinName("10.0.0.1", 5), nil, Ephemeral)
	must(t, err)
	f.waitFor(all + " checkout/prod/10.0.0.1:4=present checkout/prod/10.0.0.1:5=present")
	if n := f.departures(); n != 0 {
		t.Errorf("%d departures", n)
	}
}

// What the ensemble's own configuration says is followed: an observer in it is found, moved to, and lost again, with no word in ours.
func TestDynamicConfiguration(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	observer := newProxy(t, srv.Addr, false)
	w := connected(t, Config{Servers: []string{srv.Addr}})
	write := func(lines string) {
		t.Helper()
		if err := w.MakePath(deadline(t), "/config"); err != nil {
			t.Fatal(err)
		}
		_, err := w.Set(deadline(t), "/config", []byte(lines), AnyVersion)
		must(t, err)
	}
	_, port, _ := net.SplitHostPort(srv.Addr)
	_, obs, _ := net.SplitHostPort(observer.addr)
	write(fmt.Sprintf("server.1=127.0.0.1:1:2:participant;0.0.0.0:%s\nversion=1", port))
	s := running(t, Config{Servers: []string{srv.Addr}, Dynamic: true, PreferObservers: true, SessionTimeout: 8 * time.Second}, "/config") // the real path takes no writes
	learned := func() (out []server) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.learned
	}
	eventually(t, "the first configuration", func() bool { return len(learned()) == 1 })
	write(fmt.Sprintf("server.1=127.0.0.1:1:2:participant;0.0.0.0:%s\nserver.2=127.0.0.1:3:4:observer;0.0.0.0:%s\nversion=2", port, obs))
	eventually(t, "the observer", on(s, observer.addr))
	// A configuration that names nobody, or is broken, leaves what was known.
	write("server.2=127.0.0.1:3:4:observer;99999")
	must(t, caughtUp(w, "/"))
	write(fmt.Sprintf("server.1=127.0.0.1:1:2:participant;0.0.0.0:%s\nserver.3=127.0.0.1:3:4:observer;0.0.0.0:%s\nversion=3", port, obs))
	eventually(t, "the third configuration", func() bool { return len(learned()) == 2 })
	observer.hold()
	eventually(t, "the voter", on(s, srv.Addr))
}

// Sessions of one ensemble are one, over a reload, and end when nobody uses them.
func TestSessions(t *testing.T) {
	t.Parallel()
	srv, _ := testenv.SharedZooKeeper(t)
	p := NewSessions()
	p.after = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	get := func(cfg Config, tls string) *Session {
		t.Helper()
		cfg.Servers = append(cfg.Servers, srv.Addr)
		s, err := p.Session(cfg, tls)
		must(t, err)
		return s
	}
	a := get(Config{Name: "a"}, "")
	if get(Config{Name: "b", Metrics: nil}, "") != a {
		t.Error("two sessions of one ensemble")
	}
	for what, other := range map[string]*Session{"read-only": get(Config{ReadOnly: true}, ""), "digest": get(Config{Digest: "a:b"}, ""), "timeout": get(Config{SessionTimeout: 9 * time.Second}, ""), "tls": get(Config{}, "ca.pem 1")} {
		if other == a {
			t.Errorf("%s makes no difference", what)
		}
	}
	if _, err := p.Session(Config{}, ""); err == nil {
		t.Error("a session without servers was taken")
	}
	release := a.Hold()
	must(t, a.Await(deadline(t)))
	id := a.Status().SessionID
	again := get(Config{}, "").Hold() // the new configuration's, before the old one's lets go
	release()
	release() // twice is once
	eventually(t, "unused ones to go", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.by) == 1 })
	if st := a.Status(); !st.Connected || st.SessionID != id {
		t.Errorf("%+v", st)
	}
	again()
	eventually(t, "its end", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.by) == 0 })
	eventually(t, "the session to be closed", func() bool { return !a.Status().Connected })
	late := a.Hold() // by a source that was made long ago and runs only now
	must(t, a.Await(deadline(t)))
	late()
	eventually(t, "its end again", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.by) == 0 })
	b := get(Config{}, "")
	held := a.Hold()
	must(t, a.Await(deadline(t)))
	held()
	if b == a {
		t.Error("a session that has ended was given out")
	}
	defer b.Hold()()
	must(t, b.Await(deadline(t)))
	cancel()
	must(t, <-done)
}
