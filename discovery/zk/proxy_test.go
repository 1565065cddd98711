package zk

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
)

// proxy stands between a client and a server: it can hold the client off, speak for an older server, and count and remember what the server says.
type proxy struct {
	addr, target string
	old          bool        // answer srvr as a server without recursive watches
	readOnly     atomic.Bool // speak as a server without a quorum
	strict       atomic.Bool // end the connection at addWatch, as a server does that does not know the operation
	slam         atomic.Bool // end the connection right after the handshake, as a server that sheds load
	hellos       atomic.Int64
	read         atomic.Int64
	// edit may change an answer or event in place: its frame after the length, so xid, zxid, code, body. op is the operation that it answers, 0 for an event. It
	// returns what goes on.
	edit func(op int32, frame []byte) []byte

	mu    sync.Mutex
	held  bool
	conns map[net.Conn]bool
	hello []byte // the last answer to a connect request, without its length
}

func newProxy(t testing.TB, target string, old bool) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{addr: l.Addr().String(), target: target, old: old, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.hold()
		wg.Wait()
	})
	return p
}

// hold cuts every connection and lets none through until release.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
}

// keep notes a connection, unless they are held off.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		p.conns[c] = true
	}
	return !p.held
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	var first [4]byte
	if !p.keep(c) {
		return
	}
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return
	}
	if p.old && string(first[:]) == "srvr" {
		io.WriteString(c, "Zookeeper version: 3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019 16:18 GMT\nMode: standalone\n")
		return
	}
	if p.readOnly.Load() && string(first[:]) == "isro" {
		io.WriteString(c, "ro")
		return
	}
	s, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(s) {
		return
	}
	defer s.Close()
	var wg sync.WaitGroup
	ops := &opsOf{by: map[int32]int32{}}
	wg.Go(func() {
		defer s.(*net.TCPConn).CloseWrite()
		if first[0] == 0 && p.edit != nil {
			s.Write(first[:])
			io.Copy(s, io.TeeReader(c, ops.of(first)))
			return
		}
		if first[0] != 0 || !p.strict.Load() {
			s.Write(first[:])
			io.Copy(s, c)
			return
		}
		for head := first; ; {
			body := make([]byte, binary.BigEndian.Uint32(head[:])&0xfffff)
			if _, err := io.ReadFull(c, body); err != nil || len(body) > 8 && binary.BigEndian.Uint32(body[4:]) == opAddWatch {
				c.Close()
				return
			}
			s.Write(append(head[:], body...))
			if _, err := io.ReadFull(c, head[:]); err != nil {
				return
			}
		}
	})
	if first[0] == 0 {
		var head [4]byte
		if _, err := io.ReadFull(s, head[:]); err == nil {
			hello := make([]byte, binary.BigEndian.Uint32(head[:])&0xffff)
			if _, err := io.ReadFull(s, hello); err == nil {
				p.mu.Lock()
				p.hello = hello
				p.mu.Unlock()
				out := append(head[:], hello...)
				if p.readOnly.Load() {
					out[len(out)-1] = 1
				}
				c.Write(out)
				if p.hellos.Add(1); p.slam.Load() {
					c.Close()
				}
			}
		}
	}
	if p.edit == nil || first[0] != 0 {
		io.Copy(c, counter{s, &p.read})
	} else {
		p.editAnswers(c, s, ops)
	}
	c.Close()
	wg.Wait()
}

// opsOf remembers the operations of requests by their xids, from the bytes that a client writes.
type opsOf struct {
	mu  sync.Mutex
	buf []byte
	by  map[int32]int32
}

func (o *opsOf) of(first [4]byte) io.Writer {
	o.buf = append(o.buf, first[:]...)
	return o
}

func (o *opsOf) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	for len(o.buf) >= 4 {
		n := int(binary.BigEndian.Uint32(o.buf))
		if len(o.buf) < 4+n {
			break
		}
		if n >= 8 {
			o.by[int32(binary.BigEndian.Uint32(o.buf[4:]))] = int32(binary.BigEndian.Uint32(o.buf[8:]))
		}
		o.buf = o.buf[4+n:]
	}
	return len(b), nil
}

func (p *proxy) editAnswers(c, s net.Conn, ops *opsOf) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:])&0xffffff)
		if _, err := io.ReadFull(s, frame); err != nil || len(frame) < 16 {
			return
		}
		p.read.Add(int64(4 + len(frame)))
		xid := int32(binary.BigEndian.Uint32(frame))
		ops.mu.Lock()
		op := ops.by[xid]
		ops.mu.Unlock()
		if xid == xidEvent {
			op = 0
		}
		frame = p.edit(op, frame)
		if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
			return
		}
	}
}

type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// expire ends the client's session behind its back: another takes it over with its id and password, and closes it.
func (p *proxy) expire(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	hello := p.hello
	p.mu.Unlock()
	c, err := net.Dial("tcp", p.target)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = c.Write(framed(be32(0), be64(0), be32(4000), hello[8:16], be32(16), hello[20:36], []byte{0})) // session and password of the answer that was overheard
	must(t, err)
	_, err = c.Write(framed(be32(1), be32(-11)))
	must(t, err)
	if _, err := io.ReadAll(c); err != nil { // two answers, and the end
		t.Fatalf("the session was not taken over: %v", err)
	}
}

// setACL closes a node to everybody but one user.
func setACL(s *Session, path, user, password string) error {
	s.mu.Lock()
	conn := s.client.conn
	s.mu.Unlock()
	_, err := conn.SetACL(path, gozk.DigestACL(gozk.PermAll, user, password), -1)
	return err
}

// caughtUp waits until the server that a session talks to is as far as the leader was.
func caughtUp(s *Session, path string) error {
	s.mu.Lock()
	conn := s.client.conn
	s.mu.Unlock()
	_, err := conn.Sync(path)
	return err
}
