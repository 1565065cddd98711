package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

type eventCmd struct {
	pageFlags
	Kind    string `arg:"" enum:"deploy,flag,config,note" help:"deploy, flag, config or note."`
	Service string `arg:"" help:"SERVICE, or SERVICE/ENV."`
	Text    string `arg:"" optional:"" help:"What has happened."`
	At      string `help:"When: 2006-01-02T15:04:05Z, 15:04:05 (UTC, the last time it was), or how long ago, such as 5m; default: now."`
	Old     string `help:"What it was before: a version, a value."`
	New     string `help:"What it is now."`
	Who     string `help:"Who did it; default: you, as this machine knows you."`
	Force   bool   `help:"Tell of a service that the page does not know yet."`
}

// Run tells the page what has happened.
func (c *eventCmd) Run(e *env) error {
	at, err := moment(c.At, time.Now())
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.Text) == "" && c.New == "" {
		return usage("say what has happened: a text, or --old and --new")
	}
	if !c.Force {
		if err := c.knows(e.ctx, c.Service, "--force tells of one that is yet to come"); err != nil {
			return err
		}
	}
	q := serviceOf(c.Service)
	in := dashboards.ToldEvent{Kind: c.Kind, Service: q.Get("service"), Env: q.Get("env"), Text: c.Text, Old: c.Old, New: c.New, Who: c.Who, At: at.UnixMilli()}
	if in.Who == "" {
		in.Who = (&by{}).who()
	}
	var out dashboards.ToldEvent
	if err := c.ask(e.ctx, http.MethodPost, "/api/v1/events", nil, in, &out); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "told: %s of %s at %s, by %s\n", out.Kind, plain(c.Service), time.UnixMilli(out.At).UTC().Format("15:04:05 UTC"), plain(out.Who))
	return nil
}

// moment reads a time as people write it.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			y, m, d := now.UTC().Date()
			at := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
			if at.After(now) {
				at = at.AddDate(0, 0, -1)
			}
			return at, nil
		}
	}
	return now, usage("--at=%s is no time; give 2006-01-02T15:04:05Z, 15:04:05 (UTC), or how long ago, such as 5m", s)
}
