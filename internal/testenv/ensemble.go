package testenv

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ZooKeeperEnsemble is a replicated ZooKeeper.
type ZooKeeperEnsemble struct {
	Voters    []*ZooKeeperServer
	Observers []*ZooKeeperServer
}

// Ensemble starts a real replicated ZooKeeper with that many voters and observers, and waits until every one serves. ok is false
// where ZooKeeper cannot be had (a failure with CI=true): one server in process cannot stand in for a quorum.
func Ensemble(t testing.TB, voters, observers int, opts ...ZooKeeperOption) (e *ZooKeeperEnsemble, ok bool) {
	t.Helper()
	cp, ok := Classpath(t, ZooKeeperJars)
	if !ok {
		return nil, false
	}
	extra := map[string]string{"standaloneEnabled": "false"}
	for i := range voters + observers {
		peer := fmt.Sprintf("127.0.0.1:%d:%d", Port(t), Port(t))
		if i >= voters {
			peer += ":observer"
		}
		extra["server."+strconv.Itoa(i+1)] = peer
	}
	e = &ZooKeeperEnsemble{}
	for i := range voters + observers {
		dir := t.TempDir()
		lines := map[string]string{}
		for k, v := range extra {
			lines[k] = v
		}
		if i >= voters {
			lines["peerType"] = "observer"
		}
		s, err := newZooKeeper(cp, dir, func() (int, error) { return Port(t), nil }, lines, opts)
		if err == nil {
			err = writeFile(filepath.Join(dir, "myid"), strconv.Itoa(i+1))
		}
		if err != nil {
			t.Fatalf("testenv: %v", err)
		}
		s.t = t
		t.Cleanup(func() { endWith(t, s.name, s.p) })
		if err := s.begin(); err != nil {
			t.Fatalf("testenv: %v", err)
		}
		if i < voters {
			e.Voters = append(e.Voters, s)
		} else {
			e.Observers = append(e.Observers, s)
		}
	}
	var wg sync.WaitGroup
	for _, s := range e.Servers() {
		wg.Go(func() {
			if err := s.wait(); err != nil {
				t.Errorf("testenv: %v", err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return e, true
}

// Servers is all voters, then all observers.
func (e *ZooKeeperEnsemble) Servers() []*ZooKeeperServer {
	return append(append([]*ZooKeeperServer(nil), e.Voters...), e.Observers...)
}

// Addrs is the client addresses of all servers.
func (e *ZooKeeperEnsemble) Addrs() []string {
	var out []string
	for _, s := range e.Servers() {
		out = append(out, s.Addr)
	}
	return out
}

// Leader is the voter that leads, nil while none does.
func (e *ZooKeeperEnsemble) Leader() *ZooKeeperServer {
	for _, s := range e.Voters {
		if s.running() && strings.Contains(s.ask("srvr"), "Mode: leader") {
			return s
		}
	}
	return nil
}
