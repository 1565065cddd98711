package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/near"
)

// named is a service by its name.
type named struct {
	Service string `json:"service"`
	Env     string `json:"env"`
}

// services are the names of all services, or of those that are called so: little to read for who only wants to know whether there is such a one.
func (s *Server) services(r *http.Request) (any, error) {
	var service, env string
	if err := params(r, map[string]*string{"service": &service, "env": &env}); err != nil {
		return nil, err
	}
	out := struct {
		AsOf     int64   `json:"as_of"`
		Services []named `json:"services"`
	}{s.cfg.Board.AsOf().UnixMilli(), []named{}}
	for _, row := range s.cfg.Board.Rows() {
		if (service == "" || row.Service == service) && (env == "" || row.Env == env) {
			out.Services = append(out.Services, named{row.Service, row.Env})
		}
	}
	if service != "" && len(out.Services) == 0 {
		return nil, dashboards.ErrNoService
	}
	return out, nil
}

// strange reports whether a service is named that is none of those that are known: an empty list about it would look like good news.
func (s *Server) strange(service string) bool {
	rows := s.cfg.Board.Rows()
	return service != "" && len(rows) > 0 && !slices.ContainsFunc(rows, func(r *dashboards.Row) bool { return r.Service == service })
}

// noService says that there is no such service, and which may have been meant.
func (s *Server) noService(service, env string) string {
	var names, envs []string
	for _, r := range s.cfg.Board.Rows() {
		if names = append(names, r.Service); r.Service == service {
			envs = append(envs, r.Env)
		}
	}
	if len(envs) > 0 {
		return fmt.Sprintf("%s is not in %s; it is in %s", clip(service), clip(env), strings.Join(envs, ", "))
	}
	slices.Sort(names)
	return "no service is called " + clip(service) + " on this page" + near.There(service, slices.Compact(names), "`rollcall top` and /api/v1/services list them")
}

// noMetric says that a service has no such metric, and which may have been meant.
func (s *Server) noMetric(service, env, metric string) string {
	return fmt.Sprintf("%s/%s has no metric %s", clip(service), clip(env), clip(metric)) + near.There(metric, s.cfg.Board.MetricNames(service, env), "/api/v1/service lists its metrics")
}

// apart fails where a question goes by what no instance and no label has, or wants of a tag what nobody has.
func (s *Server) apart(q dashboards.Query) error {
	board := s.cfg.Board
	names := board.Dimensions(q.Service, q.Env, q.Metric)
	known := func(name string) error {
		if slices.Contains(names, name) {
			return nil
		}
		return &problem{http.StatusNotFound, fmt.Sprintf("nothing tells %s of %s/%s apart by %s", clip(q.Metric), clip(q.Service), clip(q.Env), clip(name)) +
			near.There(name, names, "there is "+strings.Join(names, ", "))}
	}
	if q.By != "" {
		if err := known(q.By); err != nil {
			return err
		}
	}
	for _, w := range q.Where {
		if err := known(w.Name); err != nil {
			return err
		}
		values, labelled := board.DimensionValues(q.Service, q.Env, q.Metric, w.Name)
		if labelled || slices.ContainsFunc(w.Values, func(v string) bool { return slices.Contains(values, v) }) {
			continue
		}
		return &problem{http.StatusNotFound, fmt.Sprintf("nothing of %s/%s has %s=%s", clip(q.Service), clip(q.Env), clip(w.Name), clip(w.Values[0])) + near.There(w.Values[0], values, some(values))}
	}
	return nil
}

// some are the first of the values that there are.
func some(values []string) string {
	switch n := len(values); {
	case n == 0:
		return "nobody says it"
	case n > near.Most:
		return fmt.Sprintf("there is %s and %d more", strings.Join(values[:near.Most], ", "), n-near.Most)
	}
	return "there is " + strings.Join(values, ", ")
}

// noHost says that nobody is known on a host, and which may have been meant.
func (s *Server) noHost(host string) error {
	hosts := map[string]bool{}
	var names []string
	s.cfg.Board.Roster(func(l *dashboards.RosterLine) bool {
		for _, name := range [2]string{l.Tags[dashboards.TagHost], addressOf(l.Instance)} {
			if name != "" && !hosts[name] {
				hosts[name] = true
				names = append(names, name)
			}
		}
		return false
	})
	slices.Sort(names)
	return &problem{http.StatusNotFound, "nobody is known on host " + clip(host) + near.There(host, names, "/api/v1/search finds instances")}
}

// addressOf is the host of HOST:PORT.
func addressOf(instance string) string {
	at := strings.LastIndexByte(instance, ':')
	return strings.Trim(instance[:max(at, 0)], "[]")
}

// noNote completes what is said where no finding, or no silence, has an id.
func (s *Server) noNote(id string, err error) error {
	var ids []string
	for _, f := range s.cfg.Board.Findings() {
		ids = append(ids, f.ID)
	}
	for _, q := range s.cfg.Board.Silences() {
		ids = append(ids, q.ID)
	}
	text := err.Error()
	if names := near.Names(id, ids); len(names) > 0 {
		text += "; there is " + strings.Join(names, ", ")
	}
	return &problem{http.StatusNotFound, text}
}
