package web

import (
	"net/http"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/check"
)

// check says what is recognised of a service and what is missing.
func (s *Server) check(r *http.Request) (any, error) {
	var service, env string
	if err := params(r, map[string]*string{"service": &service, "env": &env}); err != nil {
		return nil, err
	}
	env, err := s.envOf(service, env)
	if err != nil {
		return nil, err
	}
	b := s.cfg.Board
	now := b.AsOf()
	src := check.Source{AsOf: now.UnixMilli(), Service: service, Env: env, Is: b.Recognised(service, env), Feed: b.Feed()}
	traces, _ := b.Traces(service, env, now, now) // what they did is not asked for
	if src.Is == nil || traces == nil {
		return nil, dashboards.ErrNoService
	}
	src.Cohorts = canary.Form(traces, "")
	if s.cfg.Said != nil {
		src.Said, src.Files = s.cfg.Said(service, env)
	}
	if s.cfg.Promises != nil {
		src.Promises = s.cfg.Promises(service, env, now)
	}
	return check.Service(src), nil
}
