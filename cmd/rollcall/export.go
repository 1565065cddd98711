package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/exports"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/sink/export"
)

type exportCmd struct {
	webFlags
	topicFlags
	To          string   `help:"flat, remote-write, ndjson or avro. Without it the exports of --config.file run."`
	Name        string   `help:"Its name in the log, the metrics and the group; without --to: which of the file's to run."`
	Services    []string `help:"Names, or SERVICE/ENV, with * and ?; default: all."`
	Metrics     []string `help:"Regular expressions over names of samples, each matching whole; default: all."`
	Group       string   `help:"Consumer group; exports of one group share the work. Default: rollcall-export-NAME."`
	From        string   `help:"Where a new group begins: now (the default), all, or how far back, such as 1h."`
	Topic       string   `help:"flat, avro: the topic to write to; default rollcall.samples, rollcall.snapshots.avro."`
	URL         string   `help:"remote-write: the receiver; avro: the schema registry."`
	User        string   `help:"USER:PASSWORD for --url. In the file a password may stand in a file of its own."`
	Token       string   `help:"Bearer token for --url."`
	Tags        []string `help:"remote-write: which tags become labels; default: all."`
	Late        bool     `help:"remote-write: send samples older than what was sent: the receiver must take them."`
	Path        string   `help:"ndjson: a folder, or - for standard output."`
	Flat        bool     `help:"ndjson: a line a sample, not a record."`
	Compression string   `help:"ndjson: gzip, zstd or none."`
	RotateBytes int64    `help:"ndjson: a file is done at this size; default 128 MB."`
	RotateEvery string   `help:"ndjson: or at this age; default 1h."`
	Listen      string   `name:"web.listen-address" default:"127.0.0.1:7160" help:"HOST:PORT of its metrics, health and progress; empty: none."`
	Check       bool     `help:"Say whether what the exports are told is complete and right, and end; nobody is connected to."`
}

// Run exports until it is told to stop.
func (c *exportCmd) Run(e *env) error {
	w, err := c.way()
	if err != nil {
		return err
	}
	if err := c.configure(w.conf); err != nil {
		return err
	}
	own := ops.NewMetrics(e.build)
	xs, err := exports.New(w.conf, exports.Options{Log: e.log, Metrics: own.NewSet, Stdout: e.stdout, Cut: e.cut.Done()})
	if err != nil {
		return failure{exitUsage, err}
	}
	if c.Check {
		fmt.Fprintf(e.stdout, "good; %s\n", many(len(xs), "export", "exports"))
		return nil
	}
	var listen net.Listener
	var webConf *ops.WebConfig
	if c.WebConfig != "" {
		if webConf, err = ops.LoadWebConfig(c.WebConfig); err != nil {
			return err
		}
	}
	if c.Listen != "" {
		if listen, err = ops.Listen(c.Listen, 0); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	own.Routes(mux, func() error { return exportsReady(xs) })
	mux.HandleFunc("GET /api/v1/exports", exportsStatus(xs))
	ctx, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	late, endLate := context.WithCancel(context.WithoutCancel(ctx))
	defer endLate()
	var web sync.WaitGroup
	if listen != nil {
		web.Go(func() {
			if err := (&ops.Server{Listener: listen, Handler: mux, Web: webConf, Log: e.log}).Run(late); err != nil {
				cancel(err)
			}
		})
	}
	ops.Notify("READY=1")
	err = exports.Run(ctx, xs)
	ops.Notify("STOPPING=1")
	endLate()
	web.Wait()
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// configure puts the flags in the place of the file's exports, or chooses among those.
func (c *exportCmd) configure(conf *config.Config) error {
	if c.To == "" {
		var chosen []config.Export
		for _, x := range conf.Exports {
			if c.Name == "" || x.Name == c.Name || x.Name == "" && x.To == c.Name {
				chosen = append(chosen, x)
			}
		}
		if conf.Exports = chosen; len(chosen) == 0 {
			return usage("nothing to export: give --to=flat, remote-write, ndjson or avro, or a --config.file with exports")
		}
		return nil
	}
	x := config.Export{Name: c.Name, To: c.To, Services: c.Services, Metrics: c.Metrics, Group: c.Group, From: c.From, Topic: c.Topic, URL: config.URL(c.URL), Tags: c.Tags, Late: c.Late,
		Path: c.Path, Flat: c.Flat, Compression: c.Compression, RotateBytes: config.Size(c.RotateBytes)}
	if c.RotateEvery != "" {
		d, err := config.ParseDuration(c.RotateEvery)
		if err != nil {
			return usage("--rotate-every: %v", err)
		}
		x.RotateEvery = config.Duration(d)
	}
	if c.User != "" {
		user, password, ok := strings.Cut(c.User, ":")
		if !ok {
			return usage("--user: give USER:PASSWORD")
		}
		x.BasicAuth = &config.BasicAuth{Username: user, Password: config.Secret(password)}
	}
	if c.Token != "" {
		x.Authorization = &config.Authorization{Credentials: config.Secret(c.Token)}
	}
	if err := x.Validate(); err != nil {
		return failure{exitUsage, err}
	}
	conf.Exports = []config.Export{x}
	return nil
}

// exportsReady is nil once each export has partitions, or has nothing to complain of.
func exportsReady(xs []*export.Exporter) error {
	for _, x := range xs {
		if s := x.Status(); s.Trouble != "" {
			return fmt.Errorf("export %s is held up since %s: %s", s.Name, time.UnixMilli(s.Since).UTC().Format(time.RFC3339), s.Trouble)
		}
	}
	return nil
}

func exportsStatus(xs []*export.Exporter) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		out := struct {
			AsOf    int64           `json:"as_of"`
			Exports []export.Status `json:"exports"`
		}{AsOf: time.Now().UnixMilli(), Exports: []export.Status{}}
		for _, x := range xs {
			out.Exports = append(out.Exports, x.Status())
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the reader has gone, or has it
	}
}
