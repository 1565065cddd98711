package collect

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// TestFaults is what befalls an ensemble, one after the other, and what the roster says and the collectors pull meanwhile.
func TestFaults(t *testing.T) {
	f, ok := newFaults(t, testenv.ReadOnlyMode(), testenv.Property("jute.maxbuffer", "4194304"), testenv.ForObservers(testenv.Configuration(documented(t))))
	if !ok {
		return // said at the end
	}
	away := nobodyAnswers(t, f)
	type fault struct {
		name string
		run  func(*testing.T, *faults)
	}
	one := func(tc fault) {
		if !t.Run(tc.name, func(t *testing.T) { tc.run(t, f) }) {
			for _, p := range f.in { // the next one begins with an ensemble that is whole
				p.Heal()
				p.Up()
			}
			f.e.Start()
		}
	}
	// What leaves the servers, and the way to them, as they are: each waits most of the time, so all wait together.
	var wg sync.WaitGroup
	for _, tc := range []fault{
		{"what registrants write", whatRegistrantsWrite},
		{"a member that flaps", aMemberThatFlaps},
		{"an agent leaves", anAgentLeaves},
		{"a server that says nothing", silentServer},
		{"session expired while away", expiredWhileAway},
		{"all ephemerals wiped", allWiped},
	} {
		wg.Go(func() { one(tc) })
	}
	wg.Wait()
	for _, tc := range []fault{
		{"one broken among 10,000", oneBrokenAmongThousands},
		{"ZooKeeper is seen", zooKeeperSeen},
		{"latency of 200 ms", latency},
		{"half-open socket", halfOpenSocket},
		{"leader killed", leaderKilled},
		{"observer rebuilt empty", observerRebuilt},
		{"nobody answers", away},
		{"quorum lost", quorumLost},
		{"an ensemble started anew with an empty tree", startedAnew},
	} {
		one(tc)
	}
}

func latency(t *testing.T, f *faults) {
	for _, p := range f.in {
		p.Latency(200 * time.Millisecond)
		defer p.Heal()
	}
	s := f.site(t, 10, f.in...)
	s.steady()
	late := newApp(t)
	s.register(late)
	s.until("one who joins is seen", func() bool { return s.entry(late).State == discovery.Present })
	s.remove(late)
	s.until("and one who leaves", func() bool { e := s.entry(late); return e.State == discovery.Departed && e.Cause == discovery.Removed })
	s.nobodyLost(5, s.apps...)
}

func halfOpenSocket(t *testing.T, f *faults) {
	s := f.site(t, 10, f.in...)
	s.steady()
	at := slices.IndexFunc(f.in, func(p *testenv.Proxy) bool { return p.Addr == s.view().Server })
	if at < 0 {
		t.Fatalf("the session is at %q, which is none of ours", s.view().Server)
	}
	f.in[at].Blackhole()
	defer f.in[at].Heal()
	late := newApp(t)
	s.register(late)
	s.until("the session goes on elsewhere", func() bool { return s.entry(late).State == discovery.Present && s.view().Server != f.in[at].Addr })
	if !s.only(11, discovery.Present) {
		t.Errorf("states %v", s.states())
	}
	s.nobodyLost(5, s.apps...)
}

func silentServer(t *testing.T, f *faults) {
	silent := testenv.NewProxy(t, f.e.Voters[0].Addr)
	silent.Blackhole()
	s := f.site(t, 10, silent, f.observer())
	s.steady()
	s.nobodyLost(3, s.apps...)
}

func expiredWhileAway(t *testing.T, f *faults) {
	p := testenv.NewProxy(t, f.e.Voters[1].Addr)
	s := f.site(t, 10, p)
	s.steady()
	p.Down()
	s.until("it is noticed", func() bool { return !s.view().Connected })
	began := time.Now()
	left, again, late := s.apps[0], s.apps[1], newApp(t)
	s.remove(left, again)
	s.register(again, late) // again under another name
	s.until("the session has expired", func() bool { return time.Since(began) > 4*time.Second })
	if !s.only(10, discovery.Present) {
		t.Errorf("while away: %v", s.states())
	}
	s.nobodyLost(5, s.apps...)
	p.Up()
	s.until("what happened meanwhile is seen", func() bool {
		return s.entry(late).State == discovery.Present && s.entry(left).State == discovery.Departed && s.entry(again).State == discovery.Present
	})
	if m := s.states(); m[discovery.Present] != 10 || m[discovery.Departed] != 1 || len(m) != 2 {
		t.Errorf("afterwards: %v", m)
	}
	s.nobodyLost(8, s.apps[1:]...)
}

// vanishedTogether checks that the guard holds those who are gone, and why, and that those who answer are pulled on.
func (s *site) vanishedTogether() {
	s.t.Helper()
	s.until("they are held", func() bool { return s.only(len(s.apps), discovery.Unconfirmed) })
	for _, e := range s.entries() {
		if !strings.Contains(e.Reason, "mass expiry") {
			s.t.Errorf("%s: %q", e.Addr(), e.Reason)
		}
	}
	s.until("they answer, so it is not them", func() bool {
		return slices.ContainsFunc(s.d.roster.Guards(), func(g discovery.Guard) bool {
			return g.Held == len(s.apps) && g.Answering == g.Held && strings.Contains(g.Verdict, "ZooKeeper, not you")
		})
	})
	s.nobodyLost(5, s.apps...)
}

func allWiped(t *testing.T, f *faults) {
	s := f.site(t, 20, f.observer())
	s.steady()
	s.remove(s.apps...)
	s.vanishedTogether()

	dead := s.apps[:4]
	for _, a := range dead {
		a.stop()
	}
	s.until("those who do not answer either are gone", func() bool { return s.states()[discovery.Departed] == len(dead) })
	for _, a := range dead {
		if e := s.entry(a); e.State != discovery.Departed || e.Cause != discovery.Dead || e.Excuse != "" {
			t.Errorf("%s: %s, %s, excuse %q", a.addr, e.State, e.Cause, e.Excuse)
		}
	}
	s.register(s.apps[4:]...)
	s.until("who registers again is present", func() bool { return s.states()[discovery.Present] == 16 && len(s.d.roster.Guards()) == 0 })
	s.nobodyLost(10, s.apps[4:]...)
}

func leaderKilled(t *testing.T, f *faults) {
	s := f.site(t, 10, f.in...)
	s.steady()
	was := f.e.Leader()
	was.Kill()
	defer f.e.Start()
	s.until("there is another", func() bool { l := f.e.Leader(); return l != nil && l != was })
	late := newApp(t)
	s.register(late)
	s.until("the roster follows it", func() bool { return s.entry(late).State == discovery.Present })
	if !s.only(11, discovery.Present) {
		t.Errorf("states %v", s.states())
	}
	s.nobodyLost(5, s.apps...)
}

func observerRebuilt(t *testing.T, f *faults) {
	s := f.site(t, 10, f.observer())
	s.steady()
	o := f.e.Observers[0]
	o.Kill()
	s.until("it is noticed", func() bool { return !s.view().Connected })
	o.Wipe()
	f.e.Start()
	late := newApp(t)
	s.register(late)
	s.until("it is followed again", func() bool { return s.entry(late).State == discovery.Present })
	if !s.only(11, discovery.Present) {
		t.Errorf("states %v", s.states())
	}
	s.nobodyLost(5, s.apps...)
}
