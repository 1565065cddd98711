package testenv

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// SharedZooKeeper is a real ZooKeeper (the in-process one where none can be had) that all tests of the package share, with a
// path below which this test is alone. The package needs a TestMain with Main. A test that kills or stops its server takes
// ZooKeeper.
func SharedZooKeeper(t testing.TB) (s *ZooKeeperServer, path string) {
	t.Helper()
	cp, _ := Classpath(t, ZooKeeperJars)
	return sharedZooKeeper(t, cp), uniquePath(t)
}

// SharedZooKeepers runs a test against every kind of server as ZooKeepers does, each shared by all tests of the package.
func SharedZooKeepers(t *testing.T, run func(t *testing.T, s *ZooKeeperServer, path string)) {
	t.Run(KindInProcess, func(t *testing.T) { run(t, sharedZooKeeper(t, ""), uniquePath(t)) })
	if cp, ok := Classpath(t, ZooKeeperJars); ok {
		t.Run(ZooKeeperJars.Name, func(t *testing.T) { run(t, sharedZooKeeper(t, cp), uniquePath(t)) })
	}
}

func sharedZooKeeper(t testing.TB, cp string) *ZooKeeperServer {
	t.Helper()
	env.mu.Lock()
	defer env.mu.Unlock()
	if !env.main {
		t.Fatal("testenv: a shared server needs `func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }` in this package to stop it")
	}
	kind := KindInProcess
	if cp != "" {
		kind = ZooKeeperJars.Name
	}
	s := env.shared[kind]
	if s == nil {
		var err error
		if s, err = startShared(cp); err != nil {
			t.Fatalf("testenv: %v", err)
		}
		if env.shared == nil {
			env.shared = map[string]*ZooKeeperServer{}
		}
		env.shared[kind] = s
	}
	view := *s
	view.t = t
	return &view
}

func startShared(cp string) (*ZooKeeperServer, error) {
	dir, err := os.MkdirTemp("", "rollcall-testenv-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	env.closes = append(env.closes, func() { os.RemoveAll(dir) })
	port := func() (int, error) {
		p, release, err := reservePort()
		if err == nil {
			env.closes = append(env.closes, release)
		}
		return p, err
	}
	s, err := newZooKeeper(cp, dir, port, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	env.closes = append(env.closes, s.p.kill)
	return s, s.wait()
}

// uniquePath is /t-<test>-<n>, a znode nobody has made.
func uniquePath(t testing.TB) string {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.paths++
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("/t-%d-%s", env.paths, name)
}
