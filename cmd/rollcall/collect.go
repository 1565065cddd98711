package main

import (
	"cmp"
	"errors"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
)

type collectCmd struct {
	webFlags
	ConfigFile string `name:"config.file" type:"path" required:"" help:"The YAML file."`
	Storage    string `name:"storage.path" default:"data" type:"path" help:"Folder for what a restart must know."`
	Listen     string `name:"web.listen-address" default:"127.0.0.1:7140" help:"HOST:PORT of its API and metrics."`
}

// Run collects until it is told to stop.
func (c *collectCmd) Run(e *env) error {
	load := func() (*config.Config, error) {
		conf, err := config.Load(c.ConfigFile)
		if err == nil && len(conf.Kafka.Brokers) == 0 {
			err = errors.New("configuration " + c.ConfigFile + ": kafka.brokers is empty; name a broker, or run `rollcall up`, which brings its own")
		}
		return conf, err
	}
	conf, err := load()
	if err != nil {
		return err
	}
	release, err := ops.Lock(c.Storage)
	if err != nil {
		return err
	}
	defer release()
	l := &line{e: e, conf: conf, reload: load, storage: c.Storage, web: c.webFlags}
	if l.collectOn, err = ops.Listen(c.Listen, 0); err != nil {
		return err
	}
	defer l.close()
	if err := l.build(); err != nil {
		return err
	}
	e.log.Info("collecting", "listen", l.collectOn.Addr().String(), "jobs", len(conf.Scrape), "brokers", conf.Kafka.Brokers)
	return l.run(e.ctx)
}

type serveCmd struct {
	webFlags
	ConfigFile string   `name:"config.file" type:"path" help:"The YAML file."`
	Listen     string   `name:"web.listen-address" default:"127.0.0.1:7150" help:"HOST:PORT of the page."`
	Kafka      []string `help:"Brokers, HOST:PORT,…; they take the place of the file's."`
}

// Run serves the page until it is told to stop.
func (c *serveCmd) Run(e *env) (err error) {
	conf, err := c.load()
	if err != nil {
		return err
	}
	l := &line{e: e, conf: conf, reload: c.load, web: c.webFlags}
	if l.serveOn, err = ops.Listen(c.Listen, 0); err != nil {
		return err
	}
	defer l.close()
	if err := l.build(); err != nil {
		return err
	}
	e.log.Info("serving", "page", "http://"+l.serveOn.Addr().String(), "brokers", cmp.Or(conf.Kafka.Brokers[0], "none"))
	return l.run(e.ctx)
}

// load is the file with the flags over it.
func (c *serveCmd) load() (conf *config.Config, err error) {
	conf = &config.Config{}
	if c.ConfigFile != "" {
		if conf, err = config.Load(c.ConfigFile); err != nil {
			return nil, err
		}
	}
	if len(c.Kafka) > 0 {
		conf.Kafka.Brokers = c.Kafka
	}
	if len(conf.Kafka.Brokers) == 0 {
		return nil, usage("no brokers: give --kafka=HOST:PORT, or kafka.brokers in --config.file")
	}
	return conf, nil
}
