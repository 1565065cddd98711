package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// findings lists what is and was wrong.
func (s *Server) findings(r *http.Request) (any, error) {
	var env, state, service string
	if err := params(r, map[string]*string{"env": &env, "state": &state, "service": &service}); err != nil {
		return nil, err
	}
	since, err := millis(r, "since")
	if err != nil {
		return nil, err
	}
	board := s.cfg.Board
	asOf := board.Now(env).AsOf.UnixMilli()
	out := slices.Clone(board.Now(env).Findings) // as the page has them, and verdicts that stand
	for _, f := range board.Findings() {
		if f.Metric == dashboards.MetricCanary && f.Ended == nil && (env == "" || f.Env == env) && !slices.ContainsFunc(out, func(o dashboards.Finding) bool { return o.ID == f.ID }) {
			out = append(out, f)
		}
	}
	switch state {
	case "":
	case "open", "ended", "all":
		out = slices.DeleteFunc(slices.Clone(board.Findings()), func(f dashboards.Finding) bool {
			return env != "" && f.Env != env || state == "open" && f.Ended != nil || state == "ended" && f.Ended == nil
		})
	default:
		return nil, badRequest("state=%q: use open, ended or all", clip(state))
	}
	out = slices.DeleteFunc(slices.Clone(out), func(f dashboards.Finding) bool {
		return service != "" && f.Service != service && !slices.Contains(f.Services, service) || !since.IsZero() && f.Ended != nil && *f.Ended < since.UnixMilli()
	})
	if len(out) == 0 && s.strange(service) {
		return nil, dashboards.ErrNoService // that nothing is known of it is no good news
	}
	if out == nil {
		out = []dashboards.Finding{}
	}
	return struct {
		AsOf     int64                `json:"as_of"`
		Findings []dashboards.Finding `json:"findings"`
	}{asOf, out}, nil
}

// finding is one of them, open or over.
func (s *Server) finding(r *http.Request) (any, error) {
	id := r.PathValue("id")
	f, ok := s.cfg.Board.Finding(id)
	if !ok {
		return nil, &problem{http.StatusNotFound, fmt.Sprintf("no finding %q is known: those that are over are known for a day; /api/v1/findings?state=all lists them", clip(id))}
	}
	return struct {
		AsOf    int64              `json:"as_of"`
		Finding dashboards.Finding `json:"finding"`
	}{s.cfg.Board.Now("").AsOf.UnixMilli(), f}, nil
}

// span is the from and to of a query; by default the last hour.
func (s *Server) span(r *http.Request) (from, to time.Time, err error) {
	if from, err = millis(r, "from"); err != nil {
		return from, to, err
	}
	if to, err = millis(r, "to"); err != nil {
		return from, to, err
	}
	if to.IsZero() {
		to = time.Now().Add(time.Second) // what has just been told is a part of it
	}
	if from.IsZero() {
		from = to.Add(-time.Hour)
	}
	if !from.Before(to) {
		return from, to, badRequest("from is not before to")
	}
	return from, to, nil
}

// events is the time line.
func (s *Server) listEvents(r *http.Request) (any, error) {
	var service, env string
	if err := params(r, map[string]*string{"service": &service, "env": &env}); err != nil {
		return nil, err
	}
	from, to, err := s.span(r)
	if err != nil {
		return nil, err
	}
	events := s.cfg.Board.Timeline(service, env, from, to)
	if len(events) == 0 && s.strange(service) {
		return nil, dashboards.ErrNoService
	}
	return struct {
		AsOf   int64               `json:"as_of"`
		Events []dashboards.Moment `json:"events"`
	}{s.cfg.Board.Now("").AsOf.UnixMilli(), events}, nil
}

// changes is what was different around a moment.
func (s *Server) changes(r *http.Request) (any, error) {
	var service, env, limit string
	if err := params(r, map[string]*string{"service": &service, "env": &env, "limit": &limit}); err != nil {
		return nil, err
	}
	at, err := millis(r, "at")
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		at = time.Now()
	}
	most := 20
	if limit != "" {
		if most, err = strconv.Atoi(limit); err != nil || most < 1 || most > 200 {
			return nil, badRequest("limit=%q is no number of changes; give 1 to 200", clip(limit))
		}
	}
	out := s.cfg.Board.Changes(service, env, at, time.Time{}, most)
	if len(out) == 0 && s.strange(service) {
		return nil, dashboards.ErrNoService
	}
	if out == nil {
		out = []dashboards.Change{}
	}
	return struct {
		At      int64               `json:"at"`
		Changes []dashboards.Change `json:"changes"`
	}{at.UnixMilli(), out}, nil
}

func (s *Server) silences(*http.Request) (any, error) {
	return struct {
		Silences []dashboards.Silence `json:"silences"`
	}{s.cfg.Board.Silences()}, nil
}

// maxSaid bounds what somebody sends.
const maxSaid = 64 << 10

// said makes a handler of a function that takes what somebody says. It is held to the rules of orders (package trust). What was said, by whom, goes to the log and to
// the topic.
func (s *Server) said(what string, f func(r *http.Request, who func(string) string) (any, error)) http.Handler {
	h := s.answer(func(r *http.Request) (any, error) {
		v, err := f(r, func(says string) string { return trust.Who(r, says) })
		switch {
		case errors.Is(err, dashboards.ErrNoFinding):
			return nil, s.noNote(r.PathValue("id"), err)
		case errors.Is(err, dashboards.ErrRefused):
			return nil, &problem{http.StatusBadRequest, err.Error()}
		case err == nil:
			s.cfg.Log.Info("told", "what", what, "path", r.URL.Path, "said", v, "signed_in", trust.Who(r, ""), "from", r.RemoteAddr)
		}
		return v, err
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := trust.Distrust(r, what); why != "" {
			fail(w, r, http.StatusForbidden, why)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// read reads the JSON that somebody sends.
func read(r *http.Request, into any) error {
	if t := r.Header.Get("Content-Type"); t != "application/json" {
		return &problem{http.StatusUnsupportedMediaType, "send application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxSaid))
	if err := d.Decode(into); err != nil {
		return badRequest("that is no JSON as it is wanted here: %s", clip(err.Error()))
	}
	return nil
}

// saidBy is who says it and why.
type saidBy struct {
	By  string `json:"by"`
	Why string `json:"why"`
}

func (s *Server) acknowledge(r *http.Request, who func(string) string) (any, error) {
	var in saidBy
	if r.Method == http.MethodDelete {
		in.By = r.URL.Query().Get("by")
	} else if err := read(r, &in); err != nil {
		return nil, err
	}
	f, err := s.cfg.Board.Acknowledge(r.PathValue("id"), dashboards.Ack{By: who(in.By), Why: in.Why, Over: r.Method == http.MethodDelete})
	return f, err
}

func (s *Server) silence(r *http.Request, who func(string) string) (any, error) {
	if r.Method == http.MethodDelete {
		return s.cfg.Board.EndSilence(r.PathValue("id"), who(r.URL.Query().Get("by")))
	}
	var in struct {
		saidBy
		Service string `json:"service"`
		Env     string `json:"env"`
		Metric  string `json:"metric"`
		Place   string `json:"place"`
		Until   int64  `json:"until"`
		For     string `json:"for"` // instead of until
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.For != "" {
		d, err := time.ParseDuration(in.For)
		switch {
		case in.Until != 0:
			return nil, badRequest("for=%q, and there is an until beside it: give one of them", clip(in.For))
		case err != nil || d > dashboards.MaxSilence:
			return nil, badRequest("for=%q is no time such as 1h30m, of at most %s", clip(in.For), dashboards.MaxSilence)
		}
		in.Until = time.Now().Add(d).UnixMilli()
	}
	return s.cfg.Board.Silence(dashboards.Silence{Service: in.Service, Env: in.Env, Metric: in.Metric, Place: in.Place, By: who(in.By), Why: in.Why, Until: in.Until})
}

// tell takes one event, or up to maxTold in an array, of which all are taken or none.
func (s *Server) tell(r *http.Request, who func(string) string) (any, error) {
	var raw json.RawMessage
	if err := read(r, &raw); err != nil {
		return nil, err
	}
	one := len(raw) == 0 || raw[0] != '['
	var in []dashboards.ToldEvent
	var err error
	if one {
		in = make([]dashboards.ToldEvent, 1)
		err = json.Unmarshal(raw, &in[0])
	} else {
		err = json.Unmarshal(raw, &in)
	}
	switch {
	case err != nil:
		return nil, badRequest("that is no event: %s", clip(err.Error()))
	case len(in) == 0 || len(in) > maxTold:
		return nil, badRequest("%d events; tell 1 to %d at once", len(in), maxTold)
	}
	for i := range in {
		in[i].Who = who(in[i].Who)
		if err := in[i].Check(time.Now()); err != nil {
			if !one {
				err = fmt.Errorf("event %d: %w", i+1, err)
			}
			return nil, badRequest("%s", err)
		}
	}
	for i := range in {
		if in[i], err = s.cfg.Board.Tell(in[i]); err != nil {
			return nil, err
		}
	}
	if one {
		return in[0], nil
	}
	return in, nil
}

const maxTold = 100
