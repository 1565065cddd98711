package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// A start takes from a peer what its own sources have not said, of jobs that both have alike.
func TestSeed(t *testing.T) {
	peer, mux := rollOf(t, 150)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	at := share.Collector{ID: "p", Addr: srv.Listener.Addr().String(), Jobs: peer.digests(peer.Config())}
	for _, tc := range []struct {
		name   string
		jobs   map[string]string
		silent []string
		known  bool
		want   int
	}{
		{"all of it", at.Jobs, []string{"apps"}, false, 150},
		{"a job of another form", map[string]string{"apps": "x"}, []string{"apps"}, false, 0},
		{"a source that has spoken", at.Jobs, nil, false, 0},
		{"a path that is known already", at.Jobs, []string{"apps"}, true, 50},
	} {
		d, _ := rollOf(t, 0)
		if tc.known {
			d.roster.Apply(discovery.Set{Source: "apps", Path: "/discovery/s000/prod", Verified: time.Now()}, time.Now())
		}
		at.Jobs = tc.jobs
		n, err := d.seedFrom(t.Context(), at, tc.silent)
		if err != nil || n != tc.want || d.roster.Counts()[discovery.Present] != tc.want {
			t.Errorf("%s: %d, %v; %v", tc.name, n, err, d.roster.Counts())
		}
		d.peers.CloseIdleConnections()
	}
	for _, body := range []string{``, `{"entries":5}`, `{"entries":[5]}`, `{"entries":[{"host":"x"},`, `[]`} {
		if err := eachEntry(strings.NewReader(body), func(*discovery.Entry) {}); err == nil {
			t.Errorf("%q is taken for a roster", body)
		}
	}
}

// Who is held and does not answer the collector that pulls it departs on all.
func TestHearsPeers(t *testing.T) {
	d, mux := rollOf(t, 0)
	now := time.Now()
	full := discovery.Set{Source: "zk", Path: "/discovery/cart/prod", Verified: now}
	for i := range 20 {
		m := member("cart", full.Path, fmt.Sprintf("10.0.0.%d:80", i))
		m.Source = full.Source
		full.Members = append(full.Members, m)
	}
	d.onChange(d.roster.Apply(full, now))
	now = now.Add(time.Second)
	d.onChange(d.roster.Apply(discovery.Set{Source: full.Source, Path: full.Path, Verified: now}, now)) // all of them vanish
	if len(d.roster.Guards()) == 0 {
		t.Fatal("no guard holds them")
	}
	if got := read[struct{ Heard []heardOf }](t, ask(t, mux, heardPath)); len(got.Heard) != 0 {
		t.Errorf("heard of %d that it did not pull", len(got.Heard))
	}
	var told struct {
		Heard []heardOf `json:"heard"`
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(told) }))
	defer srv.Close()
	defer d.peers.CloseIdleConnections()
	peers, last := []share.Collector{{ID: "p", Addr: srv.Listener.Addr().String()}}, map[discovery.Key]time.Time{}
	for n := range 3 {
		told.Heard = nil
		for _, e := range d.roster.Entries() {
			told.Heard = append(told.Heard, heardOf{e.Key, e.Host == "10.0.0.0", now.Add(time.Duration(n+1) * time.Second)})
		}
		d.hearPeers(t.Context(), peers, last)
		d.hearPeers(t.Context(), peers, last) // the same pulls, told again, count once
		d.onChange(d.roster.Tick(now.Add(time.Duration(n+1) * time.Second)))
		if got, want := d.roster.Counts()[discovery.Departed], map[bool]int{true: 19}[n == 2]; got != want {
			t.Errorf("after %d pulls %d have departed, want %d", n+1, got, want)
		}
	}
}

func TestOrderRoutes(t *testing.T) {
	d, mux := rollOf(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.runShare(ctx) }()
	defer func() { cancel(); <-done }()
	users := false
	d.o.Users = func() bool { return users }
	send := func(method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.RemoteAddr, r.Host = "127.0.0.1:5", "127.0.0.1:7140"
		r.Header.Set("Content-Type", "application/json")
		if change != nil {
			change(r)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	order := func(id string) string {
		return fmt.Sprintf(`{"id":%q,"kind":"freeze","path":"/discovery","by":"kim","until":%q}`, id, time.Now().Add(time.Hour).Format(time.RFC3339))
	}
	for _, tc := range []struct {
		name   string
		users  bool
		change func(*http.Request)
		body   string
		want   int
	}{
		{"from this machine", false, nil, order("a"), 200},
		{"by its name", false, func(r *http.Request) { r.Host = "localhost:7140" }, order("b"), 200},
		{"twice", false, nil, order("a"), 200}, // without a group the newer one of an id wins
		{"from elsewhere", false, func(r *http.Request) { r.RemoteAddr = "10.0.0.9:5" }, order("c"), 403},
		{"from elsewhere, signed in where nobody can be", false, func(r *http.Request) { r.RemoteAddr = "10.0.0.9:5"; r.SetBasicAuth("kim", "x") }, order("c"), 403},
		{"from elsewhere, signed in", true, func(r *http.Request) { r.RemoteAddr = "10.0.0.9:5"; r.SetBasicAuth("lee", "x") }, order("d"), 200},
		{"by a page of another site", false, func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, order("e"), 403},
		{"by a name that was pointed here", false, func(r *http.Request) { r.Host = "evil.example:7140" }, order("e"), 403},
		{"as a form", false, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, order("e"), 415},
		{"no JSON", false, nil, `{`, 400},
		{"another kind", false, nil, `{"kind":"burst","path":"/","by":"kim"}`, 400},
		{"without an end", false, nil, `{"kind":"freeze","path":"/","by":"kim"}`, 400},
	} {
		users = tc.users
		if w := send(http.MethodPost, "/api/v1/orders", tc.body, tc.change); w.Code != tc.want {
			t.Errorf("%s: %d %s", tc.name, w.Code, w.Body)
		}
	}
	got := read[struct{ Orders []share.Placed }](t, ask(t, mux, "/api/v1/orders"))
	by := ""
	for _, o := range got.Orders {
		by += o.ID + " " + o.By + " " + o.Scope + ", "
	}
	if by != "a kim collector, b kim collector, d lee collector, " && len(got.Orders) != 3 {
		t.Errorf("orders %s", by)
	}
	if w := send(http.MethodDelete, "/api/v1/orders/b", "", nil); w.Code != http.StatusNoContent {
		t.Errorf("withdrawn: %d %s", w.Code, w.Body)
	}
	if w := send(http.MethodDelete, "/api/v1/orders/b", "", nil); w.Code != http.StatusNotFound {
		t.Errorf("withdrawn twice: %d", w.Code)
	}
	if s := read[share.Status](t, ask(t, mux, share.SharePath)); s.Division == nil || s.From != share.Alone || len(s.Members) != 1 {
		t.Errorf("share: %+v", s)
	}
	if b, err := os.ReadFile(filepath.Join(d.o.Storage, "audit.ndjson")); err != nil || bytes.Count(b, []byte("\n")) < 6 {
		t.Errorf("audited: %s, %v", b, err)
	}
}

// What decides who the targets are, and when they are pulled, makes a digest; secrets do not.
func TestDigests(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "t.json")
	d := &Daemon{}
	digest := func(global, job, content string) string {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse([]byte("kafka: {brokers: ['127.0.0.1:1']}\n"+global+"\nscrape_configs:\n- job_name: apps\n  file_sd_configs: [{files: ['"+dir+"/*.json']}]\n"+job), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		return d.digests(c)["apps"]
	}
	base := digest("", "", "[]")
	for _, tc := range []struct {
		name                 string
		global, job, content string
		same                 bool
	}{
		{"nothing", "", "", "[]", true},
		{"a password", "", "  basic_auth: {username: u, password: p}\n", "[]", true},
		{"the default interval, written out", "global: {scrape_interval: 10s}", "", "[]", true},
		{"another interval", "global: {scrape_interval: 20s}", "", "[]", false},
		{"other targets", "", "", "[ ]", false},
		{"another path", "", "  metrics_path: /x\n", "[]", false},
	} {
		if got := digest(tc.global, tc.job, tc.content); (got == base) != tc.same {
			t.Errorf("%s: same is not %v", tc.name, tc.same)
		}
	}
}
