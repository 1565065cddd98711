package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

type whyCmd struct {
	collectorFlags
	topicFlags
	URL      string `name:"url" default:"http://127.0.0.1:7150" env:"ROLLCALL_URL" help:"URL of the page, which knows the findings."`
	Instance string `arg:"" help:"A finding's id, as rollcall findings lists it; HOST:PORT, SERVICE/ENV/HOST:PORT, a host name, a member's name, or any part of these that fits nobody else; or a record's id, as it stands in the topic."`
	JSON     bool   `help:"The whole story as JSON."`
}

// Run says what made an instance, a finding or a record what it is.
func (c *whyCmd) Run(e *env) error {
	if strings.TrimSpace(c.Instance) == "" {
		return usage("give a finding's id, an instance's HOST:PORT or name, or a record's id; is a variable of your shell empty? `rollcall findings` and `rollcall ls` list them")
	}
	if id, err := wire.ParseID(c.Instance); err == nil {
		return c.record(e, id)
	}
	if findingID.MatchString(c.Instance) {
		if told, err := c.finding(e); told || err != nil {
			return err
		}
	}
	var raw json.RawMessage
	err := c.get(e.ctx, "/api/v1/roster/why", url.Values{"instance": {c.Instance}}, &raw)
	var no *refusal
	if errors.As(err, &no) && no.code == http.StatusMultipleChoices {
		var several collect.Candidates
		if json.Unmarshal(no.body, &several) == nil && len(several.Candidates) > 0 {
			text := fmt.Sprintf("%q fits %d; name one of them:", c.Instance, several.Total)
			for _, id := range several.Candidates {
				text += "\n  " + plain(id)
			}
			if n := several.Total - len(several.Candidates); n > 0 {
				text += fmt.Sprintf("\n  … and %d more", n)
			}
			return failure{exitUsage, errors.New(text)}
		}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		fmt.Fprintln(e.stdout, strings.TrimSpace(string(raw)))
		return nil
	}
	var why collect.Why
	if err := json.Unmarshal(raw, &why); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	for _, s := range why.Sentences {
		fmt.Fprintln(e.stdout, plain(s))
	}
	if len(why.Story.Events) > 0 {
		fmt.Fprintln(e.stdout, "\nWhat happened, in UTC:")
		for _, ev := range why.Story.Events {
			line := fmt.Sprintf("  %s  %s", ev.At.UTC().Format("2006-01-02 15:04:05"), ev.What)
			if ev.Detail != "" {
				line += ": " + ev.Detail
			}
			if ev.Zxid != 0 {
				line += fmt.Sprintf(" (zxid 0x%x)", ev.Zxid)
			}
			fmt.Fprintln(e.stdout, plain(line))
		}
	}
	return nil
}
