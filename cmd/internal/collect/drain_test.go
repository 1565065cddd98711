package collect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// counterApp is an application with one counter, also under a name that a rule sums over.
type counterApp struct {
	host string
	port uint16
	n    atomic.Int64
	srv  *http.Server
	end  func() // of its agent, in order
	kill func() // of its agent, whose session expires
}

// newCounterApp runs an application and the agent that registers it as checkout/prod.
func newCounterApp(t *testing.T, ensemble string) *counterApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &counterApp{}
	if a.host, a.port, err = discovery.SplitAddr(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	a.n.Store(100)
	a.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"counters":{"requests":%d,"http/10.0.0.1/errors":%d}}`, a.n.Load(), a.n.Load())
	})}
	var wg sync.WaitGroup
	wg.Go(func() { a.srv.Serve(l) })
	session, err := zk.NewSession(zk.Config{Servers: []string{ensemble}, SessionTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := register.New(register.Config{Root: "/discovery"}, session)
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Set([]register.Service{{Name: "checkout", Env: "prod", Host: a.host, Port: a.port}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	wg.Go(func() {
		sctx, endSession := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- session.Run(sctx) }()
		if err := agent.Run(ctx, context.Background()); err != nil {
			t.Error(err)
		}
		if errors.Is(context.Cause(ctx), register.ErrHandOver) {
			session.Detach()
		}
		endSession()
		<-ended
	})
	a.end = func() { cancel(nil) }
	a.kill = func() { a.srv.Close(); cancel(register.ErrHandOver) }
	t.Cleanup(func() { cancel(nil); a.srv.Close(); wg.Wait() })
	return a
}

func (a *counterApp) addr() string { return fmt.Sprintf("%s:%d", a.host, a.port) }

// records are those of one application on the topic of snapshots, in order.
func (w *world) records(t *testing.T, a *counterApp) (out []wire.Record) {
	t.Helper()
	for _, m := range topic(t, w.broker.Addr(), "rollcall.snapshots") {
		var r wire.Record
		if err := wire.Decode(m.Value, &r); err != nil {
			t.Fatal(err)
		}
		if r.Instance == a.addr() {
			out = append(out, r)
		}
	}
	return out
}

func value(r wire.Record, name string, k collector.Kind) string {
	for _, s := range r.Samples {
		if s.Name == name && s.Kind == k {
			return s.Value
		}
	}
	return ""
}

// What the counters of an application say last reaches the topic when it leaves in order, sums over dropped labels included; one that was killed, or that has gone
// when it is asked, leaves no scrape that failed behind.
func TestLastScrapeOnDrain(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 6, Numbers: 5, Services: 1})
	c, err := config.Parse([]byte(`
global: {scrape_interval: 1h, scrape_timeout: 5s}
zookeeper: {servers: ["`+w.zk.Addr()+`"], session_timeout: 1s, monitor: false}
kafka: {brokers: ["`+w.broker.Addr()+`"]}
live_max_age: 1h
scrape_configs:
- job_name: apps
  server_info: false
  serverset_sd_configs: [{paths: ['/discovery/{service}/{env}']}]
enrich:
  rules:
  - {name: 'http/(?P<client>[^/]+)/errors', drop: [client]}
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	d, stop := start(t, c, t.TempDir())
	defer stop()
	eventually(t, "the first set is applied", func() bool { return len(d.pool.Status()) == 6 })
	drains, gone, killed := newCounterApp(t, w.zk.Addr()), newCounterApp(t, w.zk.Addr()), newCounterApp(t, w.zk.Addr())
	all := []*counterApp{drains, gone, killed, newCounterApp(t, w.zk.Addr())} // one stays, so that no guard doubts that the others left
	eventually(t, "all four are scraped once, at once", func() bool {
		for _, a := range all {
			if len(w.records(t, a)) != 1 {
				return false
			}
		}
		return true
	})
	departed := func(a *counterApp) discovery.Entry {
		t.Helper()
		var out discovery.Entry
		eventually(t, a.addr()+" has departed", func() bool {
			e, err := d.roster.Find("checkout/prod/" + a.addr())
			out = e
			return err == nil && e.State == discovery.Departed
		})
		return out
	}
	drains.n.Store(1234)
	drains.end()
	if e := departed(drains); e.Cause != discovery.Deregistered || e.Excuse == "" {
		t.Errorf("departed: %s %q", e.Cause, e.Excuse)
	}
	eventually(t, "the last scrape is on the topic", func() bool { return len(w.records(t, drains)) == 2 })
	first, last := w.records(t, drains)[0], w.records(t, drains)[1]
	if last.OutcomeText != "ok" || value(last, "requests", collector.Counter) != "1234" || value(last, "http/errors", collector.Delta) != "1134" || last.Source.Slot != 0 || first.Source.Slot == 0 || last.ID == first.ID {
		t.Errorf("last record %+v", last)
	}
	gone.srv.Close()
	gone.end()
	departed(gone)
	killed.kill()
	if e := departed(killed); e.Cause == discovery.Deregistered {
		t.Errorf("killed, and %s", e.Cause)
	}
	mux := http.NewServeMux()
	d.o.Metrics.Routes(mux, d.Ready)
	eventually(t, "what became of the last scrapes is counted", func() bool {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		text := rec.Body.String()
		return strings.Contains(text, `rollcall_scrape_last_total{job="apps",result="ok"} 1`) && strings.Contains(text, `rollcall_scrape_last_total{job="apps",result="failed"} 1`)
	})
	stop()
	for _, a := range all {
		want := map[*counterApp]int{drains: 2}[a]
		if want == 0 {
			want = 1
		}
		got := w.records(t, a)
		for _, r := range got {
			if r.OutcomeText != "ok" {
				t.Errorf("%s: %s %s", a.addr(), r.OutcomeText, r.Reason)
			}
		}
		if len(got) != want {
			t.Errorf("%s: %d records, want %d", a.addr(), len(got), want)
		}
	}
}
