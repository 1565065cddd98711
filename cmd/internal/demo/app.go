package demo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/collector/expose"
)

// app is one running application: a registry that it counts into, and a listener that serves it.
type app struct {
	svc        *service
	zone, host int
	n          int // within its service
	addr       string

	mu      sync.Mutex
	version string
	track   string
	rng     *rand.Rand
	drift   float64 // slow noise of the rate, around 0
	owed    float64 // requests not yet made

	reg       *prometheus.Registry
	requests  prometheus.Counter
	errors    prometheus.Counter
	byPath    *prometheus.CounterVec
	exception *prometheus.CounterVec
	byClient  *prometheus.CounterVec
	failed    *prometheus.CounterVec
	latency   prometheus.Summary
	pool      prometheus.Gauge
	heap      prometheus.Gauge
	started   time.Time
}

func newApp(s *service, zone, host, n int, addr, version, track string, seed uint64) *app {
	a := &app{svc: s, zone: zone, host: host, n: n, addr: addr, version: version, track: track,
		rng: rand.New(rand.NewPCG(seed, uint64(n)<<8|uint64(zone))), started: time.Now()}
	a.restart()
	return a
}

// restart begins all counts anew, as a new process does.
func (a *app) restart() {
	a.reg = prometheus.NewRegistry()
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		a.reg.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		a.reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		a.reg.MustRegister(g)
		return g
	}
	a.requests = counter("requests", "Requests taken.")
	a.errors = counter("errors", "Requests that failed.")
	a.byPath = vec("endpoint_requests", "Requests by endpoint.", "endpoint")
	a.exception = vec("exceptions", "Failures by class.", "class")
	a.byClient = vec("client_requests", "Requests by the client's address.", "client_ip")
	a.failed = vec("client_errors", "Failed requests by the client's address.", "client_ip")
	a.latency = prometheus.NewSummary(prometheus.SummaryOpts{Name: "latency_ms", Help: "Time to answer, the last 10 s.", MaxAge: 10 * time.Second, AgeBuckets: 5,
		Objectives: map[float64]float64{.5: .02, .9: .01, .95: .005, .99: .002, .999: .0005}})
	a.pool = gauge("threads_busy", "Workers at work.")
	a.heap = gauge("heap_mb", "Heap in use.")
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "uptime_seconds", Help: "Age of the process."}, func() float64 { return math.Round(time.Since(a.started).Seconds()*10) / 10 })
	a.reg.MustRegister(a.latency, up)
}

// effect is what a fault does to one application; the zero value does nothing.
type effect struct {
	errors   float64 // share of requests that fail beside the usual
	slower   float64 // factor on latency, 0 = 1
	asn      uint32  // only clients of this autonomous system, 0 = all
	down     bool    // does not answer
	classes  string  // exception class of the failures
	capacity float64 // factor on the rate, 0 = 1
}

// tick lives through dt: makes the requests that fall into it and counts them.
func (a *app) tick(now time.Time, dt time.Duration, e effect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	hour := float64(now.UTC().Hour()) + float64(now.UTC().Minute())/60
	a.drift = a.drift*.98 + a.rng.NormFloat64()*.012
	rate := a.svc.rate * daily(hour) * math.Exp(a.drift) * cmp.Or(e.capacity, 1)
	a.owed += rate * dt.Seconds()
	n := int(a.owed)
	a.owed -= float64(n)
	n = max(0, n+int(math.Round(a.rng.NormFloat64()*math.Sqrt(float64(n))*.5)))
	var busy float64
	for range n {
		busy += a.request(e)
	}
	a.pool.Set(math.Round(busy / 1000 / max(dt.Seconds(), .001) * 10))
	a.heap.Set(math.Round((256+128*math.Mod(now.Sub(a.started).Seconds()/37+float64(a.n)*.3, 1))*10) / 10)
}

// request makes one request and returns its milliseconds.
func (a *app) request(e effect) float64 {
	net := a.pickNetwork()
	client := net.client(a.rng.IntN(clientsPerNetwork)).String()
	ms := a.svc.median * math.Exp(a.rng.NormFloat64()*a.svc.tail)
	hit := e.asn == 0 || e.asn == net.asn
	if hit {
		ms *= cmp.Or(e.slower, 1)
	}
	fails := a.rng.Float64() < a.svc.errors
	class := a.svc.exceptions[a.rng.IntN(len(a.svc.exceptions))]
	if !fails && hit && a.rng.Float64() < e.errors {
		fails, class = true, cmp.Or(e.classes, class)
	}
	a.requests.Inc()
	a.byPath.WithLabelValues(a.svc.endpoints[a.rng.IntN(len(a.svc.endpoints))]).Inc()
	a.byClient.WithLabelValues(client).Inc()
	a.latency.Observe(math.Round(ms*100) / 100)
	if fails {
		a.errors.Inc()
		a.exception.WithLabelValues(class).Inc()
		a.failed.WithLabelValues(client).Inc()
	}
	return ms
}

func (a *app) pickNetwork() *network {
	var sum float64
	for i := range networks {
		sum += networks[i].weight
	}
	x := a.rng.Float64() * sum
	for i := range networks {
		if x -= networks[i].weight; x < 0 {
			return &networks[i]
		}
	}
	return &networks[0]
}

// upgrade restarts the application as another version.
func (a *app) upgrade(version, track string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version, a.track, a.started = version, track, time.Now()
	a.restart()
}

// registry is that of the process that runs now.
func (a *app) registry() *prometheus.Registry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reg
}

// serve answers /stats.json, .txt, .csv, /metrics and /health until ctx ends. While down says so, connections are closed unanswered.
func (a *app) serve(ctx context.Context, l net.Listener, down func() bool) error {
	var mu sync.Mutex
	var of *prometheus.Registry
	var h http.Handler
	stats := func() http.Handler {
		mu.Lock()
		defer mu.Unlock()
		if r := a.registry(); r != of {
			of, h = r, expose.Handler(r, expose.Options{Labels: func() map[string]string { return map[string]string{"version": a.label()} }})
		}
		return h
	}
	mux := http.NewServeMux()
	for _, p := range []string{"/stats.json", "/stats.txt", "/stats.csv", "/metrics"} {
		mux.HandleFunc("GET "+p, func(w http.ResponseWriter, r *http.Request) { stats().ServeHTTP(w, r) })
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down() {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	})}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("serve %s on %s: %w", a.svc.name, a.addr, err)
	}
	return nil
}

func (a *app) label() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}
