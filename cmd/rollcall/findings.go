package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

type findingsCmd struct {
	List findingsListCmd `cmd:"" default:"withargs" help:"What is wrong, and what was: the default."`
	Ack  ackCmd          `cmd:"" help:"Say that you look after a finding: it stays, and is quiet."`
}

type findingsListCmd struct {
	pageFlags
	Service string        `help:"SERVICE or SERVICE/ENV; default: everyone."`
	Since   time.Duration `default:"24h" help:"Of those that are over only those that were not so long ago."`
	Open    bool          `help:"Only those that are open."`
	All     bool          `help:"Also canaries that pass or are on hold, which text leaves out."`
	Follow  bool          `short:"f" help:"Go on: tell of each that opens, changes its level or its place, and ends."`
	Format  string        `default:"text" enum:"text,json" help:"text, or json: one finding a line, as /api/v1/findings has them."`
}

// findingsAnswer is what /api/v1/findings answers.
type findingsAnswer struct {
	AsOf     int64                `json:"as_of"`
	Findings []dashboards.Finding `json:"findings"`
}

// followEvery is how often what is followed is asked for.
const followEvery = time.Second

// Run lists findings. Nothing open is exit 0 like anything else: `rollcall status` is what fails.
func (c *findingsListCmd) Run(e *env) error {
	a, err := c.answer(e.ctx, c.Open)
	if err != nil {
		return err
	}
	rules, err := c.printAlerts(e)
	if err != nil {
		return err
	}
	for _, i := range c.order(a.Findings) {
		if err := c.print(e, &a.Findings[i]); err != nil {
			return err
		}
	}
	if !c.Follow {
		if rules == 0 && !slices.ContainsFunc(a.Findings, func(f dashboards.Finding) bool { return f.Level != dashboards.LevelInfo }) {
			return c.calm(e)
		}
		return nil
	}
	return c.follow(e, a)
}

// order is what is listed, in its order: what is open, the worst first, then what is over. Canaries that do not fail are left out unless all are asked for.
func (c *findingsListCmd) order(all []dashboards.Finding) (out []int) {
	for _, over := range []bool{false, true} {
		for _, bad := range []bool{true, false} {
			for i := range all {
				f := &all[i]
				if c.Format == "text" && !c.All && f.Canary != nil && f.Canary.Verdict != "fail" || (f.Ended != nil) != over || (f.Level == dashboards.LevelBad) != bad {
					continue
				}
				out = append(out, i)
			}
		}
	}
	return out
}

// calm says that nothing is open, and what it knows that from: that nothing is known of a service is no good news of it.
func (c *findingsListCmd) calm(e *env) error {
	if c.Service != "" {
		if err := c.knows(e.ctx, c.Service, "`rollcall ls` lists everyone"); err != nil {
			return err
		}
	}
	if c.Format != "text" {
		return nil
	}
	all, err := c.answer(e.ctx, false)
	if err != nil {
		return err
	}
	all.Findings = slices.DeleteFunc(all.Findings, func(f dashboards.Finding) bool { return f.Level == dashboards.LevelInfo })
	if n := len(all.Findings); n > 0 {
		fmt.Fprintf(e.stdout, "nothing is wrong now; %s over within %s: `rollcall findings` lists them\n", many(n, "finding is", "findings are"), config.Duration(c.Since))
		return nil
	}
	fmt.Fprintf(e.stdout, "nothing is wrong, and nothing was within %s\n", config.Duration(c.Since))
	return nil
}

func (c *findingsListCmd) answer(ctx context.Context, open bool) (a findingsAnswer, err error) {
	q := serviceOf(c.Service)
	q.Set("state", "all")
	if open {
		q.Set("state", "open")
	}
	q.Set("since", strconv.FormatInt(time.Now().Add(-c.Since).UnixMilli(), 10))
	err = c.ask(ctx, http.MethodGet, "/api/v1/findings", q, nil, &a)
	return a, err
}

// follow tells of what is new until it is told to stop. A page that is away for a while is waited for.
func (c *findingsListCmd) follow(e *env, a findingsAnswer) error {
	known := map[string]string{}
	for i := range a.Findings {
		known[a.Findings[i].ID] = gist(&a.Findings[i])
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case <-tick.C:
		}
		a, err := c.answer(e.ctx, false) // one that was open is told of when it ends, too
		switch {
		case e.ctx.Err() != nil:
			return nil
		case err != nil:
			if !away {
				fmt.Fprintf(e.stderr, "%s the page is away (%v); trying again\n", time.Now().Format("15:04:05"), err)
			}
			away = true
			continue
		}
		away = false
		slices.Reverse(a.Findings)
		for i := range a.Findings {
			f := &a.Findings[i]
			if c.Open && f.Ended != nil && known[f.ID] == "" {
				continue
			}
			if g := gist(f); known[f.ID] != g {
				known[f.ID] = g
				if err := c.print(e, f); err != nil {
					return err
				}
			}
		}
	}
}

// gist is what of a finding is worth another line: not each move of its figures.
func gist(f *dashboards.Finding) string {
	if f.Canary != nil {
		return fmt.Sprint(f.Ended != nil, *f.Canary, f.Ack != nil, f.Silenced != nil)
	}
	return fmt.Sprint(f.Ended != nil, f.Level, f.Metric, strings.SplitN(f.Only, ":", 2)[0], f.Ack != nil, f.Silenced != nil)
}

func (c *findingsListCmd) print(e *env, f *dashboards.Finding) error {
	if c.Format == "json" {
		b, err := json.Marshal(f)
		if err == nil {
			_, err = fmt.Fprintf(e.stdout, "%s\n", b)
		}
		return err
	}
	state := plain(strings.ToUpper(f.Level))
	if f.Canary != nil {
		state = plain(strings.ToUpper(f.Canary.Verdict))
	}
	if f.Ended != nil {
		state = "over"
	}
	note := ""
	if f.Ack != nil {
		note += " [" + f.Ack.By + " looks after it]"
	}
	if f.Silenced != nil {
		note += fmt.Sprintf(" [silenced by %s until %s: %s]", f.Silenced.By, time.UnixMilli(f.Silenced.Until).UTC().Format("15:04 UTC"), f.Silenced.Why)
	}
	_, err := fmt.Fprintf(e.stdout, "%-4s %s  %s/%s  %s%s\n", state, plain(f.ID), plain(f.Service), plain(f.Env), plain(f.Text), plain(note))
	return err
}

type ackCmd struct {
	pageFlags
	by
	ID   string `arg:"" help:"The finding's id, as rollcall findings lists it."`
	Why  string `help:"A few words for the others."`
	Undo bool   `help:"Take it back."`
}

// Run acknowledges a finding.
func (c *ackCmd) Run(e *env) (err error) {
	var f dashboards.Finding
	path := "/api/v1/findings/" + url.PathEscape(c.ID) + "/ack"
	if c.Undo {
		if err = c.ask(e.ctx, http.MethodDelete, path, url.Values{"by": {c.who()}}, nil, &f); err == nil {
			fmt.Fprintf(e.stdout, "nobody looks after %s any more\n", plain(f.ID))
		}
		return err
	}
	if err = c.ask(e.ctx, http.MethodPost, path, nil, map[string]string{"by": c.who(), "why": c.Why}, &f); err == nil && f.Ack != nil {
		fmt.Fprintf(e.stdout, "%s looks after %s: %s\n", plain(f.Ack.By), plain(f.ID), plain(f.Title))
	}
	return err
}

// findingMetrics are what findings are about.
var findingMetrics = []string{"errors", "latency", "rate", "exceptions", "saturation", "budget", "instances", dashboards.MetricCanary}

type silenceCmd struct {
	pageFlags
	by
	Service string        `arg:"" optional:"" help:"SERVICE or SERVICE/ENV: its findings stay visible, and call nobody."`
	For     time.Duration `default:"1h" help:"How long; a week at most."`
	Why     string        `help:"The reason, for those who wonder."`
	Metric  string        `help:"Only findings about errors, latency, rate, exceptions, saturation, budget, instances or canary."`
	Place   string        `help:"Only what is found about a place, such as host=east-1a-h03: of all services there, and nothing else that is wrong with them." placeholder:"NAME=VALUE"`
	Force   bool          `help:"Silence a service that the page does not know yet."`
	End     string        `help:"End the silence of this id."`
}

// Run silences a service, ends a silence, or, without either, lists those that stand.
func (c *silenceCmd) Run(e *env) error {
	var s dashboards.Silence
	until := func() string { return time.UnixMilli(s.Until).UTC().Format("15:04:05 UTC") }
	switch {
	case c.End != "":
		if err := c.ask(e.ctx, http.MethodDelete, "/api/v1/silences/"+url.PathEscape(c.End), url.Values{"by": {c.who()}}, nil, &s); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s is not silent any more\n", plain(s.Service))
	case c.Service == "":
		var a struct{ Silences []dashboards.Silence }
		if err := c.ask(e.ctx, http.MethodGet, "/api/v1/silences", nil, nil, &a); err != nil {
			return err
		}
		for _, s = range a.Silences {
			fmt.Fprintf(e.stdout, "%s  %s until %s, by %s: %s\n", plain(s.ID), plain(strings.TrimSpace(strings.Trim(s.Service+"/"+s.Env, "/")+" "+s.Metric+" "+s.Place)), until(), plain(s.By), plain(s.Why))
		}
		if len(a.Silences) == 0 {
			fmt.Fprintln(e.stdout, "nothing is silenced")
		}
	case strings.TrimSpace(c.Why) == "":
		return usage("give --why='…', for those who wonder")
	case c.For <= 0 || c.For > dashboards.MaxSilence:
		return usage("--for=%s: give a time up to %s", config.Duration(c.For), config.Duration(dashboards.MaxSilence))
	case c.Metric != "" && !slices.Contains(findingMetrics, c.Metric):
		return usage("--metric=%s is nothing that findings are about; give one of %s", c.Metric, strings.Join(findingMetrics, ", "))
	case c.Place != "" && placeOf(c.Place) == "":
		return usage("--place=%s is no place; give NAME=VALUE, such as host=east-1a-h03 or zone=us-east-1c", c.Place)
	default:
		if !c.Force {
			if err := c.knows(e.ctx, c.Service, "--force silences one that is yet to come"); err != nil {
				return err
			}
		}
		q := serviceOf(c.Service)
		body := map[string]any{"service": q.Get("service"), "env": q.Get("env"), "metric": c.Metric, "place": placeOf(c.Place), "by": c.who(), "why": c.Why, "for": c.For.String()}
		if err := c.ask(e.ctx, http.MethodPost, "/api/v1/silences", nil, body, &s); err != nil {
			return err
		}
		what := plain(c.Service)
		if s.Place != "" {
			what = "what is found about " + plain(s.Place)
		}
		fmt.Fprintf(e.stdout, "%s is silent for %s, until %s; end it sooner: rollcall silence --end=%s%s\n", what, collect.Span(c.For), until(), plain(s.ID), c.hint())
	}
	return nil
}

// placeOf is a place as findings have it, a tag by its full name at a value; empty: it is none.
func placeOf(text string) string {
	name, value, ok := strings.Cut(text, "=")
	if name, value = strings.TrimSpace(name), strings.TrimSpace(value); !ok || name == "" || value == "" {
		return ""
	}
	return dashboards.TagName(name) + "=" + value
}
