package testenv

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fatal is a test that keeps what would end it.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Helper() {}
func (f *fatal) Fatalf(format string, args ...any) {
	f.said = strings.TrimSpace(format)
	runtime.Goexit()
}

// ended runs f in a goroutine of its own, which it may end.
func ended(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func TestMissing(t *testing.T) {
	const what = "a server that nobody has"
	t.Cleanup(func() {
		env.mu.Lock()
		delete(env.absent, what)
		env.mu.Unlock()
	})
	t.Setenv("CI", "true")
	f := &fatal{TB: t}
	ended(func() { missing(f, what, errors.New("no network")) })
	if f.said == "" || strings.Contains(Absent(), what) {
		t.Errorf("CI=true: said %q, %q", f.said, Absent())
	}
	t.Setenv("CI", "")
	f = &fatal{TB: t}
	missing(f, what, errors.New("no network\nand more"))
	if line := Absent(); f.said != "" || !strings.Contains(line, what+" (no network)") || strings.Contains(line, "\n") {
		t.Errorf("said %q, %q", f.said, line)
	}
}

// Without Java and with empty caches a test goes on with the server in process.
func TestWithoutServers(t *testing.T) {
	for _, v := range []string{"PATH", "CI"} {
		t.Setenv(v, "")
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	before := Absent()
	t.Cleanup(func() {
		env.mu.Lock()
		defer env.mu.Unlock()
		env.failed = nil
		if before == "" {
			env.absent = nil
		}
	})
	if z := ZooKeeper(t, AdminServer()); z.Kind != KindInProcess || z.AdminURL != "" || z.FourLetter("ruok") != "imok" {
		t.Errorf("%+v", z)
	}
	var kinds []string
	ZooKeepers(t, func(t *testing.T, s *ZooKeeperServer) { kinds = append(kinds, s.Kind) })
	if len(kinds) != 1 {
		t.Errorf("ran against %q", kinds)
	}
	if _, ok := Ensemble(t, 3, 0); ok {
		t.Error("an ensemble of nothing")
	}
	if _, ok := Kafka(t); ok {
		t.Error("a Kafka of nothing")
	}
	if _, ok := Tool(t, "kcat"); ok {
		t.Error("kcat without a PATH")
	}
	if line := Absent(); !strings.Contains(line, ZooKeeperJars.Name) || !strings.Contains(line, "kcat") {
		t.Errorf("not said: %q", line)
	}
}

// A test binary that dies takes its servers with it. This one runs itself as that binary.
func TestOrphans(t *testing.T) {
	if log := os.Getenv("ROLLCALL_TESTENV_ORPHAN"); log != "" {
		p, err := start(log, "sleep", "1000")
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(strconv.Itoa(p.cmd.Process.Pid))
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOrphans$")
	cmd.Env = append(os.Environ(), "ROLLCALL_TESTENV_ORPHAN="+t.TempDir()+"/log")
	out, _ := cmd.Output() // killed, as it should be
	pid, err := strconv.Atoi(string(out))
	if err != nil {
		t.Fatalf("no process id in %q", out)
	}
	waitFor(t, func() bool {
		stat, err := os.ReadFile("/proc/" + string(out) + "/stat")
		return err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ")
	})
}
