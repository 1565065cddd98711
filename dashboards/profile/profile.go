// Package profile is what people say of a service: who looks after it, which metrics mean what, what it promises, and what its canaries are judged by.
//
// It owns the format of services.d/NAME.yml, the files while they change, what members say of the same in their metadata, and which of both counts for a service. It
// does nothing with what was said: the Board signs findings and recognises metrics by it, package slo keeps count of promises, package canary judges.
package profile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// Entry is what one document says of the services that it names. What it does not say is empty.
type Entry struct {
	Service string // a name, or a pattern with * for any text
	Env     string // likewise; empty: every environment
	dashboards.About
	Canary *Canary // nil: it says nothing of canaries
	File   string
	Line   int
}

// Canary is what a service's canaries are judged by.
type Canary struct {
	Warmup   time.Duration // what a process does so shortly after its start does not count; 0: as usual
	Measures []canary.Measure
}

// Profile is all that is said of one service.
type Profile struct {
	dashboards.About
	Canary Canary
	// From says where each part of it stands, by the key of a file: owner, golden.rate, slo, canary, ….
	From map[string]string
	// Wrong is what members say in their metadata and cannot be read.
	Wrong []string
}

// Silent reports whether nothing at all was said.
func (p *Profile) Silent() bool { return len(p.From) == 0 }

// covers reports whether the entry is about a service.
func (e *Entry) covers(service, env string) bool {
	return dashboards.Glob(e.Service, service) && (e.Env == "" || dashboards.Glob(e.Env, env))
}

// narrower orders entries: who names the service before who describes it, the environment before every one, much text before little.
func narrower(a, b *Entry) int {
	plain := func(s string) int {
		if s == "" || strings.Contains(s, "*") {
			return 0
		}
		return 1
	}
	return cmp.Or(plain(b.Service)-plain(a.Service), plain(b.Env)-plain(a.Env), len(b.Service)-len(a.Service), len(b.Env)-len(a.Env), strings.Compare(a.File, b.File), a.Line-b.Line)
}

// merge puts together what entries say of a service, each part from the narrowest that says it, and, where none does, from members' metadata.
func merge(entries []*Entry, service, env string, tag func(names ...string) string) Profile {
	p := Profile{From: map[string]string{}}
	var mine []*Entry
	for _, e := range entries {
		if e.covers(service, env) {
			mine = append(mine, e)
		}
	}
	slices.SortFunc(mine, narrower)
	for _, e := range mine {
		p.take(e, e.File)
	}
	if tag != nil {
		e, wrong := ofTags(tag)
		p.Wrong = wrong
		p.take(e, "its members' metadata")
	}
	return p
}

// take takes over what an entry says and nobody has said yet.
func (p *Profile) take(e *Entry, from string) {
	text := func(key string, to *string, is string) {
		if *to == "" && is != "" {
			*to, p.From[key] = is, from
		}
	}
	list := func(key string, to *[]string, is []string) {
		if len(*to) == 0 && len(is) > 0 {
			*to, p.From[key] = is, from
		}
	}
	text("owner", &p.Owner, e.Owner)
	text("chat", &p.Chat, e.Chat)
	text("runbook", &p.Runbook, e.Runbook)
	list("golden.rate", &p.Golden.Rate, e.Golden.Rate)
	list("golden.errors", &p.Golden.Errors, e.Golden.Errors)
	list("golden.latency", &p.Golden.Latency, e.Golden.Latency)
	list("golden.saturation", &p.Golden.Saturation, e.Golden.Saturation)
	if len(p.Objectives) == 0 && len(e.Objectives) > 0 {
		p.Objectives, p.From["slo"] = e.Objectives, from
	}
	if e.Canary != nil && p.From["canary"] == "" {
		p.Canary, p.From["canary"] = *e.Canary, from
	}
}

// Measures is what a canary of the service is judged by: the golden signals, as far as the profile does not change them, and what it adds; nil: as usual.
func (p *Profile) Measures() []canary.Measure {
	if len(p.Canary.Measures) == 0 {
		return nil
	}
	out := canary.Golden()
	for _, m := range p.Canary.Measures {
		if i := slices.IndexFunc(out, func(g canary.Measure) bool { return g.Name == m.Name && m.Metric == "" }); i >= 0 {
			out[i] = m
			continue
		}
		out = append(out, m)
	}
	return out
}
