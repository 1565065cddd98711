package collect

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ca is a certificate as PEM; each server has the same, so a comment makes two files of it.
func ca(t *testing.T, comment string) []byte {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return append([]byte(comment+"\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
}

// What is read at the start only is refused by name, and nothing else of such a reload is taken.
func TestReloadRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, ca(t, "one"))
	text := func(more string) string {
		return "kafka: {brokers: ['127.0.0.1:1'], tls_config: {ca_file: '" + file + "'}, sasl: {mechanism: PLAIN, username: u, password: p}}\n" + more
	}
	d, err := New(parse(t, text("")), Options{Storage: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(parse(t, text(""))); err != nil {
		t.Fatalf("nothing changed: %v", err)
	}
	const label = "global: {external_labels: {dc: one}}\n"
	for _, tc := range []struct{ name, text, want string }{
		{"a password", strings.Replace(text(label), "password: p", "password: q", 1), "`kafka` changed"},
		{"a broker", strings.Replace(text(label), ":1'", ":2'", 1), "`kafka` changed"},
		{"the spool", text(label + "spool: {fsync: each}\n"), "`spool` changed"},
		{"the age", text(label + "live_max_age: 1m\n"), "`live_max_age` changed"},
		{"the guard", text(label + "guard: {off: true}\n"), "`guard` changed"},
		{"what is expected", text(label + "expected: {file: /x.json}\n"), "`expected` changed"},
		{"databases", text(label + "enrich: {geo: {city: /x.mmdb, asn: /y.mmdb}}\n"), "`enrich.geo.city`, `enrich.geo.asn` changed"},
	} {
		if err := d.Reload(parse(t, tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if d.Config().Global.ExternalLabels != nil || d.Status().ConfigOK {
			t.Errorf("%s: half of it is in force", tc.name)
		}
	}
	write(t, file, ca(t, "two"))
	if err := d.Reload(parse(t, text(""))); err == nil || !strings.Contains(err.Error(), "`kafka` changed, in the configuration or in a file") {
		t.Errorf("another CA for Kafka: %v", err)
	}
}

// A reload takes the new content of a CA's file up, and leaves alone what did not change.
func TestReloadTakesFiles(t *testing.T) {
	dir := t.TempDir()
	file, networks, digest := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "n.csv"), filepath.Join(dir, "digest")
	write(t, file, ca(t, "one"))
	write(t, digest, []byte("u:p"))
	text := `
kafka: {brokers: ['127.0.0.1:1']}
zookeeper: {servers: ['127.0.0.1:1'], digest_file: '` + digest + `', monitor: false}
scrape_configs:
- {job_name: tls, scheme: https, tls_config: {ca_file: '` + file + `'}, static_configs: [{targets: ['127.0.0.1:1']}]}
- {job_name: plain, static_configs: [{targets: ['127.0.0.1:2']}]}
- {job_name: zk, serverset_sd_configs: [{paths: ['/d/{service}']}]}
`
	d, err := New(parse(t, text), Options{Storage: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	jobs, zk := *d.jobs.Load(), d.sources["zk"].Source
	reload := func(text string) {
		t.Helper()
		if err := d.Reload(parse(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	reload(text)
	if now := *d.jobs.Load(); now["tls"].Job != jobs["tls"].Job || d.sources["zk"].Source != zk {
		t.Error("nothing changed, and something was made anew")
	}
	write(t, file, ca(t, "two"))
	write(t, digest, []byte("u:q"))
	reload(text)
	if now := *d.jobs.Load(); now["tls"].Job == jobs["tls"].Job || now["plain"].Job != jobs["plain"].Job {
		t.Error("want the job whose CA changed made anew, and the other one not")
	}
	if d.sources["zk"].Source == zk {
		t.Error("another digest, and the session is the old one")
	}
	write(t, networks, []byte("nonsense\n"))
	reload(text + "enrich: {networks: {file: '" + networks + "'}}\n")
	if !d.Status().ConfigOK || d.Config().Enrich.Networks.File != networks || d.enrich.Status().Error == "" {
		t.Error("a broken file of networks: want the configuration in force, and the fault told")
	}
}

func TestReady(t *testing.T) {
	run := func(text string) *Daemon {
		d, err := New(parse(t, text), Options{Storage: t.TempDir(), Drain: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		d.tracksEvery = 20 * time.Millisecond
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx, ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return d
	}
	const head = "kafka: {brokers: ['127.0.0.1:1']}\nzookeeper: {servers: ['127.0.0.1:1'], monitor: false}\nscrape_configs:\n- {job_name: known, static_configs: [{targets: ['127.0.0.1:1']}]}\n"
	ready := run(head)
	eventually(t, "ready with what the configuration lists", func() bool { return ready.Ready() == nil })
	eventually(t, "the versions' ages are saved while it runs", func() bool {
		_, err := os.Stat(ready.tracksFile())
		return err == nil
	})
	waiting := run(head + "- {job_name: away, serverset_sd_configs: [{paths: ['/d/{service}']}]}\n")
	eventually(t, "both sources have a view", func() bool { return len(waiting.Views()) == 2 })
	if err := waiting.Ready(); err == nil || !strings.Contains(err.Error(), "away") {
		t.Errorf("ready without a word from ZooKeeper: %v", err)
	}
}

func TestSecretsStayOutOfTheAPI(t *testing.T) {
	d, err := New(parse(t, `
kafka: {brokers: ['127.0.0.1:1']}
scrape_configs:
- {job_name: a, proxy_url: 'http://ann:hunter2@127.0.0.1:1', params: {token: [hunter2]}, static_configs: [{targets: ['127.0.0.1:1']}]}
`), Options{Storage: t.TempDir(), Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, "the target is known", func() bool { return len(d.pool.Status()) == 1 })
	mux := http.NewServeMux()
	d.Routes(mux)
	for path, want := range map[string]string{"/api/v1/status/config": "proxy_url: http://ann:xxxxx@127.0.0.1:1", "/api/v1/targets": "token=xxxxx"} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		var any any
		if err := json.Unmarshal(rec.Body.Bytes(), &any); err != nil {
			t.Fatal(err)
		}
		if b := rec.Body.String(); strings.Contains(b, "hunter2") || !strings.Contains(b, want) {
			t.Errorf("%s: %s\nwant %q in it, and no secret", path, b, want)
		}
	}
}

func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k kept[int]
		n := 0
		get := func() int { return k.get(time.Second, func() int { n++; return n }) }
		for _, tc := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {0, 1}, {999 * time.Millisecond, 1}, {time.Millisecond, 2}, {0, 2}} {
			time.Sleep(tc.after)
			if got := get(); got != tc.want {
				t.Errorf("after %v: %d, want %d", tc.after, got, tc.want)
			}
		}
		if k.forget(); get() != 3 {
			t.Error("what was to be forgotten was kept")
		}
	})
}

// A reload that makes another session in the group goes on with all targets, and the others are given nothing meanwhile.
func TestReloadKeepsTheShare(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 20, Numbers: 10, Services: 1})
	c := w.config(t, "")
	d, stop := start(t, c, t.TempDir())
	defer stop()
	peer, stopPeer := start(t, c, t.TempDir())
	defer stopPeer()
	share := func(d *Daemon) int {
		if div := d.sharing.now.Load().Division(); div == nil || len(div.Members) != 2 {
			return 0
		}
		return len(d.pool.Status())
	}
	eventually(t, "they share", func() bool { return share(d) > 0 && share(d)+share(peer) == 20 })
	was, peers := share(d), share(peer)
	next := *c
	next.ZooKeeper.AdminPort = 9999
	one := d.sharing.now.Load()
	if err := d.Reload(&next); err != nil || d.sharing.now.Load() != one {
		t.Errorf("another port of AdminServer makes another place in the group: %v", err)
	}
	next.ZooKeeper.SessionTimeout *= 2
	if err := d.Reload(&next); err != nil || d.sharing.now.Load() == one {
		t.Fatalf("no new place in the group: %v", err)
	}
	term := peer.term()
	eventually(t, "the new one has joined", func() bool {
		if share(d) != was || share(peer) != peers || !d.fresh(time.Now()) {
			t.Fatalf("meanwhile it pulls %d, before %d; the peer %d, before %d", share(d), was, share(peer), peers)
		}
		s := d.sharing.now.Load().Status()
		return s.Trouble == "" && s.From == "zookeeper" && peer.term() > term && d.sharing.now.Load().Joined()
	})
	eventually(t, "the old one has ended", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.sharing.sets) == 1
	})
	if share(d) != was || share(peer) != peers {
		t.Errorf("afterwards it pulls %d, before %d; the peer %d, before %d", share(d), was, share(peer), peers)
	}
}
