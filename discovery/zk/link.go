package zk

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// The xids of frames that are no answers to the library.
const (
	xidEvent     = -1
	xidAuth      = -4    // the xid that every client uses for it
	xidFirstOurs = -1000 // and below: requests of the link; the server echoes them, the library counts upwards from 1
)

// link is the connection that the library talks through. It knows ZooKeeper's frames, and does what the library cannot: it asks for a read-only session and hears
// whether it got one, sends requests of its own (addWatch, auth, and the reads of a Source, many in one write) and keeps their answers to itself, keeps the time of the server's last sign of life,
// bounds the handshake, and turns an answer over the limit into an error of that one call instead of the end of the connection.
type link struct {
	net.Conn
	name      endpoint
	readOnly  bool // ask for it
	maxPacket int
	read      *metrics.Counter // bytes

	heard   atomic.Int64 // Unix nanoseconds of the last byte from the server
	greeted atomic.Bool  // the handshake is over
	closed  atomic.Bool
	onOpen  func(*link, greeting) // once, from the library's reading goroutine
	onClose func(*link)           // once

	wmu   sync.Mutex
	begun bool // the connect request is written
	next  int32
	calls map[int32]func(answer)
	zxid  *atomic.Int64 // the newest transaction that any server has told of

	// Reading side: the library reads from one goroutine at a time.
	in    *bufio.Reader
	head  [20]byte
	body  []byte        // of an answer to the link's own request
	alive time.Duration // how long the library would wait for the next frame; an answer that is kept from it counts as one
	ready []byte        // to be handed to the library before more is read
	left  int           // bytes of the current frame that go to the library as they come
}

// greeting is the server's answer to the connect request.
type greeting struct {
	session  int64 // 0: the session that was asked for is gone
	timeout  time.Duration
	readOnly bool
}

func newLink(c net.Conn, at endpoint, readOnly bool, maxPacket int, deadline time.Time) *link {
	l := &link{Conn: c, name: at, readOnly: readOnly, maxPacket: maxPacket, read: new(metrics.Counter),
		next: xidFirstOurs, calls: map[int32]func(answer){}, zxid: new(atomic.Int64)}
	l.in = bufio.NewReaderSize(meter{l}, 16<<10)
	c.SetDeadline(deadline) // of the handshake; the library's own would be ten times as long, and ends after four bytes
	return l
}

// meter counts what comes in and when.
type meter struct{ l *link }

func (m meter) Read(b []byte) (int, error) {
	n, err := m.l.Conn.Read(b)
	if n > 0 {
		m.l.heard.Store(time.Now().UnixNano())
		m.l.read.Add(n)
	}
	return n, err
}

// The library's deadlines count only after the handshake.

func (l *link) SetDeadline(t time.Time) error {
	if !l.greeted.Load() {
		return nil
	}
	return l.Conn.SetDeadline(t)
}

func (l *link) SetReadDeadline(t time.Time) error {
	if !l.greeted.Load() {
		return nil
	}
	return l.Conn.SetReadDeadline(t)
}

func (l *link) SetWriteDeadline(t time.Time) error {
	if !l.greeted.Load() {
		return nil
	}
	return l.Conn.SetWriteDeadline(t)
}

// Write sends a frame of the library's; it writes whole frames. The first is the connect request, which gets its last byte, readOnly (ZooKeeper 3.4).
func (l *link) Write(b []byte) (int, error) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.begun {
		return l.Conn.Write(b)
	}
	if len(b) < 4 {
		return 0, errors.New("write connect request: shorter than its length")
	}
	out := binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(b)+1)
	out = append(out, b[4:]...)
	if len(out) >= 16 { // the library knows only the transactions of its own answers
		seen := out[8:16]
		binary.BigEndian.PutUint64(seen, uint64(max(int64(binary.BigEndian.Uint64(seen)), l.zxid.Load())))
	}
	if l.readOnly {
		out = append(out, 1)
	} else {
		out = append(out, 0)
	}
	if _, err := l.Conn.Write(out); err != nil {
		return 0, err
	}
	l.begun = true
	return len(b), nil
}

// Read gives the library what is meant for it.
func (l *link) Read(b []byte) (int, error) {
	for {
		switch {
		case len(b) == 0:
			return 0, nil
		case len(l.ready) > 0:
			n := copy(b, l.ready)
			l.ready = l.ready[n:]
			return n, nil
		case l.left > 0:
			n, err := l.in.Read(b[:min(len(b), l.left)])
			l.left -= n
			return n, err
		}
		var err error
		if l.greeted.Load() {
			err = l.nextFrame()
		} else {
			err = l.readGreeting()
		}
		if err != nil {
			return 0, err
		}
	}
}

func (l *link) readGreeting() error {
	if _, err := io.ReadFull(l.in, l.head[:4]); err != nil {
		return err
	}
	n := int(int32(binary.BigEndian.Uint32(l.head[:])))
	if n < 16 || n > 1024 {
		return fmt.Errorf("read connect answer: %d bytes; is it a ZooKeeper server?", n)
	}
	frame := make([]byte, 4+n)
	copy(frame, l.head[:4])
	if _, err := io.ReadFull(l.in, frame[4:]); err != nil {
		return err
	}
	g, err := parseGreeting(frame[4:])
	if err != nil {
		return err
	}
	l.ready = frame
	l.Conn.SetDeadline(time.Time{})
	l.alive = g.timeout * 2 / 3
	l.greeted.Store(true)
	l.onOpen(l, g)
	return nil
}

// parseGreeting reads a ConnectResponse: protocol version, timeout in ms, session id, password, and since 3.4 readOnly.
func parseGreeting(b []byte) (greeting, error) {
	if len(b) < 20 {
		return greeting{}, fmt.Errorf("read connect answer: only %d bytes", len(b))
	}
	g := greeting{timeout: time.Duration(int32(binary.BigEndian.Uint32(b[4:]))) * time.Millisecond, session: int64(binary.BigEndian.Uint64(b[8:]))}
	password := int(int32(binary.BigEndian.Uint32(b[16:])))
	if password < 0 {
		password = 0
	}
	if password > len(b)-20 {
		return greeting{}, errors.New("read connect answer: the password is longer than the answer")
	}
	g.readOnly = len(b) > 20+password && b[20+password] != 0
	if g.timeout < 0 {
		return greeting{}, fmt.Errorf("read connect answer: session timeout %v", g.timeout)
	}
	return g, nil
}

// nextFrame reads the head of a frame and decides whose it is.
func (l *link) nextFrame() error {
	if _, err := io.ReadFull(l.in, l.head[:]); err != nil {
		return err
	}
	n := int(int32(binary.BigEndian.Uint32(l.head[:])))
	xid := int32(binary.BigEndian.Uint32(l.head[4:]))
	if n < 16 {
		return fmt.Errorf("read frame: %d bytes, less than a header", n)
	}
	if zxid := int64(binary.BigEndian.Uint64(l.head[8:])); zxid > l.zxid.Load() { // an event's is -1 before ZooKeeper 3.9
		l.zxid.Store(zxid)
	}
	switch {
	case xid == xidAuth || xid <= xidFirstOurs:
		if l.alive > 0 {
			l.Conn.SetReadDeadline(time.Now().Add(l.alive))
		}
		return l.answered(xid, n-16)
	case n > l.maxPacket:
		if _, err := l.in.Discard(n - 16); err != nil {
			return err
		}
		if xid != xidEvent {
			binary.BigEndian.PutUint32(l.head[:], 16)
			code := codeTooBig
			binary.BigEndian.PutUint32(l.head[16:], uint32(code))
			l.ready = l.head[:]
		}
	default:
		l.ready, l.left = l.head[:], n-16
	}
	return nil
}

// answered reads the answer to a request of ours and hands it on.
func (l *link) answered(xid int32, n int) error {
	a := answer{code: int32(binary.BigEndian.Uint32(l.head[16:]))}
	if n > l.maxPacket {
		if _, err := l.in.Discard(n); err != nil {
			return err
		}
		a.code = codeTooBig
	} else if n > 0 {
		b := l.body
		if n > cap(b) {
			b = make([]byte, n)
			if n <= 64<<10 {
				l.body = b
			}
		}
		a.body = b[:n]
		if _, err := io.ReadFull(l.in, a.body); err != nil {
			return err
		}
	}
	l.wmu.Lock()
	done := l.calls[xid]
	delete(l.calls, xid)
	l.wmu.Unlock()
	if done != nil {
		done(a)
	}
	return nil
}

// batch is requests of ours that go out in one write.
type batch struct {
	l   *link
	buf []byte
}

// read adds a request to read a node.
func (b *batch) read(op int32, path string, watch bool, done func(answer)) {
	b.l.wmu.Lock()
	defer b.l.wmu.Unlock()
	xid := b.l.next
	if b.l.next--; b.l.next >= 0 {
		b.l.next = xidFirstOurs // after two thousand million requests
	}
	b.l.calls[xid] = done
	b.buf = appendRead(b.buf, xid, op, path, watch)
}

// send writes what was added. Where that fails the connection is at its end, and so each request is answered with codeLost.
func (b *batch) send() {
	b.l.wmu.Lock()
	_, err := b.l.Conn.Write(b.buf)
	b.l.wmu.Unlock()
	b.buf = b.buf[:0]
	if err != nil || b.l.closed.Load() {
		b.l.Close()
		b.l.drop() // what was added after the end
	}
}

// call sends a request of our own. If it could be sent, done gets the server's code, from the reading goroutine, or codeLost when the connection ends before.
func (l *link) call(xid, op int32, body []byte, done func(answer)) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if xid == 0 {
		xid = l.next
		l.next--
	}
	l.calls[xid] = done
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(xid))
	b = binary.BigEndian.AppendUint32(b, uint32(op))
	if _, err := l.Conn.Write(append(b, body...)); err != nil || l.closed.Load() {
		delete(l.calls, xid)
		return cmp.Or(err, net.ErrClosed)
	}
	return nil
}

// addWatch asks for every event at root and below it, for as long as this connection lives (ZooKeeper 3.6).
func (l *link) addWatch(root string, done func(answer)) error {
	body := appendString(nil, root)
	return l.call(0, opAddWatch, binary.BigEndian.AppendUint32(body, watchPersistentRecursive), done)
}

// auth sends user:password. The library could, but only through its queue: the first calls would overtake it.
func (l *link) auth(digest string, done func(answer)) error {
	body := binary.BigEndian.AppendUint32(nil, 0)
	for _, s := range []string{"digest", digest} {
		body = appendString(body, s)
	}
	return l.call(xidAuth, opSetAuth, body, done)
}

// Close ends the connection.
func (l *link) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	err := l.Conn.Close()
	l.drop()
	l.onClose(l)
	return err
}

// drop answers every open request with codeLost.
func (l *link) drop() {
	l.wmu.Lock()
	open := l.calls
	l.calls = map[int32]func(answer){}
	l.wmu.Unlock()
	for _, done := range open {
		done(answer{code: codeLost})
	}
}

// lastHeard is when the server's last byte came.
func (l *link) lastHeard() time.Time {
	if n := l.heard.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}
