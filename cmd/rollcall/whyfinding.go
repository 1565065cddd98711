package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// findingID is what the id of a finding, or of a canary's, looks like; an instance may be called so, too.
var findingID = regexp.MustCompile(`^[cf][0-9a-z]{6,31}$`)

// finding tells a finding, step by step, if the page knows one of that id. A page that does not answer is no error: an instance may be meant.
func (c *whyCmd) finding(e *env) (told bool, err error) {
	page := &pageFlags{URL: c.URL, User: c.User}
	var a findingsAnswer
	if err := page.ask(e.ctx, http.MethodGet, "/api/v1/findings", url.Values{"state": {"all"}}, nil, &a); err != nil {
		if e.ctx.Err() != nil {
			return false, err
		}
		fmt.Fprintf(e.stderr, "findings are not looked at: %s\n", plainLines(err))
		return false, nil
	}
	i := slices.IndexFunc(a.Findings, func(f dashboards.Finding) bool { return f.ID == c.Instance })
	if i < 0 {
		return false, nil
	}
	f := &a.Findings[i]
	if c.JSON {
		b, err := json.Marshal(f)
		if err == nil {
			_, err = fmt.Fprintln(e.stdout, string(b))
		}
		return true, err
	}
	for _, text := range findingStory(f, page.hint()) {
		fmt.Fprintln(e.stdout, plain(text))
	}
	at, err := url.Parse(c.URL)
	if err != nil {
		return true, err
	}
	at.User = nil // what one signs in with is no part of a link
	_, err = fmt.Fprintf(e.stdout, "With charts of its time: %s/finding/%s?env=%s\n", strings.TrimSuffix(at.String(), "/"), url.PathEscape(f.ID), url.QueryEscape(f.Env))
	return true, err
}

// findingStory tells each step of the evidence, from what was seen to what may be done. hint completes the commands.
func findingStory(f *dashboards.Finding, hint string) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("%s (%s, %s/%s).", f.Title, f.Level, f.Service, f.Env)
	switch {
	case f.Ended != nil:
		say("It began at %s UTC and was over at %s UTC.", clock(f.Since), clock(*f.Ended))
	default:
		say("It began at %s UTC and goes on.", clock(f.Since))
	}
	about := f.Metric
	switch f.Metric {
	case "instances":
		about = "instances that should answer"
	case "budget":
		about = "the error budget"
	case dashboards.MetricCanary:
		about = "the canary"
	}
	say("It is about %s.", about)
	if len(f.Services) > 1 {
		say("Several services have it in common: %s.", strings.Join(f.Services, ", "))
	}
	switch {
	case f.Canary != nil && f.Only != "":
		say("%s.", strings.TrimSuffix(f.Only, "."))
	case f.Only != "":
		say("Where: %s.", strings.TrimSuffix(f.Only, "."))
	}
	if len(f.Cleared) > 0 {
		say("Looked at and cleared: %s.", strings.Join(f.Cleared, "; "))
	}
	for _, ev := range f.Events {
		say("  %s  %s", clock(ev.T), ev.Text)
	}
	if len(f.Before) > 0 {
		say("What else changed in the two minutes before, the most telling first:")
		for _, ch := range f.Before {
			who := ""
			if ch.Service != "" && (ch.Service != f.Service || len(f.Services) > 1) {
				who = ch.Service + ": "
			}
			say("  %s  %s%s", clock(ch.T), who, ch.Text)
		}
	}
	if f.Ack != nil {
		say("%s looks after it since %s UTC: %s", f.Ack.By, clock(f.Ack.At), f.Ack.Why)
	}
	if f.Silenced != nil {
		say("It is silenced by %s until %s: %s", f.Silenced.By, time.UnixMilli(f.Silenced.Until).UTC().Format("15:04 UTC"), f.Silenced.Why)
	}
	if f.Ended == nil && f.Ack == nil {
		say("`rollcall findings ack %s --why='…'%s` says that you look after it.", f.ID, hint)
	}
	return out
}
