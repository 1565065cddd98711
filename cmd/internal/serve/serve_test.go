package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink"
)

func daemon(t *testing.T, text string) *Daemon {
	t.Helper()
	d, err := New(parse(t, text), Options{Log: slog.New(slog.DiscardHandler), Metrics: ops.NewMetrics(ops.Build{})})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExceptions(t *testing.T) {
	good := func() collect.Status {
		return collect.Status{ConfigOK: true, Roster: map[discovery.State]int{discovery.Present: 3}, Outcomes: map[string]int{"ok": 3}}
	}
	for _, tc := range []struct {
		name   string
		change func(*collect.Status)
		want   string
	}{
		{"all well", func(*collect.Status) {}, ""},
		{"dropped", func(s *collect.Status) { s.Delivery = sink.Sums{Dropped: 7} }, "bad: 7 records were dropped and will not be seen"},
		{"unparsable", func(s *collect.Status) { s.Roster[discovery.Unparsable] = 2 }, "warn: 2 members cannot be read and are not scraped"},
		{"forbidden", func(s *collect.Status) { s.Outcomes["forbidden"] = 1 }, "warn: 1 instance is not on the allow-list and is not scraped"},
		{"one guard", func(s *collect.Status) {
			s.Guards = []discovery.Guard{{Held: 2, Answering: 2, Verdict: "/p is frozen by ann; 2 left meanwhile"}}
		}, "warn: /p is frozen by ann; 2 left meanwhile"},
		{"not you", func(s *collect.Status) {
			s.Guards = []discovery.Guard{{Held: 8, Answering: 8}, {Held: 4, Answering: 3, Silent: 1}}
		},
			"warn: ZooKeeper, not you: 11 of 12 instances that vanished from 2 serversets answer; they are held and scraped on"},
		{"the fleet's too", func(s *collect.Status) {
			s.Guards = []discovery.Guard{{Scope: discovery.FleetScope, Held: 2, Answering: 2}, {Held: 8, Answering: 8}, {Held: 4, Answering: 3, Silent: 1}}
		},
			"warn: ZooKeeper, not you: 13 of 14 instances that vanished all over the fleet answer; they are held and scraped on"},
		{"not yet", func(s *collect.Status) { s.Guards = []discovery.Guard{{Held: 8}, {Held: 4, Answering: 1, Silent: 2}} },
			"warn: 12 instances vanished together from 2 serversets; 1 answer so far, 2 do not"},
		{"reload", func(s *collect.Status) { s.ConfigOK = false }, "warn: The configuration on disk is not the one that runs: the last reload failed"},
	} {
		s := good()
		tc.change(&s)
		var got []string
		for _, e := range exceptions(s) {
			got = append(got, e.Level+": "+e.Text)
		}
		if text := strings.Join(got, "; "); text != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, text, tc.want)
		}
	}
}

func TestReload(t *testing.T) {
	const base = "kafka: {brokers: ['127.0.0.1:1'], sasl: {mechanism: PLAIN, username: u, password: p}}\n"
	d := daemon(t, base)
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", base, ""},
		{"what is the collector's", base + "scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}]}]\n", ""},
		{"the window", base + "dashboards: {window: 2h}\n", "`dashboards` changed"},
		{"golden signals", base + "dashboards: {golden: {rate: [x]}}\n", "`dashboards` changed"},
		{"a password", strings.Replace(base, "password: p", "password: q", 1), "`kafka` changed"},
	} {
		err := d.Reload(parse(t, tc.text))
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestJoins(t *testing.T) {
	d := daemon(t, "kafka: {brokers: ['127.0.0.1:1']}\n")
	if p50, _ := d.Joins(map[string]time.Time{"10.0.0.1:80": time.Now()}); p50.Known() {
		t.Error("nobody joined, and it took", p50)
	}
	at := time.Now()
	registered := map[string]time.Time{"10.0.0.9:80": at} // never seen
	for i := range 4 {
		host := fmt.Sprintf("10.0.0.%d", i+1)
		registered[host+":80"] = at.Add(-time.Duration(i+1) * 100 * time.Millisecond)
		e := discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "cart", Env: "prod", Host: host, Port: 80}}, State: discovery.Present, Since: at, Joined: at}
		d.Board().RosterChange(discovery.Change{Entry: e, At: at})
		d.Board().Add(&dashboards.Record{Service: "cart", Env: "prod", Instance: host + ":80", Time: at, Seen: at, Outcome: collector.OK, Interval: time.Second})
	}
	registered["10.0.0.4:80"] = at.Add(time.Hour) // registered again since
	if p50, p99 := d.Joins(registered); p50 != 200 || p99 != 300 {
		t.Errorf("p50 %v, p99 %v; want 200 and 300", p50, p99)
	}
}

// The feed is wired to the topics of the configuration: ready once it has read up to now.
func TestFeed(t *testing.T) {
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	brokerDone, done := make(chan error, 1), make(chan error, 1)
	go func() { brokerDone <- b.Run(ctx) }()
	<-b.Ready()
	d := daemon(t, "kafka: {brokers: ['"+b.Addr()+"']}\n")
	if d.Ready() == nil {
		t.Error("ready before it has read anything")
	}
	run, stop := context.WithCancel(ctx)
	go func() { done <- d.Run(run) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
		<-brokerDone
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); d.Board().Feed().Since == 0 && time.Now().Before(end); {
		<-tick.C
	}
	rec := httptest.NewRecorder()
	d.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/-/healthy", nil))
	if rec.Code != http.StatusOK {
		t.Errorf("/-/healthy: %d", rec.Code)
	}
	rec = httptest.NewRecorder()
	d.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(rec.Body.String(), "rollcall_") {
		t.Errorf("/metrics: %d %.200s", rec.Code, rec.Body)
	}
}
