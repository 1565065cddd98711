package testenv

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/zkserve"
)

// server is what runs behind a ZooKeeperServer: a child process or a goroutine.
type server interface {
	running() bool
	kill()
	signal(syscall.Signal) error // SIGSTOP and SIGCONT
	ended() <-chan struct{}
	failure() error
	tail(lines int) string
}

// inProcess is a zkserve behind a gate that SIGSTOP closes.
type inProcess struct {
	cancel context.CancelFunc
	gate   *gate
	done   chan struct{}
	err    error
}

// zkserveConfig takes from a ZooKeeper's options what zkserve has too.
func zkserveConfig(addr, dir string, o zkOptions) zkserve.Config {
	ms := func(key string) time.Duration {
		n, _ := strconv.Atoi(o.settings[key])
		return time.Duration(n) * time.Millisecond
	}
	frame, _ := strconv.Atoi(o.props["jute.maxbuffer"])
	return zkserve.Config{Addr: addr, Dir: dir, TickTime: ms("tickTime"), MinSessionTimeout: ms("minSessionTimeout"), MaxSessionTimeout: ms("maxSessionTimeout"),
		ContainerCheck: time.Duration(atoi(o.props["znode.container.checkIntervalMs"])) * time.Millisecond, MaxFrame: frame}
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func startInProcess(cfg zkserve.Config) (*inProcess, error) {
	z, err := zkserve.New(cfg)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &inProcess{cancel: cancel, gate: newGate(), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = z.Serve(ctx, gatedListener{l, p.gate})
	}()
	return p, nil
}

func (p *inProcess) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *inProcess) kill() {
	p.cancel()
	p.gate.set(true)
	<-p.done
}

func (p *inProcess) signal(sig syscall.Signal) error {
	switch sig {
	case syscall.SIGSTOP:
		p.gate.set(false)
	case syscall.SIGCONT:
		p.gate.set(true)
	default:
		return errors.New("a goroutine takes SIGSTOP and SIGCONT only")
	}
	return nil
}

func (p *inProcess) ended() <-chan struct{} { return p.done }
func (p *inProcess) failure() error         { return p.err }
func (p *inProcess) tail(int) string        { return "" }

// gate holds up reads and writes while it is closed.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if !open {
			g.open = make(chan struct{})
		}
	default:
		if open {
			close(g.open)
		}
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

type gatedListener struct {
	net.Listener
	gate *gate
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.gate.pass()
	return gatedConn{c, l.gate}, nil
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.gate.pass()
	return n, err
}

func (c gatedConn) Write(b []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Write(b)
}
