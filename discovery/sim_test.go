package discovery

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAutoscaling is a day of a service that grows and shrinks over three zones: its instances do not say goodbye, so that each leaves when its session ends. Nobody is
// ever called missing, but for one rack that dies in the evening.
func TestAutoscaling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t, RosterOptions{})
		rnd := rand.New(rand.NewPCG(3, 4))
		zones := []string{"a", "b", "c"}
		var next int
		add := func() {
			n := map[string]int{}
			for _, m := range p.sets["/web"] {
				n[m.Tags.Get(tagZone)]++
			}
			z := slices.MinFunc(zones, func(x, y string) int { return cmp.Compare(n[x], n[y]) })
			// A rack is one of eight of its zone.
			p.sets["/web"] = append(p.sets["/web"], node("/web", next, tagZone, z, tagVersion, fmt.Sprint("1.", next/200), tagRack, fmt.Sprint(z, next%8)))
			next++
		}
		drop := func() {
			n := map[string]int{}
			for _, m := range p.sets["/web"] {
				n[m.Tags.Get(tagZone)]++
			}
			z := slices.MaxFunc(zones, func(x, y string) int { return cmp.Compare(n[x], n[y]) })
			at := rnd.Perm(len(p.sets["/web"]))
			i := at[slices.IndexFunc(at, func(i int) bool { return p.sets["/web"][i].Tags.Get(tagZone) == z })]
			p.sets["/web"] = slices.Delete(slices.Clone(p.sets["/web"]), i, i+1)
		}
		missing := func() (out []string) {
			for _, e := range p.r.Of("web", "prod") {
				if e.Missing(time.Now()) {
					out = append(out, e.Addr())
				}
			}
			if g := p.r.Groups(); len(g) > 0 && g[0].Missing != len(out) {
				t.Errorf("%d are missing, the group says %d", len(out), g[0].Missing)
			}
			return out
		}
		wanted := func(h float64) int { return 130 - int(70*math.Cos(h/24*2*math.Pi)) } // 60 at night, 200 at noon
		for range wanted(0) {
			add()
		}
		left, named := 0, 0
		for minute := range 24 * 60 {
			h := float64(minute) / 60
			dead := []string{}
			switch n := wanted(h); {
			case minute == 20*60:
				p.sets["/web"] = slices.DeleteFunc(slices.Clone(p.sets["/web"]), func(m *Member) bool {
					if m.Tags.Get(tagRack) != "b3" {
						return false
					}
					dead = append(dead, m.Addr())
					return true
				})
			case minute > 20*60 && minute < 20*60+20: // the scaler is a while about it
			case len(p.sets["/web"]) < n:
				for len(p.sets["/web"]) < n {
					add()
				}
			case len(p.sets["/web"]) > n:
				drop()
				left++
			}
			p.now = time.Now()
			p.apply("/web")
			p.r.Tick(p.now)
			got := missing()
			switch {
			case len(dead) > 0:
				slices.Sort(dead)
				slices.Sort(got)
				if named = len(got); !slices.Equal(got, dead) || named < 2 {
					t.Errorf("the dead rack has %v, missing are %v", dead, got)
				}
			case len(got) > 0 && !(minute > 20*60 && minute <= 20*60+20):
				t.Fatalf("at %.2f h %v are called missing", h, got)
			}
			for range 60 {
				time.Sleep(time.Second)
				p.r.Tick(time.Now())
			}
		}
		if left < 100 || len(p.r.Guards()) != 0 {
			t.Errorf("%d left, guards %+v", left, p.r.Guards())
		}
		t.Logf("%d instances over the day, %d left one by one, %d of a dead rack named", next, left, named)
	})
}

// A rolling deploy whose instances get new addresses is no loss, and neither is one that keeps them.
func TestDeploys(t *testing.T) {
	for _, tc := range []struct {
		name string
		addr func(i int) int
	}{{"new addresses", func(i int) int { return 1000 + i }}, {"the same addresses", func(i int) int { return i }}} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, RosterOptions{})
			for i := range 40 {
				p.sets["/web"] = append(p.sets["/web"], node("/web", i, tagVersion, "1", tagZone, string(rune('a'+i%3))))
			}
			p.apply("/web")
			p.wait(time.Minute)
			var changes []Change
			for i := range 40 {
				all := slices.Clone(p.sets["/web"])
				p.sets["/web"] = slices.Delete(slices.Clone(all), i, i+1)
				p.apply("/web")
				p.wait(3 * time.Second)
				all[i] = node("/web", tc.addr(i), tagVersion, "2", tagZone, string(rune('a'+i%3)))
				p.sets["/web"] = all
				changes = append(changes, p.apply("/web")...)
				p.wait(3 * time.Second)
			}
			for _, e := range p.r.Entries() {
				if e.Missing(p.now) || e.State == Unconfirmed {
					t.Fatalf("%s is %s: %s", e.Addr(), e.State, e.Reason)
				}
			}
			if n := strings.Count(moves(changes), ">present"); n != 40 {
				t.Errorf("%d joined: %s", n, moves(changes))
			}
		})
	}
}

func TestOldTags(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	p.size("/p", 1)
	old := p.sets["/p"][0]
	p.sets["/p"][0] = node("/p", 0, tagVersion, "2", "team", "pay")
	c := p.apply("/p")
	if len(c) != 1 || c[0].OldTags != old.Tags || c[0].Was != Present {
		t.Errorf("%+v", c)
	}
	p.sets["/p"][0] = node("/p", 0, tagVersion, "3")
	if c = p.apply("/p"); len(c) != 1 || c[0].OldTags.Get(tagVersion) != "2" {
		t.Errorf("%+v", c)
	}
	if s, _ := p.r.Why(c[0].ID()); len(s.Events) != 2 || s.Events[1].Detail != "service.version 2 → 3, team is gone" {
		t.Errorf("%+v", s.Events)
	}
}
