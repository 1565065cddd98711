package web

import (
	"errors"
	"net/http"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
)

// history answers from the roll-ups of the last day.
func (s *Server) history(r *http.Request) (any, error) {
	if s.cfg.History == nil {
		return nil, &problem{http.StatusNotFound, "no history is kept here"}
	}
	var q rollup.Query
	var step string
	if err := params(r, map[string]*string{"service": &q.Service, "env": &q.Env, "signal": &q.Signal, "by": &q.By, "step": &step}); err != nil {
		return nil, err
	}
	if q.Service == "" || q.Env == "" || q.Signal == "" {
		return nil, badRequest("say which one: service=NAME&env=NAME&signal=rate, errors, error_ratio, latency, instances or metric:NAME")
	}
	var err error
	if q.From, q.To, q.Step, err = span(r, step, 10_000); err != nil {
		return nil, err
	}
	a, err := s.cfg.History.Query(q, s.cfg.Board.Now("").AsOf)
	switch {
	case errors.Is(err, rollup.ErrNone) && s.strange(q.Service):
		return nil, dashboards.ErrNoService
	case errors.Is(err, rollup.ErrNone):
		return nil, &problem{http.StatusNotFound, err.Error()}
	case errors.Is(err, rollup.ErrQuery):
		return nil, &problem{http.StatusBadRequest, err.Error()}
	}
	return a, err
}
