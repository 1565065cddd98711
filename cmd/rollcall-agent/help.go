package main

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// examples stand under a command's help.
var examples = map[string]string{
	"": `  rollcall-agent register -s checkout -e prod -p 8001 --check=http:/health
  rollcall-agent register --config.file=/etc/rollcall/agent.yml --storage.path=/var/lib/rollcall-agent
  rollcall-agent check /etc/rollcall/agent.yml`,
	"register": `  rollcall-agent register -s checkout -e prod -p 8001                            no check: registered until stopped
  rollcall-agent register -s checkout -e prod -p 8001 --check=http:/health       while GET /health answers 200-399
  rollcall-agent register -s cache -e prod -p 11211 --check=tcp --zookeeper=zk-1:2181,zk-2:2181
  rollcall-agent register -s checkout -e prod -p 8001 --service-version=1.42.0 --track=canary --tag=rack=r7
  rollcall-agent register --config.file=/etc/rollcall/agent.yml --storage.path=/var/lib/rollcall-agent
  rollcall-agent register --zookeeper=zk-1:2181 --service-files='/etc/rollcall/services.d/*.yml'

Signals:
  SIGTERM, SIGINT  deregister everything and end; a second one ends at once
  SIGUSR2          end for a restart: leave everything registered for the next agent
  SIGHUP           read the configuration again; a bad one keeps the old`,
	"check": `  rollcall-agent check /etc/rollcall/agent.yml
  rollcall-agent check /etc/rollcall/services.d/checkout.yml --services`,
}

func help(o kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	if n := ctx.Selected(); n != nil {
		if text, ok := examples[n.Name]; ok {
			fmt.Fprintf(ctx.Stdout, "\nExamples:\n%s\n", text)
		}
	}
	return nil
}
