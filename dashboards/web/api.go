package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// now is the whole of what the stream begins with, once.
func (s *Server) now(r *http.Request) (any, error) {
	env, err := param(r, "env")
	if err != nil {
		return nil, err
	}
	n := s.look(env)
	rows := n.Rows
	if rows == nil {
		rows = []*dashboards.Row{}
	}
	return struct {
		Full     bool                 `json:"full"`
		AsOf     int64                `json:"as_of"`
		Demo     bool                 `json:"demo"`
		Envs     []string             `json:"envs"`
		Strip    dashboards.Strip     `json:"strip"`
		Findings []dashboards.Finding `json:"findings"`
		Services []*dashboards.Row    `json:"services"`
	}{true, n.AsOf.UnixMilli(), s.cfg.Demo, n.Envs, n.Strip, n.Findings, rows}, nil
}

func (s *Server) service(r *http.Request) (any, error) {
	var service, env string
	if err := params(r, map[string]*string{"service": &service, "env": &env}); err != nil {
		return nil, err
	}
	if service == "" || env == "" {
		return nil, badRequest("say which one: service=NAME&env=NAME; /api/v1/search finds them")
	}
	d := s.cfg.Board.Detail(service, env)
	if d == nil {
		return nil, &problem{http.StatusNotFound, "no service " + clip(service) + "/" + clip(env) + " is known here; /api/v1/search finds them"}
	}
	out := struct {
		*dashboards.Detail
		Objectives []slo.Standing `json:"objectives"`
	}{d, []slo.Standing{}}
	if s.cfg.Promises != nil {
		out.Objectives = append(out.Objectives, s.cfg.Promises(service, env, time.UnixMilli(d.AsOf))...)
	}
	return out, nil
}

func (s *Server) series(r *http.Request) (any, error) {
	var q dashboards.Query
	var step string
	if err := params(r, map[string]*string{"service": &q.Service, "env": &q.Env, "metric": &q.Metric, "field": &q.Field, "by": &q.By, "step": &step}); err != nil {
		return nil, err
	}
	if q.Service == "" || q.Env == "" || q.Metric == "" {
		return nil, badRequest("say which one: service=NAME&env=NAME&metric=NAME; /api/v1/service lists a service's metrics")
	}
	var err error
	if q.From, q.To, q.Step, err = span(r, step, 1000); err != nil {
		return nil, err
	}
	return s.cfg.Board.Series(q)
}

// span reads from, to and step of a question about a while; each may be left out. unit is what steps should be a multiple of, in milliseconds.
func span(r *http.Request, step string, unit int) (from, to time.Time, each time.Duration, err error) {
	if from, err = millis(r, "from"); err != nil {
		return from, to, 0, err
	}
	if to, err = millis(r, "to"); err != nil || step == "" {
		return from, to, 0, err
	}
	n, err := strconv.ParseInt(step, 10, 64)
	if err != nil || n <= 0 || n > 24*time.Hour.Milliseconds() {
		return from, to, 0, badRequest("step=%q is no step; give milliseconds, a multiple of %d", clip(step), unit)
	}
	return from, to, time.Duration(n) * time.Millisecond, nil
}

func (s *Server) search(r *http.Request) (any, error) {
	q, err := param(r, "q")
	if err != nil {
		return nil, err
	}
	return s.cfg.Board.Search(q), nil
}

func holds(l *dashboards.RosterLine, q string) bool {
	for _, f := range []string{l.Service, l.Instance, l.Reason, l.Path, l.Member, l.Cause, l.Excuse, l.By} {
		if strings.Contains(strings.ToLower(f), q) {
			return true
		}
	}
	for _, v := range l.Tags {
		if strings.Contains(strings.ToLower(v), q) {
			return true
		}
	}
	return false
}

// view is a source's word with its time as the page wants it.
type view struct {
	Source    string `json:"source"`
	Connected bool   `json:"connected"`
	Live      bool   `json:"live"` // every path is under watch: all is verified as of last_heard
	ReadOnly  bool   `json:"read_only"`
	Server    string `json:"server"`
	LastHeard *int64 `json:"last_heard"`
	Error     string `json:"error"`
}

func shown(views []discovery.View) []view {
	out := make([]view, 0, len(views))
	for _, v := range views {
		w := view{v.Source, v.Connected, v.Live, v.ReadOnly, v.Server, nil, v.Err}
		if !v.LastHeard.IsZero() {
			t := v.LastHeard.UnixMilli()
			w.LastHeard = &t
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b view) int { return strings.Compare(a.Source, b.Source) })
	return out
}

func (s *Server) status(*http.Request) (any, error) {
	n := s.look("")
	var collector, history any
	if s.cfg.History != nil {
		history = s.cfg.History.Health()
	}
	if s.cfg.Collector != nil {
		collector = s.cfg.Collector()
	}
	return struct {
		AsOf      int64             `json:"as_of"`
		Demo      bool              `json:"demo"`
		Version   string            `json:"version"`
		Feed      dashboards.Feed   `json:"feed"`
		Strip     dashboards.Strip  `json:"strip"`
		Board     dashboards.Health `json:"board"`
		History   any               `json:"history"`
		Collector any               `json:"collector"`
	}{n.AsOf.UnixMilli(), s.cfg.Demo, s.cfg.Version, n.Strip.Feed, n.Strip, s.cfg.Board.Health(), history, collector}, nil
}
