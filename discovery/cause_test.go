package discovery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCauses(t *testing.T) {
	with := func(m *Member, f func(*Member)) *Member { c := *m; f(&c); return &c }
	for _, tc := range []struct {
		name          string
		do            func(p *play)
		cause, excuse string // of the last of 10
	}{
		{"it just went", func(p *play) { p.size("/p", 9) }, "removed", ""},
		{"it said so", func(p *play) {
			p.sets["/p"][9] = with(p.sets["/p"][9], func(m *Member) { m.Status = Leaving })
			p.apply("/p")
			p.size("/p", 9)
		}, "deregistered", "deregistered"},
		{"it stopped", func(p *play) {
			p.sets["/p"][9] = with(p.sets["/p"][9], func(m *Member) { m.Status = "STOPPED" })
			p.apply("/p")
			p.size("/p", 9)
		}, "deregistered", "drained: it said STOPPED"},
		{"its session ended", func(p *play) {
			for _, i := range []int{8, 9} {
				p.sets["/p"][i] = with(p.sets["/p"][i], func(m *Member) { m.Owner = 7 })
			}
			p.apply("/p")
			p.size("/p", 8)
		}, "expired", ""},
		{"its session ended, seen path by path", func(p *play) {
			p.sets["/p"][9] = with(p.sets["/p"][9], func(m *Member) { m.Owner = 7 })
			p.sets["/q"][9] = with(p.sets["/q"][9], func(m *Member) { m.Owner = 7 })
			p.apply("/p")
			p.apply("/q")
			p.size("/p", 9)
			p.size("/q", 9)
		}, "expired", ""},
		{"its session holds others", func(p *play) {
			for _, i := range []int{8, 9} {
				p.sets["/p"][i] = with(p.sets["/p"][i], func(m *Member) { m.Owner = 7 })
			}
			p.apply("/p")
			p.size("/p", 9)
		}, "removed", ""},
		{"replaced by a shard", func(p *play) {
			p.sets["/p"][9] = with(p.sets["/p"][9], func(m *Member) { m.Shard = 9 })
			p.apply("/p")
			p.sets["/p"][9] = with(node("/p", 77), func(m *Member) { m.Shard = 9 })
			p.apply("/p")
		}, "moved", "replaced by 10.0.0.77:80"},
		{"its member is elsewhere", func(p *play) {
			p.sets["/p"][9] = with(node("/p", 77), func(m *Member) { m.Member = p.sets["/p"][9].Member })
			p.apply("/p")
		}, "moved", "replaced by 10.0.0.77:80"},
		{"replaced before", func(p *play) {
			p.sets["/p"] = append(p.sets["/p"][:10:10], node("/p", 77))
			p.apply("/p")
			p.wait(4 * time.Minute)
			p.sets["/p"] = append(p.sets["/p"][:9:9], node("/p", 77))
			p.apply("/p")
		}, "removed", "replaced by 10.0.0.77:80"},
		{"replaced after", func(p *play) {
			p.size("/p", 9)
			p.wait(4 * time.Minute)
			p.sets["/p"] = append(p.sets["/p"], node("/p", 77))
			p.apply("/p")
		}, "removed", "replaced by 10.0.0.77:80"},
		{"one joined long after", func(p *play) {
			p.size("/p", 9)
			p.wait(6 * time.Minute)
			p.sets["/p"] = append(p.sets["/p"], node("/p", 77))
			p.apply("/p")
		}, "removed", ""},
		{"another zone replaces nobody", func(p *play) {
			p.sets["/p"][9] = node("/p", 77, tagZone, "b")
			p.apply("/p")
		}, "removed", ""},
		{"an older version replaces nobody", func(p *play) {
			p.sets["/p"][9] = with(p.sets["/p"][9], func(m *Member) { m.Tags = TagsOf(map[string]string{tagVersion: "1.10"}) })
			p.apply("/p")
			p.sets["/p"][9] = node("/p", 77, tagVersion, "1.9.3")
			p.apply("/p")
		}, "removed", ""},
		{"it cannot be read any more", func(p *play) {
			p.sets["/p"][9] = with(&Member{Instance: Instance{Key: Key{Service: "p", Env: "prod"}, Source: "z", Path: "/p", Member: p.sets["/p"][9].Member}}, func(m *Member) { m.Err = errors.New("no port") })
			p.apply("/p")
		}, "removed", ""},
		{"the path went", func(p *play) {
			p.r.opts.Guard.Off = true
			p.r.See(View{Source: "z", Complete: true}, p.now)
		}, "path_removed", ""},
		{"the job went", func(p *play) { p.r.Forget("z", p.now) }, "unconfigured", "no job looks there any more"},
		{"it was filtered", func(p *play) {
			p.r.Refilter(func(i *Instance) (string, bool) { return "rule 1", i.Host != "10.0.0.9" }, p.now)
			p.size("/p", 9)
		}, "removed", "it was filtered: rule 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, RosterOptions{})
			p.size("/p", 10)
			p.size("/q", 10)
			p.wait(time.Minute)
			tc.do(p)
			e, err := p.r.Find(node("/p", 9).Key.String())
			if err != nil || e.State != Departed || string(e.Cause) != tc.cause || e.Excuse != tc.excuse {
				t.Errorf("%v: %s, cause %q, excuse %q, reason %q", err, e.State, e.Cause, e.Excuse, e.Reason)
			}
		})
	}
}

// A service that moves to another path keeps everybody, whichever word comes first.
func TestMovedPath(t *testing.T) {
	for _, first := range []string{"join", "leave"} {
		p := newPlay(t, RosterOptions{})
		p.size("/p", 10)
		p.wait(time.Hour)
		var moved []*Member
		for _, m := range p.sets["/p"] {
			c := *m
			c.Path = "/new/p"
			moved = append(moved, &c)
		}
		if first == "join" {
			p.r.Apply(Set{Source: "z", Path: "/new/p", Members: moved, Verified: p.now}, p.now)
		}
		p.r.See(View{Source: "z", Complete: true, Connected: true, Paths: []string{"/new/p"}}, p.now)
		if first == "leave" {
			p.is("10 unconfirmed")
			p.r.Apply(Set{Source: "z", Path: "/new/p", Members: moved, Verified: p.now}, p.now)
		}
		p.is("10 present")
		if g := p.r.Guards(); len(g) != 0 || len(p.r.Paths()) != 1 {
			t.Errorf("%s first: %v %v", first, g, p.r.Paths())
		}
	}
}

func TestWhy(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	p.size("/p", 10)
	p.wait(time.Minute)
	p.size("/p", 2)
	p.r.Obey([]Order{{ID: "1", Kind: FreezeOrder, Path: "/p", At: p.now}, {ID: "2", Kind: FreezeOrder, Path: "/q", At: p.now}}, p.now)
	s, err := p.r.Why("p/prod/10.0.0.9:80")
	if err != nil || s.Guard == nil || s.Guard.Held != 8 || len(s.Orders) != 1 || len(s.Sources) != 0 || len(s.Events) != 2 {
		t.Errorf("%v %+v", err, s)
	}
	s, err = p.r.Why("p/prod/10.0.0.1:80")
	if err != nil || len(s.Sources) != 1 || !s.Sources[0].Pulls || len(s.Events) != 1 {
		t.Errorf("%v %+v", err, s)
	}
	if _, err = p.r.Why("p/prod/10.0.0.99:80"); err == nil {
		t.Error("nobody has a story")
	}
	if got := fmt.Sprint(p.r.Paths()); !strings.Contains(got, "/p p prod 2 0") {
		t.Error(got)
	}
}
