package collect

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// anAgentLeaves: of those who go, the roster knows who said so.
func anAgentLeaves(t *testing.T, f *faults) {
	s := f.site(t, 5, f.observer())
	s.steady()
	session, err := zk.NewSession(zk.Config{Servers: f.e.Addrs()[:3], SessionTimeout: 4 * time.Second})
	s.must(err)
	agent, err := register.New(register.Config{Root: s.root}, session)
	s.must(err)
	var services []register.Service
	var apps []*app
	for range 4 {
		a := newApp(t)
		host, port, err := discovery.SplitAddr(a.addr)
		s.must(err)
		apps = append(apps, a)
		services = append(services, register.Service{Name: s.service, Env: "prod", Host: host, Port: port})
	}
	s.must(agent.Set(services))
	ctx, cancel := context.WithCancel(context.Background())
	held, end := context.WithCancel(context.Background())
	var agents, sessions sync.WaitGroup
	sessions.Go(func() { session.Run(held) })
	agents.Go(func() { agent.Run(ctx, context.Background()) })
	defer func() { cancel(); agents.Wait(); end(); sessions.Wait() }()
	s.until("they are registered", func() bool { return s.only(9, discovery.Present) })
	s.must(agent.Set(services[1:]))
	gone := func(a *app) bool {
		e := s.entry(a)
		return e.State == discovery.Departed && e.Cause == discovery.Deregistered && e.Excuse != ""
	}
	s.until("one that is no longer configured has deregistered", func() bool { return gone(apps[0]) })
	cancel()
	s.until("all of a stopped agent's have", func() bool { return !slices.ContainsFunc(apps, func(a *app) bool { return !gone(a) }) })
	if g := s.d.roster.Guards(); len(g) != 0 {
		t.Errorf("held though they said that they leave: %+v", g)
	}
	s.remove(s.apps[0])
	s.until("one whose node just goes has not", func() bool {
		e := s.entry(s.apps[0])
		return e.State == discovery.Departed && e.Cause == discovery.Removed && e.Excuse == ""
	})
}

// zooKeeperSeen: the ensemble is a service like any other, with its roles, and one of its servers that dies is missed like any other.
func zooKeeperSeen(t *testing.T, f *faults) {
	if conf := f.e.Observers[0].FourLetter("conf"); !strings.Contains(conf, "not in the whitelist") {
		t.Errorf("the observer does not have the configuration that is documented: %s", conf)
	}
	c, err := config.Parse([]byte("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nzookeeper: {servers: ['"+f.e.Voters[0].Addr+"', '"+f.e.Observers[0].Addr+"'], session_timeout: 2s}\n"+
		"kafka: {brokers: ['"+f.broker.Addr()+"']}\nscrape_configs:\n- {job_name: zk, serverset_sd_configs: [{paths: ['/discovery/{service}/{env}']}]}\n"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	d, stop := start(t, c, t.TempDir())
	defer stop()
	roles := func() []string {
		var out []string
		for _, e := range d.roster.Of(ensemble.Service, "default") {
			out = append(out, e.Tags.Get(ensemble.TagRole))
		}
		slices.Sort(out)
		return out
	}
	eventually(t, "two are configured, and the ensemble tells of the others", func() bool {
		return slices.Equal(roles(), []string{"follower", "follower", "leader", "observer"})
	})
	outcomes := func() map[collector.Outcome]int {
		out := map[collector.Outcome]int{}
		for _, st := range d.pool.Status() {
			if st.Job.Name == ensembleJob {
				out[st.Outcome]++
			}
		}
		return out
	}
	eventually(t, "all are pulled", func() bool { return maps.Equal(outcomes(), map[collector.Outcome]int{collector.OK: 4}) })
	dead := f.e.Voters[slices.IndexFunc(f.e.Voters, func(s *testenv.ZooKeeperServer) bool { return s != f.e.Leader() && s != f.e.Voters[0] })]
	dead.Kill()
	defer f.e.Start()
	eventually(t, "one is dead", func() bool {
		return maps.Equal(outcomes(), map[collector.Outcome]int{collector.OK: 3, collector.Refused: 1})
	})
}
