package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

type registerCmd struct {
	ConfigFile   string   `name:"config.file" placeholder:"FILE" help:"Configuration: ZooKeeper, defaults, services (docs/agent.md)."`
	ServiceFiles []string `name:"service-files" placeholder:"PATTERN" help:"More services, followed live, such as '/etc/rollcall/services.d/*.yml'."`
	StoragePath  string   `name:"storage.path" env:"STATE_DIRECTORY" placeholder:"DIR" help:"What the next agent should know is kept here; nowhere if not given."`

	ZooKeeper      []string      `name:"zookeeper" placeholder:"HOST:PORT" help:"Servers; 127.0.0.1:2181 if not given."`
	Root           string        `name:"zookeeper.root" placeholder:"PATH" help:"Where serversets live; /discovery if not given."`
	SessionTimeout time.Duration `name:"zookeeper.session-timeout" placeholder:"TIME" help:"16s if not given."`
	DigestFile     string        `name:"zookeeper.digest-file" placeholder:"FILE" help:"File with user:password."`

	WebAddress   string `name:"web.listen-address" placeholder:"HOST:PORT" help:"Status and metrics; 127.0.0.1:9898 if not given (the next free port for a service by hand)."`
	WebConfig    string `name:"web.config.file" placeholder:"FILE" help:"TLS and users, as Prometheus' web-config."`
	WebLifecycle bool   `name:"web.enable-lifecycle" help:"Take POST /-/reload."`

	Service string   `short:"s" name:"service" group:"One service by hand" help:"Name of the service."`
	Env     string   `short:"e" name:"env" group:"One service by hand" help:"Its environment; default if not given."`
	Port    uint16   `short:"p" name:"port" group:"One service by hand" help:"Its port."`
	Host    string   `name:"host" group:"One service by hand" help:"Where clients reach it; if not given, this host's address towards ZooKeeper. Also the default of services in files."`
	Checks  []string `name:"check" sep:"none" group:"One service by hand" help:"http:/PATH, http:PORT/PATH, https:…, tcp or tcp:PORT; may be repeated."`

	CheckInterval time.Duration `name:"check-interval" placeholder:"TIME" group:"One service by hand" help:"5s if not given."`
	CheckTimeout  time.Duration `name:"check-timeout" placeholder:"TIME" group:"One service by hand" help:"2s if not given."`
	Rise          int           `name:"rise" placeholder:"N" group:"One service by hand" help:"So many passes and it is well; 2."`
	Fall          int           `name:"fall" placeholder:"N" group:"One service by hand" help:"So many failures and it is not; 3."`

	ServiceVersion string            `name:"service-version" group:"One service by hand" help:"Tag service.version."`
	Zone           string            `name:"zone" group:"One service by hand" help:"Tag cloud.availability_zone."`
	Region         string            `name:"region" group:"One service by hand" help:"Tag cloud.region."`
	Track          string            `name:"track" group:"One service by hand" help:"canary, baseline or production."`
	HostName       string            `name:"host-name" group:"One service by hand" help:"Tag host.name; this host's if not given."`
	Owner          string            `name:"owner" group:"One service by hand" help:"Tag team."`
	Tag            map[string]string `name:"tag" mapsep:"none" placeholder:"NAME=VALUE" group:"One service by hand" help:"Any other tag; may be repeated."`
	StatsPort      uint16            `name:"stats-port" group:"One service by hand" help:"Where to pull statistics, if not at the port."`
	StatsPath      string            `name:"stats-path" group:"One service by hand" help:"What to pull, if not the collector's default."`
	Scheme         string            `name:"scheme" group:"One service by hand" help:"http or https."`
	Shard          *int              `name:"shard" group:"One service by hand" help:"Number of the shard."`
	Expected       int               `name:"expected" placeholder:"N" group:"One service by hand" help:"How many instances the service should have."`
}

const listenAddress = "127.0.0.1:9898"

// Run registers until a signal ends it.
func (c *registerCmd) Run(e *env) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	own := ops.NewMetrics(e.build)
	set := own.NewSet()
	session, err := s.session(zk.Config{Log: e.log, Metrics: set})
	if err != nil {
		return err
	}
	conf := register.Config{Root: s.file.Root, Verify: s.file.Verify, Flap: s.file.Flap, Log: e.log, Metrics: set}
	if c.StoragePath != "" {
		if err := os.MkdirAll(c.StoragePath, 0o750); err != nil {
			return fmt.Errorf("make storage path: %w", err)
		}
		conf.StateFile = filepath.Join(c.StoragePath, "register.json")
	}
	agent, err := register.New(conf, session)
	if err != nil {
		return usageError{err}
	}
	d := &daemon{cmd: c, env: e, session: session, agent: agent, started: time.Now(), metrics: own}
	d.settings.Store(s)
	d.reloaded(set)
	d.files = register.NewFiles(s.patterns, d.parse, agent.Set, e.log)
	if c.StoragePath != "" {
		d.files.Keep = filepath.Join(c.StoragePath, "services")
	}
	d.files.Put(s.services)
	next := 0
	if c.WebAddress == "" && c.Service != "" {
		next = 20 // beside the agent of this host
	}
	listener, err := ops.Listen(cmp.Or(c.WebAddress, listenAddress), next)
	if err != nil {
		return err
	}
	server := &ops.Server{Listener: listener, Handler: d.routes(), Log: e.log}
	if c.WebConfig != "" {
		if server.Web, err = ops.LoadWebConfig(c.WebConfig); err != nil {
			listener.Close()
			return usageError{err}
		}
		d.web = server.Web
	}
	e.log.Info("rollcall-agent begins", "version", e.build.Version, "status", "http://"+listener.Addr().String()+"/", "zookeeper", s.file.ZooKeeper.Servers,
		"root", s.file.Root, "host", s.file.Defaults.Host, "storage", c.StoragePath)
	return d.run(server)
}

// daemon is the running agent with everything around it.
type daemon struct {
	cmd     *registerCmd
	env     *env
	session *zk.Session
	agent   *register.Agent
	files   *register.Files
	metrics *ops.Metrics
	web     *ops.WebConfig // nil without
	started time.Time

	settings   atomic.Pointer[settings]
	reloadOK   atomic.Bool
	reloadTime atomic.Int64 // Unix seconds of the last good one
	settled    atomic.Bool  // everything was in place once
	reloadMu   sync.Mutex
}

// run ends things in the order of their needs: the files are no longer followed, the agent leaves (or hands over), its session ends, the status page last.
func (d *daemon) run(server *ops.Server) error {
	ctx, cancel := context.WithCancelCause(d.env.ctx)
	defer cancel(nil)
	usr2 := make(chan os.Signal, 1)
	signal.Notify(usr2, syscall.SIGUSR2)
	defer signal.Stop(usr2)

	after, endAfter := context.WithCancel(context.WithoutCancel(ctx)) // for what outlives the agent
	defer endAfter()
	var tasks sync.WaitGroup
	var sessionErr, serverErr, filesErr error
	fail := func(err *error, got error) {
		if *err = got; got != nil {
			cancel(got)
		}
	}
	tasks.Go(func() { fail(&sessionErr, d.session.Run(after)) })
	tasks.Go(func() { fail(&serverErr, server.Run(after)) })
	tasks.Go(func() { fail(&filesErr, d.files.Run(ctx)) })
	tasks.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-usr2:
				d.env.log.Info("handing over: everything stays registered for the next agent", "for", d.session.Status().Timeout)
				cancel(register.ErrHandOver)
			case <-d.env.reload:
				d.reload() // logs what it finds
			}
		}
	})
	notify("READY=1")
	err := d.agent.Run(ctx, d.env.cut)
	notify("STOPPING=1")
	if errors.Is(context.Cause(ctx), register.ErrHandOver) {
		d.session.Detach()
		return err // the process ends, which drops the connection and nothing else; the successor waits for us
	}
	endAfter()
	tasks.Wait()
	d.env.log.Info("rollcall-agent ended")
	return errors.Join(err, sessionErr, serverErr, filesErr)
}

// parse reads a file of services with the defaults now in force.
func (d *daemon) parse(text []byte) ([]register.Service, error) {
	return register.ParseServices(text, d.settings.Load().file.Defaults, os.LookupEnv)
}

// reload reads the configuration again, and that of the status page; a bad one changes nothing.
func (d *daemon) reload() error {
	d.reloadMu.Lock()
	defer d.reloadMu.Unlock()
	notify("RELOADING=1")
	defer notify("READY=1")
	refuse := func(err error) error {
		d.reloadOK.Store(false)
		d.env.log.Error("configuration is not taken; the old one stays", "err", err)
		return err
	}
	s, err := d.cmd.settings()
	if err != nil {
		return refuse(err)
	}
	if d.web != nil {
		if err := d.web.Reload(); err != nil {
			return refuse(err)
		}
	}
	was := d.settings.Swap(s)
	if err := d.files.Replace(s.services); err != nil {
		d.settings.Store(was)
		d.files.Put(was.services)
		return refuse(err)
	}
	for _, part := range []struct {
		name     string
		old, new any
	}{{"zookeeper", was.file.ZooKeeper, s.file.ZooKeeper}, {"root", was.file.Root, s.file.Root}, {"verify_interval", was.file.Verify, s.file.Verify},
		{"flap", was.file.Flap, s.file.Flap}, {"service_files", was.patterns, s.patterns}} {
		if !reflect.DeepEqual(part.old, part.new) {
			d.env.log.Warn("this part of the configuration counts after a restart", "part", part.name)
		}
	}
	d.reloadOK.Store(true)
	d.reloadTime.Store(time.Now().Unix())
	d.env.log.Info("configuration read again", "services", len(s.services))
	return nil
}
