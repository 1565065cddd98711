package stats

import (
	"bytes"
	"context"
	"expvar"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// below gives what stands below one base.
func below(base string) urls { return func(path string) string { return base + path } }

func expvarProgram(t *testing.T) (urls, bool) {
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
	return below(srv.URL), true
}

func clientGolang(t *testing.T) (urls, bool) {
	reg := prometheus.NewPedanticRegistry()
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", Help: "Latency.", NativeHistogramBucketFactor: 1.1, NativeHistogramMaxExemplars: 4})
	sizes := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sizes", Help: "Sizes.", Buckets: []float64{1, 2.5, 10}}, []string{"route"})
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"code"})
	age := prometheus.NewSummary(prometheus.SummaryOpts{Name: "age_seconds", Help: "Age.", Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001, 1: 0}})
	temperature := prometheus.NewGauge(prometheus.GaugeOpts{Name: "temperature_celsius", Help: "Temperature."})
	queue := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "queue.länge", Help: "A name that only UTF-8 has."}, []string{"room.name"})
	queue.WithLabelValues("ä \"1\"").Set(3)
	reg.MustRegister(native, sizes, requests, age, temperature, queue)
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
	return below(srv.URL), true
}

func nodeExporter(t *testing.T) (urls, bool) {
	bin, ok := testenv.Tool(t, "prometheus-node-exporter")
	if !ok {
		return nil, false
	}
	addr := "127.0.0.1:" + strconv.Itoa(testenv.Port(t))
	testenv.Program(t, []string{bin, "--web.listen-address=" + addr, "--collector.disable-defaults", "--collector.cpu", "--collector.meminfo", "--collector.loadavg", "--web.disable-exporter-metrics"}, testenv.Answers("http://"+addr+"/metrics"))
	return below("http://" + addr), true
}

func zooKeeper(t *testing.T) (urls, bool) {
	zk := testenv.ZooKeeper(t, testenv.AdminServer(), testenv.PrometheusMetrics())
	return func(path string) string {
		if path == "metrics" {
			return zk.MetricsURL
		}
		return zk.AdminURL + path
	}, zk.AdminURL != ""
}

func ostrichProgram(t *testing.T) (urls, bool) {
	port := strconv.Itoa(testenv.Port(t))
	base := "http://127.0.0.1:" + port
	_, ok := testenv.Java(t, testenv.Artifacts{Name: "ostrich", Coordinates: []string{"com.twitter:ostrich_2.10:9.18.0"}},
		filepath.Join("..", "..", "cmd", "rollcall", "testdata", "OstrichApp.java"), []string{port}, answersWith(base+"/stats.json", "latency_ms"))
	return below(base), ok
}

func dropwizard(t *testing.T) (urls, bool) {
	port := strconv.Itoa(testenv.Port(t))
	base := "http://127.0.0.1:" + port
	_, ok := testenv.Java(t, testenv.Artifacts{Name: "dropwizard", Coordinates: []string{"io.dropwizard.metrics:metrics-core:4.2.30", "io.dropwizard.metrics:metrics-json:4.2.30", "org.slf4j:slf4j-simple:2.0.13"}},
		filepath.Join("testdata", "programs", "DropwizardApp.java"), []string{port}, testenv.Answers(base+"/metrics"))
	return below(base), ok
}

func twitterServer(t *testing.T) (urls, bool) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.Port(t)))
	word := "srv/http/requests"
	if *record {
		word = "request_latency_ms.p99" // its distributions are closed once a minute
	}
	_, ok := testenv.Java(t, testenv.TwitterServerJars, filepath.Join("testdata", "programs", "TwitterServerApp.java"), []string{"-admin.port=" + addr}, answersWith("http://"+addr+"/admin/metrics.json", word))
	return below("http://" + addr), ok
}

// kafka runs a broker with both agents that are usual for what it has in JMX.
func kafka(t *testing.T) (urls, bool) {
	jolokia, ok := testenv.Classpath(t, testenv.JolokiaJar)
	if !ok {
		return nil, false
	}
	exporter, ok := testenv.Classpath(t, testenv.ExporterJar)
	if !ok {
		return nil, false
	}
	jar := func(classpath string) string { return strings.Split(classpath, string(os.PathListSeparator))[0] }
	rules := filepath.Join("testdata", "programs", "jmx-exporter.yml")
	at, to := strconv.Itoa(testenv.Port(t)), strconv.Itoa(testenv.Port(t))
	abs, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	k, ok := testenv.Kafka(t, testenv.JavaAgent(jar(jolokia), "host=127.0.0.1,port="+at), testenv.JavaAgent(jar(exporter), "127.0.0.1:"+to+":"+abs))
	if !ok {
		return nil, false
	}
	k.CreateTopic("orders", 2, nil)
	return func(path string) string {
		if path == "/metrics" {
			return "http://127.0.0.1:" + to + path
		}
		return "http://127.0.0.1:" + at + path
	}, true
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
