package register

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// An agent is restarted 200 times under watchers that look as fast as they can: the endpoint is never absent.
func TestRestartsAreNeverSeen(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		for _, storage := range []string{t.TempDir(), ""} {
			name, restarts := "with a state file", 200
			if storage == "" {
				name, restarts = "without", 40
			} else if s.Kind == testenv.KindInProcess {
				restarts = 50
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, s, path)
				app := newPatient(t)
				service := checkout(8001, app.check())
				p := r.start(storage, service)
				r.until("registered", func() bool { return r.size("checkout") == 1 })
				var absent, most atomic.Int64
				stop := r.watch("checkout", func(names []string) {
					n := int64(0)
					for _, name := range names {
						if strings.HasSuffix(name, "-127.0.0.1:8001") {
							n++
						}
					}
					if n == 0 {
						absent.Add(1)
					}
					most.Store(max(most.Load(), n))
				})
				began := time.Now()
				for i := range restarts {
					before := r.members("checkout")[0].name
					p.stop(ErrHandOver)
					service.Metadata.Version = fmt.Sprintf("1.42.%d", i+1)
					p = r.start(storage, service)
					r.until("replaced", func() bool {
						m := r.members("checkout")
						return len(m) == 1 && m[0].name != before && m[0].meta.Version == service.Metadata.Version
					})
				}
				took := time.Since(began)
				looks := stop()
				if absent.Load() != 0 || most.Load() != 1 {
					t.Errorf("absent in %d of %d looks; seen %d times at most", absent.Load(), looks, most.Load())
				}
				r.until("counted", func() bool { return p.count("rollcall_register_takeovers_total") == 1 })
				t.Logf("%d restarts in %v, %d looks", restarts, took.Round(time.Millisecond), looks)
				p.stop(nil)
				r.until("deregistered", func() bool { return r.size("checkout") == 0 })
			})
		}
	})
}

// Every agent of a service is upgraded at once: the serverset is never smaller than it was.
func TestUpgradeOfAllAtOnce(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		const n = 20
		agents := make([]*running, n)
		start := func(i int) {
			agents[i] = r.start("", checkout(uint16(8000+i)))
		}
		for i := range n {
			start(i)
		}
		r.until("all there", func() bool { return r.size("checkout") == n })
		var least atomic.Int64
		least.Store(n)
		stop := r.watch("checkout", func(names []string) {
			if e := int64(endpoints(names)); e < least.Load() {
				least.Store(e)
			}
		})
		for range 3 {
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					agents[i].stop(ErrHandOver)
					start(i)
				})
			}
			wg.Wait()
			r.until("all taken over", func() bool {
				for _, p := range agents {
					if p.count("rollcall_register_takeovers_total") != 1 {
						return false
					}
				}
				return r.size("checkout") == n
			})
		}
		looks := stop()
		if least.Load() != n {
			t.Errorf("at some of %d looks only %d of %d endpoints were there", looks, least.Load(), n)
		}
		for _, p := range agents {
			p.stop(nil)
		}
	})
}

// The server is away for longer than the session lives, as the client sees it, and comes back with the old session's member still in it.
func TestServerAwayForLongerThanTheSession(t *testing.T) {
	testenv.ZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer) {
		r := newRig(t, s, "/discovery")
		r.config.Verify = time.Minute // what is registered again is so because of the session, not of the timer
		p := r.start("", checkout(8001), checkout(8002))
		r.until("registered", func() bool { return r.size("checkout") == 2 })
		old := p.session.Status().SessionID
		s.Kill()
		r.until("the session is given up", func() bool { return !p.session.Status().Connected })
		<-time.After(9 * time.Second) // 4/3 of 6 s, and some
		if state := p.state(0); state != Up {
			t.Errorf("while no server answers the service is %s", state)
		}
		s.Start()
		r.eyes = r.client() // the old eyes may blink for long
		r.until("registered in a new session", func() bool {
			m := r.members("checkout")
			now := p.session.Status().SessionID
			return len(m) == 2 && now != old && m[0].owner == now && m[1].owner == now
		})
		p.stop(nil)
		if n := r.size("checkout"); n != 0 {
			t.Errorf("%d members are left", n)
		}
	}, testenv.TickTime(500*time.Millisecond))
}

func TestTwoAgentsOfOneEndpoint(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		first := r.start("", checkout(8001))
		r.until("registered", func() bool { return r.size("checkout") == 1 })
		second := r.start("", checkout(8001))
		r.until("the later one has it", func() bool {
			m := r.members("checkout")
			return len(m) == 1 && m[0].owner == second.session.Status().SessionID && first.state(0) == Superseded
		})
		service := checkout(8001)
		service.Metadata.Version = "2"
		if err := second.agent.Set([]Service{service}); err != nil {
			t.Fatal(err)
		}
		r.until("the later one keeps it over a change", func() bool {
			m := r.members("checkout")
			return len(m) == 1 && m[0].meta.Version == "2" && first.state(0) == Superseded
		})
		before := r.members("checkout")[0].name
		for range 5 {
			<-time.After(100 * time.Millisecond)
			if m := r.members("checkout"); len(m) != 1 || m[0].name != before {
				t.Fatalf("they fight: %v", m)
			}
		}
		second.stop(nil)
		r.until("the first one takes it back", func() bool {
			m := r.members("checkout")
			return len(m) == 1 && m[0].owner == first.session.Status().SessionID && first.state(0) == Up
		})
		first.stop(nil)
	})
}

func TestASickServiceIsTakenOverAndThenLeaves(t *testing.T) {
	s, path := testenv.SharedZooKeeper(t)
	r := newRig(t, s, path)
	app := newPatient(t)
	others := r.start("", checkout(8000))
	p := r.start("", checkout(8001, app.check()))
	r.until("registered", func() bool { return r.size("checkout") == 2 })
	p.stop(ErrHandOver)
	app.sick.Store(true)
	p = r.start("", checkout(8001, app.check()))
	r.until("taken over first", func() bool { return p.count("rollcall_register_takeovers_total") == 1 })
	r.until("then it leaves", func() bool { return r.size("checkout") == 1 && p.state(0) == Down })
	p.stop(nil)
	others.stop(nil)
}

// A member that was kept and marked is taken over with its mark.
func TestAFailingServiceIsTakenOverAsSuch(t *testing.T) {
	s, path := testenv.SharedZooKeeper(t)
	r := newRig(t, s, path)
	app := newPatient(t)
	storage := t.TempDir()
	p := r.start(storage, checkout(8001, app.check()))
	r.until("registered", func() bool { return r.size("checkout") == 1 })
	app.sick.Store(true)
	r.until("the only one stays, marked", func() bool { return r.failing("checkout") == 1 && p.state(0) == Failing })
	p.stop(ErrHandOver)
	slow := app.check()
	slow.Fall = 100 // no word for ten seconds
	p = r.start(storage, checkout(8001, slow))
	r.until("taken over", func() bool { return p.count("rollcall_register_takeovers_total") == 1 })
	if m := r.members("checkout"); len(m) != 1 || m[0].meta.Status != "failing" || p.state(0) != Failing {
		t.Errorf("%v, %s", m, p.state(0))
	}
	app.sick.Store(false)
	r.until("well: the mark goes", func() bool { return r.size("checkout") == 1 && r.failing("checkout") == 0 && p.state(0) == Up })
	p.stop(nil)
}
