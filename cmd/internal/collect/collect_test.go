package collect

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/zkserve"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// world is an embedded ZooKeeper, an embedded broker and a fleet.
type world struct {
	zk     *zkserve.Server
	broker *broker.Broker
	fleet  *fleet.Fleet
	list   []fleet.Instance
}

func newWorld(t *testing.T, size fleet.Config) *world {
	t.Helper()
	w := &world{}
	var err error
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	if w.zk, err = zkserve.New(zkserve.Config{Addr: "127.0.0.1:0", TickTime: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if w.broker, err = broker.New(broker.Config{Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	run(w.zk.Run)
	run(w.broker.Run)
	<-w.zk.Listening()
	<-w.broker.Ready()
	if w.fleet, err = fleet.New(size); err != nil {
		t.Fatal(err)
	}
	if w.list, err = w.fleet.Listen(); err != nil {
		t.Fatal(err)
	}
	run(w.fleet.Run)
	joined := make(chan struct{})
	run(func(ctx context.Context) error {
		return w.fleet.Register(ctx, []string{w.zk.Addr()}, slog.New(slog.DiscardHandler), func(n int) {
			if n == len(w.list) {
				close(joined)
			}
		})
	})
	<-joined
	return w
}

func (w *world) config(t *testing.T, more string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(`
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
zookeeper: {servers: ["`+w.zk.Addr()+`"], session_timeout: 1s, monitor: false}
kafka: {brokers: ["`+w.broker.Addr()+`"]}
scrape_configs:
- job_name: apps
  serverset_sd_configs: [{paths: ['/discovery/{service}/{env}']}]
`+more), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a daemon; stop ends it in order.
func start(t *testing.T, c *config.Config, dir string) (d *Daemon, stop func()) {
	t.Helper()
	d, err := New(c, Options{Storage: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, context.Background()) }()
	return d, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// topic reads all that a topic holds.
func topic(t *testing.T, addr, name string) []kafka.Message {
	t.Helper()
	conn, err := kafka.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	parts, err := conn.ReadPartitions(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []kafka.Message
	for _, p := range parts {
		l, err := kafka.DialLeader(t.Context(), "tcp", addr, name, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, last, err := l.ReadOffsets()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if last == 0 {
			continue
		}
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: name, Partition: p.ID, MaxWait: 100 * time.Millisecond})
		for {
			m, err := r.ReadMessage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, m)
			if m.Offset == last-1 {
				break
			}
		}
		r.Close()
	}
	return out
}

func TestCollectEndToEnd(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 30, Numbers: 40, Services: 3})
	dir := t.TempDir()
	d, stop := start(t, w.config(t, ""), dir)
	eventually(t, "three scrapes of each of thirty instances acknowledged", func() bool { return d.Counts().Acknowledged >= 90 })
	eventually(t, "the full state of three services is on the roster's topic", func() bool {
		full := map[string]int{}
		var r wire.RosterRecord
		for _, m := range topic(t, w.broker.Addr(), "rollcall.roster") {
			if err := wire.DecodeRoster(m.Value, &r); err != nil {
				t.Fatal(err)
			}
			if r.Full {
				full[r.Service] = len(r.Changes)
			}
		}
		return len(full) == 3 && full["load-1"] == 10
	})
	srv := http.NewServeMux()
	d.Routes(srv)
	checkAPI(t, srv, w)
	stop()
	led := d.ledger.Report(time.Now()).Total
	if !led.Balanced() || led.InMemory != 0 || led.Dropped != 0 {
		t.Errorf("ledger %+v", led)
	}
	ids := map[wire.ID]bool{}
	instances := map[string]int{}
	var rec wire.Record
	for _, name := range []string{"rollcall.snapshots", "rollcall.snapshots.backfill"} {
		for _, m := range topic(t, w.broker.Addr(), name) {
			if err := wire.Decode(m.Value, &rec); err != nil {
				t.Fatal(err)
			}
			if ids[rec.ID] {
				t.Errorf("id %s twice", rec.ID)
			}
			ids[rec.ID] = true
			instances[rec.Instance]++
			if string(m.Key) != rec.Service+"/"+rec.Env || m.Time.UnixMilli() != rec.TS || wire.Partition(string(m.Key), 12) != int32(m.Partition) {
				t.Errorf("key %s, time %v, partition %d of %s at %d", m.Key, m.Time, m.Partition, rec.ID, rec.TS)
			}
			if rec.Outcome.String() == "ok" && len(rec.Samples) != 40 {
				t.Errorf("%s: %d samples, 40 served", rec.Instance, len(rec.Samples))
			}
		}
	}
	if uint64(len(ids)) != led.Acknowledged || len(instances) != 30 {
		t.Errorf("%d records of %d instances in the topics, %d acknowledged of 30", len(ids), len(instances), led.Acknowledged)
	}
	// ZooKeeper away at the start: the roster on disk serves.
	c := w.config(t, "")
	c.ZooKeeper.Servers = []string{"127.0.0.1:1"}
	d2, stop2 := start(t, c, dir)
	defer stop2()
	eventually(t, "a restart without ZooKeeper scrapes everybody", func() bool { return d2.Counts().ScrapesOK >= 30 })
	for _, e := range d2.roster.Entries() {
		if e.State != "unconfirmed" || !strings.Contains(e.Reason, "before a restart") {
			t.Errorf("%s is %s: %s", e.Addr(), e.State, e.Reason)
			break
		}
	}
	if a, b := d.ledger.Identity(), d2.ledger.Identity(); a.Collector != b.Collector || b.Start <= a.Start {
		t.Errorf("identities %v then %v", a, b)
	}
}

func checkAPI(t *testing.T, h http.Handler, w *world) {
	t.Helper()
	get := func(path string, into any) int {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %v in %s", path, err, rec.Body)
		}
		return rec.Code
	}
	var targets struct {
		Status string
		Data   struct {
			ActiveTargets  []activeTarget
			DroppedTargets []droppedTarget
		}
	}
	get("/api/v1/targets?state=active&scrapePool=apps", &targets)
	if n := len(targets.Data.ActiveTargets); n != 30 {
		t.Fatalf("%d active targets, want 30", n)
	}
	a := targets.Data.ActiveTargets[0]
	if a.Health != "up" || a.Labels["job"] != "load-0" || !strings.HasSuffix(a.ScrapeURL, "/stats.json") || a.DiscoveredLabels["__meta_serverset_path"] == "" || a.Interval != "250ms" {
		t.Errorf("target %+v", a)
	}
	var bad map[string]string
	if code := get("/api/v1/targets?state=sleeping", &bad); code != 400 || !strings.Contains(bad["error"], "active, dropped or any") {
		t.Errorf("state=sleeping: %d %v", code, bad)
	}
	var ros struct {
		Entries []struct{ State string }
		Views   []struct{ Connected bool }
	}
	get("/api/v1/roster?q=load-2", &ros)
	if len(ros.Entries) != 10 || len(ros.Views) != 1 || !ros.Views[0].Connected {
		t.Errorf("roster %+v", ros)
	}
	var st Status
	get("/api/v1/collector", &st)
	if st.Roster["present"] != 30 || st.Outcomes["ok"] != 30 || !st.ConfigOK {
		t.Errorf("status %+v", st)
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 4, Numbers: 5, Services: 2})
	d, stop := start(t, w.config(t, ""), t.TempDir())
	defer stop()
	eventually(t, "all four are scraped", func() bool { return d.Status().Outcomes["ok"] == 4 })
	session := d.sources["apps"]
	other := filepath.Join(t.TempDir(), "t.json")
	os.WriteFile(other, []byte(`[{"targets":["`+w.list[0].Addr+`"],"labels":{"service":"extra","env":"x"}}]`), 0o600)
	if err := d.Reload(w.config(t, `
  relabel_configs:
  - {source_labels: [job], regex: load-0, action: drop}
- job_name: files
  file_sd_configs: [{files: ['`+other+`'], refresh_interval: 1s}]
`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file's target is scraped, and load-0 is not", func() bool {
		s := d.Status()
		return s.Outcomes["ok"] == 3 && s.Roster["filtered"] == 2
	})
	if d.sources["apps"].Source != session.Source {
		t.Error("a reload that did not touch discovery started it anew")
	}
	c := w.config(t, "")
	c.Kafka.Brokers = []string{"elsewhere:9092"}
	if err := d.Reload(c); err == nil || !strings.Contains(err.Error(), "restart to change") || d.Status().ConfigOK {
		t.Errorf("another Kafka was taken by a reload: %v", err)
	}
	c = w.config(t, "")
	c.Scrape[0].TLS = &config.TLS{CAFile: "/nowhere"}
	if err := d.Reload(c); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a broken reload: %v", err)
	}
	if n := d.Status().Roster["filtered"]; n != 2 {
		t.Errorf("after a reload that failed %d are filtered, 2 before", n)
	}
	rec := httptest.NewRecorder()
	mux := http.NewServeMux()
	d.o.Metrics.Routes(mux, d.Ready)
	mux.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	b, _ := io.ReadAll(rec.Body)
	for _, want := range []string{"rollcall_config_last_reload_successful 0", `rollcall_roster_instances{state="filtered"} 2`, "rollcall_scrape_pulls_total", "rollcall_sink_"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"scrape_configs: [{job_name: a, serverset_sd_configs: [{paths: ['/d/{service}']}]}]", ""},
		{"scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}], tls_config: {ca_file: /nowhere}}]", "/nowhere"},
		{"enrich: {networks: {file: /nowhere.csv}}", ""}, // a file that may come later
	} {
		c, err := config.Parse([]byte(tc.text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		err = Check(c)
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.text, err, tc.want)
		}
	}
}
