package register

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

func TestRegistersAsKingPinDoes(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		v6 := checkout(8002)
		v6.Host = "::1"
		name := checkout(8003)
		name.Host = "checkout-7.example.org"
		p := r.start("", checkout(8001), v6, name)
		r.until("three members", func() bool { return r.size("checkout") == 3 })
		for i, want := range []string{`127\.0\.0\.1:8001`, `\[::1\]:8002`, `checkout-7\.example\.org:8003`} {
			m := r.members("checkout")[i]
			if !regexp.MustCompile(`^[0-9a-f]{32}-` + want + `$`).MatchString(m.name) {
				t.Errorf("member %q is not KingPin's", m.name)
			}
			if m.owner != p.session.Status().SessionID {
				t.Errorf("%s belongs to session %#x", m.name, m.owner)
			}
			if m.data != `{"v":1,"version":"1.42.0","zone":"a"}` {
				t.Errorf("%s says %s", m.name, m.data)
			}
		}
		for _, dir := range []string{"", "/checkout", "/checkout/prod"} {
			if _, stat, err := r.eyes.Get(path + dir); err != nil || stat.EphemeralOwner != 0 {
				t.Errorf("%s: %v, owner %#x", path+dir, err, stat.EphemeralOwner)
			}
		}
		r.until("proven on a timer", func() bool { return p.count("rollcall_register_proofs_total") >= 6 })
		if ok, why := p.agent.Settled(); !ok {
			t.Errorf("not settled: %s", why)
		}
		p.stop(nil)
		if n := r.size("checkout"); n != 0 {
			t.Errorf("after the stop %d members are left", n)
		}
	})
}

func TestChecksDecide(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		app := newPatient(t)
		app.sick.Store(true)
		p := r.start("", checkout(8001), checkout(8002, app.check()))
		r.until("asked and sick", func() bool { return p.state(1) == Down && r.size("checkout") > 0 })
		if m := r.members("checkout"); len(m) != 1 || !strings.HasSuffix(m[0].name, ":8001") {
			t.Fatalf("members %+v; the sick one must not be there", m)
		}
		app.sick.Store(false)
		r.until("well", func() bool { return r.size("checkout") == 2 && p.state(1) == Up })
		app.sick.Store(true)
		r.until("sick again", func() bool { return r.size("checkout") == 1 && p.state(1) == Down })
		if why := p.agent.Status().Services[1]; !strings.Contains(why.Reason, "status 503, expected 200-399") || why.Member != "" || len(why.Checks) != 1 {
			t.Errorf("%+v", why)
		}
		app.sick.Store(false)
		r.until("well again", func() bool { return r.size("checkout") == 2 })
		p.stop(nil)
	})
}

// All instances turn sick in one moment: half of them stay, and say so.
func TestNeverUnderHalf(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		app := newPatient(t)
		const agents, each = 5, 3
		var all []*running
		for i := range agents {
			var services []Service
			for j := range each {
				services = append(services, checkout(uint16(8000+10*i+j), app.check()))
			}
			all = append(all, r.start("", services...))
		}
		r.until("all there, and every agent knows", func() bool {
			for _, p := range all {
				if p.agent.sizes.peak(path+"/checkout/prod", time.Now()) < agents*each {
					return false
				}
			}
			return r.size("checkout") == agents*each
		})
		var least atomic.Int64
		least.Store(agents * each)
		seen := r.watch("checkout", func(names []string) {
			if n := int64(len(names)); n < least.Load() {
				least.Store(n)
			}
		})
		app.sick.Store(true)
		const half = (agents*each + 1) / 2
		r.until("half of them left, the others are marked", func() bool { return r.size("checkout") == half && r.failing("checkout") == half })
		for range 5 { // time to leave, if anybody wanted to
			<-time.After(100 * time.Millisecond)
			if n := r.size("checkout"); n != half {
				t.Fatalf("%d are left, want %d", n, half)
			}
		}
		seen()
		if least.Load() < half {
			t.Errorf("at some moment only %d were left, under half of %d", least.Load(), agents*each)
		}
		up, failing := 0, 0
		for _, p := range all {
			for i := range each {
				switch p.state(i) {
				case Failing:
					failing++
				case Up:
					up++
				}
			}
		}
		if up != 0 || failing != half {
			t.Errorf("%d say up, %d failing", up, failing)
		}
		app.sick.Store(false)
		r.until("all are back and well", func() bool { return r.size("checkout") == agents*each && r.failing("checkout") == 0 })
		for _, p := range all {
			p.stop(nil)
		}
	})
}

func TestMemberDeletedByHand(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		p := r.start("", checkout(8001))
		r.until("registered", func() bool { return r.size("checkout") == 1 })
		if err := r.eyes.Delete(path+"/checkout/prod/"+r.members("checkout")[0].name, -1); err != nil {
			t.Fatal(err)
		}
		r.until("registered again", func() bool { return r.size("checkout") == 1 && p.count("rollcall_register_renewals_total") == 1 })
		// Somebody puts a member of that very name there: an ephemeral, but not ours.
		name := path + "/checkout/prod/" + r.members("checkout")[0].name
		if _, err := r.eyes.Multi(&gozk.DeleteRequest{Path: name, Version: -1}, &gozk.CreateRequest{Path: name, Data: []byte("x"), Acl: gozk.WorldACL(gozk.PermAll), Flags: gozk.FlagEphemeral}); err != nil {
			t.Fatal(err)
		}
		r.until("replaced by our own", func() bool {
			m := r.members("checkout")
			return len(m) == 1 && m[0].owner == p.session.Status().SessionID
		})
		p.stop(nil)
	})
}

// What others wrote for the same endpoint is theirs: an application that registers itself with KingPin's own library, a member by hand.
func TestForeignMembersAreLeftAlone(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		p := r.start("", checkout(8002))
		r.until("registered", func() bool { return r.size("checkout") == 1 })
		dir := path + "/checkout/prod/"
		foreign := dir + "0123456789abcdef0123456789abcdef-127.0.0.1:8001"
		byHand := dir + "0123456789abcdef0123456789abcdee-127.0.0.1:8001"
		for name, flags := range map[string]int32{foreign: gozk.FlagEphemeral, byHand: 0} {
			data := "127.0.0.1:8001"
			if flags == 0 {
				data = `{"v":1}`
			}
			if _, err := r.eyes.Create(name, []byte(data), flags, gozk.WorldACL(gozk.PermAll)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.agent.Set([]Service{checkout(8001), checkout(8002)}); err != nil {
			t.Fatal(err)
		}
		r.until("ours stands beside them", func() bool { return r.size("checkout") == 4 })
		p.stop(nil)
		if n := r.size("checkout"); n != 2 {
			t.Errorf("after the stop %d members are there, want the two foreign ones", n)
		}
	})
}

// Whoever may not create at the top may still create below.
func TestRegistersBelowALockedRoot(t *testing.T) {
	server, path := testenv.SharedZooKeeper(t)
	r := newRig(t, server, path+"/team")
	for _, dir := range []string{path, path + "/team"} {
		if _, err := r.eyes.Create(dir, nil, 0, gozk.WorldACL(gozk.PermAll)); err != nil && !errors.Is(err, gozk.ErrNodeExists) {
			t.Fatal(err)
		}
	}
	if _, err := r.eyes.SetACL(path, gozk.WorldACL(gozk.PermRead|gozk.PermAdmin|gozk.PermDelete), -1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.eyes.SetACL(path, gozk.WorldACL(gozk.PermAll), -1) })
	r.start("", checkout(8001))
	r.until("it is registered below what it may not change", func() bool { return r.size("checkout") == 1 })
}

func TestSetChangesWhatChanged(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		app := newPatient(t)
		p := r.start("", checkout(8001), checkout(8002))
		r.until("registered", func() bool { return r.size("checkout") == 2 })
		before := r.members("checkout")
		newer := checkout(8002, app.check())
		newer.Metadata.Version = "1.43.0"
		if err := p.agent.Set([]Service{checkout(8001), newer, checkout(8003)}); err != nil {
			t.Fatal(err)
		}
		r.until("one replaced, one new", func() bool {
			m := r.members("checkout")
			return len(m) == 3 && m[0].name == before[0].name && m[1].name != before[1].name && m[1].meta.Version == "1.43.0"
		})
		r.until("checked now", func() bool { return app.asked.Load() > 2 })
		if err := p.agent.Set([]Service{checkout(8003)}); err != nil {
			t.Fatal(err)
		}
		r.until("the others are gone", func() bool { return r.size("checkout") == 1 && len(p.agent.Status().Services) == 1 })
		if err := p.agent.Set([]Service{checkout(8003), checkout(8001)}); err != nil {
			t.Fatal(err)
		}
		r.until("one is back", func() bool { return r.size("checkout") == 2 })
		bad := checkout(0)
		bad.Name = "a/b"
		if err := p.agent.Set([]Service{bad, checkout(1), checkout(1)}); err == nil || !strings.Contains(err.Error(), "holds a /") || !strings.Contains(err.Error(), "given twice") {
			t.Errorf("what is wrong was taken: %v", err)
		}
		if n := r.size("checkout"); n != 2 {
			t.Errorf("after a refusal there are %d", n)
		}
		p.stop(nil)
	})
}

// A check that flips all the time costs ZooKeeper a handful of writes, then none.
func TestFlappingIsDamped(t *testing.T) {
	s, path := testenv.SharedZooKeeper(t)
	r := newRig(t, s, path)
	app := newPatient(t)
	check := app.check()
	check.Fall = 1
	p := r.start("", checkout(8000), checkout(8001, check))
	r.until("registered", func() bool { return r.size("checkout") == 2 })
	flips := 0
	r.until("flipped thirty times", func() bool {
		if asked := app.asked.Load(); asked >= int64(flips) {
			flips++
			app.sick.Store(flips%2 == 0)
		}
		return flips >= 30 && p.state(1) == Damped
	})
	writes := p.count("rollcall_register_joins_total") + p.count("rollcall_register_leaves_total")
	if writes > 1+2*4 {
		t.Errorf("%d joins and leaves for %d flips", writes, flips)
	}
	if d := p.agent.Status().Services[1]; !strings.Contains(d.Reason, "joins when it has been quiet for") {
		t.Errorf("%+v", d)
	}
	p.stop(nil)
}

func TestNoServerAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	session, err := zk.NewSession(zk.Config{Servers: []string{l.Addr().String()}, SessionTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{}, session)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Set([]Service{checkout(8001)}); err != nil {
		t.Fatal(err)
	}
	sctx, endSession := context.WithCancel(t.Context())
	defer endSession()
	var wg sync.WaitGroup
	wg.Go(func() { session.Run(sctx) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, t.Context()) }()
	waiting := func() bool {
		s := a.Status().Services
		return len(s) == 1 && s[0].State == Waiting && strings.Contains(s[0].Reason, "refused")
	}
	for deadline := time.Now().Add(10 * time.Second); !waiting(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", a.Status())
		}
	}
	if ok, why := a.Settled(); ok || !strings.Contains(why, "waiting") {
		t.Errorf("settled: %v, %q", ok, why)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("with nothing registered there is nothing to wait for")
	}
	endSession()
	wg.Wait()
}

func TestConfigIsChecked(t *testing.T) {
	session, err := zk.NewSession(zk.Config{Servers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Root: "discovery"}, "root"},
		{Config{Root: "/"}, "root"},
		{Config{Verify: time.Millisecond}, "verify"},
		{Config{MaxCalls: -1}, "max calls"},
		{Config{Flap: Flap{HalfLife: 1}}, "half-life"},
		{Config{Flap: Flap{Reuse: 5000}}, "reuse"},
	} {
		if _, err := New(tc.c, session); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q in it", tc.c, err, tc.want)
		}
	}
}
