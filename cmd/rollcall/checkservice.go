package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/serve"
	"github.com/rollcall-metrics/rollcall/dashboards/check"
)

type checkServiceCmd struct {
	pageFlags
	Service    string `arg:"" help:"SERVICE or SERVICE/ENV."`
	ConfigFile string `name:"config.file" type:"path" help:"Ask nobody: only what the files of its dashboards.service_files say."`
	Format     string `default:"text" enum:"text,json" help:"text, or json: the answer of /api/v1/check."`
}

// Run reports, and fails where something is missing.
func (c *checkServiceCmd) Run(e *env) error {
	var r *check.Report
	q := serviceOf(c.Service)
	if c.ConfigFile != "" {
		conf, err := config.Load(c.ConfigFile)
		if err != nil {
			return err
		}
		if r, err = serve.CheckService(conf, q.Get("service"), q.Get("env")); err != nil {
			return err
		}
	} else if err := c.ask(e.ctx, http.MethodGet, "/api/v1/check", q, nil, &r); err != nil {
		return err
	}
	if c.Format == "json" {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s\n", text)
	} else {
		printCheck(e.stdout, r)
	}
	if r.Missing > 0 {
		return failure{exitFailure, nil}
	}
	return nil
}

// printCheck writes a report for people: a line a thing, its remedy beneath.
func printCheck(w io.Writer, r *check.Report) {
	name := plain(r.Service)
	if r.Env != "" {
		name += "/" + plain(r.Env)
	}
	fmt.Fprintln(w, name)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range r.Lines {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", l.State, l.What, plain(l.Text))
		if l.Remedy != "" {
			fmt.Fprintf(t, "  \t\t→ %s\n", plain(l.Remedy))
		}
	}
	_ = t.Flush() // whoever reads may have gone
	switch r.Missing {
	case 0:
		fmt.Fprintln(w, "nothing is missing")
	case 1:
		fmt.Fprintln(w, "1 thing is missing")
	default:
		fmt.Fprintf(w, "%d things are missing\n", r.Missing)
	}
}
