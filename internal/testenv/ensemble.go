package testenv

import (
	"errors"
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
	clients := make([]int, voters+observers)
	for i := range clients {
		role := "participant"
		if i >= voters {
			role = "observer"
		}
		// With the address for clients, which the ensemble then tells in /zookeeper/config.
		clients[i] = Port(t)
		extra["server."+strconv.Itoa(i+1)] = fmt.Sprintf("127.0.0.1:%d:%d:%s;127.0.0.1:%d", Port(t), Port(t), role, clients[i])
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
		client := clients[i]
		port := func() (int, error) { // for clients first, then for AdminServer
			defer func() { client = 0 }()
			if client != 0 {
				return client, nil
			}
			return Port(t), nil
		}
		s, err := newZooKeeper(cp, dir, port, lines, opts)
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
	e.await(t)
	return e, true
}

// await returns when every server serves.
func (e *ZooKeeperEnsemble) await(t testing.TB) {
	t.Helper()
	errs := make([]error, len(e.Servers()))
	var wg sync.WaitGroup
	for i, s := range e.Servers() {
		wg.Go(func() { errs[i] = s.wait() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Kill ends every server as SIGKILL does.
func (e *ZooKeeperEnsemble) Kill() {
	for _, s := range e.Servers() {
		s.Kill()
	}
}

// Start starts those that were killed, and waits until every server serves.
func (e *ZooKeeperEnsemble) Start() {
	t := e.Voters[0].t
	t.Helper()
	for _, s := range e.Servers() {
		if s.running() {
			continue
		}
		if err := s.begin(); err != nil {
			t.Fatalf("testenv: %v", err)
		}
	}
	e.await(t)
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
