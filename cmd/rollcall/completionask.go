package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// The environment variables that name the servers where no flag does.
const (
	pageEnv      = "ROLLCALL_URL"
	collectorEnv = "ROLLCALL_COLLECTOR"
)

const (
	// askWithin bounds how long a person who pressed Tab waits for a server.
	askWithin = 700 * time.Millisecond
	// maxOffered bounds how many instances are asked for, and offered if that is all: a part of them would be completed to what only that part has in common.
	maxOffered = 1000
	// maxHits is how many of one sort a search answers at most.
	maxHits = 20
)

// offers asks the servers for names; where none answers there are none.
type offers struct {
	ctx             context.Context
	collector, page string
	user            string
}

// flag takes the value of a flag.
func (a *offers) flag(name, value string) {
	switch name {
	case "collector":
		a.collector = value
	case "url":
		a.page = value
	case "user":
		a.user = value
	}
}

// of reads one JSON value from the page.
func (a *offers) of(path string, q url.Values, into any) bool {
	ctx, cancel := context.WithTimeout(a.ctx, askWithin)
	defer cancel()
	return (&pageFlags{a.page, a.user}).ask(ctx, http.MethodGet, path, q, nil, into) == nil
}

// services are those that the collector knows, or the page, for commands that ask only that one.
func (a *offers) services(ofCollector bool) (out []candidate) {
	if ofCollector {
		ctx, cancel := context.WithTimeout(a.ctx, askWithin)
		defer cancel()
		var answer struct{ Groups []discovery.Group }
		if err := (&collectorFlags{a.collector, a.user}).get(ctx, "/api/v1/roster/groups", nil, &answer); err != nil {
			return nil
		}
		for _, g := range answer.Groups {
			out = offer(out, g.Service+"/"+g.Env, fmt.Sprintf("%d expected", g.Expected))
		}
		return out
	}
	for _, s := range a.onPage() {
		out = offer(out, s.Service+"/"+s.Env, "")
	}
	return out
}

type pageService struct{ Service, Env string }

// onPage are the services that the page knows.
func (a *offers) onPage() []pageService {
	var all struct{ Services []pageService }
	a.of("/api/v1/services", nil, &all)
	return all.Services
}

// metrics are those of a service, in the first of its environments where none is named; without a service those that hold the text.
func (a *offers) metrics(service, text string) (out []candidate) {
	if service == "" {
		var hits dashboards.Hits
		if a.of("/api/v1/search", url.Values{"q": {text}}, &hits); len(hits.Metrics) >= maxHits {
			return nil
		}
		for _, h := range hits.Metrics {
			out = offer(out, h.Metric, "")
		}
		return out
	}
	q := serviceOf(service)
	if q.Get("env") == "" {
		var hits dashboards.Hits
		a.of("/api/v1/search", url.Values{"q": {service}}, &hits)
		for _, h := range hits.Services {
			if h.Service == service {
				q.Set("env", h.Env)
				break
			}
		}
	}
	var d struct{ Metrics []dashboards.Metric }
	a.of("/api/v1/service", q, &d)
	for _, m := range d.Metrics {
		out = offer(out, m.Name, strings.TrimSpace(m.Kind+" "+m.Unit))
	}
	return out
}

// instances are those whose address holds the text.
func (a *offers) instances(text string) (out []candidate) {
	var roster struct {
		Entries []struct{ Instance, Service, Env string }
		Total   int
	}
	if text == "" || !a.of("/api/v1/roster", url.Values{"q": {text}, "limit": {fmt.Sprint(maxOffered)}}, &roster) || roster.Total > maxOffered {
		return nil
	}
	for _, e := range roster.Entries {
		out = offer(out, e.Instance, plain(e.Service+"/"+e.Env))
	}
	return out
}

// findings are those that are open.
func (a *offers) findings() (out []candidate) {
	var answer findingsAnswer
	a.of("/api/v1/findings", url.Values{"state": {"open"}}, &answer)
	for _, f := range answer.Findings {
		out = offer(out, f.ID, plain(f.Title))
	}
	return out
}

// what may be asked of tap: conditions, their patterns (then head is what stands before one), and samples.
func (a *offers) what(given []string, last string) (head string, out []candidate) {
	service := ""
	for _, word := range given {
		if name, ok := strings.CutPrefix(word, "service="); ok && !strings.Contains(name, "*") {
			service = name
		}
	}
	name, text, valued := strings.Cut(last, "=")
	switch {
	case valued && name == "service":
		for _, s := range a.onPage() {
			out = offer(out, s.Service, "")
		}
		return "service=", out
	case valued && name == "instance":
		return "instance=", a.instances(text)
	case valued:
		return name + "=", nil
	}
	for _, name := range []string{"service=", "env=", "instance=", "outcome=", "version=", "zone=", "track=", "host=", "region="} {
		out = append(out, candidate{name, "records with"})
	}
	return "", append(out, a.metrics(service, last)...)
}

// offer adds a name, once, unless a shell would read it otherwise.
func offer(out []candidate, name, help string) []candidate {
	name = plain(name)
	if name == "" || strings.ContainsAny(name, " \t'\"\\$`;|&<>(){}[]*?!#~") || slices.ContainsFunc(out, func(c candidate) bool { return c.word == name }) {
		return out
	}
	return append(out, candidate{name, help})
}
