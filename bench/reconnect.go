package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// benchReconnect cuts many sessions at once and notes when each is back: ours, and such as the client library makes by itself.
func benchReconnect(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("reconnect", flag.ContinueOnError)
	fs.SetOutput(stderr)
	n := fs.Int("sessions", 500, "how many")
	down := fs.Duration("down", 3*time.Second, "how long nothing answers after the cut")
	svg := fs.String("svg", "", "write the histogram to this file")
	heap := fs.String("heap", "512m", "of ZooKeeper")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *n < 2 || *down < 0 {
		return errors.New("reconnect: at least 2 sessions, and no negative time")
	}
	srv, err := startServer(ctx, *heap, stderr)
	if err != nil {
		return err
	}
	defer srv.stop()
	ctx, cancel := srv.until(ctx)
	defer cancel()
	var spreads []spread
	for _, who := range []struct {
		name string
		open func(ctx context.Context, addr string, n int) (*crowd, error)
	}{{"rollcall", openOurs}, {"go-zookeeper alone", openPlain}} {
		for _, down := range []time.Duration{0, *down} {
			back, err := cutAndCount(ctx, srv.addr, *n, down, who.open)
			if err != nil {
				return fmt.Errorf("reconnect %s: %w", who.name, err)
			}
			s := spreadOf(who.name, down, back)
			spreads = append(spreads, s)
			fmt.Fprintf(stdout, "%s\n", s)
			s.draw(stdout)
		}
	}
	if *svg == "" {
		return nil
	}
	if err := os.WriteFile(*svg, picture(spreads, *n), 0o644); err != nil { //nolint:gosec // a picture for everybody
		return fmt.Errorf("write histogram: %w", err)
	}
	return nil
}

// crowd is sessions of one kind.
type crowd struct {
	back  func() <-chan int // each session that is connected from now on
	close func()
}

// arrivals tells of sessions that become connected.
type arrivals struct {
	mu   sync.Mutex
	seen map[int]bool
	ch   chan int
}

// from makes every session count anew.
func (a *arrivals) from(n int) func() <-chan int {
	return func() <-chan int {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen, a.ch = map[int]bool{}, make(chan int, n)
		return a.ch
	}
}

func (a *arrivals) connected(i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen != nil && !a.seen[i] {
		a.seen[i] = true
		a.ch <- i
	}
}

const crowdTimeout = 30 * time.Second // of the sessions: a KingPin fleet's are about as long

// openOurs connects sessions of discovery/zk.
func openOurs(ctx context.Context, addr string, n int) (*crowd, error) {
	ctx, cancel := context.WithCancel(ctx)
	var a arrivals
	var wg sync.WaitGroup
	c := &crowd{back: a.from(n), close: func() { cancel(); wg.Wait() }}
	all := c.back()
	for i := range n {
		s, err := zk.NewSession(zk.Config{Servers: []string{addr}, SessionTimeout: crowdTimeout, ReadOnly: true, MaxPacket: 64 << 10, MaxRequest: 64 << 10})
		if err != nil {
			cancel()
			return nil, err
		}
		wg.Go(func() { _ = s.Run(ctx) }) // nil until ctx ends
		wg.Go(func() {
			for epoch := uint64(0); ; {
				st, changed := s.Changed()
				if st.Connected && st.Epoch != epoch {
					epoch = st.Epoch
					a.connected(i)
				}
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return c, await(ctx, all, n)
}

// openPlain connects the library's own clients, as anybody would.
func openPlain(ctx context.Context, addr string, n int) (*crowd, error) {
	var a arrivals
	var conns []*gozk.Conn
	c := &crowd{back: a.from(n), close: func() {
		var wg sync.WaitGroup
		for _, conn := range conns {
			wg.Go(conn.Close)
		}
		wg.Wait()
	}}
	all := c.back()
	for i := range n {
		conn, _, err := gozk.Connect([]string{addr}, crowdTimeout, gozk.WithLogInfo(false), gozk.WithLogger(silent{}), gozk.WithMaxConnBufferSize(64<<10), gozk.WithMaxBufferSize(64<<10),
			gozk.WithEventCallback(func(e gozk.Event) {
				if e.State == gozk.StateHasSession {
					a.connected(i)
				}
			}))
		if err != nil {
			c.close()
			return nil, err
		}
		conns = append(conns, conn)
	}
	return c, await(ctx, all, n)
}

// silent keeps a line for each failed attempt to itself.
type silent struct{}

func (silent) Printf(string, ...any) {}

func await(ctx context.Context, back <-chan int, n int) error {
	for i := range n {
		select {
		case <-back:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Minute):
			return fmt.Errorf("only %d of %d sessions are connected", i, n)
		}
	}
	return nil
}

// cutAndCount connects n sessions through a gate, cuts them all, and returns how long after the gate's opening each was back, in order.
func cutAndCount(ctx context.Context, addr string, n int, down time.Duration, open func(context.Context, string, int) (*crowd, error)) ([]time.Duration, error) {
	g, err := newGate(addr)
	if err != nil {
		return nil, err
	}
	defer g.close()
	c, err := open(ctx, g.addr, n)
	if err != nil {
		return nil, err
	}
	defer c.close()
	time.Sleep(time.Second) // nobody is in a connection's first moments
	back := c.back()
	if err := g.cut(down); err != nil {
		return nil, err
	}
	opened := time.Now()
	var took []time.Duration
	for range n {
		select {
		case <-back:
			took = append(took, time.Since(opened))
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Minute):
			return nil, fmt.Errorf("only %d of %d sessions are back", len(took), n)
		}
	}
	slices.Sort(took)
	return took, nil
}
