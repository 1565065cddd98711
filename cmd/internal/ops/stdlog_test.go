package ops

import (
	"bytes"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// locked is a buffer that is read while it is written.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What libraries log is a record; that a server spoke unasked on an idle connection of net/http's is one for whoever wants every detail.
func TestStdLog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			_, _ = io.WriteString(c, "garbage\r\n")
		}
	}()
	var before, to locked
	stdlog.SetOutput(&before)
	defer stdlog.SetOutput(os.Stderr)
	log, err := Logger(&to, "debug", "logfmt")
	if err != nil {
		t.Fatal(err)
	}
	restore := TakeStdLog(log)
	testenv.Eventually(t, "a server speaks unasked", func() bool {
		resp, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			_ = resp.Body.Close()
		}
		return strings.Contains(to.String(), unasked)
	})
	stdlog.Print("something else")
	restore()
	stdlog.Print("back")
	http.DefaultClient.CloseIdleConnections()
	if got := to.String(); !strings.Contains(got, `level=DEBUG msg="`+unasked) || strings.Contains(got, `level=INFO msg="`+unasked) || !strings.Contains(got, `level=INFO msg="something else" part=library`) || strings.Contains(got, "back") {
		t.Errorf("logged: %s", got)
	}
	if !strings.Contains(before.String(), "back") {
		t.Error("not restored")
	}
}
