package collect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// faults is what the fault tests share: a real ensemble of three voters and an observer, with something before each that does what networks do.
type faults struct {
	*testing.T
	e      *testenv.ZooKeeperEnsemble
	in     []*testenv.Proxy // before e.Servers(), in their order; the observer's is the last
	broker *broker.Broker
	sites  atomic.Int64
}

func newFaults(t *testing.T, opts ...testenv.ZooKeeperOption) (f *faults, ok bool) {
	t.Helper()
	f = &faults{T: t}
	if f.e, ok = testenv.Ensemble(t, 3, 1, opts...); !ok {
		return nil, false
	}
	for _, s := range f.e.Servers() {
		f.in = append(f.in, testenv.NewProxy(t, s.Addr))
	}
	var err error
	if f.broker, err = broker.New(broker.Config{Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() { f.broker.Run(ctx) })
	<-f.broker.Ready()
	return f, true
}

// observer is the one that collectors should talk to.
func (f *faults) observer() *testenv.Proxy { return f.in[len(f.in)-1] }

// client is a bare connection to the voters, which shares nothing with what is tested.
func (f *faults) client(t *testing.T) *gozk.Conn {
	t.Helper()
	var addrs []string
	for _, s := range f.e.Voters {
		addrs = append(addrs, s.Addr)
	}
	c, events, err := gozk.Connect(addrs, 10*time.Second, gozk.WithLogger(silentLog{}), gozk.WithLogInfo(false), gozk.WithMaxConnBufferSize(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for range events { // closed when the library's loops have ended
		}
	})
	return c
}

type silentLog struct{}

func (silentLog) Printf(string, ...any) {}

// app is an application that counts how often it is pulled.
type app struct {
	addr  string
	pulls atomic.Int64
	stop  func()
}

func newApp(t *testing.T) *app {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{addr: l.Addr().String()}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/server_info") { // who is registered without a version is asked for it after a pull, twice: these are no pulls
			http.NotFound(w, r)
			return
		}
		a.pulls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"counters":{"requests":%d}}`, a.pulls.Load())
	})}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	a.stop = sync.OnceFunc(func() { srv.Close(); wg.Wait() })
	t.Cleanup(a.stop)
	return a
}

// site is a serverset with applications that are there, their registrations, and a collector that watches it.
type site struct {
	*faults
	t       *testing.T
	root    string
	service string
	apps    []*app
	still   *app            // one that ZooKeeper has nothing to do with: nobody may be pulled less often than it is
	nodes   map[*app]string // the member's path, of those that are registered
	agent   *gozk.Conn      // its session owns the members
	servers []string        // of the collector
	jobs    string          // more scrape_configs
	dir     string          // its storage
	d       *Daemon
	halt    func()
	begun   int64 // pulls of still when counting began
	pulled  map[*app]int64
}

// site makes one of n applications and starts a collector that finds ZooKeeper at servers.
func (f *faults) site(t *testing.T, n int, servers ...*testenv.Proxy) *site {
	t.Helper()
	no := strconv.FormatInt(f.sites.Add(1), 10)
	s := &site{faults: f, t: t, root: "/f" + no, service: "checkout" + no, still: newApp(t), nodes: map[*app]string{}, dir: t.TempDir(), agent: f.client(t)}
	for _, p := range servers {
		s.servers = append(s.servers, p.Addr)
	}
	s.mkdirs(s.root + "/" + s.service + "/prod")
	for range n {
		s.apps = append(s.apps, newApp(t))
	}
	s.register(s.apps...)
	s.collect()
	return s
}

func (s *site) mkdirs(path string) {
	s.t.Helper()
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			s.must(s.retry(func() error {
				_, err := s.agent.Create(path[:i], nil, 0, gozk.WorldACL(gozk.PermAll))
				if errors.Is(err, gozk.ErrNodeExists) {
					err = nil
				}
				return err
			}))
		}
	}
}

// retry does a call of the bare client's again while servers come and go.
func (s *site) retry(f func() error) (err error) {
	for end := time.Now().Add(30 * time.Second); ; {
		if err = f(); err == nil || time.Now().After(end) || !errors.Is(err, gozk.ErrConnectionClosed) && !errors.Is(err, gozk.ErrNoServer) && !errors.Is(err, gozk.ErrSessionExpired) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// register makes members for applications, as their agents would.
func (s *site) register(apps ...*app) {
	s.t.Helper()
	for _, a := range apps {
		host, port, err := discovery.SplitAddr(a.addr)
		s.must(err)
		s.nodes[a] = s.member(serverset.NewKingPinName(host, port), `{"v":1,"version":"1"}`)
	}
}

// member makes one of that name and data.
func (s *site) member(name, data string) string {
	s.t.Helper()
	path := s.root + "/" + s.service + "/prod/" + name
	s.must(s.retry(func() error {
		_, err := s.agent.Create(path, []byte(data), gozk.FlagEphemeral, gozk.WorldACL(gozk.PermAll))
		if errors.Is(err, gozk.ErrNodeExists) {
			err = nil // of an unanswered try
		}
		return err
	}))
	return path
}

// remove deletes members, as one who wipes the tree would: nobody says that they leave.
func (s *site) remove(apps ...*app) {
	s.t.Helper()
	for _, a := range apps {
		s.must(s.retry(func() error {
			err := s.agent.Delete(s.nodes[a], -1)
			if errors.Is(err, gozk.ErrNoNode) {
				err = nil
			}
			return err
		}))
		delete(s.nodes, a)
	}
}

// collect starts a collector with the site's storage; one that runs is ended first.
func (s *site) collect() {
	s.t.Helper()
	if s.halt != nil {
		s.halt()
	}
	c, err := config.Parse([]byte(fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
zookeeper: {servers: ['%s'], session_timeout: 2s, monitor: false}
kafka: {brokers: [%q]}
scrape_configs:
- job_name: zk
  serverset_sd_configs: [{paths: ['%s/{service}/{env}']}]
- job_name: still
  static_configs: [{targets: [%q]}]
%s`, strings.Join(s.servers, "', '"), s.broker.Addr(), s.root, s.still.addr, s.jobs)), os.LookupEnv)
	s.must(err)
	s.d, s.halt = start(s.t, c, s.dir)
	s.t.Cleanup(s.halt)
}

func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			for _, e := range s.entries() {
				if len(s.entries()) < 30 {
					s.t.Logf("%s is %s: %s %s %s", e.ID(), e.State, e.Reason, e.Cause, e.Excuse)
				}
			}
			s.t.Fatalf("never: %s; states %v, view %+v, guards %+v", what, s.states(), s.view(), s.d.roster.Guards())
		}
	}
}

// entries are the roster's of the site's serverset.
func (s *site) entries() []discovery.Entry { return s.d.roster.Of(s.service, "prod") }

func (s *site) states() map[discovery.State]int {
	out := map[discovery.State]int{}
	for _, e := range s.entries() {
		out[e.State]++
	}
	return out
}

// only reports that all entries are in one state, and how many they are.
func (s *site) only(n int, state discovery.State) bool {
	m := s.states()
	return m[state] == n && len(m) == min(n, 1)
}

// entry is that of one application.
func (s *site) entry(a *app) discovery.Entry {
	for _, e := range s.entries() {
		if e.Addr() == a.addr {
			return e
		}
	}
	return discovery.Entry{}
}

func (s *site) view() discovery.View {
	for _, v := range s.d.roster.Views() {
		if v.Source == "zk" {
			return v
		}
	}
	return discovery.View{}
}

// steady waits until the collector sees and has pulled everybody, and begins to count.
func (s *site) steady() {
	s.t.Helper()
	s.until("everybody is present", func() bool { return s.only(len(s.apps), discovery.Present) })
	s.count()
}

// count begins to count pulls.
func (s *site) count() {
	s.t.Helper()
	from, all := map[*app]int64{}, append([]*app{s.still}, s.apps...)
	for _, a := range all {
		from[a] = a.pulls.Load()
	}
	s.until("everybody is pulled", func() bool {
		return !slices.ContainsFunc(all, func(a *app) bool { return a.pulls.Load() == from[a] })
	})
	s.begun, s.pulled = s.still.pulls.Load(), map[*app]int64{}
	for _, a := range s.apps {
		s.pulled[a] = a.pulls.Load()
	}
}

// nobodyLost checks that since count every application of apps was pulled as often as one that ZooKeeper has nothing to do with, and at least n times.
func (s *site) nobodyLost(n int64, apps ...*app) {
	s.t.Helper()
	s.until("pulled often enough to tell", func() bool { return s.still.pulls.Load()-s.begun >= n })
	want := s.still.pulls.Load() - s.begun - 2 // their places in the interval differ
	for _, a := range apps {
		if got := a.pulls.Load() - s.pulled[a]; got < want {
			s.t.Errorf("%s was pulled %d times, while one that stands still was pulled %d times", a.addr, got, want+2)
		}
	}
}
