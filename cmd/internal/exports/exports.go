// Package exports wires exports: one configuration → an exporter each, with its output. It may be run by `export`, inside `up`, or in a test.
package exports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/avro"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
	"github.com/rollcall-metrics/rollcall/sink/export/ndjson"
	"github.com/rollcall-metrics/rollcall/sink/export/remotewrite"
	"github.com/rollcall-metrics/rollcall/sink/export/topic"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Options are what exports need beside their configuration.
type Options struct {
	Log     *slog.Logger
	Metrics func() *metrics.Set // a new one each
	Stdout  io.Writer           // of an export to -
	Cut     <-chan struct{}     // ends their drain; may be nil
}

// New makes the exports of a configuration; it connects to nothing.
func New(c *config.Config, o Options) ([]*export.Exporter, error) {
	var out []*export.Exporter
	for i := range c.Exports {
		x, err := one(c, &c.Exports[i], o)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func one(c *config.Config, e *config.Export, o Options) (*export.Exporter, error) {
	name := cmp.Or(e.Name, e.To)
	topics, set := collect.Topics(c.Kafka), o.Metrics()
	log := o.Log.With("part", "export")
	x := export.Config{Name: name, Brokers: c.Kafka.Brokers, ClientID: c.Kafka.ClientID, Rack: c.Kafka.Rack, Group: cmp.Or(e.Group, "rollcall-export-"+name), Snapshots: topics.Snapshots, Backfill: topics.Backfill,
		Filter: export.Filter{Services: e.Services, Metrics: e.Metrics}, Cut: o.Cut, Logger: log, Metrics: set}
	back, all, err := e.Begin()
	if x.From = back; all {
		x.From = export.All
	}
	errs := []error{err}
	as, secure, err := collect.Access(c.Kafka)
	errs = append(errs, err)
	x.TLS = secure
	x.Login, err = as.Login()
	errs = append(errs, err)
	client, err := httpClient(e)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("export %q: %w", name, err)
	}
	to := topic.Config{Brokers: x.Brokers, ClientID: x.ClientID, TLS: x.TLS, Login: x.Login, Topic: e.Topic, Partitions: e.Partitions, Name: name, Logger: log.With("export", name), Metrics: set}
	switch e.To {
	case "flat":
		memory := flat.NewMemory(e.MaxSeries, name, set, to.Logger)
		to.Topic, to.Intervals, to.Schema = cmp.Or(e.Topic, flat.Topic), flat.Intervals, flat.Schema
		to.Codec = func() topic.Codec { return flat.NewEncoder(memory) }
		x.Output, err = output(topic.New(to))
	case "avro":
		to.Topic, to.ContentType, to.Schema = cmp.Or(e.Topic, avro.Topic), avro.ContentType, wire.SnapshotSchema
		var reg *avro.Registry
		if reg, err = avro.NewRegistry(avro.Config{URL: e.URL.Reveal(), Topic: to.Topic, Client: client, Authorize: config.Authorize(e.BasicAuth, e.Authorization)}); err == nil {
			to.Codec = func() topic.Codec { return avro.NewEncoder(reg) }
			x.Output, err = output(topic.New(to))
		}
	case "remote-write":
		headers := map[string]string{}
		for k, v := range e.Headers {
			headers[k] = v.Reveal()
		}
		x.Output, err = output(remotewrite.New(remotewrite.Config{URL: e.URL.Reveal(), Client: client, Authorize: config.Authorize(e.BasicAuth, e.Authorization), Headers: headers, Tags: e.Tags, Late: e.Late, Name: name,
			Logger: to.Logger, Metrics: set}))
	case "ndjson":
		n := ndjson.Config{Dir: e.Path, Zip: e.Compression, Bytes: int64(e.RotateBytes), Every: e.RotateEvery.Std(0), Logger: to.Logger}
		if e.Path == "-" {
			n.Dir, n.To = "", o.Stdout
		}
		if e.Flat {
			n.Flat = flat.NewMemory(e.MaxSeries, name, set, to.Logger)
		}
		x.Output, err = output(ndjson.New(n))
	default:
		err = fmt.Errorf("to %q: want one of %s", e.To, strings.Join(config.Forms, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("export %q: %w", name, err)
	}
	return export.New(x)
}

// output keeps a nil of one type from being an Output that is none.
func output[T export.Output](o T, err error) (export.Output, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}

// httpClient is how to speak to a receiver, or a registry.
func httpClient(e *config.Export) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	var err error
	t.TLSClientConfig, err = collect.TLS(e.TLS)
	t.IdleConnTimeout = 30 * time.Second
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, err
}

// Check says what is wrong with the exports of a configuration, as a start would.
func Check(c *config.Config) error {
	with := *c
	if len(with.Kafka.Brokers) == 0 {
		with.Kafka.Brokers = []string{"embedded:9092"} // `up` brings its own
	}
	_, err := New(&with, Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet, Stdout: io.Discard})
	return err
}

// Run runs exports until ctx ends.
func Run(ctx context.Context, xs []*export.Exporter) error {
	done := make(chan error, len(xs))
	for _, x := range xs {
		go func() { done <- x.Run(ctx) }()
	}
	var errs []error
	for range xs {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}
