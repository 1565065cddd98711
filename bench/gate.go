package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// gate passes connections on to a server until it cuts them all.
type gate struct {
	addr, to string

	mu    sync.Mutex
	l     net.Listener
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newGate(to string) (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{addr: l.Addr().String(), to: to, l: l, conns: map[net.Conn]bool{}}
	g.wg.Go(func() { g.serve(l) })
	return g, nil
}

func (g *gate) serve(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		g.wg.Go(func() { g.pass(in, l) })
	}
}

func (g *gate) pass(in net.Conn, of net.Listener) {
	defer in.Close()
	out, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	if g.l != of { // cut meanwhile
		g.mu.Unlock()
		return
	}
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [2][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // until either end has enough
			_ = way[0].Close()
		})
	}
	both.Wait()
	g.mu.Lock()
	delete(g.conns, in)
	delete(g.conns, out)
	g.mu.Unlock()
}

// cut ends every connection at once, refuses new ones for a while, and is open again when it returns.
func (g *gate) cut(down time.Duration) error {
	if down > 0 {
		_ = g.l.Close() // it is not listened on any more, which is all that is wanted
	}
	g.mu.Lock()
	for c := range g.conns {
		_ = c.Close() // the same
	}
	clear(g.conns)
	g.mu.Unlock()
	if down == 0 {
		return nil
	}
	time.Sleep(down)
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.l = l
	g.mu.Unlock()
	g.wg.Go(func() { g.serve(l) })
	return nil
}

func (g *gate) close() {
	g.mu.Lock()
	l := g.l
	g.l = nil
	for c := range g.conns {
		_ = c.Close()
	}
	g.mu.Unlock()
	_ = l.Close()
	g.wg.Wait()
}
