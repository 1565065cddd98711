package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/embed"
	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
)

type brokerCmd struct {
	Storage string `name:"storage.path" default:"data" type:"path" help:"Folder for its data; broker/ is made in it."`
	Listen  string `default:"127.0.0.1:7192" help:"HOST:PORT."`
}

// Run serves the Kafka protocol until it is told to stop.
func (c *brokerCmd) Run(e *env) error {
	release, err := ops.Lock(c.Storage)
	if err != nil {
		return err
	}
	defer release()
	s, err := embed.New(embed.Config{Kafka: true, Storage: c.Storage, KafkaAddr: c.Listen, KafkaFlag: "--listen", Log: e.log})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(e.ctx) }()
	if s.Wait(e.ctx) == nil {
		fmt.Fprintf(e.stdout, "embedded broker on %s, data in %s\n", s.Kafka(), filepath.Join(c.Storage, "broker"))
		ops.Notify("READY=1")
	}
	return <-done
}

type fleetCmd struct {
	Instances  int           `default:"100" help:"Listeners, each on a port of its own on 127.0.0.1."`
	Numbers    int           `default:"200" help:"Numbers in each body."`
	Shapes     int           `default:"200" help:"Different sets of names."`
	Services   int           `default:"10" help:"The instances are divided among load-0, load-1, …"`
	Env        string        `default:"load" help:"Environment they register in."`
	FirstPort  int           `help:"First port; default: any that are free."`
	ZooKeeper  []string      `name:"zookeeper" help:"Register there, as ephemeral KingPin members. HOST:PORT,…"`
	FileSD     string        `name:"file-sd" type:"path" help:"Write the targets as Prometheus' file_sd."`
	Serversets string        `type:"existingdir" help:"Write one KingPin file a service into this folder."`
	For        time.Duration `help:"Stop after so long; default: when told to."`
}

// Run serves the fleet.
func (c *fleetCmd) Run(e *env) error {
	if c.Instances < 1 || c.Numbers < 1 || c.Shapes < 1 || c.Services < 1 {
		return usage("instances %d, numbers %d, shapes %d, services %d: give at least one of each", c.Instances, c.Numbers, c.Shapes, c.Services)
	}
	f, err := fleet.New(fleet.Config{Instances: c.Instances, Numbers: c.Numbers, Shapes: c.Shapes, Services: c.Services, Env: c.Env, FirstPort: c.FirstPort})
	if err != nil {
		return failure{exitUsage, err}
	}
	list, err := f.Listen()
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(e.ctx, c.For)
	defer cancel()
	if c.FileSD != "" {
		if err := f.WriteFileSD(c.FileSD); err != nil {
			return err
		}
	}
	if c.Serversets != "" {
		if err := f.WriteServersets(c.Serversets); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.stdout, "%d instances of %d services with %d numbers each, from %s on\n", len(list), c.Services, c.Numbers, list[0].Addr)
	done := make(chan error, 2)
	go func() { done <- f.Run(ctx) }()
	if len(c.ZooKeeper) > 0 {
		go func() {
			done <- f.Register(ctx, c.ZooKeeper, e.log, func(n int) { fmt.Fprintf(e.stdout, "%d of %d registered\n", n, len(list)) })
		}()
		if err := <-done; err != nil {
			return err
		}
	}
	err = <-done
	fmt.Fprintf(e.stdout, "%d requests served\n", f.Requests())
	return err
}
