package web

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
)

// event is what a page reads.
type event struct {
	Full     bool                 `json:"full"`
	Stream   string               `json:"stream"`
	Again    int64                `json:"again_ms"`
	AsOf     int64                `json:"as_of"`
	Demo     *bool                `json:"demo"`
	Envs     []string             `json:"envs"`
	Strip    *dashboards.Strip    `json:"strip"`
	Findings []dashboards.Finding `json:"findings"`
	Services []dashboards.Row     `json:"services"`
	Gone     []string             `json:"gone"`
}

// watcher is a page's stream.
type watcher struct {
	t    *testing.T
	body io.Closer
	in   *bufio.Reader
}

func (r *rig) watch(t *testing.T, path string, headers ...string) *watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, %v", res.StatusCode, res.Header)
	}
	var in io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		if in, err = gzip.NewReader(res.Body); err != nil {
			t.Fatal(err)
		}
	}
	return &watcher{t, res.Body, bufio.NewReaderSize(in, 1<<20)}
}

// next reads one event; comments and others are passed over.
func (w *watcher) next() event {
	w.t.Helper()
	var e event
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			w.t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				w.t.Fatalf("%v in %.300q", err, data)
			}
			return e
		}
	}
}

func TestStream(t *testing.T) {
	for _, accept := range []string{"identity", "gzip"} {
		t.Run(accept, func(t *testing.T) {
			r := newRig(t, nil)
			w := r.watch(t, "/api/v1/stream?env=prod", "Accept-Encoding", accept)
			e := w.next()
			if !e.Full || len(e.Services) != 7 || len(e.Findings) != 2 || e.Strip == nil || e.Services[0].Spark == nil || len(e.Envs) != 2 || e.Gone == nil {
				t.Fatalf("first event is %+v", e)
			}
			asOf := e.AsOf
			sparks := 0
			for range 12 {
				r.run(1)
				e = w.next()
				if e.Full || e.AsOf != asOf+1000 || e.Strip == nil || e.Demo == nil {
					t.Fatalf("event is %+v after one of %d", e, asOf)
				}
				asOf = e.AsOf
				for i := range e.Services {
					if e.Services[i].Env != "prod" {
						t.Errorf("a row of %s", e.Services[i].Env)
					}
					if e.Services[i].Spark != nil {
						sparks++
					}
				}
			}
			// A new step of the sparks came by at least once, and not with every event.
			if sparks < 7 || sparks > 7*8 {
				t.Errorf("%d rows came with sparks", sparks)
			}
		})
	}
}

func TestGone(t *testing.T) {
	r := newRig(t, nil)
	w := r.watch(t, "/api/v1/stream")
	w.next()
	r.fleet.Leave(r.board, r.now, func(in *sim.Instance) bool { return in.Service.Name == "mail" })
	// An hour later nobody speaks of it any more.
	r.now = r.now.Add(2 * time.Hour)
	r.run(2)
	for range 5 {
		if e := w.next(); len(e.Gone) == 1 && e.Gone[0] == "mail/prod" {
			return
		} else if len(e.Gone) > 0 {
			t.Fatalf("gone is %q", e.Gone)
		}
		r.run(1)
	}
	t.Error("mail/prod is still there")
}

func TestTooManyStreams(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxStreams = 1 })
	w := r.watch(t, "/api/v1/stream")
	w.next()
	res, body := r.get(t, "/api/v1/stream")
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "too many pages") {
		t.Errorf("status %d: %s", res.StatusCode, body)
	}
	w.body.Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		r.run(1) // the stream finds out when it writes
		if res, _ := r.get(t, "/api/v1/now"); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.srv.URL+"/api/v1/stream", nil)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place was never given back")
		}
	}
}

// BenchmarkEvent is one second's event for one more page, of a Board with the demo's fleet.
func BenchmarkEvent(b *testing.B) {
	f := sim.Demo(3, start, time.Second)
	bd, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{fleet: f, board: bd, now: start}
	r.run(30)
	s, err := New(Config{Board: bd})
	if err != nil {
		b.Fatal(err)
	}
	c := &client{sent: map[string]seen{}}
	n := c.event(s.frame("", ""))
	b.SetBytes(int64(len(n)))
	b.ReportAllocs()
	for b.Loop() {
		clear(c.sent)
		c.event(s.frame("", ""))
	}
}
