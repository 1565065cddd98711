package collect

import (
	"bytes"
	"context"
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
	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// A start takes from a peer what its own sources have not said, of jobs that both have alike.
func TestSeed(t *testing.T) {
	peer, mux := rollOf(t, 150)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	at := share.Collector{ID: peer.id(), Addr: srv.Listener.Addr().String(), Jobs: peer.digests(peer.Config())}
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
	for _, body := range []string{``, `{"entries":5}`, `{"entries":[5]}`, `{"entries":[{"host":"x"},`, `[]`, `{"entries":[],"x":[` + strings.Repeat("[", 200) + `{"v":"` + strings.Repeat("x", 3*maxSeedText) + `"}`} {
		if err := eachEntry(t.Context(), strings.NewReader(body), func(*discovery.Entry) {}); err == nil {
			t.Errorf("%q is taken for a roster", body)
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
	gate := (&trust.Gate{Password: func(r *http.Request) (bool, string, bool) {
		name, _, ok := r.BasicAuth()
		return users, name, users && ok
	}}).Protect(mux)
	send := func(method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.RemoteAddr, r.Host = "127.0.0.1:5", "127.0.0.1:7140"
		r.Header.Set("Content-Type", "application/json")
		if change != nil {
			change(r)
		}
		w := httptest.NewRecorder()
		gate.ServeHTTP(w, r)
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
		{"by way of a proxy on this machine", false, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "10.0.0.9") }, order("e"), 403},
		{"by way of a proxy that says nothing and speaks HTTP/1.0", false, func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 1, 0 }, order("e"), 403},
		{"by way of another proxy", false, func(r *http.Request) { r.Header.Set("Via", "1.1 proxy") }, order("e"), 403},
		{"by way of a proxy, signed in", true, func(r *http.Request) { r.Header.Set("Via", "1.1 proxy"); r.SetBasicAuth("lee", "x") }, order("d"), 200},
		{"as a form", false, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, order("e"), 415},
		{"no JSON", false, nil, `{`, 400},
		{"another kind", false, nil, `{"kind":"nonsense","path":"/","by":"kim"}`, 400},
		{"a burst of nobody", false, nil, `{"kind":"burst","by":"kim"}`, 400},
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
	if by != "b kim collector, a kim collector, d lee collector, " || len(got.Orders) != 3 {
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

// What a peer says of an instance is no more than a member could say of itself.
func TestSeedable(t *testing.T) {
	good := member("cart", "/discovery/cart/prod", "10.0.0.1:80").Instance
	for _, tc := range []struct {
		name   string
		change func(*discovery.Instance)
		want   bool
	}{
		{"as it is", func(*discovery.Instance) {}, true},
		{"its own port and path", func(i *discovery.Instance) { i.StatsPort, i.StatsPath = 81, "/x" }, true},
		{"another host", func(i *discovery.Instance) { i.StatsHost = "10.0.0.9" }, false},
		{"one that nobody guards", func(i *discovery.Instance) { i.Format = "static" }, false},
		{"a server of ZooKeeper's", func(i *discovery.Instance) { i.Format = "ensemble" }, false},
		{"no format", func(i *discovery.Instance) { i.Format = "" }, false},
		{"no service", func(i *discovery.Instance) { i.Service = "" }, false},
		{"no port", func(i *discovery.Instance) { i.Port = 0 }, false},
		{"a host that is a path", func(i *discovery.Instance) { i.Host = "a/b" }, false},
		{"another scheme", func(i *discovery.Instance) { i.Scheme = "file" }, false},
		{"endless", func(i *discovery.Instance) { i.Status = strings.Repeat("x", maxSeedText) }, false},
	} {
		i := good
		if tc.change(&i); seedable(&i) != tc.want {
			t.Errorf("%s: not %v", tc.name, tc.want)
		}
	}
	i := good
	if i.RuledScheme = true; !seedable(&i) || i.RuledScheme {
		t.Error("a peer's rule is taken for ours")
	}
}

// Who answers at a peer's address must be that peer: on this host its address may be our own.
func TestAsksNobodyElse(t *testing.T) {
	d, mux := rollOf(t, 3)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer d.peers.CloseIdleConnections()
	for _, path := range []string{"/api/v1/roster", wordsPath} {
		if body, err := d.askPeer(t.Context(), share.Collector{ID: "other", Addr: srv.Listener.Addr().String()}, path); err == nil {
			body.Close()
			t.Errorf("%s: our own answer is taken for another's", path)
		}
		body, err := d.askPeer(t.Context(), share.Collector{ID: d.id(), Addr: srv.Listener.Addr().String()}, path)
		if err != nil {
			t.Fatal(err)
		}
		body.Close()
	}
}

// While nothing is known of the others, why says all but who pulls.
func TestWhyWithoutDivision(t *testing.T) {
	c, err := config.Parse([]byte("kafka: {brokers: ['127.0.0.1:1']}\nzookeeper: {servers: ['127.0.0.1:1'], monitor: false}\nscrape_configs:\n- {job_name: apps, static_configs: [{targets: ['127.0.0.1:1']}]}\n"),
		func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(c, Options{Storage: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	set := discovery.Set{Source: "apps", Path: "/discovery/cart/prod", Verified: time.Now(), Members: []*discovery.Member{member("cart", "/discovery/cart/prod", "10.0.0.1:80")}}
	d.onChange(d.roster.Apply(set, time.Now()))
	mux := http.NewServeMux()
	d.Routes(mux)
	if got := read[Why](t, ask(t, mux, "/api/v1/roster/why?instance=10.0.0.1:80")); got.Owner != "" || len(got.Sentences) == 0 {
		t.Errorf("%+v", got)
	}
}

// One departed entry of long ago does not make a source one that has spoken.
func TestReadyByWhoIsThere(t *testing.T) {
	d, _ := rollOf(t, 0)
	set := discovery.Set{Source: "apps", Path: "/discovery/cart/prod", Verified: time.Now(), Members: []*discovery.Member{member("cart", "/discovery/cart/prod", "10.0.0.1:80")}}
	d.onChange(d.roster.Apply(set, time.Now()))
	set.Members = nil
	d.onChange(d.roster.Apply(set, time.Now()))
	clear(d.spoken)
	if d.Ready() == nil {
		t.Error("it is ready with nobody but one who left")
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
		{"more files", "", "  serverset_file_configs: [{files: ['" + dir + "/*.json']}]\n", "[]", false},
	} {
		if got := digest(tc.global, tc.job, tc.content); (got == base) != tc.same {
			t.Errorf("%s: same is not %v", tc.name, tc.same)
		}
	}
	serversets := "  serverset_file_configs: [{files: ['" + filepath.Join(dir, "s.*") + "']}]\n"
	without := digest("", serversets, "[]")
	if err := os.WriteFile(filepath.Join(dir, "s.txt"), []byte("10.0.0.1:80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if digest("", serversets, "[]") == without {
		t.Error("what a file of a serverset holds does not count")
	}
}
