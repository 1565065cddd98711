// Package zkserve speaks the ZooKeeper protocol in process: for the demo, for `rollcall up` without servers, and for tests.
//
// It is one server, not a quorum. It holds sessions, ephemerals, one-shot, persistent and recursive watches, multi, ACLs,
// containers and the four-letter words as ZooKeeper 3.9 does, and keeps persistent znodes on disk; zktest holds it and a real
// ZooKeeper against the same cases. It leaves out TTL znodes and quotas (as a server without extended types), SASL and
// reconfiguration. It must know nothing of rollcall.
package zkserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultAddr is where a server listens unless told otherwise.
const DefaultAddr = "127.0.0.1:7181"

// Config describes a server. The zero value is a server in memory on DefaultAddr.
type Config struct {
	Addr              string        // host:port to listen on; empty: DefaultAddr
	Dir               string        // where persistent znodes are kept, made if need be; empty: in memory only
	TickTime          time.Duration // 0: 2 s
	MinSessionTimeout time.Duration // 0: two ticks
	MaxSessionTimeout time.Duration // 0: twenty ticks
	ContainerCheck    time.Duration // how often empty containers are removed; 0: one minute
	MaxFrame          int           // bytes of a request, ZooKeeper's jute.maxbuffer; 0: 1048575
	MaxConns          int           // 0: 4096
	MaxSessions       int           // 0: 65536
	MaxNodes          int           // 0: 1,000,000
	MaxWatches        int           // 0: 2,000,000
	SnapshotBytes     int64         // the log is cut after so many bytes; 0: 8 MiB
	Log               *slog.Logger  // nil: discarded
}

func or[T ~int | ~int64](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func (c *Config) setDefaults() {
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	or(&c.TickTime, 2*time.Second)
	or(&c.MinSessionTimeout, 2*c.TickTime)
	or(&c.MaxSessionTimeout, max(20*c.TickTime, c.MinSessionTimeout))
	or(&c.ContainerCheck, time.Minute)
	or(&c.MaxFrame, 1<<20-1)
	or(&c.MaxConns, 4096)
	or(&c.MaxSessions, 1<<16)
	or(&c.MaxNodes, 1_000_000)
	or(&c.MaxWatches, 2_000_000)
	or(&c.SnapshotBytes, 8<<20)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func (c *Config) validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		errs = append(errs, fmt.Errorf("address: %w", err))
	}
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"tick time", int64(c.TickTime)}, {"minimal session timeout", int64(c.MinSessionTimeout)}, {"container check", int64(c.ContainerCheck)},
		{"frame limit", int64(c.MaxFrame)}, {"connection limit", int64(c.MaxConns)}, {"session limit", int64(c.MaxSessions)},
		{"znode limit", int64(c.MaxNodes)}, {"watch limit", int64(c.MaxWatches)}, {"snapshot size", c.SnapshotBytes},
	} {
		if v.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is negative", v.name, v.value))
		}
	}
	if c.MaxSessionTimeout < c.MinSessionTimeout {
		errs = append(errs, fmt.Errorf("maximal session timeout: %v is less than the minimal, %v", c.MaxSessionTimeout, c.MinSessionTimeout))
	}
	if c.MaxSessionTimeout.Milliseconds() > 1<<31-1 {
		errs = append(errs, fmt.Errorf("maximal session timeout: %v does not fit the protocol", c.MaxSessionTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("configure ZooKeeper server: %w", err)
	}
	return nil
}

// Server is one ZooKeeper-protocol server.
type Server struct {
	cfg       Config
	log       *slog.Logger
	listening chan struct{}
	started   atomic.Bool
	start     time.Time

	received, sent, refused atomic.Int64 // frames in, frames out, connections over the limit

	mu          sync.Mutex
	addr        string
	zxid        int64 // of the last change
	tree        *tree
	watches     *watches
	sessions    map[int64]*session
	nextSession int64
	conns       map[*conn]struct{}
	stopped     bool
	expired     int64
	latency     latency
	store       *store
	wall        int64 // latest time given out, Unix milliseconds
}

// New makes a server that does nothing until Run. The error joins every fault of the configuration.
func New(cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, log: cfg.Log, listening: make(chan struct{}), tree: newTree(), watches: newWatches(), sessions: map[int64]*session{}, conns: map[*conn]struct{}{},
	}, nil
}

// Listening is closed once clients can connect.
func (s *Server) Listening() <-chan struct{} { return s.listening }

// Addr is the host:port that the server listens on; empty before Listening.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Run listens and serves until the context ends, once. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen for ZooKeeper clients: %w", err)
	}
	return s.Serve(ctx, l)
}

// Serve is Run on a listener of the caller's, which it closes.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if s.started.Swap(true) {
		return errors.New("run ZooKeeper server: it ran before")
	}
	if err := s.open(); err != nil {
		return err
	}
	s.mu.Lock()
	s.addr = l.Addr().String()
	s.mu.Unlock()
	s.log.Info("serving ZooKeeper clients", "addr", l.Addr().String(), "znodes", len(s.tree.nodes), "dir", s.cfg.Dir)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.tick(ctx) })
	wg.Go(func() { s.keep(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	close(s.listening)
	err := s.accept(ctx, l, &wg)
	cancel()
	s.closeAll()
	wg.Wait()
	return errors.Join(err, s.store.close())
}

// open loads what is kept, and gives this start its zxids and session numbers.
func (s *Server) open() error {
	s.start = time.Now()
	st, last, err := openStore(s.cfg, s.tree)
	if err != nil {
		return err
	}
	s.store = st
	s.zxid = max(startZxid(s.start), (last>>32+1)<<32)
	for _, n := range s.tree.nodes { // the ephemerals that were there are gone, and a watcher may ask what changed since
		if int(n.cversion) > len(n.children) {
			n.pzxid = s.zxid
		}
	}
	s.nextSession = int64(uint64(s.start.UnixMilli()) << 24 >> 8) // as the original makes it: its first byte is no 0xff, which is that of TTL nodes
	if err := st.begin(s.zxid, s.tree); err != nil {
		return errors.Join(err, st.close())
	}
	return nil
}

// startZxid is the time in seconds with 32 bits of fraction. So the high half is Unix time, and a server in memory that comes
// back within the second is still ahead of what its clients have seen.
func startZxid(t time.Time) int64 {
	sec := min(t.Unix(), 1<<31-1) // beyond 2038 a zxid would be negative
	return sec<<32 | int64(t.Nanosecond())<<32/1_000_000_000
}

// wallTime is Unix milliseconds that never run backwards. Callers hold mu.
func (s *Server) wallTime() int64 {
	s.wall = max(s.wall, time.Now().UnixMilli())
	return s.wall
}

// accept takes connections until the listener closes.
func (s *Server) accept(ctx context.Context, l net.Listener, wg *sync.WaitGroup) error {
	for wait := time.Duration(0); ; {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of file descriptors, mostly: those who are connected must not suffer.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("accept failed, trying again", "error", err, "wait", wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		}
		wait = 0
		c := newConn(s, nc)
		if !s.admit(c) {
			nc.Close()
			continue
		}
		wg.Go(c.drain)
		wg.Go(func() {
			c.serve()
			s.leave(c)
		})
	}
}

func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.conns) >= s.cfg.MaxConns {
		if s.refused.Add(1)%1000 == 1 {
			s.log.Warn("connection refused: too many", "connections", len(s.conns), "refused", s.refused.Load())
		}
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// leave forgets a connection whose reader has ended; what is queued for it is still written.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	s.detach(c)
	delete(s.conns, c)
	s.mu.Unlock()
	c.finish()
}

// closeAll cuts every connection; sessions end with the process.
func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for c := range s.conns {
		c.finish()
		c.nc.Close()
	}
}

// tick expires sessions and removes containers.
func (s *Server) tick(ctx context.Context) {
	every := min(max(s.cfg.MinSessionTimeout/8, 10*time.Millisecond), 500*time.Millisecond)
	sessions := time.NewTicker(every)
	defer sessions.Stop()
	containers := time.NewTicker(s.cfg.ContainerCheck)
	defer containers.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-sessions.C:
			now := time.Now()
			s.mu.Lock()
			if late := now.Sub(last) - every; late > 2*every { // this process stood still: that is not the clients' silence
				for _, ses := range s.sessions {
					ses.deadline = ses.deadline.Add(late)
				}
			}
			last = now
			s.expire(now)
			s.mu.Unlock()
		case <-containers.C:
			s.mu.Lock()
			s.removeContainers()
			s.mu.Unlock()
		}
	}
}

func hex(v int64) string { return "0x" + strconv.FormatUint(uint64(v), 16) }
