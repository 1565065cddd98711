package promql

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql/expr"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

var t0 = time.Unix(1764000000, 0).UTC()

// rig is a Board that is fed by hand, and its API.
type rig struct {
	t     *testing.T
	board *dashboards.Board
	now   atomic.Int64 // Unix ns; it is asked for on the server's goroutines
	seq   uint64
	every time.Duration
	api   *API
	srv   *httptest.Server
}

func newRig(t *testing.T, set func(*Config)) *rig {
	t.Helper()
	b, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	r := &rig{t: t, board: b, every: time.Second}
	r.now.Store(t0.UnixNano())
	c := Config{Board: b, Now: func() time.Time { return time.Unix(0, r.now.Load()) }}
	if set != nil {
		set(&c)
	}
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.api = a
	mux := http.NewServeMux()
	for p, h := range a.Routes() {
		mux.Handle(p, h)
	}
	mux.Handle("/api/v1/series", a.Series())
	r.srv = httptest.NewServer(mux)
	t.Cleanup(r.srv.Close)
	return r
}

// add takes a scrape in, at seconds after t0.
func (r *rig) add(service, instance, version string, s float64, outcome collector.Outcome, samples ...collector.Sample) {
	r.seq++
	at := t0.Add(time.Duration(s * float64(time.Second)))
	r.board.Add(&dashboards.Record{ID: dashboards.RecordID{Collector: 1, Start: 1, Sequence: r.seq}, Seen: at, Service: service, Env: "prod", Instance: instance, Time: at,
		Took: 5 * time.Millisecond, Interval: r.every, Outcome: outcome, Samples: samples,
		Tags: []collector.LabelPair{{Name: "cloud.availability_zone", Value: "us-east-1c"}, {Name: "service.version", Value: version}}})
}

func (r *rig) tick(s float64) {
	at := t0.Add(time.Duration(s * float64(time.Second)))
	r.now.Store(at.UnixNano())
	r.board.Tick(at)
}

func sample(kind collector.Kind, name string, v float64, labels ...string) collector.Sample {
	s := collector.Sample{Name: name, Kind: kind, Value: strconv.FormatFloat(v, 'f', -1, 64)}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, collector.LabelPair{Name: labels[i], Value: labels[i+1]})
	}
	return s
}

// fleet is two instances of checkout and one of search, for 100 s: of a they are 10 requests a second, of b 20, and latencies in three buckets.
func (r *rig) fleet() {
	for s := range 101 {
		for i, in := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
			n := float64(10 * (i + 1) * s)
			r.add("checkout", in, "1.42.0", float64(s), collector.OK,
				sample(collector.Counter, "requests", n),
				sample(collector.Counter, "http/errors", n/10, "code", "500", "env", "canary"),
				sample(collector.Gauge, "mem.used", 100+float64(i)),
				sample(collector.Counter, "lat_seconds_bucket", n/2, "le", "0.1"), sample(collector.Counter, "lat_seconds_bucket", n*.9, "le", "0.5"), sample(collector.Counter, "lat_seconds_bucket", n, "le", "+Inf"),
				collector.Sample{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Interval, Fields: []collector.Field{{Name: "p50", Value: "12"}, {Name: "p999", Value: "80"}, {Name: "count", Value: "100"}}})
		}
		r.add("search", "10.0.0.3:80", "7", float64(s), collector.OK, sample(collector.Counter, "requests", float64(s)))
		r.tick(float64(s))
	}
}

// ask gives status and body.
func (r *rig) ask(method, path string, form url.Values) (int, string) {
	r.t.Helper()
	var res *http.Response
	var err error
	if method == http.MethodPost {
		res, err = http.PostForm(r.srv.URL+path, form)
	} else {
		res, err = http.Get(r.srv.URL + path + "?" + form.Encode())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// value is what an instant query of one series, or a scalar, gives; "" where it is empty.
func (r *rig) value(query string, at float64) string {
	r.t.Helper()
	_, body := r.ask("GET", "/api/v1/query", url.Values{"query": {query}, "time": {fmt.Sprint(float64(t0.Unix()) + at)}})
	var a struct {
		Status, Error string
		Data          struct{ Result json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Status != "success" {
		r.t.Fatalf("%s: %s", query, body)
	}
	var v []struct{ Value [2]any }
	if json.Unmarshal(a.Data.Result, &v) != nil {
		var s [2]any
		if err := json.Unmarshal(a.Data.Result, &s); err != nil {
			r.t.Fatalf("%s: %s", query, body)
		}
		return fmt.Sprint(s[1])
	}
	var out []string
	for _, x := range v {
		f, _ := strconv.ParseFloat(x.Value[1].(string), 64)
		out = append(out, strconv.FormatFloat(math.Round(f*1e6)/1e6, 'f', -1, 64))
	}
	return strings.Join(out, " ")
}

// What the engine makes of the windows is what a pencil makes of them.
func TestHandValues(t *testing.T) {
	r := newRig(t, nil)
	r.fleet()
	for _, tc := range []struct{ query, want string }{
		{`requests{job="checkout",instance="10.0.0.1:80"}`, "1000"},
		{`sum(rate(requests{job="checkout"}[30s]))`, "30"},
		{`sum by (job) (rate(requests[30s]))`, "30 1"},
		{`increase(requests{instance="10.0.0.2:80"}[10s])`, "200"},
		{`histogram_quantile(0.5, sum by (le) (rate(lat_seconds_bucket[30s])))`, "0.1"},
		{`histogram_quantile(0.9, sum by (le) (rate(lat_seconds_bucket[30s])))`, "0.5"},
		{`histogram_quantile(0.7, sum by (le) (rate(lat_seconds_bucket[30s])))`, "0.3"},
		{`max(latency_ms{quantile="0.999"})`, "80"},
		{`sum(latency_ms_count)`, "200"},
		{`avg(mem_used)`, "100.5"},
		{`count(up == 1)`, "3"},
		{`max(scrape_duration_seconds)`, "0.005"},
		{`sum(rate(http_errors{code="500",exported_env="canary"}[30s]))`, "3"},
		{`count(requests{cloud_availability_zone="us-east-1c",service_version=~"1\\..*"})`, "2"},
		{`count({__name__=~"req.*",env!="dev"})`, "3"},
		{`requests{job="nobody"}`, ""},
		{`sum(requests offset 50s)`, "1550"},
		{`max_over_time(sum(requests)[20s:10s])`, "3100"},
		{`1 + 1`, "2"},
		// The golden signals of each instance, whatever its application calls them; search has but requests.
		{`sum by (job) (rollcall_requests_per_second)`, "30 1"},
		{`rollcall_requests_per_second{instance="10.0.0.2:80",cloud_availability_zone="us-east-1c"}`, "20"},
		{`sum(rollcall_errors_per_second{service_version="1.42.0"}) / sum(rollcall_requests_per_second{job="checkout"})`, "0.1"},
		{`rollcall_errors_per_second{job="search"}`, ""},
		{`max_over_time(rollcall_requests_per_second{instance="10.0.0.1:80"}[50s])`, "10"},
		{`count_over_time(rollcall_requests_per_second{instance="10.0.0.1:80"}[50s])`, "50"},
		{`max by (is) (rollcall_latency_ms{is="p50"})`, "12"},
		// And what the page says of services as wholes.
		{`rollcall_service_requests_per_second`, "30 1"},
		{`rollcall_service_errors_per_second{job="checkout"}`, "3"},
		{`sum by (state) (rollcall_service_instances)`, "3 3 3"},
		{`rollcall_service_instances{job="checkout",state="expected"} offset 50s`, "2"},
		{`count(rollcall_service_trouble == 0)`, "2"},
		{`count_over_time(rollcall_service_requests_per_second{job="search"}[20s])`, "20"},
		{`rollcall_service_instances{instance="10.0.0.1:80"}`, ""},
	} {
		if got := r.value(tc.query, 100); got != tc.want {
			t.Errorf("%s = %q, want %q", tc.query, got, tc.want)
		}
	}
}

// What has ended is not shown for five minutes more, whatever the interval is; what comes slowly is not lost between two scrapes.
func TestEnds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		every  float64
		feed   func(r *rig)
		at     float64
		want   string
		upWant string
	}{
		{"1 s, answers", 1, nil, 10.9, "10", "1"},
		{"60 s, answers", 60, nil, 659, "10", "1"},
		{"1 s, silent", 1, nil, 13, "", ""},
		{"60 s, silent", 60, nil, 760, "", ""},
		{"10 s, silent for less than two intervals", 10, nil, 119, "10", "1"},
		{"1 s, failed", 1, func(r *rig) { r.add("a", "h:1", "1", 11, collector.Timeout) }, 11.5, "", "0"},
		{"1 s, skipped", 1, func(r *rig) { r.add("a", "h:1", "1", 11, collector.Skipped) }, 11.5, "10", "1"},
		{"1 s, without the name", 1, func(r *rig) { r.add("a", "h:1", "1", 11, collector.OK, sample(collector.Gauge, "y", 1)) }, 11.5, "", "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.every = time.Duration(tc.every * float64(time.Second))
			for k := range 11 {
				r.add("a", "h:1", "1", float64(k)*tc.every, collector.OK, sample(collector.Gauge, "x", float64(k)))
			}
			if tc.feed != nil {
				tc.feed(r)
			}
			r.tick(tc.at)
			if got := r.value("x", tc.at); got != tc.want {
				t.Errorf("x = %q, want %q", got, tc.want)
			}
			if got := r.value("up", tc.at); got != tc.upWant {
				t.Errorf("up = %q, want %q", got, tc.upWant)
			}
		})
	}
}

// Golden signals end as the scrapes that they are made of do, and begin anew.
func TestGoldenEnds(t *testing.T) {
	r := newRig(t, nil)
	for s := range 21 {
		switch n := sample(collector.Counter, "requests", float64(10*s)); {
		case s == 10:
			r.add("a", "h:1", "1", 10, collector.Timeout)
		case s < 15 || s == 20:
			r.add("a", "h:1", "1", float64(s), collector.OK, n)
		}
		r.tick(float64(s))
	}
	for at, want := range map[float64]string{9: "10", 9.5: "10", 10: "", 11: "10", 14: "10", 16: "10", 17: "", 20: ""} {
		if got := r.value("rollcall_requests_per_second", at); got != want {
			t.Errorf("at %v: %q, want %q", at, got, want)
		}
	}
}

// A dead feed is no dead fleet.
func TestDeadFeed(t *testing.T) {
	r := newRig(t, nil)
	r.add("a", "h:1", "1", 0, collector.OK, sample(collector.Gauge, "x", 7))
	r.board.SetFeed(dashboards.Feed{State: dashboards.FeedDead, Since: t0.UnixMilli()})
	r.tick(60)
	if got := r.value("x", 60); got != "7" {
		t.Errorf("x = %q", got)
	}
}

// Another version is another series from then on, and the old one ends there.
func TestDeploy(t *testing.T) {
	r := newRig(t, nil)
	for s := range 90 { // some of it in blocks
		v := "1"
		if s >= 60 {
			v = "2"
		}
		r.add("a", "h:1", v, float64(s), collector.OK, sample(collector.Gauge, "x", float64(s)))
		r.tick(float64(s))
	}
	for _, tc := range []struct {
		query, want string
		at          float64
	}{{`x{service_version="1"}`, "59", 59.5}, {`x{service_version="1"}`, "", 60.5}, {`x{service_version="2"}`, "60", 60.5}, {`count(count_over_time(x[80s]))`, "2", 89}} {
		if got := r.value(tc.query, tc.at); got != tc.want {
			t.Errorf("%s at %v = %q, want %q", tc.query, tc.at, got, tc.want)
		}
	}
}

// The shapes are those of Prometheus' documentation, byte by byte.
func TestShapes(t *testing.T) {
	r := newRig(t, nil)
	r.fleet()
	series := `{"__name__":"requests","cloud_availability_zone":"us-east-1c","env":"prod","instance":"10.0.0.3:80","job":"search","service_version":"7"}`
	for _, tc := range []struct {
		method, path, form string
		status             int
		want               string
	}{
		{"GET", "query", `query=requests{job="search"}&time=1764000100`, 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":` + series + `,"value":[1764000100,"100"]}]}}`},
		{"POST", "query", `query=requests{job="search"}&time=1764000100.5`, 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":` + series + `,"value":[1764000100.500,"100"]}]}}`},
		{"GET", "query", `query=0.333&time=2025-11-24T16:00:00Z`, 200, `{"status":"success","data":{"resultType":"scalar","result":[1764000000,"0.333"]}}`},
		{"GET", "query", `query=1/0&time=1764000100`, 200, `{"status":"success","data":{"resultType":"scalar","result":[1764000100,"+Inf"]}}`},
		{"GET", "query", `query="x%3C"&time=1764000100`, 200, `{"status":"success","data":{"resultType":"string","result":[1764000100,"x\u003c"]}}`},
		{"GET", "query", `query=requests{job="search"}[2s]&time=1764000100`, 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":` + series + `,"values":[[1764000099,"99"],[1764000100,"100"]]}]}}`},
		{"GET", "query", `query=nothing`, 200, `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"GET", "query", `query=requests&limit=1&time=1764000100`, 200, `results truncated due to limit`},
		{"GET", "query", `query=rate(mem_used[10s])&time=1764000100`, 200, `"infos":["PromQL info:`},
		{"GET", "query", `query=requests{job="search"}&time=1764000100&stats=all`, 200, `,"value":[1764000100,"100"]}],"stats":{"timings":{"evalTotalTime":`},
		{"POST", "query_range", `query=requests{job="search"}&start=1764000099&end=1764000100&step=1&stats=true`, 200, `"totalQueryableSamples":2`},
		{"GET", "query", `query=count_over_time(requests{job="search"}[10s])&time=1764000100&lookback_delta=1s&timeout=2s`, 200, `"value":[1764000100,"10"]`},
		{"GET", "query", `query=rollcall_service_instances{job="search",state="expected"}&time=1764000100&lookback_delta=20`, 200, `"value":[1764000100,"1"]`},
		{"GET", "query", `query=1&lookback_delta=x`, 400, `invalid parameter \"lookback_delta\"`},
		{"GET", "query", `query=1&timeout=x`, 400, `invalid parameter \"timeout\"`},
		{"GET", "query", `query=1&limit=-1`, 400, `invalid parameter \"limit\"`},
		{"GET", "query", `query=quantile(2, requests)&time=1764000100`, 200, `"warnings":["PromQL warning: quantile value should be between 0 and 1`},
		{"GET", "query_range", `query=requests&start=1764000000&end=1764000100&step=50s&limit=1`, 200, `results truncated due to limit`},
		{"GET", "query_range", `query="text"&start=0&end=1&step=1`, 400, `invalid expression type \"string\" for range query, must be Scalar or instant Vector`},
		{"GET", "series", `match[]=requests&limit=1`, 200, `results truncated due to limit`},
		{"GET", "label/9bad%2Fname/values", ``, 200, `{"status":"success","data":[]}`},
		{"GET", "metadata", `limit=1`, 200, `"data":{"up":[{"type":"gauge","help":"","unit":""}]}`},
		{"GET", "metadata", `metric=rollcall_service_latency_ms`, 200, `"type":"gauge","help":"Latency over all instances`},
		{"GET", "query_range", `query=time()&start=0&end=2&step=1`, 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"0"],[1,"1"],[2,"2"]]}]}}`},
		{"GET", "query_range", `query=requests{job="search"}&start=1764000000&end=1764000100&step=50s`, 200, `"values":[[1764000000,"0"],[1764000050,"50"],[1764000100,"100"]]`},
		{"GET", "query_range", `query=time()&start=0&end=2&step=0`, 400, `zero or negative query resolution step widths`},
		{"GET", "query_range", `query=time()&start=2&end=1&step=1`, 400, `{"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}`},
		{"GET", "query_range", `query=time()&start=0&end=100000&step=1`, 400, `exceeded maximum resolution of 11,000 points`},
		{"GET", "query_range", `query=time()&end=100000&step=1`, 400, `invalid parameter \"start\"`},
		{"GET", "query_range", `query=time()&start=0&end=1&step=1e-9`, 400, `bad_data`},
		{"GET", "query", `query=invalid][query&time=1`, 400, `"errorType":"bad_data","error":"invalid parameter \"query\": 1:8: parse error`},
		{"GET", "query", `query=1&time=NaN`, 400, `bad_data`},
		{"GET", "query", `query=requests/on(job)requests&time=1764000100`, 422, `"errorType":"execution"`},
		{"GET", "series", `match[]=requests{job="search"}`, 200, `{"status":"success","data":[` + series + `]}`},
		{"POST", "series", `match[]=requests{job="search"}&match[]={job="search",__name__="requests"}`, 200, `{"status":"success","data":[` + series + `]}`},
		{"GET", "series", ``, 400, `no match[] parameter provided`},
		{"GET", "series", `match[]={job=~".*"}`, 400, `match[] must contain at least one non-empty matcher`},
		{"GET", "labels", `match[]=requests`, 200, `{"status":"success","data":["__name__","cloud_availability_zone","env","instance","job","service_version"]}`},
		{"GET", "labels", ``, 200, `"le","quantile","service_version","state"]`},
		{"GET", "labels", `start=1764000101`, 200, `"data":[]`},
		{"GET", "label/job/values", ``, 200, `{"status":"success","data":["checkout","search"]}`},
		{"GET", "label/job/values", `match[]=mem_used`, 200, `{"status":"success","data":["checkout"]}`},
		{"GET", "label/__name__/values", `limit=2`, 200, `{"status":"success","data":["http_errors","lat_seconds_bucket"],"warnings":["results truncated due to limit"]}`},
		{"GET", "label/__name__/values", ``, 200, `"requests","rollcall_errors_per_second","rollcall_latency_ms","rollcall_requests_per_second","rollcall_service_errors_per_second","rollcall_service_instances","rollcall_service_latency_ms","rollcall_service_requests_per_second","rollcall_service_trouble","scrape_duration_seconds","up"]`},
		{"GET", "metadata", `metric=requests`, 200, `{"status":"success","data":{"requests":[{"type":"counter","help":"","unit":""}]}}`},
		{"GET", "metadata", `metric=latency_ms`, 200, `{"latency_ms":[{"type":"summary","help":"","unit":"ms"}]}`},
		{"GET", "query_exemplars", `query=x`, 200, `{"status":"success","data":[]}`},
		{"GET", "status/buildinfo", ``, 200, `"version":"3.`},
	} {
		form, err := url.ParseQuery(strings.ReplaceAll(tc.form, "+", "%2B"))
		if err != nil {
			t.Fatal(err)
		}
		status, body := r.ask(tc.method, "/api/v1/"+tc.path, form)
		if status != tc.status || !strings.Contains(body, tc.want) || strings.HasPrefix(tc.want, `{"status"`) && body != tc.want {
			t.Errorf("%s %s?%s: %d %s\nwant %d %s", tc.method, tc.path, tc.form, status, body, tc.status, tc.want)
		}
	}
}

// Whatever is asked, it ends, in bounds, and says which one it met.
func TestBounds(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSamples, c.MaxSeries, c.Concurrent = 5000, 40, 1 })
	for k := range 30 {
		for s := range 20 {
			r.add("a", fmt.Sprintf("h:%d", k), "1", float64(s), collector.OK, sample(collector.Gauge, "x", 1), sample(collector.Gauge, "y", 1))
		}
	}
	r.tick(20)
	at := url.Values{"time": {fmt.Sprint(t0.Unix() + 20)}}
	for _, tc := range []struct {
		query  string
		status int
		want   string
	}{
		{`{job="a"}`, 422, "selects more than 40 series"},
		{`x[1h]`, 200, ""},
		{`sum(max_over_time(x[1h:1ms]))`, 422, "too many samples"},
		{`sum(x) + ` + strings.Repeat("sum(x) + ", 300) + `sum(x)`, 200, ""},
		{strings.Repeat("(", 8000) + "1" + strings.Repeat(")", 8000), 400, "nested more than 500 deep"},
		{strings.Repeat("1+", 8000) + "1", 400, "nested more than 500 deep"},
		{strings.Repeat("-", expr.MaxBytes-1) + "x", 400, "nested more than 500 deep"},
		{strings.Repeat("x", expr.MaxBytes+1), 400, "longer than"},
		{`x{job=~"(a?){2000}"}`, 400, "bad_data"},
	} {
		at.Set("query", tc.query)
		if status, body := r.ask("POST", "/api/v1/query", at); status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%.40s: %d %.200s, want %d %s", tc.query, status, body, tc.status, tc.want)
		}
	}
	at.Set("query", "vector(1)")
	at.Set("timeout", "0.000000001")
	if status, body := r.ask("GET", "/api/v1/query", at); status != 503 || !strings.Contains(body, `"errorType":"timeout"`) {
		t.Errorf("a query without time: %d %s", status, body)
	}
	if status, _ := r.ask("POST", "/api/v1/query", url.Values{"query": {strings.Repeat("x", maxBody+1)}}); status != 400 {
		t.Errorf("a body beyond the bound: %d", status)
	}
}

// One query more than may run waits, and is told of it when its time is over; who comes when all may wait that may is told at once to come again.
func TestGate(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Concurrent, c.Waiting = 1, 1 })
	if err := r.api.gate.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, body := r.ask("GET", "/api/v1/query", url.Values{"query": {"1"}, "timeout": {"0.01"}}); status != 503 || !strings.Contains(body, `"errorType":"timeout"`) {
		t.Errorf("who waited: %d %s", status, body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() { _ = r.api.gate.Enter(ctx) })
	testenv.Eventually(t, "somebody waits", func() bool { return r.api.gate.Waiting() == 1 })
	for _, path := range []string{"/api/v1/query?query=1", "/api/v1/query_range?query=1&start=0&end=1&step=1", "/api/v1/labels", "/api/v1/series?match[]=up", "/api/v1/metadata"} {
		at, _ := url.Parse(path)
		status, body := r.ask("GET", at.Path, at.Query())
		if status != 503 || !strings.Contains(body, `"errorType":"unavailable"`) || !strings.Contains(body, "ask again in a few seconds") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	cancel()
	waits.Wait()
	r.api.gate.Leave()
	if status, body := r.ask("GET", "/api/v1/query", url.Values{"query": {"1"}}); status != 200 {
		t.Errorf("with a place: %d %s", status, body)
	}
}

// Prometheus' own tool reads the answers.
func TestPromtool(t *testing.T) {
	tool, ok := testenv.Tool(t, "promtool")
	if !ok {
		return
	}
	r := newRig(t, nil)
	r.fleet()
	end := fmt.Sprint(t0.Unix() + 100)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"query", "instant", "--time=" + end, r.srv.URL, `sum(rate(requests[30s]))`}, "{} => 31 @[" + end + "]"},
		{[]string{"query", "range", "--start=" + fmt.Sprint(t0.Unix()+99), "--end=" + end, "--step=1s", r.srv.URL, `requests{job="search"}`}, "99 @[1764000099]\n100 @[1764000100]"},
		{[]string{"query", "series", `--match=requests{job="search"}`, r.srv.URL}, `job="search"`},
		{[]string{"query", "labels", r.srv.URL, "job"}, "checkout\nsearch"},
	} {
		out, err := exec.Command(tool, tc.args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), tc.want) {
			t.Errorf("promtool %q: %v\n%s\nwant %s", tc.args, err, out, tc.want)
		}
	}
}
