package promql

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/rollcall-metrics/rollcall/internal/gate"
)

// The types of errors, as Prometheus calls them.
const (
	errBadData   = "bad_data"
	errTimeout   = "timeout"
	errCanceled  = "canceled"
	errExecution = "execution"
	errInternal  = "internal"

	errUnavailable = "unavailable"
)

// clientGone is the status that nobody reads, as Prometheus has it.
const clientGone = 499

// badRequest is the fault of who asks.
type badRequest string

func (b badRequest) Error() string { return string(b) }

func badData(format string, args ...any) error { return badRequest(fmt.Sprintf(format, args...)) }

// kindOf says whose fault an error is.
func kindOf(err error) (kind string, status int) {
	var (
		bad      badRequest
		many     tooMany
		much     tooMuch
		told     tooMuchAsked
		canceled promql.ErrQueryCanceled
		late     promql.ErrQueryTimeout
		store    promql.ErrStorage
	)
	switch {
	case errors.Is(err, gate.ErrFull), errors.Is(err, gate.ErrLong):
		return errUnavailable, http.StatusServiceUnavailable
	case errors.As(err, &bad):
		return errBadData, http.StatusBadRequest
	case errors.As(err, &many), errors.As(err, &much), errors.As(err, &told):
		return errExecution, http.StatusUnprocessableEntity
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return errTimeout, http.StatusServiceUnavailable
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return errCanceled, clientGone
	case errors.As(err, &store):
		return errInternal, http.StatusInternalServerError
	}
	return errExecution, http.StatusUnprocessableEntity
}

// rawJSON is JSON already.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// queryData is the answer to a query.
type queryData struct {
	ResultType string           `json:"resultType"`
	Result     rawJSON          `json:"result"`
	Stats      stats.QueryStats `json:"stats,omitempty"` // where they were asked for
}

// response is the frame of every answer.
type response struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

// answer makes a handler of what gives data.
func (a *API) answer(f func(*http.Request) (any, annotations.Annotations, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var data any
		var warn annotations.Annotations
		err := r.ParseForm()
		if err != nil {
			err = badData("error parsing form values: %v", err)
		} else {
			data, warn, err = f(r)
		}
		status, res := http.StatusOK, response{Status: "success", Data: data}
		if err != nil {
			var kind string
			kind, status = kindOf(err)
			gate.Busy(w.Header(), err)
			res = response{Status: "error", ErrorType: kind, Error: err.Error()}
			a.queries[kind].Inc()
		} else {
			a.queries["success"].Inc()
		}
		res.Warnings, res.Infos = warn.AsStrings(r.FormValue("query"), 10, 10)
		a.took.UpdateDuration(begun)
		a.send(w, r, status, res)
	})
}

func (a *API) send(w http.ResponseWriter, r *http.Request, status int, res response) {
	b, err := json.Marshal(res)
	if err != nil {
		a.cfg.Log.Error("an answer cannot be written as JSON", "path", r.URL.Path, "err", err)
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if len(b) < 1024 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Length", strconv.Itoa(len(b)))
		w.WriteHeader(status)
		_, _ = w.Write(b) // the reader may have gone: nobody is left to tell
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	_, _ = z.Write(b)
	_ = z.Close()
}

func appendVector(b []byte, v promql.Vector) []byte {
	b = append(b, '[')
	for i := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendLabels(append(b, `{"metric":`...), v[i].Metric), `,"value":`...)
		b = append(appendPoint(b, v[i].T, v[i].F), '}')
	}
	return append(b, ']')
}

func appendMatrix(b []byte, m promql.Matrix) []byte {
	b = append(b, '[')
	for i := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendLabels(append(b, `{"metric":`...), m[i].Metric), `,"values":[`...)
		for k, p := range m[i].Floats {
			if k > 0 {
				b = append(b, ',')
			}
			b = appendPoint(b, p.T, p.F)
		}
		b = append(b, `]}`...)
	}
	return append(b, ']')
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = append(b, '{')
	first := true
	ls.Range(func(l labels.Label) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(append(appendString(b, l.Name), ':'), l.Value)
	})
	return append(b, '}')
}

// appendPoint writes [seconds,"value"].
func appendPoint(b []byte, t int64, v float64) []byte {
	b = append(appendTime(append(b, '['), t), `,"`...)
	form := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return append(strconv.AppendFloat(b, v, form, -1, 64), `"]`...)
}

func appendText(b []byte, t int64, s string) []byte {
	return append(appendString(append(appendTime(append(b, '['), t), ','), s), ']')
}

// appendTime writes milliseconds as seconds with as many places as they need, three or none.
func appendTime(b []byte, t int64) []byte {
	if t < 0 {
		b, t = append(b, '-'), -t
	}
	b = strconv.AppendInt(b, t/1000, 10)
	if f := t % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	}
	return b
}

// appendString writes a string as JSON.
func appendString(b []byte, s string) []byte {
	j, _ := json.Marshal(s) // a string always can be
	return append(b, j...)
}

// engineVersion is the version of the Prometheus whose engine this is.
func engineVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if v, ok := strings.CutPrefix(m.Version, "v0."); ok && m.Path == "github.com/prometheus/prometheus" {
				if n, _, _ := strings.Cut(v, "."); len(n) == 3 {
					return n[:1] + "." + strings.TrimPrefix(n[1:], "0") + ".0"
				}
			}
		}
	}
	return "3.0.0"
}
