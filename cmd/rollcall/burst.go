package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

type burstCmd struct {
	collectorFlags
	by
	Service   string            `arg:"" help:"SERVICE, or SERVICE/ENV where it is in several environments."`
	Interval  time.Duration     `default:"1s" help:"How often; 100ms at least, and less than the job's."`
	For       time.Duration     `default:"5m" help:"How long; then it ends by itself. 1h at most."`
	Why       string            `help:"The reason, for those who wonder."`
	Zone      *string           `help:"Only those in this availability zone."`
	Version   *string           `name:"service-version" help:"Only those that run this version of the service (--version is the program's own)."`
	Track     *string           `help:"Only those of this track: canary, baseline or production."`
	Host      *string           `help:"Only those on this host, by its name or address; HOST:PORT is one instance."`
	Tag       map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"Only those with this tag; may be given several times."`
	Instances int               `help:"At most so many of them, of each version and zone some."`
	JSON      bool              `help:"The collector's answer as JSON."`
}

// Run has a slice of a service pulled more often for a while.
func (c *burstCmd) Run(e *env) error {
	if c.For <= 0 {
		return usage("--for=%s is over already; give 5m or so", config.Duration(c.For))
	}
	if c.Instances < 0 {
		return usage("--instances=%d is nobody; leave it out for all", c.Instances)
	}
	q := serviceOf(c.Service)
	ask := collect.BurstRequest{Service: q.Get("service"), Env: q.Get("env"), Tags: map[string]string{}, Instances: c.Instances,
		Interval: config.Duration(c.Interval).String(), For: config.Duration(c.For).String(), By: c.who(), Why: c.Why}
	for name, v := range c.Tag {
		if name == "" || v == "" {
			return usage("--tag %q=%q: give both a name and a value, or leave the flag out for everybody; is a variable of your shell empty?", name, v)
		}
		ask.Tags[dashboards.TagName(name)] = v
	}
	for _, f := range []struct {
		flag, name string
		value      *string
	}{{"zone", dashboards.TagZone, c.Zone}, {"service-version", dashboards.TagVersion, c.Version}, {"track", dashboards.TagTrack, c.Track}, {"host", dashboards.TagHost, c.Host}} {
		if f.value == nil {
			continue
		}
		name, v := f.name, *f.value
		if v == "" {
			return usage("--%s is empty: leave the flag out for everybody; is a variable of your shell empty?", f.flag)
		}
		if was := ask.Tags[name]; was != "" && was != v {
			return usage("%s is said to be %s and %s; nobody is both", name, was, v)
		}
		ask.Tags[name] = v
	}
	res, err := c.do(e.ctx, http.MethodPost, "/api/v1/burst", nil, ask)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if c.JSON {
		fmt.Fprintln(e.stdout, strings.TrimSpace(string(raw)))
		return nil
	}
	var a collect.BurstAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	for _, note := range burstNotes(&a) {
		fmt.Fprintln(e.stderr, plain(note))
	}
	fmt.Fprintf(e.stdout, "%s: %s every %s until %s (%s); ends by itself; end it earlier: rollcall orders --end=%s%s\n", plain(a.Slice), a.Covers,
		config.Duration(a.Burst.Every()), a.Until.UTC().Format("15:04:05 UTC"), config.Duration(c.For), a.ID, c.hint())
	return nil
}

// burstNotes say why a burst does not cover all that was asked for.
func burstNotes(a *collect.BurstAnswer) (out []string) {
	if a.Scope == share.ScopeHere {
		out = append(out, "this collector only obeys it: it has no group, or ZooKeeper could not be told; give it to each collector")
	}
	if n := a.Covers.Slow; n > 0 {
		out = append(out, fmt.Sprintf("%d of them took longer than half of %s for an answer, did not answer in time, or said that it is too much; they stay at their job's interval until they are faster", n, config.Duration(a.Burst.Every())))
	}
	if n := a.Covers.Full; n > 0 {
		out = append(out, fmt.Sprintf("for %d of them the budget has no room (burst.max_scrapes_per_second of each collector); those who are taken stand for all: of each version and zone some", n))
	}
	if len(a.Unheard) > 0 {
		out = append(out, "these collectors did not say whom they have, so theirs are not counted: "+strings.Join(a.Unheard, ", "))
	}
	return out
}

// ofOrder says what an order is about: its path, or its slice of a service.
func ofOrder(o *collect.ShownOrder) string {
	if o.Burst.Service == "" {
		return plain(o.Path)
	}
	text := fmt.Sprintf("%s every %s", o.Burst.Slice(), config.Duration(o.Burst.Every()))
	if o.Here != nil {
		text += fmt.Sprintf(" (here %d of %d)", o.Here.Taken, o.Here.Of)
	}
	return cmp.Or(plain(text), "–")
}
