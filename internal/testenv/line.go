package testenv

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Line is a connection between a server and those who ask it that carries so much and no more, as far as answers go. Proxy cannot be that: its bandwidth is of whole
// kilobytes a second, and keeps tens of them in between, where what is to be slowed says some hundred bytes a second.
type Line struct {
	Addr string

	to    string
	l     net.Listener
	rate  atomic.Int64 // bytes a second of each connection; 0: all that there are
	bytes atomic.Int64
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]bool // nil: it is closed
}

// NewLine leads from a port of its own to a server, as fast as that is.
func NewLine(to string) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Line{Addr: l.Addr().String(), to: to, l: l, conns: map[net.Conn]bool{}}
	n.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() { n.pass(c) })
		}
	})
	return n, nil
}

// Slow has each connection carry so many bytes a second from now on; 0: all that there are.
func (n *Line) Slow(perSecond int) { n.rate.Store(int64(perSecond)) }

// Bytes is how many have come from the server.
func (n *Line) Bytes() int64 { return n.bytes.Load() }

// Close ends everything that goes over it.
func (n *Line) Close() {
	_ = n.l.Close() // nobody comes any more, which is all that is wanted
	n.mu.Lock()
	for c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
	n.mu.Unlock()
	n.wg.Wait()
}

func (n *Line) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns != nil {
		n.conns[c] = true
	}
	return n.conns != nil
}

func (n *Line) drop(c net.Conn) {
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
	_ = c.Close()
}

func (n *Line) pass(in net.Conn) {
	defer n.drop(in)
	out, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	defer n.drop(out)
	if !n.keep(in) || !n.keep(out) {
		return
	}
	// Little waits in between: what is not carried waits at the server.
	_ = out.(*net.TCPConn).SetReadBuffer(4 << 10)
	n.wg.Go(func() {
		_, _ = io.Copy(out, in) // until either end has enough
		_ = out.Close()
	})
	buf := make([]byte, 4<<10)
	for {
		k, err := out.Read(buf)
		n.bytes.Add(int64(k))
		for b := buf[:k]; len(b) > 0; {
			piece := b
			if rate := n.rate.Load(); rate > 0 {
				piece = b[:min(int64(len(b)), max(1, rate/turns))]
				time.Sleep(time.Duration(len(piece)) * time.Second / time.Duration(rate))
			}
			b = b[len(piece):]
			if _, err := in.Write(piece); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// turns is how often a second something is carried.
const turns = 20
