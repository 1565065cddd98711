package zkserve

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// connectTimeout bounds the wait for a connection's first frame.
	connectTimeout = 10 * time.Second
	// writeTimeout bounds one write: a client that takes nothing for so long is cut off.
	writeTimeout = 30 * time.Second
	// Above softQueue bytes of answers that the client has not taken no further request of it is read; above hardQueue, which only
	// watch events can reach, it is cut off.
	softQueue = 4 << 20
	hardQueue = 64 << 20
)

// conn is one client's connection: a reader (serve) that handles requests in order, and a writer (drain).
type conn struct {
	s    *Server
	nc   net.Conn
	addr string

	// Guarded by Server.mu.
	session       *session
	ids           []identity
	dataWatches   map[string]uint8
	childWatches  map[string]uint8
	askedReadOnly bool
	turn          uint64 // of the last watchTable.fire that found it

	mu      sync.Mutex
	changed sync.Cond // out, queued or over changed
	out     net.Buffers
	queued  int  // bytes in out and in the write under way
	over    bool // write what is queued, then close
	dead    bool // the writer has ended
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, addr: nc.RemoteAddr().String()}
	c.changed.L = &c.mu
	if host, _, err := net.SplitHostPort(c.addr); err == nil {
		c.ids = []identity{{"ip", host}}
	}
	return c
}

// send queues a frame whose first four bytes are left for its length; parts follow it on the wire and may be shared.
func (c *conn) send(head []byte, parts ...[]byte) {
	n := len(head)
	for _, p := range parts {
		n += len(p)
	}
	binary.BigEndian.PutUint32(head, uint32(n-4))
	c.queue(head, parts...)
}

// queue queues a whole frame, in parts that nobody changes any more.
func (c *conn) queue(head []byte, parts ...[]byte) {
	n := len(head)
	for _, p := range parts {
		n += len(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.dead {
		return
	}
	if c.queued+n > hardQueue && c.queued > 0 {
		c.s.log.Warn("connection closed: the client does not take its events", "client", c.addr, "bytes", c.queued)
		c.out, c.over = nil, true
		c.nc.Close()
		c.changed.Broadcast()
		return
	}
	c.s.sent.Add(1)
	c.out = append(c.out, head)
	for _, p := range parts {
		if len(p) > 0 {
			c.out = append(c.out, p)
		}
	}
	c.queued += n
	c.changed.Broadcast()
}

// finish has the connection closed once everything queued is written.
func (c *conn) finish() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.changed.Broadcast()
}

// drain writes what is queued until finish, then closes the connection: the reader ends with it.
func (c *conn) drain() {
	defer func() {
		c.nc.Close()
		c.mu.Lock()
		c.dead = true
		c.out, c.queued = nil, 0
		c.mu.Unlock()
		c.changed.Broadcast()
	}()
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.over {
			c.changed.Wait()
		}
		out, n := c.out, c.queued
		c.out = nil
		c.mu.Unlock()
		if len(out) == 0 {
			return
		}
		c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := out.WriteTo(c.nc); err != nil {
			return
		}
		c.mu.Lock()
		c.queued -= n
		c.mu.Unlock()
		c.changed.Broadcast()
	}
}

// room waits until the client has taken enough of its answers; false: it is gone.
func (c *conn) room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.queued > softQueue && !c.dead && !c.over {
		c.changed.Wait()
	}
	return !c.dead && !c.over
}

// serve reads the connection until it ends.
func (c *conn) serve() {
	r := bufio.NewReaderSize(c.nc, 4096)
	c.nc.SetReadDeadline(time.Now().Add(connectTimeout))
	size, err := r.Peek(4)
	if err != nil {
		return
	}
	if answer, isWord := c.s.fourLetter(string(size)); isWord {
		c.reply4(answer)
		return
	}
	frame, err := c.readFrame(r, nil)
	if err != nil || !c.s.connect(c, frame) {
		return
	}
	c.nc.SetReadDeadline(time.Time{}) // from here on the session's timeout closes the connection
	for c.room() {
		if frame, err = c.readFrame(r, frame); err != nil || !c.s.handle(c, frame) {
			return
		}
	}
}

var errFrame = errors.New("frame length out of bounds")

// readFrame reads one frame into buf or a larger one.
func (c *conn) readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 || n > c.s.cfg.MaxFrame {
		c.s.log.Info("connection closed: frame length out of bounds", "client", c.addr, "bytes", n, "limit", c.s.cfg.MaxFrame)
		return nil, errFrame
	}
	if n > cap(buf) || cap(buf) > 64<<10 { // a large one is not kept
		buf = make([]byte, n)
	}
	c.s.received.Add(1)
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

// reply4 answers a four-letter word and closes.
func (c *conn) reply4(answer string) {
	c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	io.WriteString(c.nc, answer) // nobody to tell
}
