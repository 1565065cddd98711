package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// side is one way to follow the serversets, in a process of its own.
type side struct {
	addr    string
	begun   time.Time
	want    int64
	known   atomic.Int64 // endpoints
	tagged  atomic.Int64 // with what their data says
	knownIn atomic.Int64 // nanoseconds until every endpoint was known
	loaded  chan struct{}
	once    sync.Once

	mu        sync.Mutex
	recording bool
	seen      []sighting
}

// sighting is the moment in which a side showed something: that Key (an endpoint, or a member's path) is gone, or what its shard is.
type sighting struct {
	Key  string
	Seq  int // gone: -1
	Nano int64
}

const gone = -1

// held is one instance as a side has it at the end.
type held struct {
	Key  string // as in sighting
	Addr string
	Seq  int
	Zone string // empty where a side does not read it
}

// way is how a side does it: start follows root until ctx ends and says what it sees; dump is what it has.
type way struct {
	start func(ctx context.Context, s *side) error
	dump  func() []held
}

// progress is called when more is known.
func (s *side) progress() {
	if s.known.Load() < s.want {
		return
	}
	s.knownIn.CompareAndSwap(0, int64(time.Since(s.begun)))
	if s.tagged.Load() >= s.want {
		s.once.Do(func() { close(s.loaded) })
	}
}

func (s *side) saw(key string, seq int, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recording {
		s.seen = append(s.seen, sighting{key, seq, at.UnixNano()})
	}
}

// loading is what a side says of itself once it knows everything.
type loading struct {
	Known, Tagged time.Duration
	CPU           time.Duration
	Received      uint64 // bytes from ZooKeeper
	// Bytes resident beyond what the process had before it began, which holds the code of both sides: as it is, and after a collection whose memory went back to
	// the system.
	RSS, Freed uint64
}

// churning is what the changes have cost it.
type churning struct {
	CPU      time.Duration
	Received uint64
	RSS      uint64
}

// runSide is the process: it follows, and does what the lines of stdin ask for, each answered with one line of JSON.
func runSide(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("side", flag.ContinueOnError)
	of := fs.String("of", "", "rollcall or prometheus")
	addr := fs.String("server", "", "host:port")
	want := fs.Int64("want", 0, "members")
	profile := fs.String("profile", "", "write profiles to files that begin like this")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ways := map[string]func() *way{"rollcall": followRollcall, "prometheus": followPrometheus}
	follow, ok := ways[*of]
	if !ok {
		return fmt.Errorf("side %q: rollcall or prometheus", *of)
	}
	w := follow()
	empty, err := rss()
	if err != nil {
		return err
	}
	s := &side{addr: *addr, want: *want, loaded: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopProfile := cpuProfile(*profile, "load")
	s.begun = time.Now()
	go func() { cancel(w.start(ctx, s)) }()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.loaded:
	}
	l := loading{Known: time.Duration(s.knownIn.Load()), Tagged: time.Since(s.begun), CPU: cpu()}
	stopProfile()
	if l.RSS, err = rss(); err != nil {
		return err
	}
	heapProfile(*profile)
	debug.FreeOSMemory()
	if l.Freed, err = rss(); err != nil {
		return err
	}
	l.RSS, l.Freed = l.RSS-min(empty, l.RSS), l.Freed-min(empty, l.Freed)
	if l.Received, err = received(s.addr); err != nil {
		return err
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode(l); err != nil {
		return err
	}
	var before churning
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "begin":
			stopProfile = cpuProfile(*profile, "churn")
			s.mu.Lock()
			s.recording = true
			s.mu.Unlock()
			if before.Received, err = received(s.addr); err != nil {
				return err
			}
			before.CPU = cpu()
			err = out.Encode("ok")
		case "cost":
			c := churning{CPU: cpu() - before.CPU}
			stopProfile()
			if c.Received, err = received(s.addr); err != nil {
				return err
			}
			if c.RSS, err = rss(); err != nil {
				return err
			}
			c.Received -= before.Received
			c.RSS -= min(empty, c.RSS)
			err = out.Encode(c)
		case "dump":
			err = out.Encode(w.dump())
		case "seen":
			s.mu.Lock()
			err = out.Encode(s.seen)
			s.mu.Unlock()
		case "end":
			return nil
		default:
			err = fmt.Errorf("side: asked for %q", lines.Text())
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), context.Cause(ctx))
}

func cpuProfile(prefix, what string) (stop func()) {
	if prefix == "" {
		return func() {}
	}
	f, err := os.Create(prefix + "." + what + ".cpu")
	if err != nil || pprof.StartCPUProfile(f) != nil {
		return func() {}
	}
	return func() { pprof.StopCPUProfile(); f.Close() }
}

func heapProfile(prefix string) {
	if prefix == "" {
		return
	}
	debug.FreeOSMemory()
	if f, err := os.Create(prefix + ".heap"); err == nil {
		_ = pprof.WriteHeapProfile(f) // a help for people, no figure
		f.Close()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_ = os.WriteFile(prefix+".memory", fmt.Appendf(nil, "%+v\n", m), 0o600)
}
