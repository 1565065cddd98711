package discovery

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// play is a roster, the sets that a source publishes, and a clock.
type play struct {
	t    *testing.T
	r    *Roster
	now  time.Time
	sets map[string][]*Member // by path
}

func newPlay(t *testing.T, o RosterOptions) *play {
	return &play{t: t, r: NewRoster(o), now: t0, sets: map[string][]*Member{}}
}

func (p *play) wait(d time.Duration) []Change {
	var out []Change
	for end := p.now.Add(d); p.now.Before(end); {
		p.now = p.now.Add(time.Second)
		out = append(out, p.r.Tick(p.now)...)
	}
	return out
}

func (p *play) apply(path string) []Change {
	s := Set{Source: "z", Path: path, Members: append([]*Member(nil), p.sets[path]...), Verified: p.now}
	return p.r.Apply(s, p.now)
}

// node is an instance i of a path's service.
func node(path string, i int, tags ...string) *Member {
	m := member("10."+strconv.Itoa(i>>16)+"."+strconv.Itoa(i>>8&255)+"."+strconv.Itoa(i&255)+":80", tags...)
	m.Service, m.Source, m.Path = strings.Trim(path, "/"), "z", path
	return &m
}

// size makes path hold n instances: the first n that ever were.
func (p *play) size(path string, n int) []Change {
	for len(p.sets[path]) < n {
		p.sets[path] = append(p.sets[path], node(path, len(p.sets[path])))
	}
	p.sets[path] = p.sets[path][:n]
	return p.apply(path)
}

// tally is how many are in which state.
func (p *play) tally() string {
	var out []string
	counts := p.r.Counts()
	for _, s := range states7 {
		if counts[s] > 0 {
			out = append(out, strconv.Itoa(counts[s])+" "+string(s))
		}
	}
	return strings.Join(out, ", ")
}

func (p *play) is(want string) {
	p.t.Helper()
	if got := p.tally(); got != want {
		p.t.Errorf("the roster has %s, want %s", got, want)
	}
}

// hear has everybody of the path who is held answer, or not.
func (p *play) hear(answered bool, times int) {
	for range times {
		for _, e := range p.r.Entries() {
			if e.State == Unconfirmed {
				p.r.Heard(e.Key, answered, p.now)
			}
		}
	}
	p.wait(time.Second)
}

func TestGuardTrips(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []int // sizes, a minute apart
		want  string
	}{
		{"at once", []int{100, 20}, "20 present, 80 unconfirmed"},
		{"in steps, as expiries come", []int{100, 60, 35, 20}, "20 present, 80 unconfirmed"},
		{"half is believed", []int{100, 50}, "50 present, 50 departed"},
		{"a few of few are believed", []int{4, 1}, "1 present, 3 departed"},
		{"nobody is never believed", []int{1, 0}, "1 unconfirmed"},
		{"back at once", []int{100, 20, 100}, "100 present"},
		{"slower than anybody remembers", []int{100, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 35}, "35 present, 65 departed"},
		{"grew meanwhile: who has just joined makes up for some", []int{40, 100, 45}, "45 present, 50 unconfirmed, 5 departed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, RosterOptions{})
			for _, n := range tc.steps {
				p.size("/p", n)
				p.wait(time.Minute)
			}
			p.is(tc.want)
		})
	}
}

func TestGuardEnds(t *testing.T) {
	for _, tc := range []struct {
		name    string
		do      func(p *play)
		want    string
		verdict string // of the guard
		reason  string // of the 100th
	}{
		{"they have not been asked", func(p *play) {}, "35 present, 65 unconfirmed", "65 of 100 vanished from ZooKeeper; asking them", "in a mass expiry of /p (100 → 35); not seen in ZooKeeper since 16:00:00"},
		{"they answer", func(p *play) { p.hear(true, 1) }, "35 present, 65 unconfirmed", "ZooKeeper, not you: 65 of 65 that vanished answer", "in a mass expiry of /p"},
		{"they answer twice not", func(p *play) { p.hear(false, 2) }, "35 present, 65 unconfirmed", "65 of 100 vanished from ZooKeeper; asking them: 0 answer, 65 do not yet", "in a mass expiry"},
		{"they do not answer", func(p *play) { p.hear(false, 3) }, "35 present, 65 departed", "", "did not answer 3 times"},
		{"they answer now and then", func(p *play) { p.hear(false, 2); p.hear(true, 1); p.hear(false, 2) }, "35 present, 65 unconfirmed", "asking them", "mass expiry"},
		{"most are back", func(p *play) { p.size("/p", 99) }, "99 present, 1 unconfirmed", "1 of 100 vanished from ZooKeeper; asking them, 64 are back", "mass expiry"},
		{"all are back", func(p *play) { p.size("/p", 100) }, "100 present", "", ""},
		{"an operator accepts", func(p *play) {
			p.r.Obey([]Order{{ID: "1", Kind: AcceptOrder, Path: "/p", By: "ann", At: p.now, Until: p.now.Add(time.Hour)}}, p.now)
		}, "35 present, 65 departed", "", "accepted by ann"},
		{"an operator accepts elsewhere", func(p *play) {
			p.r.Obey([]Order{{ID: "1", Kind: AcceptOrder, Path: "/pq", By: "ann", At: p.now}}, p.now)
		}, "35 present, 65 unconfirmed", "asking them", "mass expiry"},
		{"an hour", func(p *play) { p.wait(61 * time.Minute) }, "35 present, 65 departed", "", "in a mass expiry of /p"},
		{"an hour, frozen", func(p *play) {
			p.r.Obey([]Order{{ID: "1", Kind: FreezeOrder, Path: "/", By: "ann", Why: "upgrade", At: p.now, Until: p.now.Add(2 * time.Hour)}}, p.now)
			p.hear(false, 5)
			p.wait(61 * time.Minute)
		}, "35 present, 65 unconfirmed", "asking them: 0 answer, 65 do not yet", "/ is frozen by ann until 18:01:00 (upgrade)"},
		{"the source forgets them", func(p *play) { p.r.Forget("z", p.now) }, "100 departed", "", "no job looks at /p any more"},
		{"the path goes, too", func(p *play) { p.r.See(View{Source: "z", Complete: true, Connected: true}, p.now) }, "100 unconfirmed", "100 of 100 vanished", "in a mass expiry of /p"},
		{"more go", func(p *play) { p.size("/p", 30) }, "30 present, 70 unconfirmed", "70 of 100 vanished", "mass expiry"},
		{"their source cannot see any more", func(p *play) {
			p.r.See(View{Source: "z", LastHeard: p.now}, p.now)
			p.wait(31 * time.Second)
		}, "100 unconfirmed", "65 of 100 vanished", "mass expiry"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, RosterOptions{})
			p.size("/p", 100)
			p.wait(time.Minute)
			p.size("/p", 35)
			tc.do(p)
			p.is(tc.want)
			verdict := ""
			for _, g := range p.r.Guards() {
				verdict += g.Verdict
			}
			if !strings.Contains(verdict, tc.verdict) || (verdict == "") != (tc.verdict == "") {
				t.Errorf("the guard says %q, want %q", verdict, tc.verdict)
			}
			if e, err := p.r.Find(node("/p", 99).Key.String()); err != nil || !strings.Contains(e.Reason, tc.reason) {
				t.Errorf("the last is %s: %s, %v; want %q", e.State, e.Reason, err, tc.reason)
			}
			if n := p.r.held.Load(); (n != 0) != (len(p.r.guards) != 0) {
				t.Errorf("%d are held by %d guards", n, len(p.r.guards))
			}
		})
	}
}

// Many small sets that each lose less than a guard of their own minds are minded by the fleet's.
func TestFleetGuard(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	for i := range 50 {
		p.size("/p"+strconv.Itoa(i), 4)
	}
	for i := range 50 {
		p.size("/p"+strconv.Itoa(i), 1)
	}
	p.is("50 present, 150 unconfirmed")
	g := p.r.Guards()
	if len(g) != 1 || g[0].Scope != FleetScope || g[0].Held != 150 {
		t.Errorf("guards are %+v", g)
	}
	for i := range 50 {
		p.size("/p"+strconv.Itoa(i), 4)
	}
	p.is("200 present")
}

func TestFreeze(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	p.size("/p", 10)
	p.r.Obey([]Order{{ID: "1", Kind: FreezeOrder, Path: "/", By: "ann", At: p.now, Until: p.now.Add(10 * time.Minute)}}, p.now)
	p.wait(time.Minute)
	p.size("/p", 9)
	p.hear(false, 9)
	p.is("9 present, 1 unconfirmed")
	if g := p.r.Guards(); len(g) != 1 || !strings.Contains(g[0].Verdict, "/ is frozen by ann until 16:10:00; 1 left meanwhile") {
		t.Errorf("guards are %+v", g)
	}
	p.wait(10 * time.Minute)
	p.is("9 present, 1 departed")
	p.r.Obey([]Order{{ID: "2", Kind: FreezeOrder, Path: "/p", At: p.now}}, p.now)
	p.size("/p", 2)
	p.wait(time.Minute)
	p.is("2 present, 7 unconfirmed, 1 departed")
	p.r.Obey(nil, p.now) // now the guard has them
	p.is("2 present, 7 unconfirmed, 1 departed")
	p.hear(true, 1)
	if g := p.r.Guards(); len(g) != 1 || g[0].Frozen != nil || g[0].Answering != 7 {
		t.Errorf("guards are %+v", g)
	}
	// So it has after a freeze that was longer than anybody remembers.
	p.r.Obey([]Order{{ID: "3", Kind: FreezeOrder, Path: "/q", At: p.now}}, p.now)
	p.size("/q", 10)
	p.size("/q", 1)
	p.wait(2 * time.Hour)
	p.r.Obey(nil, p.now)
	p.wait(time.Minute)
	if e, _ := p.r.Find(node("/q", 9).Key.String()); e.State != Unconfirmed {
		t.Errorf("it is %s: %s", e.State, e.Reason)
	}
}

// An ensemble that comes back empty, and then with everybody who registers again: nobody is ever missing, and nobody counts as flapping.
func TestRebuiltEnsemble(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	for i := range 20 {
		p.size("/p"+strconv.Itoa(i), 1+i)
	}
	p.wait(time.Hour)
	p.r.See(View{Source: "z", Complete: true, Connected: true, Paths: []string{}}, p.now)
	p.is("210 unconfirmed")
	p.hear(true, 1)
	for i := range 20 {
		if p.wait(time.Second); p.tally() == "" {
			t.Fatal("nobody")
		}
		path := "/p" + strconv.Itoa(i)
		for j, m := range p.sets[path] {
			c := *m
			c.Member, c.Zxid = "again-"+c.Addr(), int64(j+1)
			p.sets[path][j] = &c
		}
		p.apply(path)
	}
	p.is("210 present")
	for _, e := range p.r.Entries() {
		if e.Flaps != 0 || e.Cause != "" {
			t.Fatalf("%+v", e)
		}
	}
	if len(p.r.Guards()) != 0 {
		t.Errorf("guards are %+v", p.r.Guards())
	}
}

func TestFlapper(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	p.size("/p", 10)
	p.wait(time.Minute)
	for i := range 4 {
		p.size("/p", 9)
		p.wait(5 * time.Second)
		p.size("/p", 10)
		p.wait(5 * time.Second)
		e, _ := p.r.Find(node("/p", 9).Key.String())
		want := Present
		if i == 3 {
			want = Quarantined
		}
		if e.State != want || e.Flaps != i+1 {
			t.Errorf("after %d: %s, %d flaps: %s", i+1, e.State, e.Flaps, e.Reason)
		}
	}
	p.size("/p", 9)
	if e, _ := p.r.Find(node("/p", 9).Key.String()); !strings.Contains(e.Excuse, "quarantined") {
		t.Errorf("it left: %+v", e)
	}
	p.size("/p", 10)
	p.is("9 present, 1 quarantined")
	var released []Change
	n := 0
	for ; len(released) == 0 && n < 3600; n++ {
		released = p.wait(time.Second)
	}
	if n < 500 || n > 900 || moves(released) != "10.0.0.9:80:quarantined>present" {
		t.Errorf("after %d s: %s", n, moves(released))
	}
	p.wait(time.Hour)
	if e, _ := p.r.Find(node("/p", 9).Key.String()); e.Flaps != 0 {
		t.Errorf("it is still called a flapper: %+v", e)
	}
	s, err := p.r.Why(node("/p", 9).Key.String())
	if err != nil || len(s.Events) != 12 || len(s.Events) > eventsKept || s.Events[0].What != "joined" {
		t.Errorf("%v: %d events: %+v", err, len(s.Events), s.Events)
	}
}

func TestAway(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	p.size("/p", 3)
	see := func(v View) string {
		v.Source, v.LastHeard = "z", p.now
		p.r.See(v, p.now)
		p.wait(31 * time.Second)
		e := p.r.Of("p", "prod")[0]
		g := p.r.Groups()[0]
		if g.Present+g.Unconfirmed != 3 || (g.Unconfirmed == 3) != (e.State == Unconfirmed) {
			p.t.Errorf("group %+v", g)
		}
		return p.tally() + ": " + e.Reason
	}
	for _, tc := range []struct {
		view View
		want string
	}{
		{View{Connected: true}, "3 present: "},
		{View{}, "3 unconfirmed: ZooKeeper has not answered since 16:00:31"},
		{View{Connected: true}, "3 present: "},
		{View{Connected: true, ReadOnly: true}, "3 unconfirmed: read from a server without a quorum since 16:01:33"},
	} {
		if got := see(tc.view); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.view, got, tc.want)
		}
	}
	if n := p.r.Doubts(); n != 3 {
		t.Errorf("%d doubts", n)
	}
}
