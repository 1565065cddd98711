package web

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// defaultWarmup is how long a cold process is not judged, unless the question says else.
const defaultWarmup = 5 * time.Minute

// canary is a verdict on a service's canary, as of the last tick.
func (s *Server) canary(r *http.Request) (any, error) {
	var q canary.Ask
	var warmup string
	if err := params(r, map[string]*string{"service": &q.Service, "env": &q.Env, "version": &q.Version, "warmup": &warmup}); err != nil {
		return nil, err
	}
	given := warmup != ""
	if given {
		d, err := time.ParseDuration(warmup)
		if err != nil || d < 0 || d > 24*time.Hour {
			return nil, badRequest("warmup=%q is no duration within a day; give 5m, or 0s for none", clip(warmup))
		}
		q.Warmup = d
	}
	var err error
	if q.Env, err = s.envOf(q.Service, q.Env); err != nil {
		return nil, err
	}
	by, usual := s.judgedBy(q.Service, q.Env)
	if q.Measures = by; !given {
		q.Warmup = usual
	}
	a, err := canary.Judge(s.cfg.Board, q)
	if errors.Is(err, canary.ErrBlind) {
		return nil, &problem{http.StatusServiceUnavailable, "nothing can be judged now: " + err.Error()}
	}
	return a, err
}

// judgedBy is what a service's canary is judged by, and its warming up.
func (s *Server) judgedBy(service, env string) (by []canary.Measure, warmup time.Duration) {
	if s.cfg.Measures != nil {
		by, warmup = s.cfg.Measures(service, env)
	}
	return by, cmp.Or(warmup, defaultWarmup)
}

// convergence is how far a version, or any other tag or text, has come over a service's instances.
func (s *Server) convergence(r *http.Request) (any, error) {
	var service, env, by, target string
	if err := params(r, map[string]*string{"service": &service, "env": &env, "by": &by, "target": &target}); err != nil {
		return nil, err
	}
	env, err := s.envOf(service, env)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Board.AsOf()
	traces, _ := s.cfg.Board.Traces(service, env, now, now) // what they did is not asked for
	if traces == nil {
		return nil, dashboards.ErrNoService
	}
	if by != "" && !slices.Contains(s.cfg.Board.MetricNames(service, env), by) { // a text of the applications, else a tag
		if err := s.apart(dashboards.Query{Service: service, Env: env, Metric: "instances", By: by}); err != nil {
			return nil, err
		}
	}
	return struct {
		AsOf    int64  `json:"as_of"`
		Service string `json:"service"`
		Env     string `json:"env"`
		canary.Convergence
	}{now.UnixMilli(), service, env, canary.Converge(traces, cmp.Or(by, "version"), target)}, nil
}

// envOf is the environment that is meant: the one given, or the only one that the service is in.
func (s *Server) envOf(service, env string) (string, error) {
	if service == "" {
		return "", badRequest("say which one: service=NAME&env=NAME; /api/v1/services lists them")
	}
	if env != "" {
		return env, nil
	}
	var envs []string
	for _, n := range s.cfg.Board.Names() {
		if n[0] == service {
			envs = append(envs, n[1])
		}
	}
	switch len(envs) {
	case 0:
		return "", dashboards.ErrNoService
	case 1:
		return envs[0], nil
	}
	return "", badRequest("%s is in several environments, say which: env=%s", clip(service), strings.Join(envs, " or env="))
}
