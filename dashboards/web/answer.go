package web

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/gate"
)

// problem is an answer that is an error: its text says how to mend it.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// answer makes a handler of a function that gives what is to be sent as JSON.
func (s *Server) answer(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err == nil {
			send(w, r, http.StatusOK, v)
			return
		}
		var p *problem
		switch {
		case r.Context().Err() != nil: // who asked has gone
		case gate.Busy(w.Header(), err):
			fail(w, r, http.StatusServiceUnavailable, err.Error())
		case errors.As(err, &p):
			fail(w, r, p.status, p.text)
		case errors.Is(err, dashboards.ErrNoService):
			q := r.URL.Query()
			fail(w, r, http.StatusNotFound, s.noService(q.Get("service"), q.Get("env")))
		case errors.Is(err, dashboards.ErrNoMetric):
			q := r.URL.Query()
			fail(w, r, http.StatusNotFound, s.noMetric(q.Get("service"), q.Get("env"), q.Get("metric")))
		case errors.Is(err, dashboards.ErrQuery):
			fail(w, r, http.StatusBadRequest, err.Error())
		default:
			s.cfg.Log.Error("request failed", "path", r.URL.Path, "err", err)
			fail(w, r, http.StatusInternalServerError, "the server failed; its log says why")
		}
	})
}

// dear is answer for what costs much: so many are made at once, as the gate has places, and written into memory before their place goes to the next; a reader that is
// slow keeps none.
func (s *Server) dear(f func(*http.Request) (any, error)) http.Handler {
	return s.answer(func(r *http.Request) (any, error) { return s.inTurn(r, func() (any, error) { return f(r) }) })
}

// inTurn makes an answer in a place of the gate.
func (s *Server) inTurn(r *http.Request, f func() (any, error)) (any, error) {
	if err := s.gate.Enter(r.Context()); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	v, err := f()
	if err != nil {
		return nil, err
	}
	return written(v)
}

// text is an answer that is JSON already.
type text []byte

func written(v any) (any, error) {
	b, err := json.Marshal(v)
	return text(b), err
}

func fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	send(w, r, status, map[string]string{"error": text})
}

// worthZip is how large an answer must be to be compressed.
const worthZip = 1024

var zips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one of those
	return z
}}

func send(w http.ResponseWriter, r *http.Request, status int, v any) {
	b, is := v.(text)
	var err error
	if !is {
		b, err = json.Marshal(v)
	}
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON; please report it"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if len(b) < worthZip || !takesGzip(r) {
		h.Set("Content-Length", strconv.Itoa(len(b)))
		w.WriteHeader(status)
		_, _ = w.Write(b) // the reader may have gone: nobody is left to tell
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := zips.Get().(*gzip.Writer)
	defer zips.Put(z)
	z.Reset(w)
	_, _ = z.Write(b)
	_ = z.Close()
}

func takesGzip(r *http.Request) bool {
	for _, e := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(e), ";")
		if name == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

func noSuchAPI(w http.ResponseWriter, r *http.Request) {
	known := map[string]string{"/api/v1/stream": "GET", "/api/v1/now": "GET", "/api/v1/service": "GET", "/api/v1/series": "GET", "/api/v1/search": "GET", "/api/v1/services": "GET",
		"/api/v1/roster": "GET", "/api/v1/status": "GET", "/api/v1/me": "GET", "/api/v1/findings": "GET", "/api/v1/events": "GET, POST", "/api/v1/changes": "GET", "/api/v1/history": "GET", "/api/v1/canary": "GET", "/api/v1/check": "GET", "/api/v1/convergence": "GET", "/api/v1/silences": "GET, POST", "/demo/fault": "POST"}
	if m := known[r.URL.Path]; m != "" && !slices.Contains(strings.Split(m, ", "), r.Method) {
		w.Header().Set("Allow", m)
		fail(w, r, http.StatusMethodNotAllowed, "ask with "+strings.ReplaceAll(m, ", ", " or "))
		return
	}
	fail(w, r, http.StatusNotFound, "no such page; docs/api.md lists them")
}

// maxParam bounds one parameter of a query.
const maxParam = 1024

// param is one parameter of a query.
func param(r *http.Request, name string) (string, error) {
	v := r.URL.Query().Get(name)
	if len(v) > maxParam {
		return "", badRequest("%s is longer than %d bytes", name, maxParam)
	}
	return v, nil
}

// params reads several parameters into strings.
func params(r *http.Request, into map[string]*string) error {
	var errs []error
	for name, p := range into {
		var err error
		if *p, err = param(r, name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// millis reads a parameter of Unix milliseconds; the zero time where it is not given.
func millis(r *http.Request, name string) (time.Time, error) {
	v, err := param(r, name)
	if err != nil || v == "" {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return time.Time{}, badRequest("%s=%q is no time; give Unix milliseconds", name, clip(v))
	}
	return time.UnixMilli(n), nil
}

func clip(s string) string { return s[:min(len(s), 80)] }
