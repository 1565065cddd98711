package zk

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

var eventually = testenv.Eventually

// testLog writes to the test's output with ROLLCALL_TEST_LOG=1.
func testLog(t testing.TB) *slog.Logger {
	if os.Getenv("ROLLCALL_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// runSession runs a session until the test ends, or until stop is called.
func runSession(t testing.TB, cfg Config) (s *Session, stop func()) {
	t.Helper()
	cfg.Log = testLog(t)
	s, err := NewSession(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = func() {
		if cancel(); done == nil {
			return
		}
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("Run did not end")
		}
		done = nil
	}
	t.Cleanup(stop)
	return s, stop
}

func connected(t testing.TB, cfg Config) *Session {
	t.Helper()
	s, _ := runSession(t, cfg)
	if err := s.Await(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return s
}

// deadline is a context for the calls of a test.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"none given"}},
		{Config{Servers: []string{"a:1:2", "zk/chroot", "a,b", ":2181"}, SessionTimeout: time.Millisecond, Digest: "x", MaxPacket: 1, CallTimeout: -1},
			[]string{"too many colons", "holds a path", "holds a comma", "has no host", "session timeout", "user:password", "packet limits", "call timeout"}},
	} {
		_, err := NewSession(tc.cfg)
		for _, w := range tc.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v: error %v does not say %q", tc.cfg.Servers, err, w)
			}
		}
		if err != nil && tc.cfg.Digest != "" && strings.Contains(err.Error(), `"`+tc.cfg.Digest+`"`) {
			t.Errorf("the digest is in the error: %v", err)
		}
	}
	for in, want := range map[string]string{"zk": "zk:2181", "zk:99": "zk:99", "::1": "[::1]:2181", "[::1]": "[::1]:2181", "[::1]:5": "[::1]:5", "10.0.0.1": "10.0.0.1:2181"} {
		if got := withPort(in); got != want {
			t.Errorf("withPort(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		ctx := deadline(t)
		s := connected(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 4 * time.Second})
		must(t, s.MakePath(ctx, "/a/b/c"))
		must(t, s.MakePath(ctx, "/a/b/c"))
		p, err := s.Create(ctx, "/a/b/c/e", []byte("1"), Ephemeral)
		must(t, err)
		data, st, err := s.Get(ctx, p)
		must(t, err)
		if string(data) != "1" || st.EphemeralOwner != s.Status().SessionID || st.EphemeralOwner == 0 {
			t.Errorf("got %q of %x, session %x", data, st.EphemeralOwner, s.Status().SessionID)
		}
		if _, err = s.Create(ctx, p, nil, Ephemeral); !errors.Is(err, ErrNodeExists) || !strings.Contains(err.Error(), `create "/a/b/c/e"`) {
			t.Errorf("create twice: %v", err)
		}
		if _, err = s.Set(ctx, p, []byte("2"), 7); !errors.Is(err, ErrBadVersion) {
			t.Errorf("set of a wrong version: %v", err)
		}
		_, err = s.Set(ctx, p, []byte("2"), st.Version)
		must(t, err)
		seq, err := s.Create(ctx, "/a/b/c/s_", nil, EphemeralSequential)
		must(t, err)
		if seq != "/a/b/c/s_0000000001" {
			t.Errorf("sequence %q", seq)
		}
		// Replace an ephemeral of another session: delete and create in one step, so that nobody sees it gone.
		old := connected(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 4 * time.Second})
		_, err = old.Create(ctx, "/a/b/c/mine", []byte("old"), Ephemeral)
		must(t, err)
		_, err = s.Multi(ctx, DeleteOp("/a/b/c/mine", AnyVersion), CreateOp("/a/b/c/mine", []byte("new"), Ephemeral))
		must(t, err)
		if data, st, err = s.Get(ctx, "/a/b/c/mine"); string(data) != "new" || st.EphemeralOwner != s.Status().SessionID {
			t.Errorf("replaced: %q %x %v", data, st.EphemeralOwner, err)
		}
		res, err := s.Multi(ctx, SetOp(p, nil, AnyVersion), SetOp("/a", nil, 9), CreateOp("/never", nil, Persistent))
		if !errors.Is(err, ErrBadVersion) || len(res) != 3 || !errors.Is(res[1].Err, ErrBadVersion) {
			t.Errorf("multi: %v %v", res, err)
		}
		names, _, err := s.Children(ctx, "/a/b/c")
		must(t, err)
		if slices.Sort(names); !slices.Equal(names, []string{"e", "mine", "s_0000000001"}) {
			t.Errorf("children %q", names)
		}
		if err := s.Delete(ctx, "/a/b", AnyVersion); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("delete of a parent: %v", err)
		}
		must(t, s.Delete(ctx, p, AnyVersion))
		if there, _, err := s.Exists(ctx, p); there || err != nil {
			t.Errorf("deleted: %v %v", there, err)
		}
		if _, _, err := s.Get(ctx, p); !errors.Is(err, ErrNoNode) {
			t.Errorf("get of nothing: %v", err)
		}
		must(t, caughtUp(s, "/a"))
	})
}

// A connection that is lost takes nothing with it: the session and its ephemerals outlive a kill of the server.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t, testenv.TickTime(2*time.Second)) // with sessions of 40 s: the server may take long to start
	ctx := deadline(t)
	s, err := NewSession(Config{Servers: []string{srv.Addr}, SessionTimeout: 40 * time.Second, Log: testLog(t)})
	must(t, err)
	run, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- s.Run(run) }()
	must(t, s.Await(ctx))
	id := s.Status().SessionID
	_, err = s.Create(ctx, "/e", nil, Ephemeral)
	must(t, err)
	srv.Kill()
	eventually(t, "the loss to be noticed", func() bool { return !s.Status().Connected })
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	if _, _, err := s.Get(short, "/e"); !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call without a connection: %v", err)
	}
	stop()
	srv.Start()
	_, st, err := s.Get(ctx, "/e") // waits for the connection
	must(t, err)
	if now := s.Status(); st.EphemeralOwner != id || now.SessionID != id || now.Epoch < 2 {
		t.Errorf("owner %x, session %x then %x, epoch %d", st.EphemeralOwner, id, now.SessionID, now.Epoch)
	}
	cancel()
	must(t, <-done)
	other := connected(t, Config{Servers: []string{srv.Addr}})
	if there, _, err := other.Exists(ctx, "/e"); there || err != nil {
		t.Errorf("a session that was closed left its ephemeral: %v %v", there, err)
	}
}

// An expired session is followed by a new one.
func TestExpiry(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	ctx := deadline(t)
	via := newProxy(t, srv.Addr, false)
	s := connected(t, Config{Servers: []string{via.addr}, SessionTimeout: 4 * time.Second})
	first := s.Status().SessionID
	_, err := s.Create(ctx, "/e", nil, Ephemeral)
	must(t, err)
	via.expire(t)
	eventually(t, "another session", func() bool { st := s.Status(); return st.Connected && st.SessionID != first })
	if there, _, err := s.Exists(ctx, "/e"); there || err != nil {
		t.Errorf("the ephemeral outlived its session: %v %v", there, err)
	}
}

// A successor finds the ephemerals of a detached session until its timeout.
func TestDetach(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	ctx := deadline(t)
	s, stop := runSession(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 2 * time.Second})
	must(t, s.Await(ctx))
	_, err := s.Create(ctx, "/e", nil, Ephemeral)
	must(t, err)
	s.Detach()
	stop()
	next := connected(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 4 * time.Second})
	if there, _, err := next.Exists(ctx, "/e"); !there || err != nil {
		t.Fatalf("the ephemeral of a detached session is gone: %v %v", there, err)
	}
	eventually(t, "the session to time out", func() bool { there, _, err := next.Exists(ctx, "/e"); return err == nil && !there })
}

// A server that holds the connection and says nothing is found out by the clock.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	ctx := deadline(t)
	s := connected(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 3 * time.Second})
	srv.Stop()
	quick, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, _, err := s.Get(quick, "/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call to a silent server: %v", err)
	}
	eventually(t, "the silence to be noticed", func() bool { return !s.Status().Connected })
	if quiet := time.Since(s.Status().LastHeard); quiet < time.Second || quiet > 6*time.Second {
		t.Errorf("noticed after %v of silence, session timeout 3 s", quiet)
	}
	srv.Cont()
	_, _, err := s.Get(ctx, "/")
	must(t, err)
}

// An ensemble that was rebuilt refuses a client that has seen later transactions; only a new client gets in.
func TestRebuiltEnsemble(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	ctx := deadline(t)
	s := connected(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 10 * time.Second})
	for range 5 {
		must(t, s.MakePath(ctx, "/x"))
		must(t, s.Delete(ctx, "/x", AnyVersion))
	}
	id := s.Status().SessionID
	srv.Kill()
	must(t, os.RemoveAll(srv.Dir+"/version-2"))
	srv.Start()
	lost := time.Now()
	_, _, err := s.Get(ctx, "/zookeeper")
	must(t, err)
	if s.Status().SessionID == id {
		t.Error("the old session was taken by a server that cannot know it")
	}
	if took := time.Since(lost); took > 10*time.Second {
		t.Errorf("it took %v, as long as if nobody had answered", took)
	}
}

// An answer over the limit costs its call, not the session.
func TestTooBig(t *testing.T) {
	t.Parallel()
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		ctx := deadline(t)
		s := connected(t, Config{Servers: []string{srv.Addr}, MaxPacket: 4096})
		_, err := s.Create(ctx, "/big", make([]byte, 5000), Persistent)
		must(t, err)
		_, err = s.Create(ctx, "/small", []byte("x"), Persistent)
		must(t, err)
		for range 3 {
			if _, _, err := s.Get(ctx, "/big"); !errors.Is(err, ErrTooBig) {
				t.Errorf("get of 5,000 bytes with a limit of 4,096: %v", err)
			}
			data, _, err := s.Get(ctx, "/small")
			if string(data) != "x" {
				t.Errorf("%q %v", data, err)
			}
		}
		if e := s.Status().Epoch; e != 1 {
			t.Errorf("it took %d connections", e)
		}
	})
}

func TestDigest(t *testing.T) {
	t.Parallel()
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		ctx := deadline(t)
		owner := connected(t, Config{Servers: []string{srv.Addr}, Digest: "roll:call", ACL: gozk.DigestACL(gozk.PermAll, "roll", "call")})
		_, err := owner.Create(ctx, "/secret", []byte("x"), Persistent)
		must(t, err)
		owner.Reconnect()
		eventually(t, "a new connection", func() bool { return owner.Status().Epoch == 2 })
		if data, _, err := owner.Get(ctx, "/secret"); string(data) != "x" {
			t.Errorf("after a reconnect: %q %v", data, err)
		}
		other := connected(t, Config{Servers: []string{srv.Addr}})
		if _, _, err := other.Get(ctx, "/secret"); !errors.Is(err, ErrNoAuth) {
			t.Errorf("without the digest: %v", err)
		}
	})
}
