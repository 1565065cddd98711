package grafana

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
)

// What each dashboard asks of the live windows is answered, by a fleet of which something is in trouble: no panel stays empty.
func TestLivePanels(t *testing.T) {
	begin := time.Unix(1764000000, 0).UTC()
	const seconds = 100
	end := begin.Add(seconds * time.Second)
	srv := liveFleet(t, begin, seconds)
	step, from := "5", strconv.FormatInt(end.Add(-time.Minute).Unix(), 10)
	n := 0
	eachAsk(func(d Dashboard, p Panel, a Ask) {
		if p.On != Live {
			return
		}
		n++
		form := url.Values{"query": {filled.Replace(a.Expr)}, "time": {strconv.FormatInt(end.Unix(), 10)}}
		path := "/api/v1/query"
		if p.Kind == "" || p.Kind == Lines {
			path, form = "/api/v1/query_range", url.Values{"query": form["query"], "start": {from}, "end": form["time"], "step": {step}}
		}
		var data struct{ Result []json.RawMessage }
		ask(t, srv, http.MethodPost, path, form, &data)
		if len(data.Result) == 0 {
			t.Errorf("%s: %q: nothing answers %s", d.UID, p.Title, form.Get("query"))
		}
	})
	if n < 70 {
		t.Errorf("%d queries", n)
	}
}

// What is asked of ZooKeeper's servers is what they say: mntr of a real one.
func TestZooKeeperNames(t *testing.T) {
	mntr, err := os.ReadFile("../../discovery/ensemble/testdata/mntr")
	if err != nil {
		t.Fatal(err)
	}
	eachAsk(func(d Dashboard, p Panel, a Ask) {
		for _, name := range regexp.MustCompile(`zk_[a-z_]+`).FindAllString(strings.ReplaceAll(a.Expr, "rollcall_zk_", ""), -1) {
			said := []string{name + "\t", "zk_p99_" + strings.TrimPrefix(name, "zk_") + "\t"} // a number, or a summary
			if name != "zk_serving" && p.On == Live && !strings.Contains(string(mntr), said[0]) && !strings.Contains(string(mntr), said[1]) {
				t.Errorf("%s: %q: ZooKeeper does not say %s", d.UID, p.Title, name)
			}
		}
	})
}

// Variables are asked as Grafana asks: by label values with match[], or, of what it takes for an older Prometheus, by series.
func TestLiveVariables(t *testing.T) {
	begin := time.Unix(1764000000, 0).UTC()
	srv := liveFleet(t, begin, 20)
	of := regexp.MustCompile(`^label_values\((.+), ([a-z_]+)\)$`)
	span := url.Values{"start": {strconv.FormatInt(begin.Unix(), 10)}, "end": {strconv.FormatInt(begin.Unix()+20, 10)}}
	for _, d := range All() {
		for _, v := range d.Vars {
			if v.Choices != nil {
				continue
			}
			m := of.FindStringSubmatch(v.Of)
			if m == nil {
				t.Errorf("%s: %s is no question that Grafana knows", d.UID, v.Of)
				continue
			}
			if v.On != Live {
				continue
			}
			span.Set("match[]", filled.Replace(m[1]))
			var values []string
			ask(t, srv, http.MethodGet, "/api/v1/label/"+m[2]+"/values", span, &values)
			var series []map[string]string
			ask(t, srv, http.MethodPost, "/api/v1/series", span, &series)
			if len(values) == 0 || len(series) == 0 || series[0][m[2]] == "" {
				t.Errorf("%s: $%s is of %q, series %v", d.UID, v.Name, values, series)
			}
		}
	}
	// And what it asks to find out whom it speaks to, and for its editor.
	var build struct{ Version string }
	ask(t, srv, http.MethodGet, "/api/v1/status/buildinfo", nil, &build)
	if !strings.HasPrefix(build.Version, "3.") {
		t.Errorf("build %+v", build)
	}
	var names []string
	ask(t, srv, http.MethodPost, "/api/v1/labels", span, &names)
	var about map[string][]struct{ Type, Help string }
	ask(t, srv, http.MethodGet, "/api/v1/metadata", url.Values{"metric": {"rollcall_service_trouble"}}, &about)
	var exemplars []any
	ask(t, srv, http.MethodPost, "/api/v1/query_exemplars", url.Values{"query": {"up"}, "start": span["start"], "end": span["end"]}, &exemplars)
	if len(names) == 0 || about["rollcall_service_trouble"][0].Help == "" || len(exemplars) != 0 {
		t.Errorf("labels %q, metadata %v, exemplars %v", names, about, exemplars)
	}
}

func ask(t *testing.T, srv *httptest.Server, method, path string, form url.Values, into any) {
	t.Helper()
	var res *http.Response
	var err error
	if method == http.MethodPost {
		res, err = http.PostForm(srv.URL+path, form)
	} else {
		res, err = http.Get(srv.URL + path + "?" + form.Encode())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err = json.NewDecoder(res.Body).Decode(&body); err == nil && body.Status != "success" {
		err = fmt.Errorf("%d: %s", res.StatusCode, body.Error)
	}
	if err == nil {
		err = json.Unmarshal(body.Data, into)
	}
	if err != nil {
		t.Fatalf("%s?%s: %v", path, form.Encode(), err)
	}
}

// liveFleet is an API over a fleet that was scraped each second: checkout in two versions and zones, one of whose instances does not answer at last, and which a finding
// is about; search; and two servers of ZooKeeper, of which one has no quorum and the other does not answer at last.
func liveFleet(t *testing.T, begin time.Time, seconds int) *httptest.Server {
	t.Helper()
	judge := func(now time.Time, _ *dashboards.Board) []dashboards.Finding {
		return []dashboards.Finding{{ID: "f1", Level: dashboards.LevelBad, Service: "checkout", Env: "prod", Metric: "errors", Since: now.UnixMilli(), Title: "checkout is failing"},
			{ID: "f2", Level: dashboards.LevelWarn, Service: "search", Env: "prod", Metric: "latency", Since: now.UnixMilli(), Title: "search is slow"}}
	}
	b, err := dashboards.NewBoard(dashboards.Options{Judge: judge, Percentile: quantile.Over})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	now := begin
	api, err := promql.New(promql.Config{Board: b, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	counter := func(name string, v int) collector.Sample {
		return collector.Sample{Name: name, Kind: collector.Counter, Value: strconv.Itoa(v)}
	}
	add := func(service, instance string, fails bool, tags []collector.LabelPair, samples ...collector.Sample) {
		seq++
		r := &dashboards.Record{ID: dashboards.RecordID{Collector: 1, Start: 1, Sequence: seq}, Seen: now, Service: service, Env: "prod", Instance: instance, Time: now,
			Took: 5 * time.Millisecond, Interval: time.Second, Tags: tags, Samples: samples}
		if fails {
			r.Outcome, r.Samples = collector.Timeout, nil
		}
		b.Add(r)
	}
	for s := range seconds + 1 {
		now = begin.Add(time.Duration(s) * time.Second)
		late := s > seconds/2
		for i := range 3 {
			tags := []collector.LabelPair{{Name: "cloud.availability_zone", Value: "us-east-1" + string(rune('a'+i%2))}, {Name: "owner", Value: "payments"},
				{Name: "service.version", Value: "1.4" + strconv.Itoa(i%2)}}
			add("checkout", fmt.Sprintf("10.0.0.%d:80", i), i == 2 && late, tags, counter("requests", 10*s), counter("errors", s),
				collector.Sample{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Interval,
					Fields: []collector.Field{{Name: "count", Value: "10"}, {Name: "p50", Value: "12"}, {Name: "p99", Value: "80"}}})
		}
		add("search", "10.0.1.1:80", false, nil, counter("requests", s))
		for i := range 2 {
			gauges := []collector.Sample{counter("zk_packets_received", 7*s), counter("zk_packets_sent", 7*s)}
			for _, name := range []string{"zk_readlatency", "zk_updatelatency"} {
				gauges = append(gauges, collector.Sample{Name: name, Kind: collector.Distribution, Fields: []collector.Field{{Name: "count", Value: "10"}, {Name: "p99", Value: "3"}}})
			}
			for name, v := range map[string]int{"serving": i, "avg_latency": 1, "outstanding_requests": 0, "num_alive_connections": 3, "watch_count": 4, "znode_count": 90, "ephemerals_count": 30,
				"global_sessions": 30} {
				gauges = append(gauges, collector.Sample{Name: "zk_" + name, Kind: collector.Gauge, Value: strconv.Itoa(v)})
			}
			add("zookeeper", fmt.Sprintf("10.0.2.%d:2181", i), i == 1 && late, []collector.LabelPair{{Name: "zookeeper.role", Value: "follower"}}, gauges...)
		}
		b.Tick(now)
	}
	mux := http.NewServeMux()
	for p, h := range api.Routes() {
		mux.Handle(p, h)
	}
	mux.Handle("/api/v1/series", api.Series())
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}
