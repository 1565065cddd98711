package testenv

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// ClientID is a listener on loopback that takes connections as a Kafka broker does, says nothing, and gives the client id of each connection's first request.
func ClientID(t testing.TB) (addr string, ids <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	out, done := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var head [14]byte // size, api, version, correlation, length of the id
			if _, err := io.ReadFull(c, head[:]); err == nil {
				id := make([]byte, binary.BigEndian.Uint16(head[12:]))
				if _, err := io.ReadFull(c, id); err == nil {
					select {
					case out <- string(id):
					default:
					}
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), out
}
