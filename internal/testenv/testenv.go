// Package testenv gives tests the servers that rollcall is for: Apache ZooKeeper, Apache Kafka, JVM programs from Maven and the
// tools of Debian that read what we write.
//
// It finds or fetches them (jars by Maven, once for every clone of a user), starts them on free ports of 127.0.0.1 with
// temporary folders and small heaps, waits until they answer their own protocol, and takes them down with the test, even with
// one that panics. Where a real server cannot be had a local run goes on with the in-process one and says so in one line at its
// end (Main); with CI=true its absence is a failure. It knows no stage of rollcall.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTimeout bounds a server's start: a JVM on a busy machine takes its time.
const startTimeout = 90 * time.Second

// env is what all tests of one test binary share: a binary is one environment, so this is the one place of the project where
// package-level state is in order.
var env struct {
	mu     sync.Mutex
	main   bool                        // Main runs
	absent map[string]string           // what could not be had → why
	failed map[string]error            // fetches that failed: not tried again, as a network that does not answer takes minutes
	closes []func()                    // of shared servers, undone by Main in reverse
	shared map[string]*ZooKeeperServer // by kind
	paths  int                         // made by uniquePath
	resets bool                        // toxiproxy knows ours
}

// Main runs the tests of a package that shares servers between them: it stops those at the end and says in one line which real
// servers were not to be had. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
//
// or wrap it: goleak.VerifyTestMain wants a Run method, which Runner has.
func Main(m *testing.M) int { return Runner{m}.Run() }

// Runner is Main as a value with a Run method, for goleak.VerifyTestMain(testenv.Runner{M: m}).
type Runner struct{ M *testing.M }

// Run runs the tests, stops the shared servers and reports absences on standard error.
func (r Runner) Run() int {
	env.mu.Lock()
	env.main = true
	env.mu.Unlock()
	defer closeShared()
	code := r.M.Run()
	if line := Absent(); line != "" {
		fmt.Fprintln(os.Stderr, line)
	}
	return code
}

func closeShared() {
	env.mu.Lock()
	closes := env.closes
	env.closes, env.shared = nil, nil
	env.mu.Unlock()
	for _, c := range slices.Backward(closes) {
		c()
	}
}

// Absent says in one line what the tests so far did without and how to get it; empty when nothing was missing.
func Absent() string {
	env.mu.Lock()
	defer env.mu.Unlock()
	if len(env.absent) == 0 {
		return ""
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(env.absent)) {
		parts = append(parts, what+" ("+env.absent[what]+")")
	}
	return "testenv: not to be had, in-process servers stood in: " + strings.Join(parts, "; ") + "; `make servers` fetches them"
}

// missing notes that a real server could not be had: a failure with CI=true, else a note for the line at the end.
func missing(t testing.TB, what string, why error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("testenv: %s cannot be had and CI=true: %v (`make servers` fetches it)", what, why)
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	if env.absent == nil {
		env.absent = map[string]string{}
	}
	env.absent[what], _, _ = strings.Cut(why.Error(), "\n")
}

// once fetches, and remembers a failure for the rest of this test binary.
func once(what string, fetch func() (string, error)) (string, error) {
	env.mu.Lock()
	err := env.failed[what]
	env.mu.Unlock()
	if err != nil {
		return "", err
	}
	path, err := fetch()
	if err != nil {
		env.mu.Lock()
		defer env.mu.Unlock()
		if env.failed == nil {
			env.failed = map[string]error{}
		}
		env.failed[what] = err
	}
	return path, err
}

// cacheDir is a folder below the user's cache folder, made if it is not there.
func cacheDir(elem ...string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w", err)
	}
	dir := filepath.Join(append([]string{base, "rollcall", "testenv"}, elem...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder %q: %w", dir, err)
	}
	return dir, nil
}

// poll calls ready until it returns nil, the process ends, or the time is over; then the last error tells why.
func poll(what string, p server, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		try, stop := context.WithTimeout(ctx, 2*time.Second)
		err := ready(try)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended():
			return fmt.Errorf("start %s: it ended at once: %w\n%s", what, cmpErr(p.failure(), errors.New("exit status 0")), p.tail(40))
		case <-ctx.Done():
			return fmt.Errorf("start %s: not ready after %v: %w\n%s", what, startTimeout, err, p.tail(40))
		}
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
