package web

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Who asks and reads no further is let go after a minute; a question may take longer.
func TestTimely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var took time.Duration
		var err error
		srv := &http.Server{Handler: timely(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Minute)
			begun := time.Now()
			_, err = w.Write(make([]byte, 1<<20))
			took = time.Since(begun)
		}))}
		l := &oneConn{c: ours, done: make(chan struct{})}
		go srv.Serve(l)
		if _, err := theirs.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if err == nil || took != answerWithin {
			t.Errorf("%v after %s", err, took)
		}
		srv.Close()
		theirs.Close()
	})
}

// oneConn is a listener with one connection.
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

func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
