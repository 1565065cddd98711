// Package expose serves the statistics of an application that counts with Prometheus' client library in Ostrich's shapes, so that rollcall (and anything
// else that reads /stats.json) can pull them.
//
// It owns the translation from any prometheus.Gatherer to /stats.json, /stats.txt and /stats.csv, and ByClient, which counts by autonomous system and
// country inside an application. It is imported by applications: it knows no other package of this project, and client_golang is its registry.
//
// # What becomes what
//
//   - A counter is under "counters", a gauge or untyped number under "gauges"; a whole number has no fraction.
//   - A summary is under "metrics" with count, sum, average and its quantiles: 0.5 is p50, 0.999 is p999, 0.05 is p05 (the digits after the point, two at
//     least); quantile 0 is minimum and 1 is maximum.
//   - A histogram is under "metrics" with count, sum, average and p50, p90, p95, p99, p999, p9999, interpolated in its buckets as Prometheus'
//     histogram_quantile does; the buckets are left out. Minimum and maximum are left out too: buckets do not know them.
//   - A distribution without observations has its count and sum, and nothing else.
//   - A gauge whose name ends in _info, whose value is 1 and which is the only series of its family is text: each of its labels is under "labels"
//     as name/label.
//   - A labelled series is named as Finagle names a scope: name/label/value, the labels sorted by name, such as http_requests_total/code/200/method/get.
//     In label names and values % is %25 and / is %2F, so the name can be taken apart again.
//   - A number that is NaN or infinite is left out of JSON, which cannot say it, and counted in the gauge expose_nonfinite, which is there only then;
//     /stats.txt and /stats.csv say NaN, Infinity, -Infinity.
package expose

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Options shape a Handler; the zero value is what applications want.
type Options struct {
	// Labels, if not nil, is asked at each request for texts to show under "labels": the version, the mode. It must be safe for concurrent use.
	Labels func() map[string]string
	// MaxInFlight is how many requests are answered at once, 8 if 0; one more is told 503. A request costs about as much memory as its body.
	MaxInFlight int
	// MaxPeriods is how many different ?period= are kept at once, 4 if 0. Each costs one set of values.
	MaxPeriods int
	// Log hears of collectors that fail; nil says nothing.
	Log *slog.Logger
}

// Handler serves g as /stats.json, /stats.txt, /stats.csv (the last element of the path decides, so it may be mounted anywhere) and /metrics, which is
// Prometheus' own. Anything else is 404.
//
// A collector that fails hurts only itself: the others' numbers are served and the error is logged. If nothing at all could be gathered the
// answer is 500.
//
// With ?period=60 every reader gets the same closed window of 60 s: counters and distributions hold the increase over it, gauges the value at its end;
// Last-Modified is its end. Quantiles of a histogram are those of the window; quantiles of a summary are as its collector says, because they cannot be
// subtracted. The first request for a period opens its windows: until one has closed the answer is 503 with Retry-After. A period
// that nobody asked for during ten windows (ten minutes at least) is forgotten. Whole seconds from 1 to 3600 are taken.
//
// ?namespace= is refused with 400: in Ostrich it resets the counters of that reader at each read, so an answer lost on the way is data lost.
func Handler(g prometheus.Gatherer, o Options) http.Handler {
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 8)
	o.MaxPeriods = cmp.Or(o.MaxPeriods, 4)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{
		g: g, o: o,
		slots:   make(chan struct{}, o.MaxInFlight),
		windows: map[time.Duration]*window{},
		metrics: promhttp.HandlerFor(g, promhttp.HandlerOpts{
			ErrorHandling:       promhttp.ContinueOnError,
			ErrorLog:            errorLog{o.Log},
			MaxRequestsInFlight: o.MaxInFlight,
		}),
	}
}

type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) {
	l.log.Warn("gathering metrics failed in part", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}

type handler struct {
	g       prometheus.Gatherer
	o       Options
	slots   chan struct{}
	metrics http.Handler
	bufs    sync.Pool // *bytes.Buffer
	zips    sync.Pool // *gzip.Writer

	mu      sync.Mutex
	windows map[time.Duration]*window
}

// format is one shape of the same statistics.
type format struct {
	contentType string
	append      func([]byte, *stats) []byte
}

func formatOf(p string) (format, bool) {
	switch path.Base(p) {
	case "stats.json":
		return format{"application/json", appendJSON}, true
	case "stats.txt":
		return format{"text/plain; charset=utf-8", appendText}, true
	case "stats.csv":
		return format{"text/csv; charset=utf-8; header=present", appendCSV}, true
	}
	return format{}, false
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "statistics are read with GET", http.StatusMethodNotAllowed)
		return
	}
	f, ok := formatOf(r.URL.Path)
	if !ok {
		if path.Base(r.URL.Path) == "metrics" {
			h.metrics.ServeHTTP(w, r)
			return
		}
		http.Error(w, "no such page; there are stats.json, stats.txt, stats.csv and metrics", http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	if q.Has("namespace") {
		http.Error(w, "namespace is not served: it would reset the counters of that reader at each read, and an answer lost on the way would be data lost; "+
			"read without it and subtract, or use period", http.StatusBadRequest)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many readers at once; try again", http.StatusServiceUnavailable)
		return
	}
	var families []*dto.MetricFamily
	if q.Has("period") {
		period, err := parsePeriod(q.Get("period"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var at time.Time
		if families, at, ok = h.latched(w, period); !ok {
			return
		}
		w.Header().Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	} else {
		var err error
		if families, err = h.gather(); err != nil {
			http.Error(w, "gathering statistics failed: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	s := summarise(families)
	if h.o.Labels != nil {
		s.addLabels(h.o.Labels())
	}
	s.sort()
	h.write(w, r, f, s)
}

// gather asks all collectors. The error is not nil only if there is nothing to show for it.
func (h *handler) gather() ([]*dto.MetricFamily, error) {
	families, err := h.g.Gather()
	if err != nil {
		if len(families) == 0 {
			return nil, err
		}
		errorLog{h.o.Log}.Println(err)
	}
	return families, nil
}

func (h *handler) write(w http.ResponseWriter, r *http.Request, f format, s *stats) {
	buf, _ := h.bufs.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	defer h.bufs.Put(buf)
	buf.Reset()
	buf.Write(f.append(buf.AvailableBuffer(), s))
	head := w.Header()
	head.Set("Content-Type", f.contentType)
	head.Set("Cache-Control", "no-store")
	head.Set("Vary", "Accept-Encoding")
	if !acceptsGzip(r.Header.Get("Accept-Encoding")) || buf.Len() < 1024 {
		head.Set("Content-Length", strconv.Itoa(buf.Len()))
		w.Write(buf.Bytes()) // a reader that went away is no error of ours
		return
	}
	head.Set("Content-Encoding", "gzip")
	z, _ := h.zips.Get().(*gzip.Writer)
	if z == nil {
		z, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
	} else {
		z.Reset(w)
	}
	defer h.zips.Put(z)
	z.Write(buf.Bytes())
	z.Close()
}

// acceptsGzip reads Accept-Encoding: gzip or * with a weight other than 0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name != "gzip" && name != "*" {
			continue
		}
		q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if v, err := strconv.ParseFloat(q, 64); err == nil && v == 0 {
			return false
		}
		return true
	}
	return false
}

func parsePeriod(s string) (time.Duration, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 3600 {
		return 0, fmt.Errorf("period is %.32q; give whole seconds from 1 to 3600, such as period=60", s)
	}
	return time.Duration(n) * time.Second, nil
}
