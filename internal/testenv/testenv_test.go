package testenv

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestZooKeepers(t *testing.T) {
	ZooKeepers(t, func(t *testing.T, z *ZooKeeperServer) {
		if got := z.FourLetter("ruok"); got != "imok" {
			t.Errorf("ruok: %q", got)
		}
		z.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if got, err := fourLetter(ctx, z.Addr, "ruok"); err == nil {
			t.Errorf("answered %q while stopped", got)
		}
		z.Cont()
		before := z.Addr
		z.Restart()
		if got := z.FourLetter("srvr"); z.Addr != before || !strings.Contains(got, "Mode: standalone") {
			t.Errorf("after restart at %s: %s", z.Addr, got)
		}
	})
}

func TestAdminServer(t *testing.T) {
	z := ZooKeeper(t, AdminServer())
	if z.Kind == KindInProcess {
		return // said at the end
	}
	if got := z.FourLetter("ruok"); got != "imok" {
		t.Errorf("ruok: %q", got)
	}
	if err := Answers(z.AdminURL + "/commands/monitor")(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(z.FourLetter("mntr"), "zk_version\t3.9.4") {
		t.Errorf("mntr: %s", z.FourLetter("mntr"))
	}
}

func TestSharedZooKeeper(t *testing.T) {
	a, pa := SharedZooKeeper(t)
	b, pb := SharedZooKeeper(t)
	if a.Addr != b.Addr || pa == pb {
		t.Errorf("%s %s, %s %s", a.Addr, pa, b.Addr, pb)
	}
}

func TestEnsemble(t *testing.T) {
	e, ok := Ensemble(t, 3, 1, ReadOnlyMode(), ForObservers(Configuration("# more\nmaxClientCnxns=77\nclientPort=1\nserver.9=x:1:2\nSERVER_JVMFLAGS=\"-Djute.maxbuffer=4194304\"\n")))
	if !ok {
		return
	}
	if e.Leader() == nil {
		t.Error("no leader")
	}
	for _, s := range e.Servers() {
		conf := s.FourLetter("conf")
		if want := slices.Contains(e.Observers, s); strings.Contains(conf, "maxClientCnxns=77") != want || !strings.Contains(conf, ";"+s.Addr) {
			t.Errorf("%s", conf)
		}
	}
	e.Kill()
	for _, s := range e.Servers() {
		s.Wipe()
	}
	e.Start()
	if got := e.Observers[0].FourLetter("srvr"); !strings.Contains(got, "Mode: observer") {
		t.Error(got)
	}
	for _, s := range e.Voters[1:] {
		s.Kill()
	}
	waitFor(t, func() bool { return strings.Contains(e.Voters[0].ask("isro"), "ro") })
}

func TestKafka(t *testing.T) {
	k, ok := Kafka(t)
	if !ok {
		return
	}
	k.CreateTopic("a.b", 3, map[string]string{"compression.type": "producer"})
	k.Restart()
	if got := k.Topics()["a.b"]; got != 3 {
		t.Errorf("partitions: %d", got)
	}
	if got := k.Consume("a.b", 0, time.Second); got != "" {
		t.Errorf("consumed %q", got)
	}
}

// Two of three brokers go on, and a killed one comes back; who begins at a proxy is told of proxies only.
func TestCluster(t *testing.T) {
	c, ok := Cluster(t, 3, BehindProxy())
	if !ok {
		return
	}
	c.Nodes[0].Kill()
	waitFor(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m, err := kafkaMetadata(ctx, c.Nodes[1].Brokers[0])
		return err == nil && !m.brokers[1] && m.brokers[2] && m.brokers[3]
	})
	c.Nodes[1].CreateTopic("a.b", 2, nil)
	c.Start()
	if got := c.Nodes[0].Topics()["a.b"]; got != 2 {
		t.Errorf("partitions: %d", got)
	}
	m, err := kafkaMetadata(t.Context(), c.Proxies()[0].Addr)
	if err != nil || len(m.brokers) != 3 {
		t.Errorf("behind the proxy: %v, %v", m, err)
	}
	c.Proxies()[0].Down()
	if m, err := kafkaMetadata(t.Context(), c.Proxies()[0].Addr); err == nil {
		t.Errorf("through a proxy that is down: %v", m)
	}
}

func TestStand(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		f          func(testing.TB) error
	}{
		{"all is well", "", func(t testing.TB) error { return nil }},
		{"an error", "of f", func(t testing.TB) error { return errors.New("of f") }},
		{"an end", "said so", func(t testing.TB) error { t.Fatalf("said %s", "so"); return nil }},
		{"a panic", "panic: help", func(t testing.TB) error { panic("help") }},
	} {
		var closed []int
		dir := ""
		err := Stand(t.Context(), t.TempDir(), nil, func(s testing.TB) error {
			s.Cleanup(func() { closed = append(closed, 1) })
			s.Cleanup(func() { closed = append(closed, 2) })
			dir = s.TempDir()
			return tc.f(s)
		})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "ended")) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if _, err := os.Stat(dir); err == nil || !slices.Equal(closed, []int{2, 1}) {
			t.Errorf("%s: closed %v, the folder is there: %v", tc.name, closed, err == nil)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("never came true")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
