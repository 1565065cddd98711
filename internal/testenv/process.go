package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one child process in a process group of its own.
type process struct {
	cmd  *exec.Cmd
	log  string        // file with its standard output and error
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// start starts the program with its output in the file log. The child dies with this process whatever happens to it: the kernel
// sends the signal when the THREAD that started the child ends, so one thread is kept for it until the child is gone.
func start(log string, argv ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", log, err)
	}
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = childAttr()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %q: %w", argv[0], err)
	}
	return p, nil
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig to the whole process group. SIGSTOP is waited for: it takes a moment to reach every thread.
func (p *process) signal(sig syscall.Signal) error {
	pid := p.cmd.Process.Pid
	if err := syscall.Kill(-pid, sig); err != nil || sig != syscall.SIGSTOP {
		return err
	}
	for range 1000 {
		if stopped(pid) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("process %d does not stop", pid)
}

// stopped looks at every thread of a process where /proc shows them, else it believes that the signal was enough.
func stopped(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		return true
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if _, after, ok := bytes.Cut(b, []byte(") ")); ok && !bytes.HasPrefix(after, []byte("T")) {
			return false
		}
	}
	return true
}

// kill ends the process group with SIGKILL, stopped or not, and waits.
func (p *process) kill() {
	if !p.running() {
		return
	}
	_ = p.signal(syscall.SIGKILL) // it may end by itself meanwhile
	<-p.done
}

func (p *process) ended() <-chan struct{} { return p.done }
func (p *process) failure() error         { return p.err }

// tail is the end of the log, for a failure's message.
func (p *process) tail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// endWith kills a server at the end of the test and shows its log when the test failed.
func endWith(t testing.TB, what string, p server) {
	if p == nil {
		return
	}
	p.kill()
	if t.Failed() {
		t.Logf("testenv: end of the log of %s:\n%s", what, p.tail(30))
	}
}
