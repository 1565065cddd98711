package stats

import (
	"bytes"
	"context"
	"encoding/json"
	"expvar"
	"flag"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

var record = flag.Bool("record", false, "record the answers of real programs anew")

// program is an application that nobody here wrote, as it answers now.
type program struct {
	file   string // of testdata, which -record writes anew
	accept string
	start  func(t *testing.T) (url string, ok bool)
	want   []string // samples, as kind and name, that must be there
}

const acceptProtobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

func programs() []program {
	return []program{
		{"expvar.json", "", expvarProgram, []string{"untyped memstats/Alloc", "gauge cmdline", "label version", "untyped requests", "untyped hits/cart"}},
		{"client-golang.pb", acceptProtobuf, clientGolang, []string{"histogram latency_seconds", "counter requests_total", "counter sizes_bucket", "gauge age_seconds", "counter age_seconds_count"}},
		{"client-golang.openmetrics.txt", "application/openmetrics-text; version=1.0.0", clientGolang, []string{"counter latency_seconds_count", "counter requests_total", "counter sizes_bucket"}},
		{"node-exporter.prom", "", nodeExporter, []string{"gauge node_load1", "counter node_cpu_seconds_total", "gauge node_memory_MemTotal_bytes"}},
		{"node-exporter.pb", acceptProtobuf, nodeExporter, []string{"gauge node_load1", "counter node_cpu_seconds_total", "gauge node_memory_MemTotal_bytes"}},
		{"zookeeper-monitor.json", "", zooKeeper, []string{"untyped uptime", "label version", "untyped znode_count"}},
		{"ostrich-program.json", "", ostrich("/stats.json"), []string{"counter requests", "gauge jvm_uptime", "label version", "distribution latency_ms"}},
		{"ostrich-program.txt", "", ostrich("/stats.txt"), []string{"counter requests", "gauge jvm_uptime", "label version", "distribution latency_ms"}},
		{"dropwizard-program.json", "", dropwizard, []string{"counter active", "counter total", "label jvm.vendor", "gauge threads", "gauge tiny", "counter logins", "gauge logins/m1_rate", "distribution sizes", "distribution requests", "distribution never"}},
	}
}

// TestRealPrograms reads what programs answer that nobody here wrote, as they answer today; the recordings in testdata are such answers.
func TestRealPrograms(t *testing.T) {
	for _, tc := range programs() {
		t.Run(tc.file, func(t *testing.T) {
			url, ok := tc.start(t)
			if !ok {
				return // testenv says so at the end, and fails with CI=true
			}
			body, contentType := fetch(t, url, tc.accept)
			if *record {
				if err := os.WriteFile(filepath.Join("testdata", tc.file), body, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var p Parser
			var s collector.Snapshot
			if err := p.Parse(&s, body, contentType, Options{}); err != nil {
				t.Fatalf("%s: %v", contentType, err)
			}
			by := map[string]*collector.Sample{}
			for i := range s.Samples {
				by[s.Samples[i].Kind.String()+" "+s.Samples[i].Name] = &s.Samples[i]
			}
			for _, w := range tc.want {
				if by[w] == nil {
					t.Errorf("no %s among\n%s", w, dump(&p, &s))
				}
			}
			if contentType == "application/json" || strings.HasPrefix(contentType, "application/json;") {
				everyNumber(t, body, &s)
			}
			// By its bytes alone it is the same.
			var q Parser
			var blind collector.Snapshot
			if err := q.Parse(&blind, body, "", Options{}); err != nil || !bytes.Equal(dump(&q, &blind), dump(&p, &s)) {
				t.Errorf("by its bytes alone: %v, %d samples instead of %d", err, len(blind.Samples), len(s.Samples))
			}
		})
	}
}

// everyNumber holds the numbers of all samples against those that encoding/json finds anywhere in the body.
func everyNumber(t *testing.T, body []byte, s *collector.Snapshot) {
	t.Helper()
	var want, got []string
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	depth, arrays := 0, 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '[':
				arrays++
			case ']':
				arrays--
			}
			depth++
		case json.Number:
			if arrays == 0 {
				want = append(want, v.String())
			}
		}
	}
	for i := range s.Samples {
		switch x := &s.Samples[i]; {
		case x.Kind == collector.Distribution:
			for _, f := range x.Fields {
				got = append(got, f.Value)
			}
		case x.Kind != collector.Label:
			got = append(got, x.Value)
		}
	}
	for _, w := range want { // booleans and arrays give numbers, too
		i := slices.Index(got, w)
		if i < 0 {
			t.Errorf("the number %s of the body is in no sample", w)
			continue
		}
		got[i] = ""
	}
}

func fetch(t *testing.T, url, accept string) (body []byte, contentType string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return body, resp.Header.Get("Content-Type")
}

func expvarProgram(t *testing.T) (string, bool) {
	if expvar.Get("requests") == nil {
		big := new(expvar.Int)
		big.Set(9007199254740993)
		expvar.Publish("requests", big)
		expvar.NewMap("hits").Add("cart", 3)
		expvar.NewString("version").Set("1.42.0")
		expvar.NewFloat("load").Set(0.25)
	}
	srv := httptest.NewServer(expvar.Handler())
	t.Cleanup(srv.Close)
	return srv.URL, true
}

func clientGolang(t *testing.T) (string, bool) {
	reg := prometheus.NewPedanticRegistry()
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", Help: "Latency.", NativeHistogramBucketFactor: 1.1, NativeHistogramMaxExemplars: 4})
	sizes := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sizes", Help: "Sizes.", Buckets: []float64{1, 2.5, 10}}, []string{"route"})
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"code"})
	age := prometheus.NewSummary(prometheus.SummaryOpts{Name: "age_seconds", Help: "Age.", Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001, 1: 0}})
	temperature := prometheus.NewGauge(prometheus.GaugeOpts{Name: "temperature_celsius", Help: "Temperature."})
	reg.MustRegister(native, sizes, requests, age, temperature)
	temperature.Set(math.NaN())
	for i := range 200 {
		v := float64(i+1) / 50
		native.(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": "t" + strconv.Itoa(i)})
		sizes.WithLabelValues("/a").(prometheus.ExemplarObserver).ObserveWithExemplar(v*4, prometheus.Labels{"trace_id": "s" + strconv.Itoa(i)})
		age.Observe(v)
	}
	native.Observe(-0.5)
	native.Observe(0)
	requests.WithLabelValues("200").(prometheus.ExemplarAdder).AddWithExemplar(41, prometheus.Labels{"trace_id": "r"})
	requests.WithLabelValues("500").Inc()
	srv := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	t.Cleanup(srv.Close)
	return srv.URL, true
}

func nodeExporter(t *testing.T) (string, bool) {
	bin, ok := testenv.Tool(t, "prometheus-node-exporter")
	if !ok {
		return "", false
	}
	addr := "127.0.0.1:" + strconv.Itoa(testenv.Port(t))
	testenv.Program(t, []string{bin, "--web.listen-address=" + addr, "--collector.disable-defaults", "--collector.cpu", "--collector.meminfo", "--collector.loadavg", "--web.disable-exporter-metrics"}, testenv.Answers("http://"+addr+"/metrics"))
	return "http://" + addr + "/metrics", true
}

func zooKeeper(t *testing.T) (string, bool) {
	zk := testenv.ZooKeeper(t, testenv.AdminServer())
	return zk.AdminURL + "/commands/monitor", zk.AdminURL != ""
}

func ostrich(path string) func(t *testing.T) (string, bool) {
	return func(t *testing.T) (string, bool) {
		port := strconv.Itoa(testenv.Port(t))
		url := "http://127.0.0.1:" + port + path
		_, ok := testenv.Java(t, testenv.Artifacts{Name: "ostrich", Coordinates: []string{"com.twitter:ostrich_2.10:9.18.0"}},
			filepath.Join("..", "..", "cmd", "rollcall", "testdata", "OstrichApp.java"), []string{port}, answersWith(url, "latency_ms"))
		return url, ok
	}
}

func dropwizard(t *testing.T) (string, bool) {
	port := strconv.Itoa(testenv.Port(t))
	url := "http://127.0.0.1:" + port + "/metrics"
	_, ok := testenv.Java(t, testenv.Artifacts{Name: "dropwizard", Coordinates: []string{"io.dropwizard.metrics:metrics-core:4.2.30", "io.dropwizard.metrics:metrics-json:4.2.30", "org.slf4j:slf4j-simple:2.0.13"}},
		filepath.Join("testdata", "programs", "DropwizardApp.java"), []string{port}, testenv.Answers(url))
	return url, ok
}

// answersWith is a ready function: the answer has a word in it.
func answersWith(url, word string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := testenv.Answers(url)(ctx); err != nil {
			return err
		}
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Contains(b, []byte(word)) {
			err = io.ErrNoProgress
		}
		return err
	}
}

// TestProtobufIsText holds the two forms of one registry against each other: they say the same, but for native histograms and how a time is spelled.
func TestProtobufIsText(t *testing.T) {
	url, _ := clientGolang(t)
	said := func(accept string) map[string]string {
		body, contentType := fetch(t, url, accept)
		var p Parser
		var s collector.Snapshot
		if err := p.Parse(&s, body, contentType, Options{}); err != nil {
			t.Fatalf("%s: %v", contentType, err)
		}
		m := map[string]string{}
		for _, x := range s.Samples {
			if strings.HasPrefix(x.Name, "latency_seconds") {
				continue
			}
			id := x.Kind.String() + " " + x.Name
			for _, l := range x.Labels {
				id += " " + l.Name + "=" + l.Value
			}
			f, err := x.Float()
			if err != nil {
				t.Error(err)
			}
			m[id] = strconv.FormatFloat(f, 'g', -1, 64)
		}
		return m
	}
	if d := cmp.Diff(said("text/plain;version=0.0.4"), said(acceptProtobuf)); d != "" {
		t.Error(d)
	}
}
