package dashboards

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// About is what people say of a service, in files or in its members' metadata: package profile reads it. The zero value says nothing.
type About struct {
	Owner   string // who looks after it
	Chat    string // where they talk
	Runbook string // what to do when it is in trouble: an http or https URL
	Golden  Golden // before what the Board's options name
	// Objectives are what the service promises.
	Objectives []Objective
}

// Objective is a promise: the share of requests that are good, over a while.
type Objective struct {
	Name   string        `json:"name"`
	Target float64       `json:"target"`             // 0.999: of a thousand requests one may be bad
	Under  float64       `json:"under_ms,omitempty"` // good are those that take no longer, in milliseconds; 0: those that are no error
	Window time.Duration `json:"-"`                  // over which the budget lasts
}

// Signal is the golden signal that the objective is about: errors or latency.
func (o *Objective) Signal() string {
	if o.Under > 0 {
		return "latency"
	}
	return "errors"
}

// Tags and texts in which members say where their people are, first found first.
var (
	chatTags    = []string{"service.chat", "chat"}
	runbookTags = []string{"service.runbook", "runbook", "runbook_url", "runbook.url", "service.runbook_url"}
)

// askAbout is how often it is asked what people say of a service: members bring it, and change.
const askAbout = 10 * time.Second

// learn takes in what is said of the service, and reports whether that changes what its golden signals are. The caller holds the lock.
func (s *service) learn(o *Options, now int64) {
	s.aboutAt = s.inTurn(s.aboutAt, now, askAbout)
	var is About
	if o.About != nil {
		is = o.About(s.name, s.env, s.said)
	}
	is.Owner = cmp.Or(is.Owner, s.said(ownerTags...))
	is.Chat = cmp.Or(is.Chat, s.said(chatTags...))
	if is.Runbook == "" {
		if r := cmp.Or(s.said(runbookTags...), s.fact(runbookTags...)); WebAddress(r) {
			is.Runbook = r
		}
	}
	s.goldenStale = s.goldenStale || !is.Golden.equal(&s.about.Golden)
	s.about = is
}

// said is the first of several tags that any instance has.
func (s *service) said(names ...string) string {
	return s.first(names, func(in *instance, name string) string { return in.tag(name) })
}

// fact is said of the texts that applications say.
func (s *service) fact(names ...string) string {
	return s.first(names, func(in *instance, name string) string { return in.facts[name] })
}

func (s *service) first(names []string, of func(in *instance, name string) string) string {
	for _, name := range names {
		best := ""
		for _, in := range s.instances {
			// The least of several, so that the answer does not hang on the order of a map.
			if v := of(in, name); v != "" && (best == "" || v < best) && worded(name, v, MaxWords) == nil {
				best = v
			}
		}
		if best != "" {
			return best
		}
	}
	return ""
}

// WebAddress reports an http or https URL that may stand in a page as a link.
func WebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && len(s) <= 500 && !strings.ContainsAny(s, " \t\r\n")
}

// About is what people say of a service, as it was last asked for; false: there is no such service here.
func (b *Board) About(name, env string) (About, bool) {
	s := b.find(name, env)
	if s == nil {
		return About{}, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.about, true
}

// Said is the first of several tags that any instance of a service has.
func (b *Board) Said(service, env string, names ...string) string {
	s := b.find(service, env)
	if s == nil {
		return ""
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.said(names...)
}

// Renew makes the Board ask anew what people say of services, at the next tick.
func (b *Board) Renew() { b.renew.Store(true) }

// sign puts on a finding who looks after what it is about. Of a place that several services share it says only what is so of all.
func (b *Board) sign(f *Finding) {
	f.Owner, f.Chat, f.Runbook = "", "", ""
	for i, name := range f.about() {
		s := b.find(name, f.Env)
		if s == nil {
			continue
		}
		s.mu.RLock()
		is := s.about
		s.mu.RUnlock()
		if i == 0 {
			f.Owner, f.Chat, f.Runbook = is.Owner, is.Chat, is.Runbook
			continue
		}
		for _, x := range []struct {
			to *string
			is string
		}{{&f.Owner, is.Owner}, {&f.Chat, is.Chat}, {&f.Runbook, is.Runbook}} {
			if *x.to != x.is {
				*x.to = ""
			}
		}
	}
}

func (g *Golden) equal(o *Golden) bool {
	return slices.Equal(g.Rate, o.Rate) && slices.Equal(g.Errors, o.Errors) && slices.Equal(g.Latency, o.Latency) && slices.Equal(g.Saturation, o.Saturation)
}

// over is what g names, and then what base does.
func (g *Golden) over(base *Golden) Golden {
	return Golden{slices.Concat(g.Rate, base.Rate), slices.Concat(g.Errors, base.Errors), slices.Concat(g.Latency, base.Latency), slices.Concat(g.Saturation, base.Saturation)}
}
