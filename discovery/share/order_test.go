package share

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
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
