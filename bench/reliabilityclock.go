package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// clock sets a collector's clock. A program written in Go asks the kernel itself, without a library that could be put in its way, and the kernel has one clock for
// all; so the collector is built from the same sources over a standard library whose time.Now adds what stands in a file that is mapped into memory. Timers and what
// is measured between two moments go on as they are, as when somebody sets a clock.
type clock struct {
	program string
	file    string
	ahead   *int64
	mem     []byte
}

// clockEnv names the file.
const clockEnv = "ROLLCALL_BENCH_CLOCK"

// clockPatch is added to the standard library's package time.
const clockPatch = `
// clockAhead is by how many nanoseconds the clock is set.
var clockAhead *int64

func init() {
	name, ok := syscall.Getenv("` + clockEnv + `")
	if !ok {
		panic("` + clockEnv + ` is not set")
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("` + clockEnv + `: " + err.Error())
	}
	mem, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("` + clockEnv + `: " + err.Error())
	}
	syscall.Close(fd)
	clockAhead = (*int64)(unsafe.Pointer(&mem[0]))
}

func setNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	if clockAhead != nil { // other packages' variables ask before the init above
		sec += *(*int64)(unsafe.Pointer(clockAhead)) / 1e9
	}
	return sec, nsec, mono
}
`

func newClock(ctx context.Context, dir string) (_ *clock, err error) {
	c := &clock{program: filepath.Join(dir, "rollcall-clock"), file: filepath.Join(dir, "clock")}
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for GOROOT: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	b, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	const asks, head = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()", "import (\n"
	text := string(b)
	if strings.Count(text, asks) != 1 || !strings.Contains(text, head) {
		return nil, errors.New("this Go's time.Now is another one: the clock cannot be set")
	}
	text = strings.Replace(text, asks, strings.Replace(asks, "runtimeNow", "setNow", 1), 1) + clockPatch
	text = strings.Replace(text, "\t_ \"unsafe\"", "\t\"unsafe\"", 1) // it is there for its linknames alone
	for _, p := range []string{"syscall", "unsafe"} {
		if imports, _, _ := strings.Cut(text, "\n)"); !strings.Contains(imports, `"`+p+`"`) {
			text = strings.Replace(text, head, head+"\t\""+p+"\"\n", 1)
		}
	}
	patched, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {source: patched}})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(patched, []byte(text), 0o600), os.WriteFile(overlay, list, 0o600), os.WriteFile(c.file, make([]byte, 8), 0o600)); err != nil {
		return nil, err
	}
	if err := buildRollcallTo(ctx, c.program, "-overlay", overlay); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(c.file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if c.mem, err = syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the clock: %w", err)
	}
	c.ahead = (*int64)(unsafe.Pointer(&c.mem[0]))
	return c, nil
}

// set puts the collector's clock ahead of ours, or behind.
func (c *clock) set(by time.Duration) { atomic.StoreInt64(c.ahead, int64(by)) }

func (c *clock) close() error { return syscall.Munmap(c.mem) }
