package collect

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func TestZooKeeperIsAService(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 2, Numbers: 5, Services: 1})
	c := w.config(t, "")
	c.ZooKeeper.Monitor = nil
	d, stop := start(t, c, t.TempDir())
	defer stop()
	eventually(t, "the server is scraped beside the services that depend on it", func() bool { return d.Status().Outcomes["ok"] == 3 })
	var e *discovery.Entry
	for _, x := range d.roster.Entries() {
		if x.Service == ensemble.Service {
			e = &x
		}
	}
	if e == nil || e.Addr() != w.zk.Addr() || e.Env != "default" || e.Source != ensembleJob || e.Tags.Get(ensemble.TagRole) != "standalone" || !strings.HasPrefix(e.Tags.Get(serverset.TagVersion), "3.9") {
		t.Errorf("on the roster: %+v", e)
	}
	eventually(t, "its numbers are in the stream, each of its kind", func() bool {
		for _, m := range topic(t, w.broker.Addr(), "rollcall.snapshots") {
			var r wire.Record
			if string(m.Key) != ensemble.Service+"/default" || wire.Decode(m.Value, &r) != nil {
				continue
			}
			text := string(m.Value)
			counters, gauges, ok := strings.Cut(text[strings.Index(text, `"counters"`):], `"gauges"`)
			if !ok || !strings.Contains(counters, `"zk_packets_received"`) || !strings.Contains(gauges, `"zk_watch_count"`) || !strings.Contains(text, `"zk_server_state":"standalone"`) {
				t.Fatalf("%s", text)
			}
			return true
		}
		return false
	})
	off := w.config(t, "")
	if err := d.Reload(off); err != nil {
		t.Fatal(err)
	}
	eventually(t, "turned off at a reload", func() bool { return d.Status().Outcomes["ok"] == 2 && d.ensemble.Load() == nil })
	if err := d.Reload(c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "and on again", func() bool { return d.Status().Outcomes["ok"] == 3 })
}

func TestTheOperatorsOwnZooKeeperJobWins(t *testing.T) {
	c, err := config.Parse([]byte("zookeeper: {servers: ['zk-1:2181']}\nscrape_configs:\n- {job_name: zookeeper, static_configs: [{targets: ['zk-1:7000']}]}\n"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{monitors: true}
	if n := len(d.allJobs(c)); n != 1 {
		t.Errorf("%d jobs", n)
	}
	c.Scrape[0].JobName = "zk"
	if n := len(d.allJobs(c)); n != 2 {
		t.Errorf("%d jobs", n)
	}
}

// What the operator takes out of the configuration is gone at once: the guard is for what others say.
func TestOurOwnConfigurationIsBelieved(t *testing.T) {
	conf := func(targets string) *config.Config {
		c, err := config.Parse([]byte("kafka: {brokers: ['127.0.0.1:1']}\nscrape_configs:\n- {job_name: a, static_configs: [{targets: ["+targets+"]}]}\n"), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	d, err := New(conf("'127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3', '127.0.0.1:4', '127.0.0.1:5', '127.0.0.1:6'"), Options{Storage: t.TempDir(), Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, "six are known", func() bool { return d.roster.Counts()[discovery.Present] == 6 })
	if err := d.Reload(conf("'127.0.0.1:1'")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "five are gone", func() bool { c := d.roster.Counts(); return c[discovery.Departed] == 5 && c[discovery.Present] == 1 })
}
