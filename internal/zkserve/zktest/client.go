// Package zktest is the ZooKeeper conformance suite: a client that shows every byte's meaning, a small language for scripts of
// several clients, and a runner that prints what a server answers, so that two servers can be held against each other.
//
// It is written against the protocol and shares no code with internal/zkserve. Only tests import it.
package zktest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Timeout bounds every wait of a Client.
const Timeout = 20 * time.Second

// Client is one connection that has said ConnectRequest. It is for one goroutine.
type Client struct {
	nc       net.Conn
	xid      int32
	Session  int64
	Password []byte
	Timeout  time.Duration // negotiated
	ReadOnly bool
	Zxid     int64 // largest seen
}

// Hello is a ConnectRequest. The zero value asks for a new session.
type Hello struct {
	Timeout  time.Duration
	Session  int64
	Password []byte // nil: 16 zeros
	Zxid     int64
	NoByte   bool // leave the readOnly byte out, as clients before 3.4 do
}

// ErrExpired answers a Hello whose session is unknown to the server.
var ErrExpired = errors.New("session expired")

// Dial connects. The error is ErrExpired, or io.EOF where the server closed without an answer.
func Dial(addr string, h Hello) (*Client, error) {
	nc, err := net.DialTimeout("tcp", addr, Timeout)
	if err != nil {
		return nil, err
	}
	c := &Client{nc: nc}
	if err := c.hello(h); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) hello(h Hello) error {
	if h.Password == nil {
		h.Password = make([]byte, 16)
	}
	req := Body{}.Int(0).Long(h.Zxid).Int(int32(h.Timeout.Milliseconds())).Long(h.Session).Buffer(h.Password)
	if !h.NoByte {
		req = req.Bool(true)
	}
	if err := c.SendFrame(req); err != nil {
		return err
	}
	frame, err := c.readFrame()
	if err != nil {
		return err
	}
	r := &reader{b: frame}
	r.int()
	c.Timeout = time.Duration(r.int()) * time.Millisecond
	c.Session, c.Password = r.long(), append([]byte(nil), r.buffer()...)
	if !h.NoByte {
		c.ReadOnly = r.bool()
	}
	switch {
	case r.err != nil:
		return r.err
	case len(r.b) != 0:
		return fmt.Errorf("connect response: %d bytes too many", len(r.b))
	case c.Session == 0:
		return ErrExpired
	}
	return nil
}

// Close cuts the connection; the session stays.
func (c *Client) Close() { c.nc.Close() }

// SendFrame sends a frame of any content.
func (c *Client) SendFrame(b []byte) error {
	_, err := c.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// Write sends bytes that need not be a frame.
func (c *Client) Write(b []byte) error {
	_, err := c.nc.Write(b)
	return err
}

func (c *Client) readFrame() ([]byte, error) {
	c.nc.SetReadDeadline(time.Now().Add(Timeout))
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 256<<20 {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.nc, b)
	return b, err
}

// Event is a watch event.
type Event struct {
	Type int32
	Path string
	Zxid int64
}

// Reply is the answer to one request.
type Reply struct {
	Events []Event // that came before it
	Zxid   int64
	Err    int32
	Body   []byte
}

// Do sends a request and reads until its answer. Pings and closes carry their own transaction numbers.
func (c *Client) Do(op int32, body Body) (Reply, error) {
	xid, err := c.Send(op, body)
	if err != nil {
		return Reply{}, err
	}
	return c.Await(xid)
}

// Send sends a request without waiting.
func (c *Client) Send(op int32, body Body) (xid int32, err error) {
	c.xid++
	xid = c.xid
	if op == Ping {
		xid = -2
	}
	return xid, c.SendFrame(append(Body{}.Int(xid).Int(op), body...))
}

// Await reads until the answer to xid. Another answer before it is an error: answers come in the order of requests.
func (c *Client) Await(xid int32) (Reply, error) {
	var events []Event
	for {
		frame, err := c.readFrame()
		if err != nil {
			return Reply{Events: events}, err
		}
		r := &reader{b: frame}
		got, zxid, code := r.int(), r.long(), r.int()
		if r.err != nil {
			return Reply{Events: events}, r.err
		}
		if got == -1 {
			ev := Event{Type: r.int(), Zxid: zxid}
			if state := r.int(); state != 3 {
				return Reply{Events: events}, fmt.Errorf("event with state %d", state)
			}
			ev.Path = r.string()
			events = append(events, ev)
			continue
		}
		c.Zxid = max(c.Zxid, zxid)
		if got != xid {
			return Reply{Events: events}, fmt.Errorf("answer %d before %d", got, xid)
		}
		return Reply{Events: events, Zxid: zxid, Err: code, Body: r.b}, nil
	}
}

// Gone waits for the server to close the connection and returns the events that came before.
func (c *Client) Gone() ([]Event, error) {
	rep, err := c.Await(0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err) {
		return rep.Events, nil
	}
	if err == nil {
		err = errors.New("an answer came")
	}
	return rep.Events, err
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}
