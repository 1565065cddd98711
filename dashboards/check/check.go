// Package check says what is recognised of a service and what is missing, each thing with its remedy.
//
// It owns the words, and what is worth a word. What is known it is given: it asks nobody, and changes nothing.
package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/profile"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
)

// State is how one thing is.
type State string

// The states.
const (
	Good    State = "good"
	Missing State = "missing" // something that helps is not there, or not as somebody wants it
	Note    State = "note"    // worth knowing
)

// Line is one thing about the service.
type Line struct {
	What   string `json:"what"` // instances, rate, errors, latency, saturation, rules, owner, chat, runbook, tags, slo, canary, files, metadata
	State  State  `json:"state"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Report is all of it.
type Report struct {
	AsOf    int64  `json:"as_of,omitempty"` // Unix ms; 0: only files were asked
	Service string `json:"service"`
	Env     string `json:"env"`
	Missing int    `json:"missing"`
	Lines   []Line `json:"lines"`
}

// Source is what is known.
type Source struct {
	AsOf         int64
	Service, Env string
	Is           *dashboards.Recognised // nil: nobody runs who knows the service; only what is said of it is looked at
	Said         profile.Profile
	Promises     []slo.Standing
	Cohorts      canary.Cohorts
	Files        []profile.FileStatus
	Feed         dashboards.Feed
	Golden       dashboards.Golden // what the configuration names for every service: looked at only where nobody runs
}

// Service reports on one.
func Service(src Source) *Report {
	r := &report{Source: src, Report: Report{AsOf: src.AsOf, Service: src.Service, Env: src.Env, Lines: []Line{}}}
	if r.Is != nil {
		r.members()
		r.signals()
		r.rules()
	}
	r.files()
	if r.Is == nil {
		r.named()
	}
	r.people()
	if r.Is != nil {
		r.tags()
	}
	r.promises()
	r.canary()
	for _, l := range r.Lines {
		if l.State == Missing {
			r.Missing++
		}
	}
	return &r.Report
}

type report struct {
	Source
	Report
}

func (r *report) add(what string, s State, remedy, format string, args ...any) {
	r.Lines = append(r.Lines, Line{what, s, fmt.Sprintf(format, args...), remedy})
}

// file is where somebody would write a thing down.
func (r *report) file(text string) string {
	name := strings.Map(func(c rune) rune {
		if c == '/' || c <= ' ' {
			return '-'
		}
		return c
	}, r.Source.Service)
	return fmt.Sprintf("write in services.d/%s.yml: %s", name, text)
}

func (r *report) members() {
	is := r.Is
	if r.Feed.State != dashboards.FeedLive && r.Feed.State != "" {
		r.add("instances", Note, "", "the feed is %s: %s", r.Feed.State, cmp.Or(r.Feed.Error, "what follows is as of then"))
	}
	at := r.Source.Service + "/" + r.Source.Env
	switch {
	case is.Expected == 0:
		r.add("instances", Missing, "`rollcall ls "+at+"` says who should be there", "nobody is expected to answer")
	case is.Answering < is.Expected:
		r.add("instances", Missing, "`rollcall ls "+at+"` lists them, `rollcall why HOST:PORT` says of each why", "%d of %d answer%s", is.Answering, is.Expected, outcomes(is.Outcomes))
	default:
		r.add("instances", Good, "", "%d of %d answer", is.Answering, is.Expected)
	}
	if is.Dropped > 0 {
		r.add("instances", Missing, "look for a name or label that holds ids, and take it out with enrich.rules or metric_relabel_configs", "%d samples were left out: it has more names than are kept of a service", is.Dropped)
	}
}

func outcomes(n map[string]int) string {
	var parts []string
	for _, o := range slices.Sorted(maps.Keys(n)) {
		if o != "ok" {
			parts = append(parts, fmt.Sprintf("%d %s", n[o], o))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

func (r *report) files() {
	if r.Is == nil && len(r.Files) == 0 {
		r.add("files", Note, r.file("`service: "+r.Source.Service+"`")+", and name the file, or a pattern of it, under dashboards.service_files", "no file says anything of services")
	}
	for _, f := range r.Files {
		switch {
		case f.Error == "" && r.Is == nil:
			r.add("files", Good, "", "%s is read: it has %s", f.File, plural(f.Services, "entry", "entries"))
		case f.Error != "":
			r.add("files", Missing, "mend it; `rollcall check config` reads it, too", "%s cannot be read, and what it said before stays: %s", f.File, f.Error)
		}
	}
	for _, w := range r.Said.Wrong {
		r.add("metadata", Missing, "mend the tag of its members, or say it in a file of services.d, which wins", "%s", w)
	}
}

// named says of each golden signal which metrics mean it, where nobody runs whose metrics could be looked at.
func (r *report) named() {
	said, all := r.Said.Golden, r.Golden
	for _, s := range []struct {
		what     string
		own, all []string
	}{{"rate", said.Rate, all.Rate}, {"errors", said.Errors, all.Errors}, {"latency", said.Latency, all.Latency}, {"saturation", said.Saturation, all.Saturation}} {
		names := s.own
		if len(names) == 0 {
			names = s.all
		}
		if len(names) == 0 {
			r.add(s.what, Note, "", "nothing names its metrics: they are recognised when it runs")
			continue
		}
		r.add(s.what, Good, "", "%s, by %s", some(names), from(r.Said.From, "golden."+s.what))
	}
	r.add("instances", Note, "`rollcall check service "+strings.TrimSuffix(r.Source.Service+"/"+r.Source.Env, "/")+"` asks the page, when it runs", "nobody is asked: whether it says such metrics is not known here")
}

func (r *report) people() {
	said := r.Said.About
	if r.Is != nil {
		said.Owner, said.Chat, said.Runbook = cmp.Or(said.Owner, r.Is.About.Owner), cmp.Or(said.Chat, r.Is.About.Chat), cmp.Or(said.Runbook, r.Is.About.Runbook)
	}
	for _, p := range []struct {
		what, is string
		state    State
		none     string
		line     string
	}{
		{"owner", said.Owner, Missing, "nobody looks after it, as far as anybody has said", "`owner: TEAM`, or give its members the tag service.owner"},
		{"chat", said.Chat, Note, "where its people talk is not said", "`chat: \"#CHANNEL\"`"},
		{"runbook", said.Runbook, Missing, "what to do when it is in trouble is not written down", "`runbook: https://…`"},
	} {
		if p.is == "" {
			r.add(p.what, p.state, r.file(p.line), "%s", p.none)
			continue
		}
		r.add(p.what, Good, "", "%s, by %s", p.is, cmp.Or(r.Said.From[p.what], "its members' tags"))
	}
}

func (r *report) tags() {
	n := r.Is.Expected
	if n == 0 {
		return
	}
	for _, t := range []struct {
		what, tag string
		state     State
		why       string
	}{
		{"version", dashboards.TagVersion, Missing, "deploys and canaries cannot be told apart without it"},
		{"zone", dashboards.TagZone, Missing, "trouble in one zone cannot be told from trouble everywhere without it"},
		{"track", dashboards.TagTrack, Note, "canaries are found by their version alone without it"},
		{"host", dashboards.TagHost, Note, "a host that several services are on is not known without it"},
	} {
		has := r.Is.Tagged[t.tag]
		remedy := fmt.Sprintf("register with it (`%s:` of the service, of rollcall-agent), or give targets the label %s", t.what, t.tag)
		if t.what == "host" {
			remedy = "rollcall-agent says it by itself; others give targets the label " + t.tag
		}
		switch {
		case has >= n:
			r.add("tags", Good, "", "%s: all instances have %s", t.what, t.tag)
		case has == 0:
			r.add("tags", t.state, remedy, "%s: no instance has %s: %s", t.what, t.tag, t.why)
		default:
			r.add("tags", t.state, remedy, "%s: %d of %d instances have %s: %s", t.what, has, n, t.tag, t.why)
		}
	}
}
