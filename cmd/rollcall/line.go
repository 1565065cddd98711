package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/embed"
	"github.com/rollcall-metrics/rollcall/cmd/internal/exports"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/cmd/internal/serve"
	"github.com/rollcall-metrics/rollcall/internal/trust"
	"github.com/rollcall-metrics/rollcall/sink/export"
)

// webFlags are those of every daemon.
type webFlags struct {
	WebConfig string `name:"web.config.file" type:"existingfile" help:"Prometheus' web-config: TLS, client certificates, users."`
	Lifecycle bool   `name:"web.enable-lifecycle" help:"Allow POST /-/reload."`
}

// line is what runs in one process: any of the embedded servers, the collector and the dashboards. What is nil does not run.
type line struct {
	e    *env
	conf *config.Config
	// reload makes the configuration anew; nil: there is nothing to reload.
	reload  func() (*config.Config, error)
	storage string
	web     webFlags

	servers             *embed.Servers
	collectOn, serveOn  net.Listener
	demo                bool
	fault               http.Handler
	collector           *collect.Daemon
	dashboards          *serve.Daemon
	exports             []*export.Exporter // of a process that both collects and serves
	collectMux, pageMux *http.ServeMux
	webConf             *ops.WebConfig
	gate                *trust.Gate
}

// build makes the daemons. The embedded servers must run already, and be named in conf.
func (l *line) build() (err error) {
	if l.web.WebConfig != "" {
		if l.webConf, err = ops.LoadWebConfig(l.web.WebConfig); err != nil {
			return err
		}
	}
	if len(l.conf.Web.Operators) > 0 && l.conf.Web.AuthHeader == nil && !l.webConf.SignsIn() {
		return usage("web.operators names people, and nobody can sign in; give users or certificates in --web.config.file, or web.auth_header")
	}
	l.gate = l.webConf.Gate()
	l.gate.Set(l.conf.Web.Policy())
	var own *ops.Metrics
	if l.collectOn != nil {
		own = ops.NewMetrics(l.e.build)
		l.collector, err = collect.New(l.conf, l.collectOptions(own))
		if err != nil {
			return err
		}
		l.collectMux = http.NewServeMux()
		own.Routes(l.collectMux, l.collector.Ready)
		l.collector.Routes(l.collectMux)
		l.lifecycle(l.collectMux)
	}
	if l.serveOn != nil {
		o := serve.Options{Build: l.e.build, Listen: l.serveOn.Addr().String(), Log: l.e.log, Metrics: ops.NewMetrics(l.e.build), Collector: l.collector, Demo: l.demo, Fault: l.fault}
		l.dashboards, err = serve.New(l.conf, o)
		if err != nil {
			return err
		}
		l.pageMux = http.NewServeMux()
		l.pageMux.Handle("/", l.dashboards.Handler())
		l.lifecycle(l.pageMux)
	}
	if l.collectOn != nil && l.serveOn != nil {
		if l.exports, err = exports.New(l.conf, exports.Options{Log: l.e.log, Metrics: own.NewSet, Stdout: l.e.stdout, Cut: l.e.cut.Done()}); err != nil {
			return err
		}
		l.collectMux.HandleFunc("GET /api/v1/exports", exportsStatus(l.exports))
	}
	return nil
}

// collectOptions tells the collector where it is and who may pass.
func (l *line) collectOptions(own *ops.Metrics) collect.Options {
	o := collect.Options{Storage: l.storage, Log: l.e.log, Metrics: own, Listen: l.collectOn.Addr().String()}
	if l.webConf != nil && l.webConf.TLS() != nil {
		o.Scheme = "https"
	}
	return o
}

func (l *line) lifecycle(mux *http.ServeMux) {
	mux.HandleFunc("/-/reload", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !l.web.Lifecycle:
			http.Error(w, "reloading over HTTP is off; start with --web.enable-lifecycle, or send SIGHUP", http.StatusForbidden)
		case r.Method != http.MethodPost && r.Method != http.MethodPut:
			w.Header().Set("Allow", "POST")
			http.Error(w, "POST it", http.StatusMethodNotAllowed)
		case trust.Forbid(r, "reloads") != "":
			http.Error(w, trust.Forbid(r, "reloads"), http.StatusForbidden)
		default:
			if err := l.reloadNow(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			fmt.Fprintln(w, "reloaded")
		}
	})
}

func (l *line) reloadNow() error {
	ops.Notify("RELOADING=1")
	defer ops.Notify("READY=1")
	if l.webConf != nil {
		if err := l.webConf.Reload(); err != nil {
			return err
		}
	}
	if l.reload == nil {
		return nil
	}
	c, err := l.reload()
	if err == nil && len(l.exports)+len(c.Exports) > 0 && l.collector != nil && l.dashboards != nil && config.Fingerprint(c.Exports, "ca_file") != config.Fingerprint(l.conf.Exports, "ca_file") {
		err = collect.OnlyAtStart([]string{"`exports`"})
	}
	if err == nil && l.dashboards != nil {
		err = l.dashboards.Reload(c) // it changes nothing, so the collector's turn comes after it
	}
	switch {
	case l.collector == nil:
	case err != nil:
		l.collector.ReloadFailed()
	default:
		err = l.collector.Reload(c)
	}
	if err == nil {
		l.gate.Set(c.Web.Policy())
		if l.dashboards != nil {
			l.dashboards.Apply()
		}
	}
	return err
}

// run serves until the first signal, then stops from left to right: the collector drains while what it delivers to still runs.
func (l *line) run(ctx context.Context) error {
	defer ops.TakeStdLog(l.e.log)()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late, endLate := context.WithCancel(context.WithoutCancel(ctx)) // what must outlive the collector
	defer endLate()
	fail := func(err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			cancel(err)
		}
	}
	var first, last sync.WaitGroup
	if l.collector != nil {
		first.Go(func() { fail(l.collector.Run(ctx, l.e.cut)) })
		last.Go(func() { fail(l.listen(late, l.collectOn, l.collectMux)) })
	}
	if len(l.exports) > 0 {
		last.Go(func() { fail(exports.Run(late, l.exports)) })
	}
	if l.dashboards != nil {
		last.Go(func() { fail(l.dashboards.Run(late)) })
		last.Go(func() { fail(l.listen(late, l.serveOn, l.pageMux)) })
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.e.reload:
				if err := l.reloadNow(); err != nil {
					l.e.log.Error("the configuration before stays in force", "err", err)
				} else {
					l.e.log.Info("reloaded")
				}
			}
		}
	}()
	ops.Notify("READY=1")
	<-ctx.Done()
	ops.Notify("STOPPING=1")
	first.Wait()
	endLate()
	last.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (l *line) listen(ctx context.Context, on net.Listener, h http.Handler) error {
	return (&ops.Server{Listener: on, Handler: h, Web: l.webConf, Gate: l.gate, Log: l.e.log}).Run(ctx)
}

// close gives back listeners that never served.
func (l *line) close() {
	for _, on := range []net.Listener{l.collectOn, l.serveOn} {
		if on != nil {
			on.Close()
		}
	}
}

// withTimeout is ctx for so long, or ctx where d is 0.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
