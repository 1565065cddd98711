package web

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Unix(1764000000, 0)

// rig is a fleet's Board, 40 s old, in which checkout's canary fails and a zone of search has left.
type rig struct {
	fleet *sim.Fleet
	board *dashboards.Board
	now   time.Time
	srv   *httptest.Server
}

func newRig(t *testing.T, set func(*Config)) *rig {
	t.Helper()
	d, err := detect.New(detect.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: start.UnixMilli()})
	f := sim.Demo(3, start, time.Second)
	f.Register(b)
	r := &rig{fleet: f, board: b, now: start}
	r.run(22)
	f.Effects = append(f.Effects, sim.Effect{From: r.now, Errors: .5, Hits: func(in *sim.Instance) bool { return in.Service.Name == "checkout" && in.Track == "canary" }})
	f.Leave(b, r.now, func(in *sim.Instance) bool { return in.Service.Name == "search" && in.Zone == "us-east-1b" })
	r.run(18)
	c := Config{Board: b, Version: "test"}
	if set != nil {
		set(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.srv = httptest.NewServer(s.Handler())
	t.Cleanup(r.srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return r
}

// run lets seconds pass.
func (r *rig) run(seconds int) {
	for range seconds {
		next := r.now.Add(time.Second)
		r.fleet.Scrape(r.board, r.now, next)
		r.now = next
		r.board.Tick(r.now.Add(100 * time.Millisecond))
	}
}

// get asks and gives status, headers and body.
func (r *rig) get(t *testing.T, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	return r.do(t, http.MethodGet, path, headers...)
}

func (r *rig) do(t *testing.T, method, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, r.srv.URL+path, nil)
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
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return res, string(b)
}

// at reads a place in an answer: a.b.0.c
func at(t *testing.T, body, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %.200q", err, body)
	}
	for _, p := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			y, ok := x[p]
			if !ok {
				t.Fatalf("no %q (of %q) in %.300q", p, path, body)
			}
			v = y
		case []any:
			var i int
			if _, err := fmt.Sscan(p, &i); err != nil || i >= len(x) {
				if p == "#" {
					return float64(len(x))
				}
				t.Fatalf("no %q (of %q) in %.300q", p, path, body)
			}
			v = x[i]
		default:
			t.Fatalf("no %q (of %q) in %.300q", p, path, body)
		}
	}
	return v
}

func TestAnswers(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Demo = true
		c.Views = func() []discovery.View {
			return []discovery.View{{Source: "apps", Connected: true, Server: "127.0.0.1:2181", LastHeard: start}}
		}
		c.Collector = func() any { return map[string]int{"targets": 90} }
	})
	for _, tc := range []struct {
		path, place string
		want        any
	}{
		{"/api/v1/now", "full", true},
		{"/api/v1/now", "as_of", float64(start.Add(40*time.Second + 100*time.Millisecond).UnixMilli())},
		{"/api/v1/now", "demo", true},
		{"/api/v1/now", "envs.0", "prod"},
		{"/api/v1/now", "envs.1", "staging"},
		{"/api/v1/now", "services.#", 8.0},
		{"/api/v1/now?env=staging", "services.#", 1.0},
		{"/api/v1/now?env=staging", "findings.#", 0.0},
		{"/api/v1/now?env=nowhere", "services.#", 0.0},
		{"/api/v1/now?env=nowhere", "strip.expected", 0.0},
		{"/api/v1/now", "findings.#", 2.0},
		{"/api/v1/now", "strip.feed.state", "live"},
		{"/api/v1/now", "strip.exceptions.#", 0.0},
		{"/api/v1/now", "services.0.service", "checkout"},
		{"/api/v1/now", "services.0.owner", "payments"},
		{"/api/v1/now", "services.0.trouble", 2.0},
		{"/api/v1/now", "services.0.latency.name", "p99"},
		{"/api/v1/now", "services.0.versions.1.version", "1.42.0"},
		{"/api/v1/now", "services.0.versions.1.n", 2.0},
		{"/api/v1/now", "services.0.spark.rate.#", 90.0},
		{"/api/v1/now", "services.0.spark.rate.0", nil},
		{"/api/v1/now", "services.1.trouble", 0.0},
		{"/api/v1/now", "services.1.why.#", 0.0},
		{"/api/v1/findings", "findings.1.ended", nil},
		{"/api/v1/findings?env=prod", "findings.#", 2.0},
		{"/api/v1/findings?env=staging", "findings.#", 0.0},
		{"/api/v1/service?service=checkout&env=prod", "row.service", "checkout"},
		{"/api/v1/service?service=checkout&env=prod", "instances.#", 15.0},
		{"/api/v1/service?service=checkout&env=prod", "instances.0.instance", "10.0.0.1:8001"},
		{"/api/v1/service?service=checkout&env=prod", "instances.0.outcome", "ok"},
		{"/api/v1/service?service=checkout&env=prod", "instances.0.state", "present"},
		{"/api/v1/service?service=checkout&env=prod", "instances.0.zone", "us-east-1a"},
		{"/api/v1/service?service=checkout&env=prod", "instances.0.facts.mode", "warm"},
		{"/api/v1/service?service=checkout&env=prod", "metrics.1.name", "cpu_percent"},
		{"/api/v1/service?service=checkout&env=prod", "metrics.1.unit", "percent"},
		{"/api/v1/service?service=search&env=prod", "instances.5.state", "departed"},
		{"/api/v1/service?service=search&env=prod", "events.0.kind", "leave"},
		{"/api/v1/service?service=search&env=prod", "events.0.text", "5 instances left /discovery/search/prod"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests", "agg", "sum"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests", "of", "15 of 15 instances"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests&by=version", "series.1.name", "1.42.0"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests&by=version", "series.1.instances", 2.0},
		{"/api/v1/series?service=checkout&env=prod&metric=requests&by=version", "series.1.lo", nil},
		{"/api/v1/series?service=checkout&env=prod&metric=requests&step=5000", "step", 5000.0},
		{"/api/v1/series?service=checkout&env=prod&metric=latency_ms&field=p99", "agg", "percentile"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests_by_client&by=client.as.number", "series.#", 6.0},
		{fmt.Sprintf("/api/v1/series?service=checkout&env=prod&metric=requests&from=%d&to=%d", start.Add(10*time.Second).UnixMilli(), start.Add(20*time.Second).UnixMilli()), "t0", float64(start.Add(10 * time.Second).UnixMilli())},
		{"/api/v1/search?q=check", "services.0.service", "checkout"},
		{"/api/v1/search?q=10.1.0.3", "instances.0.instance", "10.1.0.3:8001"},
		{"/api/v1/search?q=ip-10-1-0-3", "instances.0.service", "search"},
		{"/api/v1/search?q=HEAP", "metrics.0.metric", "heap_mb"},
		{"/api/v1/search?q=10.", "instances.#", 20.0},
		{"/api/v1/search?q=", "services.#", 0.0},
		{"/api/v1/roster", "entries.#", 90.0},
		{"/api/v1/roster", "total", 90.0},
		{"/api/v1/roster", "counts.present", 85.0},
		{"/api/v1/roster?state=departed", "entries.#", 5.0},
		{"/api/v1/roster?state=departed", "entries.0.reason", "left /discovery/search/prod"},
		{"/api/v1/roster?state=departed", "counts.present", 85.0},
		{"/api/v1/roster?env=staging", "total", 6.0},
		{"/api/v1/roster?q=canary&service=checkout", "total", 2.0},
		{"/api/v1/roster?q=CANARY+checkout", "total", 2.0},
		{"/api/v1/roster?q=zone:us-east-1a&service=checkout", "total", 5.0},
		{"/api/v1/roster?q=zone:canary&service=checkout", "total", 0.0},
		{"/api/v1/roster?offset=89", "entries.#", 1.0},
		{"/api/v1/roster?offset=1000", "entries.#", 0.0},
		{"/api/v1/roster", "views.0.source", "apps"},
		{"/api/v1/roster", "views.0.last_heard", float64(start.UnixMilli())},
		{"/api/v1/roster", "entries.0.format", "kingpin"},
		{"/api/v1/status", "version", "test"},
		{"/api/v1/status", "collector.targets", 90.0},
		{"/api/v1/status", "board.records_lost", 0.0},
		{"/api/v1/status", "board.services", 8.0},
		{"/api/v1/status", "feed.state", "live"},
	} {
		t.Run(tc.path+" "+tc.place, func(t *testing.T) {
			res, body := r.get(t, tc.path)
			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("status %d, %v: %.200q", res.StatusCode, res.Header, body)
			}
			if got := at(t, body, tc.place); got != tc.want {
				t.Errorf("%s is %v, want %v", tc.place, got, tc.want)
			}
		})
	}
}

// Errors are JSON and say how to mend it.
func TestErrors(t *testing.T) {
	r := newRig(t, nil)
	long := strings.Repeat("x", maxParam+1)
	for _, tc := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/api/v1/service", 400, "service=NAME&env=NAME"},
		{"GET", "/api/v1/service?service=x&env=prod", 404, "/api/v1/services"},
		{"GET", "/api/v1/series?service=checkout&env=prod", 400, "metric=NAME"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=x", 404, "/api/v1/service"},
		{"GET", "/api/v1/series?service=x&env=prod&metric=x", 404, "/api/v1/services"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests&from=yesterday", 400, "Unix milliseconds"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests&to=-1", 400, "Unix milliseconds"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests&step=1500", 400, "whole seconds"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests&step=0", 400, "multiple of 1000"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests&step=1000&from=0", 400, "a day"},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=latency_ms&field=p12", 400, "p50"},
		{"GET", "/api/v1/search?q=" + long, 400, "longer than"},
		{"GET", "/api/v1/stream?env=" + long, 400, "longer than"},
		{"GET", "/api/v1/roster?offset=-1", 400, "offset"},
		{"GET", "/api/v1/roster?offset=x", 400, "offset"},
		{"GET", "/api/v2/now", 404, "docs/api.md"},
		{"POST", "/api/v1/now", 405, "GET"},
		{"POST", "/demo/fault", 405, ""}, // there is none here
		{"DELETE", "/", 405, "GET"},
		{"GET", "/assets/none.js", 404, "load it again"},
		{"GET", "/none.png", 404, "load it again"},
	} {
		t.Run(tc.method+" "+tc.path[:min(len(tc.path), 60)], func(t *testing.T) {
			if tc.path == "/demo/fault" {
				tc.status, tc.text = 404, "docs/api.md"
			}
			res, body := r.do(t, tc.method, tc.path)
			if res.StatusCode != tc.status {
				t.Fatalf("status %d, want %d: %.200q", res.StatusCode, tc.status, body)
			}
			if text, _ := at(t, body, "error").(string); !strings.Contains(text, tc.text) {
				t.Errorf("error is %q, want %q in it", text, tc.text)
			}
		})
	}
}

// What the page says adds up: the strip is the sum of the services, in every environment.
func TestStripIsTheSum(t *testing.T) {
	r := newRig(t, nil)
	r.fleet.Effects = append(r.fleet.Effects, sim.Effect{From: r.now, Outcome: collector.Timeout, Hits: func(in *sim.Instance) bool { return in.Zone == "us-east-1c" }})
	for range 10 {
		r.run(1)
		for _, env := range []string{"", "prod", "staging"} {
			n := r.board.Now(env)
			var e, p, a int
			for _, row := range n.Rows {
				e, p, a = e+row.Expected, p+row.Present, a+row.Answering
			}
			if n.Strip.Expected != e || n.Strip.Present != p || n.Strip.Answering != a || e < p || env != "staging" && e == p {
				t.Errorf("%q: the strip says %d %d %d, the services %d %d %d", env, n.Strip.Expected, n.Strip.Present, n.Strip.Answering, e, p, a)
			}
		}
	}
	if st := r.board.Now("prod").Strip; st.Answering >= st.Present {
		t.Errorf("a zone is silent, and the strip says %+v", st)
	}
}

func TestPage(t *testing.T) {
	r := newRig(t, nil)
	_, index := r.get(t, "/")
	for _, tc := range []struct{ path, kind, cache string }{
		{"/", "text/html; charset=utf-8", "no-cache"},
		{"/index.html", "text/html; charset=utf-8", "no-cache"},
		{"/service/checkout/prod", "text/html; charset=utf-8", "no-cache"},
		{"/roster", "text/html; charset=utf-8", "no-cache"},
		{"/explore?metric=x", "text/html; charset=utf-8", "no-cache"},
		{"/host/10.0.0.1", "text/html; charset=utf-8", "no-cache"},
		{"/etc/passwd", "text/html; charset=utf-8", "no-cache"},
	} {
		t.Run(tc.path, func(t *testing.T) {
			res, body := r.get(t, tc.path)
			if res.StatusCode != 200 || res.Header.Get("Content-Type") != tc.kind || res.Header.Get("Cache-Control") != tc.cache || body != index {
				t.Errorf("status %d, %v, %.80q", res.StatusCode, res.Header, body)
			}
			for h, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; script-src 'self'"} {
				if got := res.Header.Get(h); !strings.HasPrefix(got, want) {
					t.Errorf("%s is %q", h, got)
				}
			}
			if res, body := r.get(t, tc.path, "If-None-Match", res.Header.Get("ETag")); res.StatusCode != 304 || body != "" {
				t.Errorf("asked again: status %d, %.80q", res.StatusCode, body)
			}
		})
	}
	// The policy of the page is kept by the page: nothing inline, nothing from elsewhere.
	if strings.Contains(index, "<style") || strings.Contains(index, "style=") || strings.Contains(index, "<script>") || strings.Contains(index, "//cdn") {
		t.Errorf("the index breaks its own policy: %s", index)
	}
	res, _ := r.do(t, "HEAD", "/")
	if res.StatusCode != 200 || res.Header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d %v", res.StatusCode, res.Header)
	}
}

func TestGzip(t *testing.T) {
	r := newRig(t, nil)
	_, plain := r.get(t, "/api/v1/roster")
	for _, tc := range []struct {
		accept string
		zipped bool
	}{
		{"gzip", true}, {"br, gzip;q=0.5", true}, {"gzip;q=0", false}, {"br", false}, {"", false},
	} {
		res, body := r.get(t, "/api/v1/roster", "Accept-Encoding", tc.accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != tc.zipped {
			t.Errorf("%q: zipped %v", tc.accept, got)
			continue
		}
		if tc.zipped {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil || string(b) != plain {
				t.Errorf("%q: %v, %d bytes instead of %d", tc.accept, err, len(b), len(plain))
			}
		}
	}
}

func TestFault(t *testing.T) {
	kinds := make(chan string, 4)
	r := newRig(t, func(c *Config) {
		c.Demo = true
		c.Fault = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kinds <- r.FormValue("kind")
			fmt.Fprint(w, `{"fault":"canary","text":"broken"}`)
		})
	})
	res, err := http.PostForm(r.srv.URL+"/demo/fault", url.Values{"kind": {"canary"}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || <-kinds != "canary" {
		t.Errorf("status %d", res.StatusCode)
	}
	for _, tc := range []struct{ header, value string }{{"Origin", "https://elsewhere.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		if res, _ := r.do(t, "POST", "/demo/fault", tc.header, tc.value); res.StatusCode != http.StatusForbidden || len(kinds) > 0 {
			t.Errorf("%s %s: status %d", tc.header, tc.value, res.StatusCode)
		}
	}
	if res, _ := r.get(t, "/demo/fault"); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", res.StatusCode)
	}
}

// Doubts about the page are on the strip, with their consequence.
func TestExceptions(t *testing.T) {
	now := start.Add(40 * time.Second)
	for _, tc := range []struct {
		name string
		view discovery.View
		feed dashboards.Feed
		want string
	}{
		{"calm", discovery.View{Source: "apps", Connected: true, LastHeard: now}, dashboards.Feed{State: dashboards.FeedLive}, ""},
		{"lost", discovery.View{Source: "apps", Server: "zk1:2181", LastHeard: now.Add(-2 * time.Minute)}, dashboards.Feed{State: dashboards.FeedLive}, "Discovery of apps is 2 min old: zk1:2181 does not answer; scraping goes on"},
		{"never there", discovery.View{Source: "apps"}, dashboards.Feed{State: dashboards.FeedLive}, "Discovery of apps: apps does not answer; the last roster is kept and scraping goes on"},
		{"reconnecting", discovery.View{Source: "apps", LastHeard: now.Add(-2 * time.Second)}, dashboards.Feed{State: dashboards.FeedLive}, ""},
		{"read-only", discovery.View{Source: "apps", Connected: true, ReadOnly: true, Server: "zk1:2181", LastHeard: now}, dashboards.Feed{State: dashboards.FeedLive}, "zk1:2181 has lost its quorum"},
		{"dead", discovery.View{Source: "apps", Connected: true}, dashboards.Feed{State: dashboards.FeedDead, Since: now.UnixMilli(), Error: "Kafka does not answer"}, "No data since 16:00:40 UTC: Kafka does not answer; nothing is known of what has happened since"},
		{"connecting", discovery.View{Source: "apps", Connected: true}, dashboards.Feed{State: dashboards.FeedConnecting}, "Reading history from Kafka; figures fill in"},
		{"others'", discovery.View{Source: "apps", Connected: true}, dashboards.Feed{State: dashboards.FeedLive, Error: "x"}, "3 records wait"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Views = func() []discovery.View { return []discovery.View{tc.view} }
				c.Exceptions = func() (out []dashboards.Exception) {
					if strings.HasPrefix(tc.want, "3") {
						out = append(out, dashboards.Exception{Level: "warn", Text: tc.want})
					}
					return out
				}
			})
			r.board.SetFeed(tc.feed)
			_, body := r.get(t, "/api/v1/now")
			if tc.want == "" {
				if n := at(t, body, "strip.exceptions.#"); n != 0.0 {
					t.Errorf("%v exceptions: %v", n, at(t, body, "strip.exceptions"))
				}
				return
			}
			if got, _ := at(t, body, "strip.exceptions.0.text").(string); !strings.Contains(got, tc.want) {
				t.Errorf("exception is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestElsewhere(t *testing.T) {
	ended := int64(1)
	findings := []dashboards.Finding{{Env: "prod", Level: "bad"}, {Env: "load", Level: "bad"}, {Env: "a b", Level: "bad"}, {Env: "a b", Level: "bad"},
		{Env: "old", Level: "bad", Ended: &ended}, {Env: "slow", Level: "warn"}}
	var got []string
	for _, e := range elsewhere("prod", "", findings, nil) {
		got = append(got, e.Text+" "+e.Link)
	}
	want := "2 open findings in a b, which is not shown here /?env=a+b; 1 open finding in load, which is not shown here /?env=load"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
	if out := elsewhere("", "", findings, nil); out != nil {
		t.Errorf("a page of all environments says %v", out)
	}
}

func TestExtraAndConfig(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Extra = map[string]http.Handler{"GET /metrics": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up 1") })}
	})
	if _, body := r.get(t, "/metrics"); body != "up 1" {
		t.Errorf("body is %q", body)
	}
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{}, "no board"}, {Config{Board: r.board, MaxStreams: -1}, "negative"}, {Config{Board: r.board, Extra: map[string]http.Handler{"x": nil}}, "no pattern"},
	} {
		if _, err := New(tc.c); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error is %v, want %q in it", err, tc.want)
		}
	}
}

// Names come from outside and are never trusted: JSON carries them escaped.
func TestHostileNames(t *testing.T) {
	r := newRig(t, nil)
	evil := `<script>alert(1)</script>` + "\u202e\u2028" + strings.Repeat("x", 10_000)
	for s := range 4 {
		r.board.Add(&dashboards.Record{ID: dashboards.RecordID{Collector: 5, Start: 1, Sequence: uint64(s + 1)}, Seen: r.now, Service: evil, Env: "prod", Instance: evil, Time: r.now.Add(time.Duration(s) * time.Second),
			Interval: time.Second, Tags: []collector.LabelPair{{Name: evil, Value: evil}}, Samples: []collector.Sample{{Name: evil, Kind: collector.Gauge, Value: "1"}}})
	}
	r.run(1)
	res, body := r.get(t, "/api/v1/now")
	if res.StatusCode != 200 || strings.Contains(body, "<script>") {
		t.Errorf("status %d, escaped: %v", res.StatusCode, !strings.Contains(body, "<script>"))
	}
	at(t, body, "services.#")
}
