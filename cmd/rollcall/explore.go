package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// findings are the layouts that a ZooKeeper holds, and the interval at which scraping them keeps the budget.
type findings struct {
	layouts  []serverset.Layout
	interval time.Duration
}

// explore looks around in the configured ZooKeeper, without writing into it, and prints what it finds.
func explore(e *env, conf *config.Config, budget float64) (*findings, error) {
	if budget <= 0 {
		return nil, usage("budget %v: give how many scrapes a second are too many, such as 200", budget)
	}
	zc, err := collect.ZooKeeperConfig(conf.ZooKeeper, nil, 0)
	if err != nil {
		return nil, err
	}
	zc.Name, zc.Log = "explore", e.log
	s, err := zk.NewSession(zc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	fmt.Fprintf(e.stderr, "looking around in %s, reading only …\n", strings.Join(zc.Servers, ", "))
	wait, stop := context.WithTimeout(ctx, 15*time.Second)
	defer stop()
	if err := s.Await(wait); err != nil {
		return nil, fmt.Errorf("no ZooKeeper answers at %s: %w; is the address right, and does it let this host in?", strings.Join(zc.Servers, ", "), err)
	}
	found, err := zk.Explore(ctx, s, zk.ExploreOptions{})
	if err != nil {
		return nil, err
	}
	if len(found.Layouts) == 0 {
		return nil, fmt.Errorf("no serverset that we know is in %s (%d nodes read); if yours has another shape, name its paths in a configuration: see docs/configuration.md", strings.Join(zc.Servers, ", "), found.Nodes)
	}
	f := &findings{layouts: found.Layouts}
	members := 0
	w := tabwriter.NewWriter(e.stderr, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PATTERN\tFORMAT\tSERVERSETS\tMEMBERS\tFOR EXAMPLE")
	for _, l := range f.layouts {
		members += l.Members
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", l.Pattern, l.Format, l.Sets, l.Members, sample(l))
	}
	w.Flush()
	f.interval = pace(members, budget)
	if found.Cut != "" {
		fmt.Fprintf(e.stderr, "not all of the tree was read: %s\n", found.Cut)
	}
	if found.Forbidden > 0 {
		fmt.Fprintf(e.stderr, "%d nodes may not be listed by us; zookeeper.digest_file in a configuration signs in\n", found.Forbidden)
	}
	fmt.Fprintf(e.stderr, "%d members: one scrape each every %s is %.0f a second\n", members, config.Duration(f.interval), float64(members)/f.interval.Seconds())
	return f, nil
}

// pace is the shortest of the usual intervals that keeps the budget of scrapes a second.
func pace(members int, budget float64) time.Duration {
	usual := []time.Duration{10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}
	for _, d := range usual {
		if float64(members)/d.Seconds() <= budget {
			return d
		}
	}
	return time.Hour
}

// apply adds one job for all that was found.
func (f *findings) apply(c *config.Config) {
	sd := map[[2]string]*config.ServersetSD{}
	var order [][2]string
	for _, l := range f.layouts {
		service, env := l.Pattern.Templates()
		k := [2]string{service, env}
		if sd[k] == nil {
			sd[k] = &config.ServersetSD{}
			if service != "{service}" {
				sd[k].Service = service
			}
			if env != "{env}" && env != "default" {
				sd[k].Env = env
			}
			order = append(order, k)
		}
		sd[k].Paths = append(sd[k].Paths, l.Pattern.String())
	}
	job := config.Scrape{JobName: "apps"}
	for _, k := range order {
		job.Serverset = append(job.Serverset, *sd[k])
	}
	c.Scrape = []config.Scrape{job}
	if c.Global.ScrapeInterval == 0 {
		c.Global.ScrapeInterval = config.Duration(f.interval)
	}
}

// ask wants a y on standard input.
func ask(e *env, question string) error {
	fmt.Fprintf(e.stderr, "%s [y/N] ", question)
	line := make(chan string, 1)
	go func() {
		s, err := bufio.NewReader(io.LimitReader(e.stdin, 100)).ReadString('\n')
		if err != nil && s == "" {
			s = "\x00"
		}
		line <- s
	}()
	select {
	case <-e.ctx.Done():
		return e.ctx.Err()
	case s := <-line:
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "y", "yes":
			return nil
		case "\x00":
			return usage("nobody answers; say --yes to go on without asking")
		}
		return failure{exitFailure, errors.New("nothing is scraped. `rollcall config init` writes what was found as a file to begin with")}
	}
}

type configCmd struct {
	Init configInitCmd `cmd:"" help:"Print a configuration that scrapes what a ZooKeeper holds."`
}

type configInitCmd struct {
	ZooKeeper []string `name:"zookeeper" required:"" help:"HOST:PORT,…"`
	Kafka     []string `help:"Brokers to write down, HOST:PORT,…"`
	Budget    float64  `default:"200" help:"Scrapes a second at most; the interval follows from it."`
}

// Run prints the file on standard output; what was found is told on standard error.
func (c *configInitCmd) Run(e *env) error {
	conf := &config.Config{}
	conf.ZooKeeper.Servers = c.ZooKeeper
	conf.Kafka.Brokers = c.Kafka
	found, err := explore(e, conf, c.Budget)
	if err != nil {
		return err
	}
	found.apply(conf)
	text, err := conf.YAML()
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "# What `rollcall config init` found. Every key: docs/configuration.md\n%s", text)
	return nil
}

// sample is one member of a layout, for people to recognise.
func sample(l serverset.Layout) string {
	if l.Sample.Err != nil {
		return l.Sample.Path + "/" + l.Sample.Member
	}
	return l.Sample.Group() + " " + l.Sample.Addr()
}
