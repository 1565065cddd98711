package testenv

import (
	"context"
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
