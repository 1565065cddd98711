package share

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestOrders(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	dir := t.TempDir()
	a := run(t, Config{Session: session(t, "a", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "a"}, Dir: dir})
	b := run(t, Config{Session: session(t, "b", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "b"}})
	eventually(t, "both share", func() bool { return a.sees(FromZooKeeper, "a b") && b.sees(FromZooKeeper, "a b") })
	has := func(r *runs, ids ...string) func() bool {
		return func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			var got []string
			for _, o := range r.orders {
				got = append(got, o.ID)
			}
			return strings.Join(got, " ") == strings.Join(ids, " ")
		}
	}
	o := discovery.Order{ID: "one", Kind: discovery.FreezeOrder, Path: "/discovery/checkout", By: "kim", Why: "deploy", Until: time.Now().Add(time.Hour)}
	p, err := a.Place(t.Context(), o)
	if err != nil || p.Scope != ScopeGroup {
		t.Fatalf("%+v, %v", p, err)
	}
	eventually(t, "both obey", func() bool { return has(a, "one")() && has(b, "one")() })
	if _, err := b.Place(t.Context(), o); !errors.Is(err, ErrOrder) {
		t.Errorf("a second one of that id: %v", err)
	}
	if err := b.Withdraw(t.Context(), "one", "lee"); err != nil {
		t.Error(err)
	}
	eventually(t, "both are free", func() bool { return has(a)() && has(b)() })
	if err := b.Withdraw(t.Context(), "one", "lee"); !errors.Is(err, ErrNoOrder) {
		t.Errorf("withdrawn twice: %v", err)
	}
	short := o
	short.ID, short.Until = "short", time.Now().Add(300*time.Millisecond)
	if _, err := a.Place(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b obeys for a moment", has(b, "short"))
	eventually(t, "and no longer", has(b))
	srv.Kill()
	eventually(t, "ZooKeeper is missed", func() bool { return !a.cfg.Session.Status().Connected })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	here := o
	here.ID = "here"
	if p, err := a.Place(ctx, here); err != nil || p.Scope != ScopeHere {
		t.Errorf("%+v, %v", p, err)
	}
	if !has(a, "here")() || !has(b)() {
		t.Error("an order given without ZooKeeper does not bind just its collector")
	}
	if got := a.Orders(); len(got) != 1 || got[0].Scope != ScopeHere {
		t.Errorf("orders %+v", got)
	}
	if err := a.Withdraw(t.Context(), "here", "kim"); err != nil || !has(a)() {
		t.Errorf("withdrawn here: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, auditFile))
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for line := range bytes.Lines(text) {
		var l auditLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		events = append(events, l.Event+" "+l.Order.ID+" "+l.Scope)
	}
	want := "placed one group, in force one group, over one group, placed short group, in force short group, over short group, placed here collector, in force here collector, withdrawn here collector, over here collector"
	if got := strings.Join(events, ", "); got != want {
		t.Errorf("audited\n%s\nwant\n%s", got, want)
	}
}

func TestBadOrders(t *testing.T) {
	m := run(t, Config{Self: Collector{ID: "a"}})
	good := discovery.Order{Kind: "freeze", Path: "/a", By: "kim", Until: time.Now().Add(time.Hour)}
	for name, change := range map[string]func(*discovery.Order){
		"an id that is a path": func(o *discovery.Order) { o.ID = "../x" },
		"no kind":              func(o *discovery.Order) { o.Kind = "" },
		"no path":              func(o *discovery.Order) { o.Path = "a" },
		"nobody":               func(o *discovery.Order) { o.By = "" },
		"over already":         func(o *discovery.Order) { o.Until = time.Now() },
		"for ever":             func(o *discovery.Order) { o.Until = time.Now().Add(1000 * time.Hour) },
		"a burst of nobody":    func(o *discovery.Order) { o.Kind, o.Path = discovery.BurstOrder, "/" },
		"a burst of a path": func(o *discovery.Order) {
			o.Kind, o.Burst = discovery.BurstOrder, discovery.Burst{Service: "a", Env: "prod", EveryMS: 1000}
		},
		"a burst for days": func(o *discovery.Order) {
			o.Kind, o.Path, o.Burst, o.Until = discovery.BurstOrder, "/", discovery.Burst{Service: "a", Env: "prod", EveryMS: 1000}, time.Now().Add(2*time.Hour)
		},
	} {
		o := good
		change(&o)
		if _, err := m.Place(t.Context(), o); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := m.Place(t.Context(), good)
	if err != nil || p.Scope != ScopeHere || p.ID == "" {
		t.Errorf("%+v, %v", p, err)
	}
}

// The first word of what is in force always comes, for whoever obeys may remember what was withdrawn while nobody looked.
func TestFirstWord(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	dir := t.TempDir()
	start := func(group string) (m *Membership, told chan []discovery.Order, stop func()) {
		told = make(chan []discovery.Order, 100)
		m, err := New(Config{Session: session(t, "a", 2*time.Second, srv.Addr), Group: group, Timeout: 2 * time.Second, Self: Collector{ID: "a"}, Dir: dir,
			OnOrders: func(o []discovery.Order) { told <- o }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		return m, told, func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	next := func(told chan []discovery.Order) int {
		select {
		case o := <-told:
			return len(o)
		case <-time.After(20 * time.Second):
			t.Fatal("nothing is said")
			return -1
		}
	}
	o := discovery.Order{ID: "one", Kind: discovery.FreezeOrder, Path: "/discovery", By: "kim", Until: time.Now().Add(time.Hour)}
	m, told, stop := start("g")
	if n := next(told); n != 0 {
		t.Errorf("%d orders in an empty group", n)
	}
	if _, err := m.Place(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if n := next(told); n != 1 {
		t.Errorf("%d orders, one was placed", n)
	}
	stop()
	w := run(t, Config{Session: session(t, "b", 2*time.Second, srv.Addr), Group: "g", Timeout: 2 * time.Second, Self: Collector{ID: "b"}})
	eventually(t, "another can withdraw it", func() bool { return w.Withdraw(t.Context(), "one", "lee") == nil })
	_, told, stop = start("g") // its disk still has the order
	for n := -1; n != 0; n = next(told) {
	}
	stop()
	_, told, stop = start("h") // another group never had it
	if n := next(told); n != 0 {
		t.Errorf("%d orders in another group", n)
	}
	stop()
}

// An order whose answer did not come may be the group's all the same: it counts once, and who withdraws it withdraws both.
func TestOrderInDoubt(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	a := run(t, Config{Session: session(t, "a", 2*time.Second, srv.Addr), Timeout: 2 * time.Second, Self: Collector{ID: "a"}})
	eventually(t, "a is there", func() bool { return a.sees(FromZooKeeper, "a") })
	o := discovery.Order{ID: "one", Kind: discovery.FreezeOrder, Path: "/discovery", By: "kim", At: time.Now().UTC(), Until: time.Now().Add(time.Hour).UTC()}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	doubt := func() {
		a.mu.Lock()
		a.local["one"] = placed{Order: o, doubt: true}
		a.mu.Unlock()
		a.obey(nil, false)
	}
	doubt()
	if _, err := a.cfg.Session.Create(t.Context(), a.orderPath("one"), data, zk.Persistent); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is the group's, once", func() bool { got := a.Orders(); return len(got) == 1 && got[0].Scope == ScopeGroup })
	a.mu.Lock()
	a.Membership.orders = map[string]placed{}
	a.mu.Unlock()
	doubt() // as if nobody had told of it yet
	if err := a.Withdraw(t.Context(), "one", "kim"); err != nil {
		t.Error(err)
	}
	if there, _, err := a.cfg.Session.Exists(t.Context(), a.orderPath("one")); there || err != nil {
		t.Errorf("after it was withdrawn the group has it: %v, %v", there, err)
	}
	// ZooKeeper does not answer: it is over here, that is said, and it is taken away as soon as it turns up.
	doubt()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Withdraw(ctx, "one", "kim"); err == nil || !strings.Contains(err.Error(), "over here") {
		t.Errorf("nobody was told, and it says: %v", err)
	}
	if _, err := a.cfg.Session.Create(t.Context(), a.orderPath("one"), data, zk.Persistent); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is taken away", func() bool {
		there, _, err := a.cfg.Session.Exists(t.Context(), a.orderPath("one"))
		return err == nil && !there
	})
	if got := a.Orders(); len(got) != 0 {
		t.Errorf("orders %+v", got)
	}
}

// An order reads the same each time, in whatever zone its times were written.
func TestOrderTimes(t *testing.T) {
	for _, tc := range []struct{ at string }{{"2026-11-22T03:00:00+05:00"}, {"2026-11-22T03:00:00Z"}} {
		data := fmt.Sprintf(`{"id":"x","kind":"freeze","path":"/a","by":"kim","at":%q,"until":"2026-11-23T03:00:00Z"}`, tc.at)
		made := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
		a, err := decodeOrder("x", []byte(data), made)
		b, err2 := decodeOrder("x", []byte(data), made)
		if err != nil || err2 != nil || a != b {
			t.Errorf("%s: one order reads in two ways: %v %v", tc.at, err, err2)
		}
	}
}

// The audit is bounded: the file before stays, and the one before that does not.
func TestAuditIsBounded(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, auditFile)
	for i := range 3 {
		if err := os.WriteFile(file, bytes.Repeat([]byte{'a' + byte(i)}, maxAudit-1), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := appendTo(file, []byte("x\n")); err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(file + ".1")
		if err != nil || len(old) != maxAudit+1 || old[0] != 'a'+byte(i) {
			t.Errorf("%d bytes before, %v", len(old), err)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the large one is still appended to: %v", err)
		}
	}
}
