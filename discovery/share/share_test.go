package share

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

var eventually = testenv.Eventually

func testLog(t testing.TB, id string) *slog.Logger {
	if os.Getenv("ROLLCALL_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("collector", id)
}

func session(t testing.TB, id string, timeout time.Duration, addr ...string) *zk.Session {
	t.Helper()
	s, err := zk.NewSession(zk.Config{Name: id, Servers: addr, SessionTimeout: timeout, Log: testLog(t, id)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runs is one running collector's place in the group, with the API that its peers ask.
type runs struct {
	*Membership
	api    *httptest.Server
	stop   func()
	mu     sync.Mutex
	orders []discovery.Order
}

func run(t testing.TB, cfg Config) *runs {
	t.Helper()
	r := &runs{}
	r.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(r.Status())
	}))
	cfg.Self.Addr = r.api.Listener.Addr().String()
	if cfg.Self.Jobs == nil {
		cfg.Self.Jobs = map[string]string{"main": "1"}
	}
	cfg.Log = testLog(t, cfg.Self.ID)
	cfg.OnOrders = func(o []discovery.Order) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.orders = o
	}
	client := NewClient()
	cfg.Ask = NewAsker(client)
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Membership = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			r.api.Close()
			client.CloseIdleConnections()
		})
	}
	t.Cleanup(r.stop)
	return r
}

// sees reports whether a division has just these members, and comes from there.
func (r *runs) sees(from, ids string) bool {
	d := r.Division()
	if d == nil || d.From != from {
		return false
	}
	var got []string
	for _, m := range d.Members {
		got = append(got, m.ID)
	}
	return strings.Join(got, " ") == ids
}

// owned is how many of 300 keys are scraped by exactly one of the collectors.
func owned(rs ...*runs) (once int) {
	for i := range 300 {
		n := 0
		for _, r := range rs {
			if r.Mine("main", key(i)) {
				n++
			}
		}
		if n == 1 {
			once++
		}
	}
	return once
}

func TestMembership(t *testing.T) {
	t.Parallel()
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		dir := t.TempDir()
		start := func(id string) *runs {
			return run(t, Config{Session: session(t, id, 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: id}, Dir: dir, Root: "/rollcall", Group: t.Name()[strings.LastIndex(t.Name(), "/")+1:]})
		}
		a := start("a")
		eventually(t, "a is alone in the group", func() bool { return a.sees(FromZooKeeper, "a") && owned(a) == 300 })
		first := a.Term()
		if first == 0 {
			t.Error("no term")
		}
		eventually(t, "proven", func() bool { return a.Fresh(time.Now()) })
		b, c := start("b"), start("c")
		for _, r := range []*runs{a, b, c} {
			eventually(t, "all see all", func() bool { return r.sees(FromZooKeeper, "a b c") })
		}
		eventually(t, "one term", func() bool { return a.Term() == b.Term() && b.Term() == c.Term() && a.Term() > first })
		eventually(t, "each key has one owner", func() bool { return owned(a, b, c) == 300 })
		// Another form of the job: it is said, and everybody has an owner among those who see them alike.
		before := a.Term()
		b.Announce(map[string]string{"main": "2"})
		eventually(t, "a sees that b differs", func() bool { return fmt.Sprint(a.Status().Differing) == "map[main:[b]]" && a.Term() > before })
		eventually(t, "b sees that it is alone in it", func() bool { return fmt.Sprint(b.Status().Alone) == "[main]" && owned(b) == 300 })
		eventually(t, "a and c share what they see alike", func() bool { return owned(a, c) == 300 })
		b.Announce(map[string]string{"main": "1"})
		eventually(t, "as before", func() bool { return owned(a, b, c) == 300 && len(a.Status().Differing) == 0 })
		// A clean end is seen at once.
		before = a.Term()
		c.stop()
		for _, r := range []*runs{a, b} {
			eventually(t, "c is gone", func() bool { return r.sees(FromZooKeeper, "a b") && r.Term() > before })
		}
		eventually(t, "a and b share", func() bool { return owned(a, b) == 300 })
		// The znode of the run before still stands when the next one begins.
		w := session(t, "thief", 2*time.Second, srv.Addr)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		defer func() { cancel(); <-done }()
		old, _ := json.Marshal(Collector{ID: "c", Weight: 16, Started: time.Now().Add(-time.Hour)})
		if _, err := w.Create(t.Context(), a.dir()+"/members/c", old, zk.Ephemeral); err != nil {
			t.Fatal(err)
		}
		c = start("c")
		eventually(t, "c has its place back", func() bool { return c.sees(FromZooKeeper, "a b c") && owned(a, b, c) == 300 })
		// What cannot be read is passed over.
		if _, err := w.Create(t.Context(), a.dir()+"/members/zzz", []byte("{"), zk.Ephemeral); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a passed over zzz", func() bool { return a.m.unreadable.Get() > 0 })
		if !a.sees(FromZooKeeper, "a b c") {
			t.Error("a broken member counts")
		}
		// The term is kept over restarts.
		was := b.Term()
		b.stop()
		b = start("b")
		eventually(t, "b is back", func() bool { return b.sees(FromZooKeeper, "a b c") && b.Term() > was })
		if k, err := readKept(filepath.Join(dir, keptFile)); err != nil || k.Term < Term(was) {
			t.Errorf("kept: %+v, %v", k, err)
		}
	})
}

// A collector that does not know yet whom to scrape does not join: the others would stop scraping its share.
func TestJoinsWhenReady(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	a := run(t, Config{Session: session(t, "a", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "a"}})
	eventually(t, "a is there", func() bool { return a.sees(FromZooKeeper, "a") })
	ready := make(chan struct{})
	b := run(t, Config{Session: session(t, "b", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "b"}, Ready: func() bool {
		select {
		case <-ready:
			return true
		default:
			return false
		}
	}})
	eventually(t, "b sees a", func() bool { return b.sees(FromZooKeeper, "a") })
	if owned(b) != 0 || owned(a) != 300 {
		t.Errorf("b owns %d of 300 before it has joined, a %d", owned(b), owned(a))
	}
	close(ready)
	eventually(t, "both share", func() bool { return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") && owned(a, b) == 300 })
}

// ZooKeeper goes altogether: all go on with the last division, and none waits. It comes back empty: the first to join does not take the fleet.
func TestZooKeeperGone(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
	start := func(id string) *runs {
		return run(t, Config{Session: session(t, id, 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: id}, Dir: dirs[id]})
	}
	a, b := start("a"), start("b")
	eventually(t, "both share", func() bool { return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") })
	eventually(t, "proven", func() bool { return a.Fresh(time.Now()) && b.Fresh(time.Now()) })
	srv.Kill()
	stale, end := 0, time.Now().Add(5*time.Second)
	eventually(t, "more than two session timeouts without", func() bool {
		if !a.Fresh(time.Now()) || !b.Fresh(time.Now()) {
			stale++
		}
		return time.Now().After(end)
	})
	if stale > 0 || owned(a, b) != 300 {
		t.Errorf("found not fresh %d times; %d of 300 keys have one owner", stale, owned(a, b))
	}
	// One that starts now asks who it knew.
	b.stop()
	b = start("b")
	eventually(t, "b goes on by what it knew", func() bool { return b.sees(FromDisk, "a b") && owned(a, b) == 300 })
	srv.Start()
	eventually(t, "both are back", func() bool { return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") && owned(a, b) == 300 })
}

// The owner's session ends while it cannot reach ZooKeeper: a peer says who took its share, and it yields.
func TestYieldsToPeers(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	via := testenv.NewProxy(t, srv.Addr)
	a := run(t, Config{Session: session(t, "a", 2*time.Second, via.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "a"}})
	b := run(t, Config{Session: session(t, "b", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "b"}})
	eventually(t, "both share", func() bool { return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") && owned(a, b) == 300 })
	via.Blackhole()
	eventually(t, "b has it all", func() bool { return b.sees(FromZooKeeper, "b") && owned(b) == 300 })
	eventually(t, "a yields", func() bool { return a.sees(FromPeers, "b") && owned(a) == 0 })
	if a.Term() != b.Term() {
		t.Errorf("terms %d and %d", a.Term(), b.Term())
	}
	via.Heal()
	eventually(t, "both share again", func() bool { return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") && owned(a, b) == 300 })
}

// Without a group everything is ours, and the term is none.
func TestAlone(t *testing.T) {
	m := run(t, Config{Self: Collector{ID: "a", Jobs: map[string]string{"main": "1"}}})
	eventually(t, "it is alone", func() bool { return m.sees(Alone, "a") })
	if owned(m) != 300 || m.Term() != 0 || !m.Fresh(time.Now()) || !m.Publishes("main", "s", "e") {
		t.Errorf("owns %d, term %d", owned(m), m.Term())
	}
}

func TestConfigFaults(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no id":          {},
		"id is a path":   {Self: Collector{ID: "a/b"}},
		"group is a dot": {Self: Collector{ID: "a"}, Group: ".."},
		"root":           {Self: Collector{ID: "a"}, Root: "rollcall/"},
		"weight":         {Self: Collector{ID: "a", Weight: 17}},
		"timeout":        {Self: Collector{ID: "a"}, Timeout: time.Millisecond},
		"address":        {Self: Collector{ID: "a", Addr: "host"}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A claim of a term beyond all that was seen is believed by nobody, or every later term would be equal to it.
func TestTermsAreBounded(t *testing.T) {
	t.Parallel()
	for _, floor := range []Term{maxTerm, math.MaxUint64} {
		b, _ := json.Marshal(Collector{ID: "x", Weight: 1, Floor: floor})
		if _, err := DecodeCollector("x", b); err == nil {
			t.Errorf("a member of term %s is taken", floor)
		}
		b, _ = json.Marshal(Division{Self: "x", Term: floor})
		if _, err := decodeDivision("x", b); err == nil {
			t.Errorf("a division of term %s is taken", floor)
		}
	}
	srv := testenv.ZooKeeperInProcess(t)
	a := run(t, Config{Session: session(t, "a", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "a"}})
	eventually(t, "a is there", func() bool { return a.sees(FromZooKeeper, "a") })
	first := Term(a.Term())
	for id, floor := range map[string]Term{"x": maxTerm - 1, "y": first + 1<<30} {
		b, _ := json.Marshal(Collector{ID: id, Weight: 1, Floor: floor})
		if _, err := a.cfg.Session.Create(t.Context(), a.dir()+"/members/"+id, b, zk.Ephemeral); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they are members", func() bool { return a.sees(FromZooKeeper, "a x y") })
	if got := Term(a.Term()); got < first+1<<30 || got > first+1<<31 {
		t.Errorf("the term is %s, after %s", got, first)
	}
}

// One that takes another's place has its division from the first moment, and the znode never goes.
func TestTakesThePlace(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	began := time.Now()
	conf := func() Config {
		began = began.Add(time.Millisecond)
		return Config{Session: session(t, "a", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "a", Started: began}}
	}
	a := run(t, conf())
	b := run(t, Config{Session: session(t, "b", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "b"}})
	eventually(t, "both share", func() bool {
		return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") && a.Fresh(time.Now())
	})
	next := conf()
	next.Begin = a.Membership
	n := run(t, next)
	if owned(n, b) != 300 || !n.Fresh(time.Now()) {
		t.Errorf("%d of 300 have one owner before it has found the members", owned(n, b))
	}
	eventually(t, "it has joined", n.Joined)
	a.stop()
	eventually(t, "and sees all", func() bool { return n.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") })
	if there, st, err := n.cfg.Session.Exists(t.Context(), n.own()); err != nil || !there || st.EphemeralOwner != n.cfg.Session.Status().SessionID {
		t.Errorf("its znode: %v, %v", there, err)
	}
}
