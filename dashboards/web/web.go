// Package web serves a Board: the HTTP API of docs/api.md, one stream of server-sent events a page, and the embedded page itself.
//
// It owns what travels between the Board and a browser. It holds no state of the fleet and asks nothing of Kafka itself: what it cannot read from the Board
// (how discovery is doing, what the collector says of itself) is handed in as functions.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/past"
	"github.com/rollcall-metrics/rollcall/dashboards/profile"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/gate"
	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// Config says what to serve. Board is needed; the rest has defaults.
type Config struct {
	Board   *dashboards.Board
	History *rollup.History // nil: none is kept
	Past    *past.Past      // reads back from Kafka what the Board does not hold any more; nil: nothing does
	Demo    bool            // the page offers to break something
	Version string          // of this program
	// Views is what the sources of discovery say of themselves; nil where no discovery runs in this process.
	Views func() []discovery.View
	// Collector is the collector's own account, put into /api/v1/status as it is; nil: null.
	Collector func() any
	// TopicsAt is which brokers and topics are read, put into /api/v1/status as it is; nil: null.
	TopicsAt any
	// Ask asks every collector that this server knows a question of its API, at most as long as ctx lives; nil, or nothing: there is none, and the page says that
	// what only collectors know is not known here.
	Ask func(ctx context.Context, path string, q url.Values) []Told
	// Exceptions are those that only others know: undelivered records, a collector behind. They join the Board's and discovery's.
	Exceptions func() []dashboards.Exception
	// Measures is what a service's canary is judged by, and how long after its start a process is not; nil, or nothing: the golden signals, and five minutes.
	Measures func(service, env string) (by []canary.Measure, warmup time.Duration)
	// Promises is how what a service promises stands; nil: nobody promises anything.
	Promises func(service, env string, now time.Time) []slo.Standing
	// Said is what people say of a service, and the files that were read for it; nil: nobody says anything.
	Said func(service, env string) (profile.Profile, []profile.FileStatus)
	// PromSeries answers /api/v1/series where Prometheus' match[] is asked for; nil: nothing does.
	PromSeries http.Handler
	// Fault answers POST /demo/fault. nil: there is no such page.
	Fault http.Handler
	// Extra are more pages by ServeMux pattern: /metrics, /stats.json, /-/healthy, …. One that is given here wins over one of ours.
	Extra map[string]http.Handler
	// MaxStreams bounds the pages that watch at once, default 2000.
	MaxStreams int
	// Dear is how many questions that cost much are answered at once, Waiting how many may wait for that, 10 s at most; default: one for each processor and two at
	// least, and 64. Who comes then is told to come again.
	Dear, Waiting int
	Log           *slog.Logger
	Metrics       *metrics.Set
}

func (c *Config) defaults() {
	c.MaxStreams = cmp.Or(c.MaxStreams, 2000)
	c.Dear, c.Waiting = cmp.Or(c.Dear, max(runtime.GOMAXPROCS(0), 2)), cmp.Or(c.Waiting, 64)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Board == nil {
		errs = append(errs, errors.New("there is no board to show"))
	}
	if c.MaxStreams < 0 || c.Dear < 0 || c.Waiting < 0 {
		errs = append(errs, fmt.Errorf("max streams %d, %d dear questions at once or %d that wait: none may be negative", c.MaxStreams, c.Dear, c.Waiting))
	}
	for p := range c.Extra {
		if !strings.Contains(p, "/") {
			errs = append(errs, fmt.Errorf("extra page %q is no pattern; begin it with /", p))
		}
	}
	return errors.Join(errs...)
}

// dearWait is how long a question that costs much may wait for its turn: who asks has given up by then.
const dearWait = 10 * time.Second

// Server serves a Board. Its streams end when the request's context does: give http.Server a BaseContext that ends at shutdown.
type Server struct {
	cfg      Config
	mux      *http.ServeMux
	frames   frames
	verdicts verdicts
	gate     *gate.Gate // before what costs much
	files    map[string]*file

	places places

	refused *metrics.Counter
	cut     *metrics.Counter
	events  *metrics.Counter
	sent    *metrics.Counter
}

// New makes a Server. The error names everything that cannot be.
func New(c Config) (*Server, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("make web server: %w", err)
	}
	files, err := embedded()
	if err != nil {
		return nil, fmt.Errorf("make web server: %w", err)
	}
	s := &Server{cfg: c, mux: http.NewServeMux(), files: files, gate: gate.New(c.Dear, c.Waiting, dearWait), places: places{most: c.MaxStreams, by: map[string]*place{}, of: map[string]int{}}}
	c.Metrics.GetOrCreateGauge("rollcall_web_streams", func() float64 { return float64(s.places.taken()) })
	s.refused = c.Metrics.GetOrCreateCounter("rollcall_web_streams_refused_total")
	c.Metrics.GetOrCreateGauge("rollcall_web_questions_refused", func() float64 { return float64(s.gate.Refused()) })
	s.cut = c.Metrics.GetOrCreateCounter("rollcall_web_streams_cut_total")
	s.events = c.Metrics.GetOrCreateCounter("rollcall_web_events_total")
	s.sent = c.Metrics.GetOrCreateCounter("rollcall_web_event_bytes_total")
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	pages := map[string]http.Handler{
		"GET /api/v1/stream":        http.HandlerFunc(s.stream),
		"POST /api/v1/stream/{id}":  s.answer(s.repace),
		"GET /api/v1/now":           s.answer(s.now),
		"GET /api/v1/service":       s.dear(s.service),
		"GET /api/v1/series":        s.eitherSeries(s.answer(s.series)),
		"GET /api/v1/search":        s.dear(s.search),
		"GET /api/v1/services":      s.answer(s.services),
		"GET /api/v1/roster":        s.answer(s.roster),
		"GET /api/v1/roster/guards": s.answer(s.guards),
		"GET /api/v1/roster/paths":  s.answer(s.paths),
		"GET /api/v1/roster/why":    s.answer(s.why),
		"GET /api/v1/collectors":    s.answer(s.collectors),
		"GET /api/v1/status":        s.answer(s.status),
		"GET /api/v1/me":            s.answer(func(r *http.Request) (any, error) { return trust.MeOf(r), nil }),
		"GET /api/v1/findings":      s.answer(s.findings),
		"GET /api/v1/findings/{id}": s.answer(s.finding),
		"GET /api/v1/events":        s.dear(s.listEvents),
		"GET /api/v1/changes":       s.dear(s.changes),
		"GET /api/v1/canary":        s.dear(s.canary),
		"GET /api/v1/check":         s.dear(s.check),
		"GET /api/v1/convergence":   s.dear(s.convergence),
		"GET /api/v1/canaries":      s.answer(s.canaries),
		"GET /api/v1/exceptions":    s.dear(s.exceptions),
		"GET /api/v1/host":          s.dear(s.host),
		"GET /api/v1/different":     s.answer(s.different),
		"GET /api/v1/silences":      s.answer(s.silences),
		"GET /api/v1/history":       s.dear(s.history),
		"POST /api/v1/events":       s.said("events", s.tell),

		"POST /api/v1/findings/{id}/ack":   s.said("acknowledgements", s.acknowledge),
		"DELETE /api/v1/findings/{id}/ack": s.said("acknowledgements", s.acknowledge),
		"POST /api/v1/silences":            s.said("silences", s.silence),
		"DELETE /api/v1/silences/{id}":     s.said("silences", s.silence),

		"/api/":  http.HandlerFunc(noSuchAPI),
		"/demo/": http.HandlerFunc(noSuchAPI),
		"/":      http.HandlerFunc(s.static),
	}
	if s.cfg.Fault != nil {
		// A page of another site must not break anything here, not even in a demo; nor must viewers.
		pages["POST /demo/fault"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if why := trust.Forbid(r, "faults"); why != "" {
				fail(w, r, http.StatusForbidden, why)
				return
			}
			s.cfg.Fault.ServeHTTP(w, r)
		})
	}
	if s.cfg.PromSeries != nil {
		pages["POST /api/v1/series"] = s.cfg.PromSeries
	}
	for p, h := range s.cfg.Extra {
		pages[p] = h
	}
	for p, h := range pages {
		if p != "GET /api/v1/stream" { // which has deadlines of its own
			h = timely(h)
		}
		s.mux.Handle(p, h)
	}
}

// eitherSeries tells the two questions apart that have this address: Prometheus' is by match[], ours names a service and a metric. One that names nothing is
// answered as Prometheus does, whose clients are many.
func (s *Server) eitherSeries(own http.Handler) http.Handler {
	if s.cfg.PromSeries == nil {
		return own
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Has("match[]") || !q.Has("service") && !q.Has("metric") {
			s.cfg.PromSeries.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
}

// Handler serves everything, with headers that keep the page to itself.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		s.mux.ServeHTTP(w, r)
	})
}

// policy lets the page load its own script, style, pictures and data, and nothing from anywhere else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// look is the Board's last tick with everybody's exceptions.
func (s *Server) look(env, region string) dashboards.Now {
	n := s.cfg.Board.NowIn(env, region)
	n.Strip.Exceptions = append(n.Strip.Exceptions, s.discoveryExceptions(n.AsOf)...)
	n.Strip.Exceptions = append(n.Strip.Exceptions, elsewhere(env, region, s.cfg.Board.Findings(), n.Findings)...)
	if s.cfg.Exceptions != nil {
		n.Strip.Exceptions = append(n.Strip.Exceptions, s.cfg.Exceptions()...)
	}
	return n
}

// elsewhere says that something is wrong in environments and regions that this page does not show: a calm page of one must not hide them.
func elsewhere(env, region string, findings, shown []dashboards.Finding) (out []dashboards.Exception) {
	open, there := map[string]int{}, 0
	for _, f := range findings {
		switch {
		case f.Ended != nil || f.Level != dashboards.LevelBad || f.Canary != nil: // canaries have a page of their own
		case env != "" && f.Env != env:
			open[f.Env]++
		case region != "" && !slices.ContainsFunc(shown, func(s dashboards.Finding) bool { return s.ID == f.ID }):
			there++
		}
	}
	if there > 0 {
		text := fmt.Sprintf("%d open findings in other regions, which are not shown here", there)
		if there == 1 {
			text = "1 open finding in another region, which is not shown here"
		}
		out = append(out, dashboards.Exception{Level: dashboards.LevelWarn, Text: text, Link: "/?" + url.Values{"env": {env}}.Encode()})
	}
	for _, other := range slices.Sorted(maps.Keys(open)) {
		text := fmt.Sprintf("%d open findings in %s, which is not shown here", open[other], other)
		if open[other] == 1 {
			text = "1 open finding in " + other + ", which is not shown here"
		}
		out = append(out, dashboards.Exception{Level: dashboards.LevelWarn, Text: text, Link: "/?env=" + url.QueryEscape(other)})
	}
	return out
}

// staleView is how old a word of discovery may be before the page says so.
const staleView = 30 * time.Second

func (s *Server) discoveryExceptions(now time.Time) (out []dashboards.Exception) {
	if s.cfg.Views == nil {
		return nil
	}
	for _, v := range s.cfg.Views() {
		var why string
		switch {
		case !v.Connected:
			why = "does not answer"
		case v.ReadOnly:
			why = "has lost its quorum"
		default:
			continue
		}
		if !v.LastHeard.IsZero() && now.Sub(v.LastHeard) < staleView && !v.Connected {
			continue // a reconnect under way
		}
		who := cmp.Or(v.Server, v.Source)
		text := fmt.Sprintf("Discovery of %s: %s %s; the last roster is kept and scraping goes on", v.Source, who, why)
		if !v.LastHeard.IsZero() {
			text = fmt.Sprintf("Discovery of %s is %s old: %s %s; scraping goes on", v.Source, age(now.Sub(v.LastHeard)), who, why)
		}
		out = append(out, dashboards.Exception{Level: dashboards.LevelWarn, Text: text, Link: "/roster"})
	}
	return out
}

// age is a duration as people say it.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", max(int(d.Seconds()), 0))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
