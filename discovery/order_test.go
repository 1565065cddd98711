package discovery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOrdersOverRestart: what was ordered is obeyed over a restart, until somebody who knows says that it is over, or until its end.
func TestOrdersOverRestart(t *testing.T) {
	freeze := func(until time.Duration) func(now time.Time) Order {
		return func(now time.Time) Order {
			return Order{ID: "1", Kind: FreezeOrder, Path: "/p", By: "ann", At: now, Until: now.Add(until)}
		}
	}
	accept := func(now time.Time) Order {
		return Order{ID: "1", Kind: AcceptOrder, Path: "/p", By: "ann", At: now, Until: now.Add(time.Hour)}
	}
	for _, tc := range []struct {
		name  string
		order func(time.Time) Order
		size  int           // that is left of 10 while the order is in force
		down  time.Duration // for so long nobody runs
		then  func(p *play)
		want  string
	}{
		{"it goes on", freeze(time.Hour), 9, time.Minute, func(p *play) { p.size("/p", 9); p.wait(time.Minute) }, "9 present, 1 unconfirmed"},
		{"it was withdrawn meanwhile", freeze(time.Hour), 9, time.Minute, func(p *play) { p.size("/p", 9); p.r.Obey(nil, p.now) }, "9 present, 1 departed"},
		{"it was withdrawn meanwhile, told before the source speaks", freeze(time.Hour), 9, time.Minute, func(p *play) { p.r.Obey(nil, p.now); p.size("/p", 9) }, "9 present, 1 departed"},
		{"it was withdrawn, and the guard has them", freeze(time.Hour), 2, time.Minute, func(p *play) { p.size("/p", 2); p.r.Obey(nil, p.now) }, "2 present, 8 unconfirmed"},
		{"it ended meanwhile", freeze(time.Minute), 9, 2 * time.Minute, func(p *play) { p.size("/p", 9); p.wait(time.Second) }, "9 present, 1 departed"},
		{"it ends afterwards", freeze(5 * time.Minute), 9, time.Minute, func(p *play) { p.size("/p", 9); p.wait(5 * time.Minute) }, "9 present, 1 departed"},
		{"accepted, then withdrawn: losses are doubted again", accept, 10, time.Minute, func(p *play) { p.r.Obey(nil, p.now); p.size("/p", 10); p.wait(time.Minute); p.size("/p", 1) }, "1 present, 9 unconfirmed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				a := newPlay(t, RosterOptions{})
				kept(t, dir, a.r, []string{"z"}, func() {
					a.now = time.Now()
					a.size("/p", 10)
					time.Sleep(time.Minute)
					a.now = time.Now()
					a.r.Obey([]Order{tc.order(a.now)}, a.now)
					a.size("/p", tc.size)
					time.Sleep(2 * time.Second)
				})
				time.Sleep(tc.down)
				b := newPlay(t, RosterOptions{})
				kept(t, dir, b.r, []string{"z"}, func() {
					b.now = time.Now()
					b.size("/p", tc.size)
					tc.then(b)
					b.is(tc.want)
					if over := b.now.After(tc.order(a.now).Until) || strings.Contains(tc.name, "withdrawn"); over != (len(b.r.Orders()) == 0) {
						t.Errorf("orders are %v", b.r.Orders())
					}
				})
			})
		})
	}
}

// TestFrozenOne: of those whom one guard holds, an order about a path speaks of that path's alone, and its end lets nobody else go.
func TestFrozenOne(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	paths := []string{"/a", "/b", "/c", "/d"}
	for _, path := range paths {
		p.size(path, 4)
	}
	p.wait(time.Minute)
	for _, path := range paths {
		p.size(path, 1)
	}
	p.is("4 present, 12 unconfirmed") // by the fleet's guard
	zone := time.FixedZone("here", 7200)
	order := func() []Order { // read anew each time
		return []Order{{ID: "1", Kind: FreezeOrder, Path: "/a", By: "ann", At: t0.In(zone), Until: t0.Add(time.Hour).In(time.FixedZone("there", 3600))}}
	}
	if c := p.r.Obey(order(), p.now); len(c) != 3 {
		t.Errorf("%d moved", len(c))
	}
	if c := p.r.Obey(order(), p.now); len(c) != 0 {
		t.Errorf("the same order moved %d", len(c))
	}
	for _, e := range p.r.Entries() {
		if frozen := strings.Contains(e.Reason, "frozen by ann"); frozen != (e.Path == "/a" && e.State == Unconfirmed) {
			t.Errorf("%s: %s", e.Path, e.Reason)
		}
	}
	p.hear(false, 3)
	p.is("4 present, 3 unconfirmed, 9 departed")
	p.r.Obey(nil, p.now)
	p.wait(time.Second)
	p.is("4 present, 12 departed")
}
