package register

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

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
