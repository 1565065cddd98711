package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// burstRig is a group of collectors, each with its API, and applications that are as slow as one wants.
type burstRig struct {
	t       *testing.T
	zk      *testenv.ZooKeeperServer
	broker  *broker.Broker
	targets string
	apps    []*slowApp
	of      []*burstCollector
}

type slowApp struct {
	addr  string
	key   discovery.Key
	pulls atomic.Int64
	takes atomic.Int64 // ns
}

// burstCollector is one collector of the group; stop ends it, start begins it again in its folder and at its address.
type burstCollector struct {
	r    *burstRig
	dir  string
	addr string
	more string
	*Daemon
	stop func()
}

const burstJob = 20 * time.Second // much longer than a test lasts

func newBurstRig(t *testing.T, apps int) *burstRig {
	t.Helper()
	r := &burstRig{t: t, zk: testenv.ZooKeeperInProcess(t), targets: filepath.Join(t.TempDir(), "targets.json")}
	var err error
	if r.broker, err = broker.New(broker.Config{Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() { r.broker.Run(ctx) })
	<-r.broker.Ready()
	for range apps {
		r.join()
	}
	r.write()
	return r
}

// join adds an application; write tells the collectors.
func (r *burstRig) join() *slowApp {
	a := &slowApp{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		a.pulls.Add(1)
		if d := time.Duration(a.takes.Load()); d > 0 {
			select {
			case <-time.After(d):
			case <-q.Context().Done():
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"counters":{"requests":%d}}`, a.pulls.Load())
	}))
	r.t.Cleanup(s.Close)
	a.addr = s.Listener.Addr().String()
	a.key = discovery.Key{Service: "checkout", Env: "prod"}
	a.key.Host, a.key.Port, _ = discovery.SplitAddr(a.addr)
	r.apps = append(r.apps, a)
	return a
}

func (r *burstRig) write() {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var list []group
	for i, a := range r.apps {
		list = append(list, group{[]string{a.addr}, map[string]string{"service": "checkout", "env": "prod", "service.version": []string{"1.41", "1.42"}[i/3%2], "cloud.availability_zone": string(rune('a' + i%3))}})
	}
	b, err := json.Marshal(list)
	if err == nil {
		err = os.WriteFile(r.targets+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(r.targets+".new", r.targets)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// collector adds one to the group; more is the end of its configuration.
func (r *burstRig) collector(more string) *burstCollector {
	r.t.Helper()
	c := &burstCollector{r: r, dir: r.t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", testenv.Port(r.t)), more: more}
	c.start()
	r.of = append(r.of, c)
	return c
}

func (c *burstCollector) start() {
	t := c.r.t
	t.Helper()
	conf, err := config.Parse([]byte(fmt.Sprintf(`
global: {scrape_interval: %s, scrape_timeout: 1s}
zookeeper: {servers: ['%s'], session_timeout: 1s, monitor: false}
kafka: {brokers: ['%s']}
live_max_age: 1h
scrape_configs:
- {job_name: apps, server_info: false, file_sd_configs: [{files: ['%s'], refresh_interval: 1s}]}
%s`, burstJob, c.r.zk.Addr, c.r.broker.Addr(), c.r.targets, c.more)), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	if c.Daemon, err = New(conf, Options{Storage: c.dir, Listen: c.addr}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	c.Routes(mux)
	srv := &http.Server{Handler: mux}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	wg.Go(func() {
		if err := c.Run(ctx, context.Background()); err != nil {
			t.Error(err)
		}
	})
	c.stop = sync.OnceFunc(func() { cancel(); srv.Close(); wg.Wait() })
	t.Cleanup(c.stop)
}

// send asks the collector's API as `rollcall` does.
func (c *burstCollector) send(method, path, body string, into any) (status int, text string) {
	t := c.r.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	b.ReadFrom(res.Body)
	if into != nil && res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b.Bytes(), into); err != nil {
			t.Fatalf("%v: %s", err, &b)
		}
	}
	return res.StatusCode, b.String()
}

// ask asks for a burst, which must be taken.
func (c *burstCollector) ask(body string) (a BurstAnswer) {
	c.r.t.Helper()
	if status, text := c.send(http.MethodPost, "/api/v1/burst", body, &a); status != http.StatusOK {
		c.r.t.Fatalf("%d %s", status, text)
	}
	return a
}

// fast is how many of the applications are pulled in an interval other than their job's, by the pools of all collectors.
func (r *burstRig) fast() (n int) {
	for _, a := range r.apps {
		for _, c := range r.of {
			if t, ok := c.pool.Find(scrape.TargetKey{Key: a.key, Job: "apps"}); ok && t.Interval < burstJob {
				n++
			}
		}
	}
	return n
}

// shared waits until each application is one collector's.
func (r *burstRig) shared() {
	r.t.Helper()
	eventually(r.t, "everybody is somebody's, and everybody has some", func() bool {
		all := 0
		for _, c := range r.of {
			n := 0
			for _, a := range r.apps {
				if _, ok := c.pool.Find(scrape.TargetKey{Key: a.key, Job: "apps"}); ok {
					n++
				}
			}
			if n == 0 || !c.sharing.now.Load().Joined() {
				return false
			}
			all += n
		}
		return all == len(r.apps)
	})
}

// orders are the words on the topic about orders, as event by whom.
func (r *burstRig) orders() (out []wire.OrderWord) {
	r.t.Helper()
	for _, m := range topic(r.t, r.broker.Addr(), "rollcall.roster") {
		var rec wire.RosterRecord
		if err := wire.DecodeRoster(m.Value, &rec); err != nil {
			r.t.Fatal(err)
		}
		if rec.Order != nil {
			out = append(out, *rec.Order)
		}
	}
	return out
}

func (r *burstRig) told(event, id string) (n int, last wire.OrderWord) {
	for _, w := range r.orders() {
		if w.Event == event && w.Order.ID == id {
			n, last = n+1, w
		}
	}
	return n, last
}

// Each collector of a group obeys a burst for its own targets, whoever was asked; new instances of the slice join, and anybody can end it.
func TestBurstOfGroup(t *testing.T) {
	t.Parallel()
	r := newBurstRig(t, 12)
	one, two := r.collector(""), r.collector("")
	r.shared()
	a := one.ask(`{"service":"checkout","interval":"200ms","for":"1m","by":"alice","why":"it looks slow"}`)
	if a.Scope != "group" || a.Burst.Env != "prod" || a.Covers != (covered{Taken: 12, Of: 12}) || len(a.Unheard) > 0 || a.Slice != "checkout/prod" {
		t.Errorf("%+v", a)
	}
	eventually(t, "all are pulled often, by two collectors", func() bool { return r.fast() == 12 })
	began := r.apps[0].pulls.Load()
	eventually(t, "they are pulled", func() bool { return r.apps[0].pulls.Load() >= began+5 })
	here := 0
	for _, c := range r.of {
		var got struct{ Orders []ShownOrder }
		c.send(http.MethodGet, "/api/v1/orders", "", &got)
		if len(got.Orders) != 1 || got.Orders[0].Here == nil || got.Orders[0].Burst.EveryMS != 200 || len(c.Status().Bursts) != 1 {
			t.Fatalf("orders %+v", got)
		}
		here += got.Orders[0].Here.Taken
	}
	if here != 12 {
		t.Errorf("%d are covered here and there", here)
	}
	var why Why
	for _, c := range r.of {
		var w Why
		if c.send(http.MethodGet, "/api/v1/roster/why?instance="+r.apps[0].addr, "", &w); w.Burst != nil {
			why = w
		}
	}
	if text := strings.Join(why.Sentences, "\n"); !strings.Contains(text, "It is pulled every 200ms until ") || !strings.Contains(text, "alice asked for that") || !strings.Contains(text, "because: it looks slow.") {
		t.Errorf("why says %s", text)
	}
	r.join()
	r.write()
	eventually(t, "who is new joins", func() bool { return r.fast() == 13 })
	if status, text := two.send(http.MethodDelete, "/api/v1/orders/"+a.ID+"?by=bob", "", nil); status != http.StatusNoContent {
		t.Errorf("ended: %d %s", status, text)
	}
	eventually(t, "nobody is pulled often any more", func() bool { return r.fast() == 0 })
	eventually(t, "the topic has its end", func() bool { n, w := r.told(wire.OrderEnded, a.ID); return n == 1 && w.By == "bob" })
	if n, w := r.told(wire.OrderBegun, a.ID); n != 1 || w.Taken != 12 || w.Of != 12 || w.Order.By != "alice" {
		t.Errorf("begun %d times: %+v", n, w)
	}
	// A record says in which interval it was pulled, and to which it goes back.
	usual := 0
	for _, m := range topic(t, r.broker.Addr(), "rollcall.snapshots") {
		var rec wire.Record
		if err := wire.Decode(m.Value, &rec); err != nil {
			t.Fatal(err)
		}
		if rec.Source.Interval == 200*time.Millisecond && rec.Source.Usual == burstJob {
			usual++
		} else if rec.Source.Interval != burstJob || rec.Source.Usual != 0 {
			t.Fatalf("every %v, usually %v", rec.Source.Interval, rec.Source.Usual)
		}
	}
	if usual < 12*5 {
		t.Errorf("%d records of a closer look", usual)
	}
	if n, w := r.told(wire.OrderEnded, a.ID); n != 1 || w.By != "bob" {
		t.Errorf("its end is told %d times: %+v", n, w)
	}
}

// So many instances are so many of all, whoever has them, and stand for every version and zone.
func TestBurstOfSoMany(t *testing.T) {
	t.Parallel()
	r := newBurstRig(t, 18)
	one, _ := r.collector(""), r.collector("")
	r.shared()
	a := one.ask(`{"service":"checkout","env":"prod","interval":"500ms","for":"1m","by":"alice","instances":6}`)
	if a.Covers != (covered{Taken: 6, Of: 18}) {
		t.Errorf("%+v", a.Covers)
	}
	eventually(t, "six are pulled often", func() bool { return r.fast() == 6 })
	places := map[string]bool{}
	for i, app := range r.apps {
		for _, c := range r.of {
			if p, ok := c.pool.Find(scrape.TargetKey{Key: app.key, Job: "apps"}); ok && p.Interval < burstJob {
				places[fmt.Sprint(i/3%2, i%3)] = true
			}
		}
	}
	if len(places) != 6 {
		t.Errorf("they are of %v", places)
	}
}

// A burst goes on while ZooKeeper is away, also after a restart, and ends on time.
func TestBurstWithoutZooKeeper(t *testing.T) {
	t.Parallel()
	r := newBurstRig(t, 6)
	one := r.collector("")
	for lasts := 6 * time.Second; ; lasts *= 2 {
		r.shared()
		a := one.ask(fmt.Sprintf(`{"service":"checkout","interval":"200ms","for":"%s","by":"alice"}`, lasts))
		fast := func() bool { // false: it was over before they were
			all := false
			eventually(t, "all are pulled often", func() bool { all = r.fast() == 6; return all || time.Until(a.Until) < 500*time.Millisecond })
			return all
		}
		if inTime := fast(); inTime {
			r.zk.Kill()
			one.stop()
			one.start()
			inTime = fast()
			if inTime {
				r.ends(a, "")
				return
			}
			r.zk.Start()
		}
		if lasts > 30*time.Second {
			t.Fatalf("after a restart they are not pulled often within %v", lasts)
		}
		eventually(t, "it ends", func() bool { return r.fast() == 0 }) // the machine is too slow for so short a burst
	}
}

// ends waits for the end of a burst, which comes at its time, and to the topic.
func (r *burstRig) ends(a BurstAnswer, by string) {
	t := r.t
	t.Helper()
	early, stood, looked := false, time.Duration(0), time.Now()
	eventually(t, "it ends", func() bool {
		over, now := r.fast() == 0, time.Now()
		early = over && now.Before(a.Until)
		stood, looked = max(stood, now.Sub(looked)), now
		return over
	})
	if late := time.Since(a.Until); early || late > 2*time.Second+10*stood {
		t.Errorf("it ended %v after its time; we stood still for %v", late, stood)
	}
	eventually(t, "the topic has its end", func() bool { n, w := r.told(wire.OrderEnded, a.ID); return n == 1 && w.By == by })
}

// Who cannot answer so often is let go, and the others are not; why says so.
func TestBurstLetsGo(t *testing.T) {
	t.Parallel()
	r := newBurstRig(t, 4)
	one := r.collector("")
	r.shared()
	one.ask(`{"service":"checkout","interval":"400ms","for":"1m","by":"alice"}`)
	eventually(t, "all are pulled often", func() bool { return r.fast() == 4 })
	r.apps[0].takes.Store(int64(300 * time.Millisecond))
	eventually(t, "the slow one is let go", func() bool { return r.fast() == 3 })
	var w Why
	if one.send(http.MethodGet, "/api/v1/roster/why?instance="+r.apps[0].addr, "", &w); w.Burst == nil || !strings.Contains(strings.Join(w.Sentences, "\n"), "is not pulled so often: its answer took ") {
		t.Errorf("why says %q", w.Sentences)
	}
	var got struct{ Orders []ShownOrder }
	if one.send(http.MethodGet, "/api/v1/orders", "", &got); len(got.Orders) != 1 || *got.Orders[0].Here != (covered{Taken: 3, Of: 4, Slow: 1}) {
		t.Errorf("%+v", got.Orders[0].Here)
	}
	r.apps[1].takes.Store(int64(10 * time.Second))
	eventually(t, "who times out, too", func() bool { return r.fast() == 2 })
}

// What cannot be is refused, with what can.
func TestBurstRefused(t *testing.T) {
	t.Parallel()
	r := newBurstRig(t, 6)
	one := r.collector("burst: {max_scrapes_per_second: 20}")
	r.shared()
	for name, tc := range map[string]struct{ body, want string }{
		"an unknown service":        {`{"service":"chekout","by":"x"}`, "no service is called chekout; there is checkout"},
		"another env":               {`{"service":"checkout","env":"staging","by":"x"}`, "checkout has nobody in staging; it is in: prod"},
		"a zone that nobody is in":  {`{"service":"checkout","by":"x","tags":{"cloud.availability_zone":"z"}}`, "nobody who is scraped is checkout/prod, zone z; cloud.availability_zone is there: a, b, c"},
		"a tag without a value":     {`{"service":"checkout","by":"x","tags":{"cloud.availability_zone":""}}`, "leave it out for everybody"},
		"a tag without a name":      {`{"service":"checkout","by":"x","tags":{"":"a"}}`, "leave it out for everybody"},
		"not shorter":               {`{"service":"checkout","by":"x","interval":"20s"}`, "interval 20s is not shorter than the job's, which is 20s; give a shorter one, such as --interval=10s"},
		"too often":                 {`{"service":"checkout","by":"x","interval":"50ms"}`, "within 100ms"},
		"too long":                  {`{"service":"checkout","by":"x","for":"2h"}`, "1h at most"},
		"no duration":               {`{"service":"checkout","by":"x","for":"soon"}`, "soon"},
		"nobody asks":               {`{"service":"checkout"}`, "by is missing"},
		"no service":                {`{"by":"x"}`, "say whose"},
		"an order with a bad burst": {`{"service":"checkout","by":"x","instances":-1}`, "instances"},
	} {
		if status, text := one.send(http.MethodPost, "/api/v1/burst", tc.body, nil); status != http.StatusBadRequest || !strings.Contains(text, tc.want) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	// 20 a second have room for four of 5 a second each, less what is done anyway.
	a := one.ask(`{"service":"checkout","interval":"200ms","for":"1m","by":"alice"}`)
	if a.Covers != (covered{Taken: 4, Of: 6, Full: 2}) {
		t.Errorf("%+v", a.Covers)
	}
	eventually(t, "four are pulled often", func() bool { return r.fast() == 4 })
	if status, text := one.send(http.MethodPost, "/api/v1/burst", `{"service":"checkout","interval":"100ms","by":"bob","tags":{"service.version":"1.42"}}`, nil); status != http.StatusBadRequest || !strings.Contains(text, "leave no room") {
		t.Errorf("a full budget: %d %s", status, text)
	}
}
