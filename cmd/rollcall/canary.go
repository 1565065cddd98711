package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// Exit codes of a verdict, beside 0 for pass: neither is one of a program that failed.
const (
	exitHold = 3
	exitFail = 4
)

type canaryCmd struct {
	pageFlags
	Service        string         `arg:"" help:"SERVICE or SERVICE/ENV."`
	Wait           waitFlag       `help:"Go on until it passes or fails: --wait=10m for so long at most, --wait alone 30m."`
	OnError        string         `default:"" enum:",hold,fail" placeholder:"hold|fail" help:"What it is when it cannot be judged: hold (exit 3) or fail (exit 4); default: neither (exit 1)."`
	Warmup         *time.Duration `placeholder:"5m" help:"What a process does so shortly after its start does not count; default: what services.d says, else 5m."`
	ServiceVersion string         `help:"The version that is meant; default: that of the track canary, else the newest. Before it is there the verdict is hold."`
	Format         string         `default:"text" enum:"text,json" help:"text, or json: the answer of /api/v1/canary."`
}

// waitFlag is a duration that need not be given: --wait, --wait=10m.
type waitFlag time.Duration

const defaultWait = waitFlag(30 * time.Minute)

// Decode reads the value, if there is one.
func (w *waitFlag) Decode(ctx *kong.DecodeContext) error {
	*w = defaultWait
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	text := fmt.Sprint(ctx.Scan.Pop().Value)
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("expected a duration such as 10m but got %q", text)
	}
	*w = waitFlag(d)
	return nil
}

// IsBool tells that the flag may stand alone.
func (w *waitFlag) IsBool() bool { return true }

// canaryEvery is how often a verdict is asked for while waiting.
const canaryEvery = time.Second

var errUnsure = errors.New("stopped before there was a verdict")

// Run asks for the verdict and ends with its exit code.
func (c *canaryCmd) Run(e *env) error {
	if c.Warmup != nil && (*c.Warmup < 0 || *c.Warmup > 24*time.Hour) {
		return usage("--warmup=%s is not within a day", *c.Warmup)
	}
	a, raw, err := c.verdict(e)
	var f failure
	switch {
	case err == nil:
	case errors.As(err, &f) && f.code == exitUsage:
		return err
	default:
		// That we could not look says nothing about the canary: whoever wants to stop a deploy for that, or to let it wait, says so.
		code := map[string]int{"hold": exitHold, "fail": exitFail}[c.OnError]
		return failure{cmp.Or(code, exitFailure), fmt.Errorf("the canary of %s could not be judged: %w", c.Service, plainError{err})}
	}
	if c.Format == "json" {
		fmt.Fprintf(e.stdout, "%s\n", raw)
	} else {
		c.print(e.stdout, a)
	}
	switch a.Verdict {
	case canary.Pass:
		return nil
	case canary.Fail:
		return failure{exitFail, nil}
	}
	return failure{exitHold, nil}
}

// plainError hides what an error wraps: one that was cancelled is no success here.
type plainError struct{ err error }

func (p plainError) Error() string { return p.err.Error() }

// verdict asks once, or until there is one that decides. While waiting a page that is away is waited for, and what matters is how the last try went.
func (c *canaryCmd) verdict(e *env) (a *canary.Answer, raw []byte, err error) {
	ctx := e.ctx
	if c.Wait == 0 {
		return c.once(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Wait))
	defer cancel()
	tick := time.NewTicker(canaryEvery)
	defer tick.Stop()
	said := ""
	for {
		b, text, err2 := c.once(ctx)
		if ctx.Err() == nil || err2 == nil {
			a, raw, err = b, text, err2 // the end of the wait is no answer: the one before it counts
		}
		var f failure
		switch {
		case e.ctx.Err() != nil:
			return nil, nil, errUnsure
		case err == nil && a != nil && a.Verdict != canary.Hold, errors.As(err, &f) && f.code == exitUsage:
			return a, raw, err
		}
		line := "no answer yet"
		switch {
		case err != nil:
			line = err.Error()
		case a != nil:
			line = string(a.Verdict) + ": " + a.Reason
		}
		if head := strings.SplitN(line, " by ", 2)[0]; head != said { // not each move of a figure
			said = head
			fmt.Fprintf(e.stderr, "%s %s\n", time.Now().Format("15:04:05"), plain(line))
		}
		select {
		case <-e.ctx.Done():
			return nil, nil, errUnsure
		case <-ctx.Done():
			if a == nil && err == nil {
				err = fmt.Errorf("no answer within %s", time.Duration(c.Wait))
			}
			return a, raw, err
		case <-tick.C:
		}
	}
}

func (c *canaryCmd) once(ctx context.Context) (*canary.Answer, []byte, error) {
	q := serviceOf(c.Service)
	if c.Warmup != nil {
		q.Set("warmup", c.Warmup.String())
	}
	if c.ServiceVersion != "" {
		q.Set("version", c.ServiceVersion)
	}
	var raw json.RawMessage
	if err := c.ask(ctx, http.MethodGet, "/api/v1/canary", q, nil, &raw); err != nil {
		return nil, nil, err
	}
	var a canary.Answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, nil, fmt.Errorf("read the page's answer: %w", err)
	}
	switch a.Verdict {
	case canary.Pass, canary.Hold, canary.Fail:
		return &a, raw, nil
	}
	return nil, nil, fmt.Errorf("the page's verdict is %q, which is none", a.Verdict)
}

// print tells a verdict to people, the metrics with most evidence of harm first.
func (c *canaryCmd) print(w io.Writer, a *canary.Answer) {
	fmt.Fprintf(w, "%s  %s/%s: %s\n", strings.ToUpper(string(a.Verdict)), plain(a.Service), plain(a.Env), plain(a.Reason))
	if a.Canary == nil {
		return
	}
	fmt.Fprintf(w, "%s against %s%s", sideText(a.Canary), sideText(a.Baseline), zonesText(a.Zones))
	if a.Since > 0 {
		fmt.Fprintf(w, "; %d polls of %s since %s", a.Polls, config.Duration(time.Duration(a.EveryMS)*time.Millisecond), time.UnixMilli(a.Since).UTC().Format("15:04:05 UTC"))
	}
	if a.Warming > 0 {
		fmt.Fprintf(w, "; %d still warming up", a.Warming)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range a.Metrics {
		m := &a.Metrics[i]
		what := ""
		if m.What != "" {
			what = " " + m.What
		}
		if m.Zone != "" {
			what += " in " + m.Zone
		}
		sure := ""
		if m.Sigmas.Known() {
			sure = fmt.Sprintf("%.1f standard errors", float64(m.Sigmas))
		}
		verdict := string(m.Verdict)
		if m.Action == canary.Warns && m.Verdict == canary.Fail {
			verdict = "warn"
		}
		if m.FailedAt > 0 && m.Verdict != canary.Fail {
			past := "failed "
			if m.Action == canary.Warns {
				past = "warned "
			}
			verdict = past + time.UnixMilli(m.FailedAt).UTC().Format("15:04:05 UTC") + ", now " + verdict
		}
		fmt.Fprintf(t, "  %s\t%s%s\t%s\n", verdict, plain(m.Text), plain(what), sure)
	}
	_ = t.Flush() // whoever reads may have gone
	if v := &a.Converge; v.Target != "" {
		fmt.Fprintf(w, "%d of %d instances run %s%s\n", v.On, v.Of, plain(v.Target), paceText(v))
	}
}

func sideText(s *canary.Side) string {
	text := plain(s.Name)
	if s.Version != "" && s.Version != s.Name {
		text += " " + plain(s.Version)
	}
	if s.Answering < s.Instances {
		return fmt.Sprintf("%s (%s, %d of them answering)", text, many(s.Instances, "instance", "instances"), s.Answering)
	}
	return fmt.Sprintf("%s (%s)", text, many(s.Instances, "instance", "instances"))
}

func zonesText(zones []string) string {
	if len(zones) == 0 {
		return ""
	}
	return " of its own zones, " + plain(strings.Join(zones, ", "))
}

// paceText is how fast a version came.
func paceText(v *canary.Convergence) string {
	var parts []string
	for _, p := range []struct {
		name string
		ms   *int64
	}{{"half", v.T50}, {"95 %", v.T95}, {"all", v.T100}} {
		if p.ms != nil {
			parts = append(parts, fmt.Sprintf("%s after %s", p.name, config.Duration(time.Duration(*p.ms)*time.Millisecond)))
		}
	}
	if n := len(v.Reverts); n > 0 {
		parts = append(parts, fmt.Sprintf("%d went back", n))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
