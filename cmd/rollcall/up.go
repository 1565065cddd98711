package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/embed"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
)

type upCmd struct {
	webFlags
	ConfigFile string   `name:"config.file" type:"path" help:"The YAML file; without one everything has its default."`
	Storage    string   `name:"storage.path" default:"data" type:"path" help:"Folder for everything that is kept. Nothing is written elsewhere but the topics."`
	Listen     string   `name:"web.listen-address" default:"127.0.0.1:7150" help:"HOST:PORT of the page."`
	Collector  string   `name:"collector.listen-address" default:"127.0.0.1:7140" help:"HOST:PORT of the collector's API and metrics."`
	ZooKeeper  []string `name:"zookeeper" help:"HOST:PORT,… of a ZooKeeper to look around in and to scrape what it knows."`
	Kafka      []string `help:"Brokers, HOST:PORT,…; default: the embedded one."`
	EmbeddedZK string   `name:"embedded.zookeeper-address" default:"127.0.0.1:7181" help:"HOST:PORT of the embedded ZooKeeper, where no other is named."`
	EmbeddedKB string   `name:"embedded.kafka-address" default:"127.0.0.1:7192" help:"HOST:PORT of the embedded broker, where no other is named."`
	Yes        bool     `help:"Scrape what was found without asking."`
	Budget     float64  `default:"200" help:"With --zookeeper and no file: scrapes a second at most; the interval follows from it."`
}

// Run is the whole line in one process.
func (c *upCmd) Run(e *env) error {
	release, err := ops.Lock(c.Storage)
	if err != nil {
		return err
	}
	defer release()
	load := func() (*config.Config, error) { return c.load() }
	conf, err := load()
	if err != nil {
		return err
	}
	if len(c.ZooKeeper) > 0 && len(conf.Scrape) == 0 {
		found, err := explore(e, conf, c.Budget)
		if err != nil {
			return err
		}
		if !c.Yes {
			if err := ask(e, "Scrape these?"); err != nil {
				return err
			}
		}
		found.apply(conf)
		load = func() (*config.Config, error) {
			again, err := c.load()
			if err == nil {
				found.apply(again)
			}
			return again, err
		}
	}
	u := &upLine{line: line{e: e, conf: conf, storage: c.Storage, web: c.webFlags}, load: load}
	return u.run(upOptions{page: c.Listen, collector: c.Collector, zookeeper: c.EmbeddedZK, kafka: c.EmbeddedKB, ready: func(ctx context.Context, l *line) error {
		fmt.Fprintf(e.stdout, "rollcall is up: http://%s\n", l.serveOn.Addr())
		if zk := l.servers.ZooKeeper(); zk != "" {
			fmt.Fprintf(e.stdout, "  applications that register are scraped: rollcall-agent register -s NAME -e ENV -p PORT --zookeeper=%s\n", zk)
		}
		return nil
	}})
}

func (c *upCmd) load() (conf *config.Config, err error) {
	conf = &config.Config{}
	if c.ConfigFile != "" {
		if conf, err = config.Load(c.ConfigFile); err != nil {
			return nil, err
		}
	}
	if len(c.ZooKeeper) > 0 {
		conf.ZooKeeper.Servers = c.ZooKeeper
	}
	if len(c.Kafka) > 0 {
		conf.Kafka.Brokers = c.Kafka
	}
	return conf, nil
}

// upLine is a line with the embedded servers that its configuration does not name.
type upLine struct {
	line
	load func() (*config.Config, error)
}

type upOptions struct {
	page, collector  string
	zookeeper, kafka string // of the embedded servers; empty: their defaults
	nextPort         bool   // take the next port where one is in use
	// before is called when the embedded servers run and conf is complete, ready when everything does; then they go on until ctx ends.
	before func(l *line) error
	ready  func(ctx context.Context, l *line) error
}

// embedded is the name of the job that scrapes what registers with the embedded ZooKeeper.
const embeddedJob = "apps"

func (u *upLine) run(o upOptions) (err error) {
	tries := 0
	if o.nextPort {
		tries = 50
	}
	if u.collectOn, err = ops.Listen(o.collector, tries); err != nil {
		return fmt.Errorf("%w: --collector.listen-address=HOST:PORT", err)
	}
	defer u.close()
	if u.serveOn, err = ops.Listen(o.page, tries); err != nil {
		return fmt.Errorf("%w: --web.listen-address=HOST:PORT", err)
	}
	if u.servers, err = embed.New(embed.Config{ZooKeeper: u.needsZooKeeper(), Kafka: len(u.conf.Kafka.Brokers) == 0, Storage: u.storage, NextPort: o.nextPort, ZooKeeperAddr: o.zookeeper, KafkaAddr: o.kafka,
		ZooKeeperFlag: "--embedded.zookeeper-address", KafkaFlag: "--embedded.kafka-address", Log: u.e.log}); err != nil {
		return err
	}
	late, endLate := context.WithCancelCause(context.WithoutCancel(u.e.ctx))
	defer endLate(nil)
	var servers sync.WaitGroup
	failed := make(chan error, 1)
	servers.Go(func() {
		if err := u.servers.Run(late); err != nil {
			failed <- err
		}
	})
	defer servers.Wait()
	defer endLate(nil)
	wait, stop := context.WithTimeout(u.e.ctx, 20*time.Second)
	defer stop()
	waited := make(chan error, 1)
	go func() { waited <- u.servers.Wait(wait) }()
	select {
	case err := <-failed:
		return err
	case err := <-waited:
		if err != nil {
			return fmt.Errorf("wait for the embedded servers: %w", err)
		}
	}
	u.complete(u.conf)
	if u.load != nil {
		u.reload = func() (*config.Config, error) {
			c, err := u.load()
			if err == nil {
				u.complete(c)
			}
			return c, err
		}
	}
	if o.before != nil {
		if err := o.before(&u.line); err != nil {
			return err
		}
	}
	if err := u.build(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(u.e.ctx)
	defer cancel(nil)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	beside.Go(func() {
		select {
		case err := <-failed:
			cancel(err)
		case <-ctx.Done():
		}
	})
	if o.ready != nil {
		beside.Go(func() {
			if err := o.ready(ctx, &u.line); err != nil {
				cancel(err)
			}
		})
	}
	if err := u.line.run(ctx); err != nil && !errors.Is(err, errDone) {
		return err
	}
	return nil
}

// errDone ends a line whose work is done.
var errDone = errors.New("done")

// needsZooKeeper: the embedded one runs unless the configuration names servers, or gets its targets from elsewhere.
func (u *upLine) needsZooKeeper() bool {
	if len(u.conf.ZooKeeper.Servers) > 0 {
		return false
	}
	for _, s := range u.conf.Scrape {
		for _, sd := range append(s.Serverset, s.Nerve...) {
			if len(sd.Servers) == 0 {
				return true
			}
		}
	}
	return len(u.conf.Scrape) == 0
}

// complete names the embedded servers in a configuration, and scrapes what registers with them where nothing else is to be scraped.
func (u *upLine) complete(c *config.Config) {
	if a := u.servers.ZooKeeper(); a != "" && len(c.ZooKeeper.Servers) == 0 {
		c.ZooKeeper.Servers = []string{a}
		if c.ZooKeeper.Monitor == nil { // it is this process, whose own metrics say the same
			c.ZooKeeper.Monitor = new(false)
		}
		if len(c.Scrape) == 0 {
			c.Scrape = []config.Scrape{{JobName: embeddedJob, Serverset: []config.ServersetSD{{Paths: []string{"/discovery/{service}/{env}"}}}}}
		}
	}
	if a := u.servers.Kafka(); a != "" && len(c.Kafka.Brokers) == 0 {
		c.Kafka.Brokers = []string{a}
	}
}

// temporary is a folder that is gone at the end.
func temporary() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "rollcall-")
	if err != nil {
		return "", nil, fmt.Errorf("make temporary folder: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// brokers is where the line's Kafka is: the embedded one, or those that were named.
func (u *upLine) brokers() []string {
	if a := u.servers.Kafka(); a != "" {
		return []string{a}
	}
	return u.conf.Kafka.Brokers
}
