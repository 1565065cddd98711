package expose

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write the golden files again")

// everything is a registry with each kind of metric that a client can make.
func everything() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "kangaroos"})
	counter.Add(1)
	big := prometheus.NewCounter(prometheus.CounterOpts{Name: "big_bytes_total"})
	big.Add(1 << 60)
	byCode := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total"}, []string{"method", "code", "handler"})
	byCode.WithLabelValues("get", "200", "/admin/100%").Add(41)
	byCode.WithLabelValues("post", "500", "buy, \"now\"").Add(2)
	uptime := prometheus.NewGauge(prometheus.GaugeOpts{Name: "jvm_uptime"})
	uptime.Set(12.5)
	tiny := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tiny"})
	tiny.Set(2.5e-9)
	nan := prometheus.NewGauge(prometheus.GaugeOpts{Name: "ratio"})
	nan.Set(math.NaN())
	inf := prometheus.NewGauge(prometheus.GaugeOpts{Name: "limit"})
	inf.Set(math.Inf(1))
	untyped := prometheus.NewUntypedFunc(prometheus.UntypedOpts{Name: "untyped"}, func() float64 { return 7 })
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "boiler_build_info", ConstLabels: prometheus.Labels{"version": "1.42.0", "revision": "9f3c\n2"}})
	info.Set(1)
	many := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "target_info"}, []string{"zone"})
	many.WithLabelValues("a").Set(1)
	many.WithLabelValues("b").Set(1)
	summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "kangaroo_time_msec", Objectives: map[float64]float64{0: 0, 0.05: 0, 0.5: 0, 0.9: 0, 0.99: 0, 0.999: 0, 1: 0}})
	empty := prometheus.NewSummary(prometheus.SummaryOpts{Name: "empty_msec", Objectives: map[float64]float64{0.5: 0}})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_ms", Buckets: []float64{10, 20, 40, 80}})
	none := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "none_ms", Buckets: []float64{10}})
	for i := range 100 {
		summary.Observe(float64(i + 1))
		classic.Observe(float64(i+1) / 2)
	}
	reg.MustRegister(counter, big, byCode, uptime, tiny, nan, inf, untyped, info, many, summary, empty, classic, none)
	return reg
}

func get(t *testing.T, h http.Handler, url string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFormatsGolden(t *testing.T) {
	h := Handler(everything(), Options{Labels: func() map[string]string { return map[string]string{"boiler": "online"} }})
	for _, name := range []string{"stats.json", "stats.txt", "stats.csv"} {
		w := get(t, h, "/admin/"+name)
		if w.Code != 200 {
			t.Fatalf("%s: status %d: %s", name, w.Code, w.Body)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, w.Body.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Body.String(); got != string(want) {
			t.Errorf("%s differs from its golden file:\n%s", name, got)
		}
	}
}

type ostrich struct {
	Counters map[string]int64              `json:"counters"`
	Gauges   map[string]float64            `json:"gauges"`
	Labels   map[string]string             `json:"labels"`
	Metrics  map[string]map[string]float64 `json:"metrics"`
}

func decode(t *testing.T, w *httptest.ResponseRecorder) (o ostrich) {
	t.Helper()
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		t.Fatalf("decode stats.json (status %d): %v", w.Code, err)
	}
	return o
}

// The three forms are read by others' decoders and say the same.
func TestFormatsAgree(t *testing.T) {
	h := Handler(everything(), Options{})
	o := decode(t, get(t, h, "/stats.json"))
	rows, err := csv.NewReader(get(t, h, "/stats.csv").Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, row := range rows[1:] {
		seen[row[0]]++
		switch row[0] {
		case "counter":
			if got := fmt.Sprint(o.Counters[row[1]]); got != row[2] {
				t.Errorf("counter %s: JSON %s, CSV %s", row[1], got, row[2])
			}
		case "label":
			if got := o.Labels[row[1]]; got != row[2] {
				t.Errorf("label %s: JSON %q, CSV %q", row[1], got, row[2])
			}
		case "metric":
			name, field, _ := strings.Cut(row[1], ".")
			if _, ok := o.Metrics[name][field]; !ok {
				t.Errorf("metric %s is not in JSON", row[1])
			}
		}
	}
	// The two that JSON cannot say and the gauge that counts them.
	if seen["gauge"] != len(o.Gauges)-1+2 || o.Gauges["expose_nonfinite"] != 2 {
		t.Errorf("%d gauges in CSV, %d in JSON, %v not finite", seen["gauge"], len(o.Gauges), o.Gauges["expose_nonfinite"])
	}
	text := get(t, h, "/stats.txt").Body.String()
	for _, line := range []string{"counters:", "gauges:", "labels:", "metrics:", "  kangaroos: 1", "  jvm_uptime: 12.5", "  ratio: NaN", "  limit: Infinity", "  boiler_build_info/revision: 9f3c 2", "  empty_msec: (count=0, sum=0)"} {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("stats.txt lacks the line %q", line)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := Handler(everything(), Options{})
	for _, tc := range []struct {
		method, url string
		status      int
		says        string
	}{
		{"GET", "/stats.json?namespace=me", 400, "reset"},
		{"GET", "/stats.txt?namespace=", 400, "reset"},
		{"GET", "/stats.json?period=0", 400, "1 to 3600"},
		{"GET", "/stats.json?period=1m", 400, "1 to 3600"},
		{"GET", "/stats.json?period=3601", 400, "1 to 3600"},
		{"GET", "/stats.json?period=", 400, "1 to 3600"},
		{"GET", "/stats.xml", 404, "stats.json"},
		{"GET", "/", 404, "stats.json"},
		{"POST", "/stats.json", 405, "GET"},
		{"DELETE", "/metrics", 405, "GET"},
		{"HEAD", "/stats.json", 200, ""},
		{"GET", "/deep/down/metrics", 200, "kangaroos 1"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.url, nil))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", tc.method, tc.url, w.Code, w.Body, tc.status, tc.says)
		}
	}
}

func TestGzip(t *testing.T) {
	h := Handler(fleet(), Options{})
	for _, tc := range []struct {
		accept string
		zipped bool
	}{{"gzip", true}, {"br, gzip;q=0.5", true}, {"*", true}, {"", false}, {"identity", false}, {"gzip;q=0", false}, {"gzip; q=0.0", false}} {
		for range 2 { // the second takes the writer from the pool
			w := get(t, h, "/stats.json", "Accept-Encoding", tc.accept)
			if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != tc.zipped {
				t.Errorf("Accept-Encoding %q: zipped %v", tc.accept, zipped)
				continue
			}
			if tc.zipped {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(z)
				if err != nil || !json.Valid(b) {
					t.Errorf("unzip: %v, %d bytes", err, len(b))
				}
			}
		}
	}
}

type broken struct{}

func (broken) Describe(ch chan<- *prometheus.Desc) {
	ch <- prometheus.NewDesc("broken", "", nil, nil)
}
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "", nil, nil), errors.New("the database is away"))
}

func TestOneBrokenCollectorHurtsOnlyItself(t *testing.T) {
	reg := everything()
	reg.MustRegister(broken{})
	var log strings.Builder
	h := Handler(reg, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if o := decode(t, get(t, h, "/stats.json")); o.Counters["kangaroos"] != 1 {
		t.Error("the others' numbers are gone")
	}
	if !strings.Contains(log.String(), "the database is away") {
		t.Errorf("the log does not name the cause: %s", log.String())
	}
	if w := get(t, h, "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "kangaroos 1") {
		t.Errorf("/metrics: %d", w.Code)
	}
	alone := prometheus.NewRegistry()
	alone.MustRegister(broken{})
	if w := get(t, Handler(alone, Options{}), "/stats.json"); w.Code != 500 {
		t.Errorf("nothing gathered: %d, want 500", w.Code)
	}
}

func TestBoundOnReaders(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	g := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		entered <- true
		<-leave
		return nil, nil
	})
	h := Handler(g, Options{MaxInFlight: 1})
	done := make(chan int)
	go func() { done <- get(t, h, "/stats.json").Code }()
	<-entered
	if w := get(t, h, "/stats.json"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", w.Code)
	}
	close(leave)
	if code := <-done; code != 200 {
		t.Errorf("the first reader: %d", code)
	}
}

func TestPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		hits := prometheus.NewCounter(prometheus.CounterOpts{Name: "hits"})
		depth := prometheus.NewGauge(prometheus.GaugeOpts{Name: "depth"})
		classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "classic", Buckets: []float64{1, 10, 100}})
		native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native", NativeHistogramBucketFactor: 1.1})
		sum := prometheus.NewSummary(prometheus.SummaryOpts{Name: "summary", Objectives: map[float64]float64{0.5: 0}})
		reg.MustRegister(hits, depth, classic, native, sum)
		h := Handler(reg, Options{MaxPeriods: 1})
		observe := func(n int, v float64) {
			for range n {
				hits.Inc()
				classic.Observe(v)
				native.Observe(v)
				sum.Observe(v)
			}
			depth.Set(v)
		}
		observe(1000, 0.5) // long ago
		w := get(t, h, "/stats.json?period=60")
		if w.Code != 503 || w.Header().Get("Retry-After") != "60" {
			t.Fatalf("before the first window closed: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		if w := get(t, h, "/stats.json?period=30"); w.Code != 400 || !strings.Contains(w.Body.String(), "60") {
			t.Fatalf("one period too many: %d %s", w.Code, w.Body)
		}
		observe(10, 50)
		time.Sleep(60 * time.Second)
		synctest.Wait()
		observe(5, 5)
		first := get(t, h, "/stats.json?period=60")
		body := first.Body.String()
		o := decode(t, first)
		if o.Counters["hits"] != 10 || o.Gauges["depth"] != 50 {
			t.Errorf("hits %d, depth %v; want those of the closed window", o.Counters["hits"], o.Gauges["depth"])
		}
		for name, p50 := range map[string][2]float64{"classic": {10, 100}, "native": {45, 55}, "summary": {0.5, 50}} {
			m := o.Metrics[name]
			if m["count"] != 10 || m["sum"] != 500 || m["average"] != 50 || m["p50"] < p50[0] || m["p50"] > p50[1] {
				t.Errorf("%s: %v", name, m)
			}
		}
		time.Sleep(30 * time.Second)
		if again := get(t, h, "/stats.json?period=60"); again.Body.String() != body {
			t.Error("two readers of one window see different numbers")
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if o := decode(t, get(t, h, "/stats.json?period=60")); o.Counters["hits"] != 5 {
			t.Errorf("the second window has %d hits, want 5", o.Counters["hits"])
		}
		time.Sleep(60 * time.Second)
		synctest.Wait()
		o = decode(t, get(t, h, "/stats.json?period=60"))
		if m := o.Metrics["native"]; o.Counters["hits"] != 0 || m["count"] != 0 || len(m) != 2 {
			t.Errorf("a quiet window has %d hits, %v", o.Counters["hits"], m)
		}
		// Forgotten when nobody asks; the bubble would not end with a timer that arms itself for ever.
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		if w := get(t, h, "/stats.json?period=30"); w.Code != 503 {
			t.Errorf("another period after the first was forgotten: %d %s", w.Code, w.Body)
		}
		time.Sleep(12 * time.Minute)
	})
}

func TestPeriodOverAReset(t *testing.T) {
	family := func(kind dto.MetricType, m *dto.Metric) []*dto.MetricFamily {
		return []*dto.MetricFamily{{Name: new("x"), Type: &kind, Metric: []*dto.Metric{m}}}
	}
	c := func(v float64) []*dto.MetricFamily {
		return family(dto.MetricType_COUNTER, &dto.Metric{Counter: &dto.Counter{Value: &v}})
	}
	s := func(n uint64) []*dto.MetricFamily {
		return family(dto.MetricType_SUMMARY, &dto.Metric{Summary: &dto.Summary{SampleCount: &n, SampleSum: new(float64(n))}})
	}
	h := func(n uint64) []*dto.MetricFamily {
		return family(dto.MetricType_HISTOGRAM, &dto.Metric{Histogram: &dto.Histogram{SampleCount: &n, SampleSum: new(float64(n))}})
	}
	for _, tc := range []struct {
		name        string
		before, now []*dto.MetricFamily
		want        float64
	}{
		{"counter grew", c(7), c(9), 2},
		{"counter was set back", c(7), c(3), 3},
		{"counter is new", nil, c(3), 3},
		{"summary grew", s(7), s(9), 2},
		{"summary was set back", s(7), s(3), 3},
		{"histogram grew", h(7), h(9), 2},
		{"histogram was set back", h(7), h(3), 3},
	} {
		got := summarise(increase(tc.before, tc.now))
		var v float64
		for _, n := range got.counters {
			v = n.value
		}
		for _, d := range got.metrics {
			v = d.fields[0].value
		}
		if v != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, v, tc.want)
		}
	}
}
