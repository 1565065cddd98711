package ensemble

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

// pull asks a server as a scrape does.
func pull(t *testing.T, s *Source, addr, path string) (status int, body []byte, err error) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: s.Dial}, Timeout: 30 * time.Second}
	defer c.CloseIdleConnections()
	res, err := c.Get("http://" + addr + path)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, b, err
}

// follow runs the source; its last set is found by the function it returns.
func follow(t *testing.T, s *Source) func() map[string]discovery.Instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := discovery.NewLatest()
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx, out) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	last := map[string]discovery.Instance{}
	return func() map[string]discovery.Instance {
		sets, _ := out.Take()
		for _, set := range sets {
			clear(last)
			for _, m := range set.Members {
				last[m.Addr()] = m.Instance
			}
		}
		return last
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestServersSayWhatTheyAre(t *testing.T) {
	testenv.ZooKeepers(t, func(t *testing.T, z *testenv.ZooKeeperServer) {
		s, err := New(Config{Name: "zookeeper", Servers: []string{z.Addr}})
		if err != nil {
			t.Fatal(err)
		}
		now := follow(t, s)
		until(t, "its role is known without a scrape", func() bool {
			i := now()[z.Addr]
			return i.Tags.Get(TagRole) == "standalone" && strings.HasPrefix(i.Tags.Get(serverset.TagVersion), "3.9.4") && i.Service == "zookeeper" && i.Env == "default" && i.Format == Format
		})
		status, body, err := pull(t, s, z.Addr, StatsPath)
		if err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		got := decode(t, body)
		for _, name := range []string{"zk_watch_count", "zk_znode_count", "zk_ephemerals_count", "zk_num_alive_connections", "zk_outstanding_requests", "zk_avg_latency", "zk_max_latency"} {
			if got.Gauges[name] == "" {
				t.Errorf("no gauge %s in %s", name, body)
			}
		}
		if got.Counters["zk_packets_received"] == "" || got.Counters["zk_packets_sent"] == "" {
			t.Errorf("no packets in %s", body)
		}
		if status, _, err := pull(t, s, z.Addr, "/server_info"); err != nil || status != http.StatusNotFound {
			t.Errorf("another path: %d, %v", status, err)
		}
		if _, err := s.Dial(t.Context(), "tcp", "169.254.169.254:80"); err == nil || !strings.Contains(err.Error(), "no server of the ensemble") {
			t.Errorf("a stranger was asked: %v", err)
		}
		z.Kill()
		if _, err := s.Dial(t.Context(), "tcp", z.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a dead one: %v", err)
		}
	})
}

// With the whitelist that servers have by default, AdminServer answers; where that is off or another server's, srvr does.
func TestLesserWays(t *testing.T) {
	z := testenv.ZooKeeper(t, testenv.AdminServer(), testenv.Setting("4lw.commands.whitelist", "srvr"))
	if z.Kind == testenv.KindInProcess {
		return // it has neither a whitelist nor an AdminServer
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(z.AdminURL, "http://"))
	admin, _ := strconv.Atoi(port)
	for _, tc := range []struct {
		name  string
		addr  string
		admin int
		way   way
		has   string
	}{
		{"AdminServer", z.Addr, admin, byAdmin, "zk_watch_count"},
		{"none", z.Addr, -1, bySrvr, "zk_znode_count"},
		{"nobody there", z.Addr, testenv.Port(t), bySrvr, "zk_znode_count"},
		{"another server's", testenv.NewProxy(t, z.Addr).Addr, admin, bySrvr, "zk_znode_count"},
	} {
		s, err := New(Config{Name: "zookeeper", Servers: []string{tc.addr}, AdminPort: tc.admin, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, body, err := pull(t, s, tc.addr, StatsPath)
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if got := decode(t, body); got.Gauges[tc.has] == "" || s.servers[0].way != tc.way {
				t.Errorf("%s: way %d, %s", tc.name, s.servers[0].way, body)
			}
		}
	}
}

func TestTheEnsemblesOwnConfiguration(t *testing.T) {
	a, b := testenv.ZooKeeperInProcess(t), testenv.ZooKeeperInProcess(t)
	_, portA, _ := net.SplitHostPort(a.Addr)
	_, portB, _ := net.SplitHostPort(b.Addr)
	var text atomic.Value
	text.Store("server.1=zk-a:1:2:participant;" + portA + "\nserver.2=127.0.0.1:1:2:observer;0.0.0.0:" + portB + "\nserver.3=203.0.113.9:1:2;2181\n")
	s, err := New(Config{Name: "zookeeper", Servers: []string{a.Addr}, Every: 20 * time.Millisecond,
		Configuration: func(context.Context) ([]byte, error) {
			if text.Load() == "" {
				return nil, os.ErrDeadlineExceeded
			}
			return []byte(text.Load().(string)), nil
		},
		Lookup: func(_ context.Context, host string) ([]net.IPAddr, error) { // zk-a is who the configuration calls 127.0.0.1
			return []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	now := follow(t, s)
	id := func(addr string) string { i := now()[addr]; return i.Tags.Get(TagID) }
	until(t, "three servers, none twice", func() bool {
		return len(now()) == 3 && id(a.Addr) == "1" && id(b.Addr) == "2" && id("203.0.113.9:2181") == "3"
	})
	if _, _, err := pull(t, s, b.Addr, StatsPath); err != nil {
		t.Error(err)
	}
	if _, err := s.Dial(t.Context(), "tcp", "203.0.113.9:2181"); err == nil || !strings.Contains(err.Error(), "no private address") {
		t.Errorf("the node decides where we connect: %v", err)
	}
	text.Store("") // what cannot be read changes nothing
	until(t, "looked again", func() bool { return len(now()) == 3 })
	text.Store("server.1=zk-a:1:2:participant;" + portA)
	until(t, "the others are gone", func() bool { return len(now()) == 1 })
	if _, err := s.Dial(t.Context(), "tcp", b.Addr); err == nil {
		t.Error("one that is gone was asked")
	}
}

// A server that accepts and says nothing costs the scrape's time, and no more.
func TestASilentServer(t *testing.T) {
	z := testenv.ZooKeeperInProcess(t)
	p := testenv.NewProxy(t, z.Addr)
	p.Blackhole()
	s, err := New(Config{Name: "zookeeper", Servers: []string{p.Addr}, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Dial(t.Context(), "tcp", p.Addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	p.Heal()
	if _, _, err := pull(t, s, p.Addr, StatsPath); err != nil {
		t.Errorf("healed: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Servers: []string{"a:1"}}, "no name"},
		{Config{Name: "z"}, "none given"},
		{Config{Name: "z", Servers: []string{"a"}}, "missing port"},
		{Config{Name: "z", Servers: []string{"a:1"}, AdminPort: 70000}, "admin port"},
		{Config{Name: "z", Servers: []string{"a:1"}, Timeout: -1}, "negative"},
	} {
		if _, err := New(tc.c); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q in it", tc.c, err, tc.want)
		}
	}
}
