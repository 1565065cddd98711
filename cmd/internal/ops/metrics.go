package ops

import (
	"bytes"
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/rollcall-metrics/rollcall/collector/expose"
)

// Metrics is a daemon's own metrics: cheap sets for the hot path, a client_golang registry for the process. It serves both, and is a
// prometheus.Gatherer of both.
type Metrics struct {
	Registry *prometheus.Registry

	mu   sync.Mutex
	sets []*metrics.Set
}

// NewMetrics makes the registry with process, Go and build metrics in it.
func NewMetrics(b Build) *Metrics {
	metrics.ExposeMetadata(true) // without # TYPE a counter of ours would be scraped as a number of which nobody knows what it is
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollcall_build_info", Help: "Which build this is; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go}})
	info.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return &Metrics{Registry: r}
}

// NewSet adds a set for one owner.
func (m *Metrics) NewSet() *metrics.Set {
	s := metrics.NewSet()
	m.mu.Lock()
	m.sets = append(m.sets, s)
	m.mu.Unlock()
	return s
}

// Drop forgets a set whose owner is gone.
func (m *Metrics) Drop(set *metrics.Set) {
	m.mu.Lock()
	m.sets = slices.DeleteFunc(slices.Clone(m.sets), func(s *metrics.Set) bool { return s == set })
	m.mu.Unlock()
}

// write writes all sets as one: several owners of one part count into families of one name, and a family may be announced only once.
func (m *Metrics) write(w io.Writer) {
	m.mu.Lock()
	sets := m.sets
	m.mu.Unlock()
	var b bytes.Buffer
	for _, s := range sets {
		s.WritePrometheus(&b)
	}
	families := map[string]*bytes.Buffer{}
	var order []string
	var to *bytes.Buffer
	for line := range bytes.Lines(b.Bytes()) {
		if rest, ok := bytes.CutPrefix(line, []byte("# TYPE ")); ok {
			name := string(rest)
			if to = families[name]; to == nil {
				to = &bytes.Buffer{}
				to.Write(line)
				families[name], order = to, append(order, name)
			}
			continue
		}
		if to != nil && line[0] != '#' {
			to.Write(line)
		}
	}
	for _, name := range order {
		w.Write(families[name].Bytes()) // a broken connection is the reader's loss
	}
}

// Gather implements prometheus.Gatherer over everything.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	out, err := m.Registry.Gather()
	if err != nil {
		return out, err
	}
	var b bytes.Buffer
	m.write(&b)
	p := expfmt.NewTextParser(model.UTF8Validation)
	own, err := p.TextToMetricFamilies(&b)
	if err != nil {
		return out, err
	}
	for _, f := range own {
		out = append(out, f)
	}
	return out, nil
}

// Routes adds /metrics, /stats.json, .txt, .csv, /-/healthy, /-/ready and /debug/pprof/. ready says why the daemon is not ready, or nil.
func (m *Metrics) Routes(mux *http.ServeMux, ready func() error) {
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.write(w)
		if fams, err := m.Registry.Gather(); err == nil {
			for _, f := range fams {
				expfmt.MetricFamilyToText(w, f) // a broken connection is the reader's loss
			}
		}
	})
	h := expose.Handler(m, expose.Options{})
	for _, p := range []string{"/stats.json", "/stats.txt", "/stats.csv"} {
		mux.Handle("GET "+p, h)
	}
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "healthy\n") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
}
