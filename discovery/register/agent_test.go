package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	gozk "github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

// rig is a serverset in a ZooKeeper, and eyes of its own on it: a bare client that shares nothing with what is tested.
type rig struct {
	*testing.T
	server *testenv.ZooKeeperServer
	root   string
	eyes   *gozk.Conn
	config Config // of every agent; Root is set
}

func newRig(t *testing.T, s *testenv.ZooKeeperServer, path string) *rig {
	r := &rig{T: t, server: s, root: path, config: Config{Root: path, Verify: 200 * time.Millisecond}}
	r.eyes = r.client()
	return r
}

func (r *rig) client() *gozk.Conn {
	r.Helper()
	c, events, err := gozk.Connect([]string{r.server.Addr}, 6*time.Second, gozk.WithLogger(quiet{}), gozk.WithLogInfo(false))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		c.Close()
		for range events { // closed when the library's loops have ended
		}
	})
	return c
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// running is an agent with its session.
type running struct {
	r       *rig
	agent   *Agent
	session *zk.Session
	metrics *metrics.Set
	cancel  context.CancelCauseFunc
	done    chan struct{} // err is set
	gone    chan struct{} // nothing of it runs any more
	err     error
}

// start runs an agent for services; storage may be empty.
func (r *rig) start(storage string, services ...Service) *running {
	r.Helper()
	return r.startOver(zk.Config{}, storage, services...)
}

// startOver is start with a session of that configuration.
func (r *rig) startOver(conf zk.Config, storage string, services ...Service) *running {
	r.Helper()
	set := metrics.NewSet()
	log := slog.New(slog.NewTextHandler(r.Output(), nil))
	conf.Servers, conf.SessionTimeout, conf.Log, conf.Metrics = []string{r.server.Addr}, 6*time.Second, log, set
	session, err := zk.NewSession(conf)
	if err != nil {
		r.Fatal(err)
	}
	c := r.config
	c.Log, c.Metrics = log, set
	if storage != "" {
		c.StateFile = filepath.Join(storage, "register.json")
	}
	a, err := New(c, session)
	if err != nil {
		r.Fatal(err)
	}
	if err := a.Set(services); err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &running{r: r, agent: a, session: session, metrics: set, cancel: cancel, done: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		sctx, endSession := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- session.Run(sctx) }()
		err := a.Run(ctx, context.Background())
		detached := errors.Is(context.Cause(ctx), ErrHandOver)
		if detached {
			session.Detach()
		}
		endSession()
		p.err = err
		if detached { // the process would end here; the library takes up to a second to notice that it is closed
			close(p.done)
			<-ended
		} else {
			p.err = errors.Join(err, <-ended)
			close(p.done)
		}
		close(p.gone)
	}()
	r.Cleanup(func() {
		cancel(nil)
		<-p.gone
	})
	return p
}

// stop ends the agent and waits: with nil it deregisters, with ErrHandOver it leaves all where it is.
func (p *running) stop(cause error) {
	p.r.Helper()
	p.cancel(cause)
	select {
	case <-p.done:
		if p.err != nil {
			p.r.Errorf("the agent ended with %v", p.err)
		}
	case <-time.After(20 * time.Second):
		p.r.Fatal("the agent does not end")
	}
}

func (p *running) state(i int) State {
	s := p.agent.Status().Services
	if i >= len(s) {
		return ""
	}
	return s[i].State
}

// count reads one of the agent's own metrics.
func (p *running) count(name string) uint64 { return p.metrics.GetOrCreateCounter(name).Get() }

// until waits for a condition.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			r.Fatalf("not within 30 s: %s; members: %v", what, r.members("checkout"))
		}
		<-time.After(5 * time.Millisecond)
	}
}

// member is one znode as the eyes see it.
type member struct {
	name, addr string
	data       string
	owner      int64
	meta       serverset.Metadata
}

func (m member) String() string { return m.addr + " " + m.data }

// away reports an error of a server that is not there just now.
func away(err error) bool {
	return errors.Is(err, gozk.ErrNoServer) || errors.Is(err, gozk.ErrConnectionClosed) || errors.Is(err, gozk.ErrSessionExpired)
}

// members lists the serverset <root>/<service>/prod, by endpoint.
func (r *rig) members(service string) []member {
	r.Helper()
	dir := r.root + "/" + service + "/prod"
	names, _, err := r.eyes.Children(dir)
	if errors.Is(err, gozk.ErrNoNode) || away(err) {
		return nil
	}
	if err != nil {
		r.Fatal(err)
	}
	var out []member
	for _, n := range names {
		data, stat, err := r.eyes.Get(dir + "/" + n)
		if errors.Is(err, gozk.ErrNoNode) || away(err) {
			continue
		}
		if err != nil {
			r.Fatal(err)
		}
		m := member{name: n, data: string(data), owner: stat.EphemeralOwner}
		m.meta, _ = serverset.DecodeMetadata(data)
		_, m.addr, _ = strings.Cut(n, "-")
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.addr+a.name, b.addr+b.name) })
	return out
}

func (r *rig) size(service string) int { return len(r.members(service)) }

// failing counts members that are marked so.
func (r *rig) failing(service string) (n int) {
	for _, m := range r.members(service) {
		if m.meta.Status == string(discovery.Failing) {
			n++
		}
	}
	return n
}

func checkout(port uint16, checks ...Check) Service {
	return Service{Name: "checkout", Env: "prod", Host: "127.0.0.1", Port: port, Checks: checks, Metadata: serverset.Metadata{Version: "1.42.0", Zone: "a"}}
}

// patient is an application whose health the test decides.
type patient struct {
	sick  atomic.Bool
	asked atomic.Int64
	addr  string
}

func newPatient(t *testing.T) *patient {
	p := &patient{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if p.sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	p.addr = s.Listener.Addr().String()
	return p
}

func (p *patient) check() Check {
	return Check{Kind: "http", Addr: p.addr, Path: "/health", Interval: 100 * time.Millisecond, Rise: 1, Fall: 2}
}

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

// watch looks at a serverset as fast as it can, once by listing and once by watch, until the function that it returns is called.
func (r *rig) watch(service string, see func(names []string)) (stop func() (looks int)) {
	r.Helper()
	dir := r.root + "/" + service + "/prod"
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var looks atomic.Int64
	tight := r.client()
	wg.Go(func() {
		for ctx.Err() == nil {
			if names, _, err := tight.Children(dir); err == nil {
				looks.Add(1)
				see(names)
			}
		}
	})
	c := r.client()
	wg.Go(func() {
		for ctx.Err() == nil {
			names, _, moved, err := c.ChildrenW(dir)
			if err != nil {
				continue
			}
			looks.Add(1)
			see(names)
			select {
			case <-moved:
			case <-ctx.Done():
			}
		}
	})
	stop = func() int {
		cancel()
		wg.Wait()
		return int(looks.Load())
	}
	r.Cleanup(func() { stop() })
	return stop
}

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
