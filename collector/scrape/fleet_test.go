package scrape

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// fleet is applications over net.Pipe: each address has something that serves a connection.
type fleet struct {
	mu    sync.Mutex
	serve map[string]func(net.Conn)
	names map[string][]string
	dials map[string]int
	open  int
	wg    sync.WaitGroup
}

func newFleet() *fleet {
	return &fleet{serve: map[string]func(net.Conn){}, names: map[string][]string{}, dials: map[string]int{}}
}

func (f *fleet) Dial(_ context.Context, _, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials[addr]++
	serve := f.serve[addr]
	if serve == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	a, b := net.Pipe()
	f.open++
	f.wg.Go(func() {
		serve(b)
		b.Close()
		f.mu.Lock()
		f.open--
		f.mu.Unlock()
	})
	return a, nil
}

func (f *fleet) Lookup(_ context.Context, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []netip.Addr
	for _, a := range f.names[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func (f *fleet) dialled(addr string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials[addr]
}

// handler serves HTTP with net/http's own server.
func (f *fleet) handler(addr string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve[addr] = func(c net.Conn) {
		srv := http.Server{Handler: h}
		l := &oneConn{c: c, done: make(chan struct{})}
		srv.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				close(l.done)
			}
		}
		_ = srv.Serve(l)
	}
}

// stats serves body as /stats.json; anything else is not found.
func (f *fleet) stats(addr, body string) {
	f.handler(addr, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stats.json" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, body)
	})
}

// raw answers the first request on a connection with the bytes that write sends.
func (f *fleet) raw(addr string, write func(net.Conn)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve[addr] = func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			write(c)
		}
	}
}

// oneConn is a listener that has one connection to accept.
type oneConn struct {
	c    net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.c; c != nil {
		l.c = nil
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// catch keeps copies of snapshots.
type catch struct {
	mu     sync.Mutex
	all    []collector.Snapshot
	active map[discovery.Key]bool
	t      *testing.T
}

func (c *catch) Handle(s *collector.Snapshot) {
	c.mu.Lock()
	k := s.Instance.Key
	if c.active == nil {
		c.active = map[discovery.Key]bool{}
	}
	if c.active[k] {
		c.t.Errorf("two snapshots at once of %s", k)
	}
	c.active[k] = true
	cp := *s
	cp.OnRelease = nil
	cp.Samples = make([]collector.Sample, len(s.Samples))
	for i, x := range s.Samples {
		cp.Samples[i] = collector.Sample{Name: strings.Clone(x.Name), Kind: x.Kind, Value: strings.Clone(x.Value), Window: x.Window}
		for _, f := range x.Fields {
			cp.Samples[i].Fields = append(cp.Samples[i].Fields, collector.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)})
		}
	}
	c.all = append(c.all, cp)
	c.mu.Unlock()
	s.Release()
	c.mu.Lock()
	c.active[k] = false
	c.mu.Unlock()
}

func (c *catch) take() []collector.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.all
	c.all = nil
	return out
}

func instance(addr string) discovery.Instance {
	host, port, err := discovery.SplitAddr(addr)
	if err != nil {
		panic(err)
	}
	return discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: host, Port: port}, Shard: discovery.NoShard}
}

func targets(j *Job, addrs ...string) []Target {
	var out []Target
	for _, a := range addrs {
		out = append(out, Target{Instance: instance(a), Job: j})
	}
	return out
}

// running starts a pool over the fleet; stop ends it and waits for everybody.
func (f *fleet) running(t *testing.T, c Config) (p *Pool, got *catch, stop func()) {
	t.Helper()
	got = &catch{t: t}
	c.Handle, c.Dial, c.Lookup = got.Handle, f.Dial, f.Lookup
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	return p, got, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.wg.Wait() // every connection was closed, else this never ends
	}
}

func set(t *testing.T, p *Pool, ts []Target) {
	t.Helper()
	if err := p.Set(ts); err != nil {
		t.Fatal(err)
	}
}

const someStats = `{"counters":{"requests":7},"gauges":{"jvm_uptime":5}}`

func second(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
