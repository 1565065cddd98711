package share

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Who writes an order by hand can have it for no longer than who asks for one.
func TestOrdersByHand(t *testing.T) {
	made := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, kind, at, until string
		ok                    bool
	}{
		{"a freeze", "freeze", "2026-11-22T03:00:00Z", "2026-11-29T03:00:00Z", true},
		{"by a clock that is behind", "freeze", "2026-11-22T01:00:00Z", "2026-11-22T04:00:00Z", true},
		{"by a clock that is some minutes ahead", "burst", "2026-11-22T03:09:00Z", "2026-11-22T04:09:00Z", true},
		{"for longer than a week", "freeze", "2026-11-22T03:00:00Z", "2026-11-29T03:11:00Z", false},
		{"for ever", "freeze", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", false},
		{"without a beginning", "freeze", "0001-01-01T00:00:00Z", "2026-11-22T04:00:00Z", false},
		{"a freeze in the future", "freeze", "2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z", false},
		{"a burst", "burst", "2026-11-22T03:00:00Z", "2026-11-22T04:00:00Z", true},
		{"a burst for longer than an hour", "burst", "2026-11-22T03:00:00Z", "2026-11-22T04:30:00Z", false},
		{"a burst in the future", "burst", "2099-01-01T00:00:00Z", "2099-01-01T01:00:00Z", false},
		{"a burst that ends before it begins", "burst", "9999-01-01T00:00:00Z", "2098-01-01T00:00:00Z", false},
		{"a burst that is over before it begins", "burst", "2026-11-22T03:05:00Z", "2026-11-22T03:00:00Z", false},
	} {
		data := fmt.Sprintf(`{"id":"x","kind":%q,"path":"/","by":"kim","at":%q,"until":%q,"burst":{"service":"s","env":"e","every_ms":1000}}`, tc.kind, tc.at, tc.until)
		if _, err := decodeOrder("x", []byte(data), made); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Who fills the folder with rubbish ends no order that is in force, keeps none out that is given later, and is told of.
func TestRubbishAmongOrders(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeperInProcess(t)
	a := run(t, Config{Session: session(t, "a", 4*time.Second, srv.Addr), Timeout: 4 * time.Second, Self: Collector{ID: "a"}})
	eventually(t, "a is there", func() bool { return a.sees(FromZooKeeper, "a") })
	o := discovery.Order{Kind: discovery.FreezeOrder, Path: "/discovery", By: "kim", Until: time.Now().Add(time.Hour)}
	first, err := a.Place(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ids := func(m *runs) (out []string) {
		for _, p := range m.Orders() {
			out = append(out, p.ID)
		}
		return out
	}
	eventually(t, "it is in force", func() bool { return len(ids(a)) == 1 })
	rubbish := func(names ...string) {
		for len(names) > 0 {
			n := min(len(names), 100)
			var ops []zk.Op
			for _, name := range names[:n] {
				ops = append(ops, zk.CreateOp(a.orderPath(name), []byte("rubbish"), zk.Persistent))
			}
			if _, err := a.cfg.Session.Multi(t.Context(), ops...); err != nil {
				t.Fatal(err)
			}
			names = names[n:]
		}
	}
	var names []string
	for i := range 1100 {
		names = append(names, fmt.Sprintf("zz%04d", i))
	}
	for i := range 1100 { // in the form of ours, and newer than any
		names = append(names, fmt.Sprintf("9999999999999-aaaa%c%c%c%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676, 'z'))
	}
	rubbish(names...)
	eventually(t, "all of the rubbish is known for what it is", func() bool {
		return strings.Contains(a.Status().Orders, "2200 znodes below ") && !strings.Contains(a.Status().Orders, "not looked at")
	})
	if got := ids(a); len(got) != 1 || got[0] != first.ID {
		t.Errorf("in force: %v, want %s", got, first.ID)
	}
	second, err := a.Place(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "another is in force", func() bool { got := ids(a); return len(got) == 2 && got[1] == second.ID })
	// Who begins now finds both, and says what it does not obey.
	b := run(t, Config{Session: session(t, "b", 4*time.Second, srv.Addr), Timeout: 4 * time.Second, Self: Collector{ID: "b"}})
	eventually(t, "b obeys both", func() bool { return len(ids(b)) == 2 })
	if text, err := json.Marshal(a.Status()); err != nil || !strings.Contains(string(text), `"orders_trouble":"2200 znodes below /rollcall/default/orders are no orders that could be obeyed, such as: read order \"9999999999999-`) {
		t.Errorf("%s, %v", text, err)
	}
}
