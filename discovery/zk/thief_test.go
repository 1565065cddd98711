package zk

import (
	"encoding/binary"
	"net"
	"reflect"
	"testing"
	"time"
	"unsafe"

	gozk "github.com/go-zookeeper/zk"
)

// thiefDialer connects with another client's session: it puts the id and password into the connect request.
type thiefDialer struct {
	session int64
	passwd  []byte
}

func (d *thiefDialer) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout(network, addr, timeout)
	return &thief{Conn: c, d: d}, err
}

type thief struct {
	net.Conn
	d     *thiefDialer
	begun bool
}

// Write replaces what the connect request says of session (8 bytes at 20) and password (16 bytes at 32).
func (c *thief) Write(b []byte) (int, error) {
	if !c.begun {
		c.begun = true
		binary.BigEndian.PutUint64(b[20:], uint64(c.d.session))
		copy(b[32:48], c.d.passwd)
	}
	return c.Conn.Write(b)
}

// passwordOf is the session password, which the library does not tell.
func passwordOf(t testing.TB, c *gozk.Conn) []byte {
	t.Helper()
	f := reflect.ValueOf(c).Elem().FieldByName("passwd")
	return *(*[]byte)(unsafe.Pointer(f.UnsafeAddr()))
}

// setACL closes a node to everybody but one user.
func setACL(s *Session, path, user, password string) error {
	s.mu.Lock()
	conn := s.client.conn
	s.mu.Unlock()
	_, err := conn.SetACL(path, gozk.DigestACL(gozk.PermAll, user, password), -1)
	return err
}
