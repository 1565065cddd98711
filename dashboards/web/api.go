package web

import (
	"context"
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
	var env, region string
	if err := params(r, map[string]*string{"env": &env, "region": &region}); err != nil {
		return nil, err
	}
	s.follow(r, env, region)
	n := s.look(env, region)
	rows := n.Rows
	if rows == nil {
		rows = []*dashboards.Row{}
	}
	return struct {
		Full     bool                 `json:"full"`
		AsOf     int64                `json:"as_of"`
		Demo     bool                 `json:"demo"`
		Envs     []string             `json:"envs"`
		Regions  []string             `json:"regions"`
		Strip    dashboards.Strip     `json:"strip"`
		Findings []dashboards.Finding `json:"findings"`
		Services []*dashboards.Row    `json:"services"`
	}{true, n.AsOf.UnixMilli(), s.cfg.Demo, n.Envs, n.Regions, n.Strip, n.Findings, rows}, nil
}

func (s *Server) service(r *http.Request) (any, error) {
	var service, env, region string
	if err := params(r, map[string]*string{"service": &service, "env": &env, "region": &region}); err != nil {
		return nil, err
	}
	if service == "" || env == "" {
		return nil, badRequest("say which one: service=NAME&env=NAME; /api/v1/services lists them")
	}
	d := s.cfg.Board.Detail(service, env)
	if d == nil {
		return nil, dashboards.ErrNoService
	}
	if region != "" {
		s.follow(r, env, region)
		if d.Row = s.cfg.Board.RowIn(service, env, region); d.Row == nil {
			return nil, &problem{http.StatusNotFound, clip(service) + "/" + clip(env) + " has nobody in " + clip(region) + "; leave region out for all of it"}
		}
		d.Instances = slices.DeleteFunc(d.Instances, func(in dashboards.Instance) bool { return regionOf(in.Tags) != region })
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

// regionOf is where somebody with such tags is.
func regionOf(tags map[string]string) string {
	return dashboards.RegionOf(tags[dashboards.TagRegion], tags[dashboards.TagZone])
}

// follow waits until there is something to see of a region, which is so at the next tick.
func (s *Server) follow(r *http.Request, env, region string) {
	ctx, cancel := context.WithTimeout(r.Context(), followFor)
	defer cancel()
	s.cfg.Board.Follow(ctx, env, region)
}

// followFor bounds how long the first look at a region may take: a Board that does not tick shows nothing.
const followFor = 3 * time.Second

// maxWhere bounds the conditions of a query.
const maxWhere = 20

// where reads the conditions of a query: where=NAME=VALUE, each given again for several; of one name any value will do. A region is one more.
func where(r *http.Request) (out []dashboards.Where, err error) {
	all := r.URL.Query()["where"]
	region, err := param(r, "region")
	if err != nil {
		return nil, err
	}
	if region != "" {
		all = append([]string{"region=" + region}, all...)
	}
	if len(all) > maxWhere {
		return nil, badRequest("%d conditions; at most %d", len(all), maxWhere)
	}
	for _, w := range all {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" || len(w) > maxParam {
			return nil, badRequest("where=%q: give NAME=VALUE, such as version=1.42.0, instance=HOST:PORT, a tag or a label of the metric", clip(w))
		}
		// A region beside a condition on one is both of them.
		if i := slices.IndexFunc(out, func(o dashboards.Where) bool { return o.Name == name }); i >= 0 && !(region != "" && i == 0) {
			out[i].Values = append(out[i].Values, value)
			continue
		}
		out = append(out, dashboards.Where{Name: name, Values: []string{value}})
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
	if q.Where, err = where(r); err != nil {
		return nil, err
	}
	old, err := s.lookBack(r, q.Service, q.Env, q.From, q.From, q.To)
	if err != nil {
		return nil, err
	}
	return s.inTurn(r, func() (any, error) { return s.seriesOf(q, old) })
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

// mostAsked is how many words of a search are looked for.
const mostAsked = 8

// holds reports whether a line has each of some words, in lower case: anywhere, or, as NAME:VALUE, in what has such a name, as the page's own filters have it.
func holds(l *dashboards.RosterLine, words []string) bool {
	for _, word := range words {
		name, value, named := strings.Cut(word, ":")
		has := func(what, text string) bool {
			text = strings.ToLower(text)
			return strings.Contains(text, word) || named && name != "" && strings.Contains(strings.ToLower(what), name) && strings.Contains(text, value)
		}
		found := has("service", l.Service) || has("owner", l.Owner) || has("instance", l.Instance) || has("reason", l.Reason) || has("path", l.Path) || has("member", l.Member) ||
			has("cause", l.Cause) || has("excuse", l.Excuse) || has("by", l.By)
		for tag, v := range l.Tags {
			found = found || has(tag, v)
		}
		if !found {
			return false
		}
	}
	return true
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
	n := s.look("", "")
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
		TopicsAt  any               `json:"topics_at"`
	}{n.AsOf.UnixMilli(), s.cfg.Demo, s.cfg.Version, n.Strip.Feed, n.Strip, s.cfg.Board.Health(), history, collector, s.cfg.TopicsAt}, nil
}
