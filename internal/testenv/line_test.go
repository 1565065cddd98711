package testenv

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	body := strings.Repeat("x", 4000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
	defer srv.Close()
	l, err := NewLine(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() time.Duration {
		t.Helper()
		begun := time.Now()
		res, err := http.Get("http://" + l.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != body {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		return time.Since(begun)
	}
	ask()
	l.Slow(20_000)
	if took := ask(); took < 180*time.Millisecond {
		t.Errorf("4,000 bytes at 20,000 a second after %s", took)
	}
	if n := l.Bytes(); n < 8000 {
		t.Errorf("%d bytes came", n)
	}
	l.Close()
	if _, err := http.Get("http://" + l.Addr); err == nil {
		t.Error("it still answers")
	}
}
