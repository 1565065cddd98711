package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// asCommand tells the tests' own binary to be this program.
const asCommand = "ROLLCALL_BENCH"

// anyCore leaves a process where the kernel wants it.
const anyCore = -1

// process is one of those measured, or that they are measured with: this program again. It does what it is asked for on stdin, line by line, and answers each with
// one value of JSON.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	from *os.File // what out reads; closed by end, for the process may be gone before its last answer is read
	out  *json.Decoder
	done chan struct{}
}

// startSelf starts this program with other arguments.
func startSelf(ctx context.Context, name string, core int, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	proc := &process{name: name, cmd: exec.CommandContext(ctx, self, args...), done: make(chan struct{})}
	proc.cmd.Env = append(os.Environ(), asCommand+"=1")
	proc.cmd.Stderr = os.Stderr
	if proc.in, err = proc.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe() // the command's own would be closed at its end, read or not
	if err != nil {
		return nil, err
	}
	proc.cmd.Stdout, proc.from, proc.out = w, r, json.NewDecoder(bufio.NewReaderSize(r, 1<<20))
	err = startChild(proc.cmd, core, func() { close(proc.done) })
	w.Close()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return proc, nil
}

// startChild starts a program that dies with this process, on one core or on any, and calls ended once it is gone. The kernel's signal comes when the thread that
// started it ends, so one is kept for it.
func startChild(cmd *exec.Cmd, core int, ended func()) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the child, for nothing else may run where it is bound to
		err := bind(core)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // who waits for its end asks for no reason
			ended()
		}
	}()
	return <-started
}

// bind puts this thread, and so what it starts, on a core.
func bind(core int) error {
	if core == anyCore {
		return nil
	}
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind a process to core %d: %w", core, err)
	}
	return nil
}

// cores are the first and the second that this process may use; the same twice where there is only one.
func cores() (first, second int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, fmt.Errorf("ask for the cores: %w", err)
	}
	var all []int
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			all = append(all, c)
		}
	}
	if len(all) == 1 {
		return all[0], all[0], nil
	}
	return all[0], all[1], nil
}

// ask has a process do something and decodes its answer, unless into is nil.
func (p *process) ask(what string, into any) error {
	if _, err := io.WriteString(p.in, strings.TrimSpace(what)+"\n"); err != nil {
		return fmt.Errorf("ask %s for %s: %w", p.name, what, err)
	}
	return p.answer(what, into)
}

// answer waits for what a process says next.
func (p *process) answer(what string, into any) error {
	if into == nil {
		into = new(any)
	}
	if err := p.out.Decode(into); err != nil {
		return fmt.Errorf("ask %s for %s: %w", p.name, what, err)
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) gone() <-chan struct{} { return p.done }

func (p *process) end() error {
	err := p.in.Close()
	if errors.Is(err, os.ErrClosed) { // it has ended already
		err = nil
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill() // the treecache takes its time
		<-p.done
	}
	return errors.Join(err, p.from.Close())
}
