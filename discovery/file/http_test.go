package file

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type answer struct {
	status int
	typ    string
	body   string
	err    error
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[answer]
		var asked atomic.Pointer[http.Request]
		const list = `[{"targets":["10.0.0.1:80"],"labels":{"job":"a","__meta_x":"y"}},{"targets":["10.0.0.2:80","bad:"]}]`
		now.Store(&answer{200, "application/json; charset=utf-8", list, nil})
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked.Store(r)
			a := now.Load()
			if a.err != nil {
				return nil, a.err
			}
			return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.typ}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
		})}
		var log bytes.Buffer
		h, err := NewHTTP(HTTPConfig{Name: "sd", URL: "http://user:hunter2@sd.example/list?token=hunter2", Every: 30 * time.Second, MaxBytes: 500, Client: client, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		b := run(t, "", h)
		all := "a/default/10.0.0.1:80 !bad: sd/default/10.0.0.2:80"
		b.is("at once", time.Millisecond, all, "")
		if r := asked.Load(); r.Header.Get("X-Prometheus-Refresh-Interval-Seconds") != "30" || r.Header.Get("Accept") != "application/json" || r.URL.Query().Get("token") != "hunter2" {
			t.Fatalf("asked %v %v", r.URL, r.Header)
		}
		if e := b.roster.Entries()[0]; e.Format != "http_sd" || e.Meta.Get("__meta_url") != "http://user:xxxxx@sd.example/list" || e.Meta.Get("__meta_x") != "y" {
			t.Fatalf("%+v", e)
		}
		for _, tc := range []struct {
			name string
			a    answer
			want string
		}{
			{"down", answer{err: errors.New("connection refused")}, "connection refused"},
			{"not ok", answer{status: 503}, "status 503, want 200"},
			{"redirect", answer{status: 302}, "give the address that it leads to"},
			{"a page", answer{200, "text/html", "[]", nil}, `content type "text/html"`},
			{"broken", answer{200, "application/json", "[\n{", nil}, "list:2: the text ends"},
			{"too large", answer{200, "application/json", strings.Repeat(" ", 501), nil}, "more than 500 bytes"},
			{"bad label", answer{200, "application/json", `[{"labels":{"__scheme__":"x"}}]`, nil}, "__scheme__"},
		} {
			now.Store(&tc.a)
			b.is(tc.name, 31*time.Second, all, tc.want)
		}
		now.Store(&answer{200, "application/json", "[]", nil})
		b.is("an empty list is an answer", 31*time.Second, "", "")
		now.Store(&answer{200, "application/json", list, nil})
		b.is("and back", 31*time.Second, all, "")
		if strings.Contains(log.String(), "hunter2") || strings.Contains(b.roster.Views()[0].Server, "hunter2") {
			t.Fatalf("a secret was told: %s", log.String())
		}
	})
}

func TestHTTPOverTheWire(t *testing.T) {
	elsewhere := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/list", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `[{"targets":["10.0.0.1:80"]}]`)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere++ })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, want := range map[string]string{"/list": "sd/default/10.0.0.1:80", "/moved": "give the address", "/slow": "deadline exceeded", "/none": "status 404"} {
		h, err := NewHTTP(HTTPConfig{Name: "sd", URL: srv.URL + path, Timeout: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ms, err := h.ask(t.Context())
		got := show(ms)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		h.client.CloseIdleConnections()
	}
	if elsewhere != 0 {
		t.Error("a redirect was followed")
	}
}

func TestHTTPConfigFaults(t *testing.T) {
	for _, tc := range []struct {
		cfg  HTTPConfig
		want string
	}{
		{HTTPConfig{URL: "http://x"}, "has no name"},
		{HTTPConfig{Name: "x", URL: "ftp://x"}, "no http:// or https://"},
		{HTTPConfig{Name: "x", URL: "http://"}, "no http:// or https://"},
		{HTTPConfig{Name: "x", URL: "http://a b"}, "not a URL"},
		{HTTPConfig{Name: "x", URL: "http://x", Every: -1}, "negative"},
	} {
		if _, err := NewHTTP(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.cfg, err, tc.want)
		}
	}
}
