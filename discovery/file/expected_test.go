package file

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDecodeExpected(t *testing.T) {
	for _, c := range []struct{ in, fault string }{
		{`{"checkout/prod": 40, "a/b/c": 0}`, ""},
		{`{}`, ""},
		{`null`, ""},
		{`[]`, "want an object"},
		{`{"checkout/prod": "many"}`, "want an object"},
		{`{"checkout": 3}`, "is not service/env"},
		{`{"/prod": 3}`, "is not service/env"},
		{`{"checkout/prod": -1}`, "negative"},
	} {
		counts, err := decodeExpected("f", []byte(c.in))
		if c.fault == "" && (err != nil || counts == nil) || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %v, %v", c.in, counts, err)
		}
	}
}

// A file that is broken, or a server that fails, leaves the last counts.
func TestExpectedStands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "expected.json")
	var answer atomic.Value
	answer.Store(`{"checkout/prod": 1}`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(answer.Load().(string)))
	}))
	defer srv.Close()
	for _, c := range []struct {
		name, from string
		cfg        ExpectedConfig
		write      func(string)
	}{
		{"file", "file", ExpectedConfig{File: file, Every: time.Millisecond}, func(s string) { os.WriteFile(file, []byte(s), 0o600) }},
		{"url", "http", ExpectedConfig{URL: srv.URL, Every: time.Millisecond}, func(s string) { answer.Store(s) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.write(`{"checkout/prod": 1}`)
			e, err := NewExpected(c.cfg)
			if err != nil || e.From() != c.from {
				t.Fatal(err, e.From())
			}
			ctx, cancel := context.WithCancel(t.Context())
			told := make(chan map[string]int, 100)
			done := make(chan error)
			go func() { done <- e.Run(ctx, func(m map[string]int) { told <- m }) }()
			if m := <-told; m["checkout/prod"] != 1 {
				t.Fatal(m)
			}
			c.write(`{"checkout/prod"`)
			c.write(`{"checkout/prod": 2}`)
			for m := range told { // a file may be seen half written, and is then not told
				if m["checkout/prod"] == 2 {
					break
				}
				t.Errorf("told %v", m)
			}
			cancel()
			<-done
		})
	}
	if _, err := NewExpected(ExpectedConfig{}); err == nil {
		t.Error("neither file nor URL is taken")
	}
	if _, err := NewExpected(ExpectedConfig{URL: "ftp://x"}); err == nil {
		t.Error("ftp is taken")
	}
}
