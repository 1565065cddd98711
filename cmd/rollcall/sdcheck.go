package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
)

type checkDiscoveryCmd struct {
	Job        string        `arg:"" help:"The job_name."`
	ConfigFile string        `name:"config.file" type:"path" help:"The YAML file; without one: what rollcall up scrapes by itself, job apps of the ZooKeeper at 127.0.0.1:7181."`
	Timeout    time.Duration `default:"30s" help:"How long the sources may take."`
	JSON       bool          `help:"A JSON list, as promtool's check of service discovery prints it."`
}

// Run asks the sources of a job who is there, and says what the job's rules make of each. It scrapes nobody.
func (c *checkDiscoveryCmd) Run(e *env) error {
	conf := &config.Config{}
	conf.ZooKeeper.Servers = []string{"127.0.0.1:7181"}
	conf.Scrape = []config.Scrape{{JobName: embeddedJob, Serverset: []config.ServersetSD{{Paths: []string{"/discovery/{service}/{env}"}}}}}
	if c.ConfigFile != "" {
		var err error
		if conf, err = config.Load(c.ConfigFile); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(conf.Scrape, func(s config.Scrape) bool { return s.JobName == c.Job }) {
		var names []string
		for _, s := range conf.Scrape {
			names = append(names, s.JobName)
		}
		return usage("no job is called %q; there are: %s", c.Job, strings.Join(names, ", "))
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	found, views, silent, err := collect.Discover(ctx, conf, c.Job, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, v := range views {
		if v.Err != "" {
			fmt.Fprintf(e.stderr, "%s: %s\n", v.Source, plain(v.Err))
		}
	}
	if c.JSON {
		if found == nil {
			found = []collect.Discovered{}
		}
		out := json.NewEncoder(e.stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(found); err != nil {
			return err
		}
	} else {
		tellDiscovered(e.stdout, found)
	}
	switch {
	case len(silent) > 0:
		return fmt.Errorf("%s did not say within %s who is there; is the server up, is its address right, and does it let this host in?", strings.Join(silent, ", "), config.Duration(c.Timeout))
	case len(found) == 0:
		return errors.New("nobody is there; `paths` may name something else than what is in ZooKeeper: `rollcall config init` looks around in it")
	}
	return nil
}

func tellDiscovered(w io.Writer, found []collect.Discovered) {
	kept := 0
	for _, d := range found {
		if d.Reason != "" {
			fmt.Fprintf(w, "%s  dropped: %s\n", plain(d.ID), plain(d.Reason))
		} else {
			kept++
			fmt.Fprintf(w, "%s  scraped\n", plain(d.ID))
		}
		fmt.Fprintf(w, "  discovered  %s\n", labelText(d.Before))
		if d.After != nil {
			fmt.Fprintf(w, "  labels      %s\n", labelText(d.After))
		}
	}
	fmt.Fprintf(w, "%d discovered: %d scraped, %d dropped\n", len(found), kept, len(found)-kept)
}

func labelText(m map[string]string) string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%q", plain(n), m[n]))
	}
	return strings.Join(out, " ")
}
