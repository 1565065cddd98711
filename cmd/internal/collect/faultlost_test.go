package collect

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// documented is the configuration of an observer that docs/zookeeper.md shows: its zoo.cfg and java.env.
func documented(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/zookeeper.md")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	found := regexp.MustCompile("(?s)```(?:properties|sh)\n(# (?:zoo\\.cfg|java\\.env) of an observer\n.*?)```").FindAllStringSubmatch(string(b), -1)
	for _, m := range found {
		text.WriteString(m[1])
	}
	if len(found) != 2 || !strings.Contains(text.String(), "peerType=observer") || !strings.Contains(text.String(), "readonlymode.enabled=true") {
		t.Fatalf("docs/zookeeper.md shows %d parts of an observer's configuration:\n%s", len(found), text.String())
	}
	return text.String()
}

// quorumLost: the observer serves on, read-only, and what it says is marked; then it is rebuilt without anybody to learn from, so that it serves an empty tree.
func quorumLost(t *testing.T, f *faults) {
	s := f.site(t, 10, f.observer())
	s.steady()
	for _, v := range f.e.Voters[1:] {
		v.Kill()
	}
	defer f.e.Start()
	s.until("it is read-only, and says so", func() bool { return s.view().Connected && s.view().ReadOnly })
	if m := s.states(); m[discovery.Departed] != 0 || len(s.entries()) != 10 {
		t.Errorf("states %v", m)
	}
	s.until("every path is marked", func() bool {
		for _, p := range s.d.roster.Paths() {
			if p.Source == "zk" && !p.Stale {
				return false
			}
		}
		return true
	})
	fresh := &site{faults: f, t: t, root: s.root, service: s.service, apps: s.apps, still: newApp(t), nodes: s.nodes, agent: s.agent, servers: s.servers, dir: t.TempDir()}
	fresh.collect()
	fresh.until("a collector that knows nobody reads them all", func() bool { return len(fresh.entries()) == 10 && fresh.view().ReadOnly })
	fresh.halt()
	s.until("what cannot be confirmed for half a minute is unconfirmed", func() bool { return s.only(10, discovery.Unconfirmed) })
	for _, e := range s.entries() {
		if !strings.Contains(e.Reason, "without a quorum") {
			t.Errorf("%s: %q", e.Addr(), e.Reason)
		}
	}
	s.nobodyLost(5, s.apps...)

	o := f.e.Observers[0]
	o.Kill()
	s.until("there is nobody to ask", func() bool { return !s.view().Connected })
	o.Wipe()
	o.Start()
	s.until("an empty server is found", func() bool { return s.view().Connected && s.view().ReadOnly })
	s.count()
	s.nobodyLost(8, s.apps...)
	if m := s.states(); m[discovery.Unconfirmed] != 10 || len(m) != 1 {
		t.Errorf("with an empty tree without a quorum: %v", m)
	}

	f.e.Start()
	s.until("with the quorum all are present", func() bool { return !s.view().ReadOnly && s.only(10, discovery.Present) })
	s.nobodyLost(10, s.apps...)
}

// startedAnew: not one of the ensemble's transactions is left, and its numbers begin again.
func startedAnew(t *testing.T, f *faults) {
	s := f.site(t, 10, f.in...)
	s.steady()
	f.e.Kill()
	s.until("it is noticed", func() bool { return !s.view().Connected })
	for _, z := range f.e.Servers() {
		z.Wipe()
	}
	s.agent.Close() // it would insist on the transactions that it has seen
	f.e.Start()
	s.until("the new ensemble is found", func() bool { return s.view().Connected })
	s.vanishedTogether()

	s.agent = f.client(t)
	s.mkdirs(s.root + "/" + s.service + "/prod")
	s.register(s.apps...)
	s.until("who registers again is present", func() bool { return s.only(10, discovery.Present) && len(s.d.roster.Guards()) == 0 })
	s.nobodyLost(10, s.apps...)
}

// nobodyAnswers: for half a minute the roster waits; then it says what it does not know. The pulls go on. It begins at once, and the test that it returns is for later.
func nobodyAnswers(t *testing.T, f *faults) func(*testing.T, *faults) {
	p := testenv.NewProxy(t, f.e.Voters[0].Addr)
	s := f.site(t, 10, p)
	s.steady()
	p.Blackhole()
	return func(t *testing.T, _ *faults) { s.t = t; s.unanswered(p) }
}

func (s *site) unanswered(p *testenv.Proxy) {
	t := s.t
	s.until("they are unconfirmed", func() bool { return s.only(10, discovery.Unconfirmed) })
	for _, e := range s.entries() {
		if !strings.Contains(e.Reason, "ZooKeeper has not answered since") {
			t.Errorf("%s: %q", e.Addr(), e.Reason)
		}
	}
	s.count()
	s.nobodyLost(3, s.apps...)
	s.collect()
	s.until("a collector that starts meanwhile has the roster of the disk", func() bool { return s.only(10, discovery.Unconfirmed) })
	s.count()
	s.nobodyLost(3, s.apps...)
	p.Heal()
	s.until("when it answers, they are present", func() bool { return s.only(10, discovery.Present) })
}
