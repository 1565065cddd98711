package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// examples stand under a command's help.
var examples = map[string]string{
	"": `  rollcall demo --open                           a fleet in motion, and its page
  rollcall up --zookeeper=zk-1:2181              my own fleet, no configuration
  rollcall up --config.file=rollcall.yml         as configured`,
	"demo": `  rollcall demo --open                           the page on http://127.0.0.1:7150, in the browser
  rollcall demo --headless --for=30s --report=-  no page; a JSON report on standard output
  curl -d kind=canary localhost:7150/demo/fault  break something now`,
	"up": `  rollcall up                                    embedded servers: register something and see it
  rollcall up --zookeeper=zk-1:2181 --yes        find the serversets there and scrape them
  rollcall up --config.file=rollcall.yml --storage.path=/var/lib/rollcall`,
	"collect": `  rollcall collect --config.file=rollcall.yml --storage.path=/var/lib/rollcall`,
	"serve":   `  rollcall serve --config.file=rollcall.yml --web.listen-address=127.0.0.1:7150`,
	"export": `  rollcall export --to=flat --services='checkout/*' --metrics='requests.*'
  rollcall export --to=remote-write --url=http://prometheus:9090/api/v1/write
  rollcall export --to=ndjson --path=- --flat --from=1h | jq .
  rollcall export --to=ndjson --path=/var/lib/rollcall/out --compression=zstd
  rollcall export --to=avro --url=http://registry:8081 --kafka=kafka-1:9092
  rollcall export --config.file=rollcall.yml     those of its exports key
Exit codes: 0 ended by a signal, drained and committed, 1 failure, 2 usage.`,
	"status": `  rollcall status                                of the daemons on their default ports
  rollcall status --url=http://127.0.0.1:7150    of one of them`,
	"top": `  rollcall top                                   services by trouble; Enter shows instances, ? the keys
  rollcall top --url=http://serve-1:7150 --user=ann:PASSWORD
  rollcall top --service=checkout --env=prod     only what holds this text
  rollcall top --once | head -20                 one screen as text, for scripts; COLUMNS says how wide`,
	"ls": `  rollcall ls                                    everyone, those who are missing first
  rollcall ls checkout/prod --state=missing      who is missing of one service
  rollcall ls --json | jq -r .reason             for programs
Exit codes: 0 listed, 1 there is no such service, or the collector cannot be asked, 2 usage.`,
	"watch": `  rollcall watch                                 who comes, who goes, and why
  rollcall watch checkout --state=departed       who leaves one service`,
	"why": `  rollcall why 10.0.0.5:8001                     one instance, by its address
  rollcall why f3a91c0b2e7                       one finding, by its id: what was seen, where, what came before
  rollcall why 9f3c2a7be01d44c1/12/7/345         one record, by its id: who pulled it, when, why, and how it came here
  rollcall why ip-10-0-0-5                       by any part of its name that fits nobody else
Exit codes: 0 found, 1 not found or no answer, 2 the name fits several, which are listed.`,
	"get": `  rollcall get checkout requests errors          each instance's, and quantiles over all
  rollcall get checkout/prod 'latency*.p99' --by=version
  rollcall get checkout heap_used --top=5        the five highest
  rollcall get checkout build_revision --format=json | jq -r '.values[]' | sort | uniq -c
The instances are asked by the collector, beside their schedule, as their job says; nothing of it goes to Kafka.
Exit codes: 0 somebody says such a thing, 1 nobody does, or the collector cannot be asked, 2 usage.`,
	"tap": `  rollcall tap                                   each scrape, as it arrives
  rollcall tap 'service=checkout zone=us-east-1c' errors requests
  rollcall tap service=checkout 'latency*.p99'   one number of each distribution
  rollcall tap 'outcome=t*' --since=10m          whose scrapes were late in the last ten minutes
  rollcall tap host=ip-10-0-0-5 --format=json | jq .outcome
A scrape that failed is shown whatever numbers are asked for. Where nothing of what is asked for comes within 2 s, what comes instead is said.`,
	"spool ls": `  rollcall spool ls --storage.path=/var/lib/rollcall   what waits, and what Kafka has refused for good
  rollcall spool ls --batches --json             each batch, for programs`,
	"spool cat":   `  rollcall spool cat all | jq .instance          whose snapshots wait`,
	"spool retry": `  rollcall spool retry all                       after the topic was mended, with the collector stopped`,
	"spool drop":  `  rollcall spool drop 1764000000123-3-20-7-41.batch`,
	"spool send":  `  rollcall spool send --path=/mnt/lost/spool --kafka=kafka-1:9092`,
	"audit": `  rollcall audit --since=1h                      what was lost or doubled in the last hour
  rollcall audit --since=all --config.file=rollcall.yml --format=json
  rollcall audit --collector=http://127.0.0.1:7140  with its ledger's reasons for what is missing
Exit codes: 0 nothing lost and nothing doubled, 1 something was, or the topics cannot be read.`,
	"plan": `  rollcall plan                                  of the fleet that is scraped now
  rollcall plan --instances=20000 --interval=10s --brokers=6 --kafka=kafka-1:9092
  rollcall plan --format=json | jq -r '.commands[]'
Exit codes: 0 planned, 1 nothing could be measured, 2 usage.`,
	"findings list": `  rollcall findings                              what is wrong, and what was within a day
  rollcall findings --follow --service=checkout  as it opens, moves and ends
  rollcall findings --open --format=json | jq -r .text
  rollcall findings ack f3a91c0b2e7 --why='rolling back'`,
	"canary": `  rollcall canary checkout                       as of now: the verdict, and the metrics behind it
  rollcall canary checkout/prod --wait=30m --on-error=hold      in a deploy: go on until it passes or fails
  rollcall canary checkout --service-version=1.43.0 --wait      wait for this version to come, too
  rollcall canary checkout --format=json | jq -r .reason
Exit codes: 0 pass, 3 hold, 4 fail, 1 it could not be judged (--on-error makes that 3 or 4), 2 usage.`,
	"findings ack": `  rollcall findings ack f3a91c0b2e7 --why='rolling back'
  rollcall findings ack f3a91c0b2e7 --undo`,
	"event": `  rollcall event deploy checkout/prod --old=1.41.3 --new=1.42.0
  rollcall event flag checkout 'new basket for 10 %' --who=alice --at=5m
  rollcall event config search/prod 'cache 2 GB → 1 GB' --at=14:02:50`,
	"silence": `  rollcall silence checkout/prod --for=1h --why='load test'
  rollcall silence checkout --metric=latency --for=30m --why='known, being worked on'
  rollcall silence checkout/prod --place=host=east-1a-h03 --why='new disk'   what is found about that host
  rollcall silence                               what is silent
  rollcall silence --end=sk2j4h6g8a1b2           before its time`,
	"freeze": `  rollcall freeze /discovery/checkout/prod --for=30m --why='ZooKeeper is being moved'
  rollcall freeze / --why='nobody leaves until we know more'`,
	"accept": `  rollcall accept /discovery/checkout/prod --why='the rack is gone for good'`,
	"burst": `  rollcall burst checkout                        every instance, each second, for five minutes
  rollcall burst checkout/prod --service-version=1.42.0 --why='it looks slow'
  rollcall burst checkout/prod --zone=us-east-1c --interval=500ms --for=2m
  rollcall burst checkout/prod --instances=20    twenty, some of each version and zone
  rollcall burst checkout/prod --host=10.0.0.5 --tag team=payments
Exit codes: 0 taken, 1 not taken, which is explained, 2 usage.`,
	"orders": `  rollcall orders                                what is in force, until when, and who said so
  rollcall orders --end=ID                       end one`,
	"check service-discovery": `  rollcall check service-discovery --config.file=rollcall.yml apps
  rollcall check service-discovery --config.file=rollcall.yml apps --json
Exit codes: 0 somebody is found, 1 nobody is, or the source cannot be read, 2 there is no such job.`,
	"test": `  rollcall test rules-test.yml                   bodies in, what goes on the wire out, compared
  rollcall test tests/*.yml
Exit codes: 0 all passed, 1 some failed, or a file cannot be read.`,
	"check config": `  rollcall check config rollcall.yml               with the files that it names: rules, services`,
	"check rules": `  rollcall check rules alerts.yml
  rollcall check rules 'rules/*.yml'
Exit codes: 0 all are good, 1 some are not, which is explained.`,
	"config init": `  rollcall config init --zookeeper=zk-1:2181 > rollcall.yml`,
	"broker":      `  rollcall broker --storage.path=data --listen=127.0.0.1:7192`,
	"check service": `  rollcall check service checkout                what is recognised, by which metric and why; what is missing, and the remedy
  rollcall check service checkout/prod --format=json | jq -r '.lines[] | select(.state == "missing") | .remedy'
  rollcall check service checkout --config.file=rollcall.yml    only what its files say, before they are in force
Exit codes: 0 nothing is missing, 1 something is, or nobody knows the service, 2 usage.`,
	"completion": `  source <(rollcall completion bash)             in ~/.bashrc
  rollcall completion zsh > ~/.zfunc/_rollcall   with fpath+=~/.zfunc and compinit in ~/.zshrc
  rollcall completion fish > ~/.config/fish/completions/rollcall.fish`,
	"fleet": `  rollcall fleet --instances=1000 --numbers=200 --zookeeper=127.0.0.1:7181
  rollcall fleet --instances=1000 --file-sd=targets.json`,
}

func help(o kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	if n := ctx.Selected(); n != nil {
		name := n.Name
		if n.Parent != nil && n.Parent.Type == kong.CommandNode {
			name = n.Parent.Name + " " + name
		}
		text := examples[name]
		if text == "" { // of a group: those of its commands
			for _, c := range n.Children {
				if own, ok := examples[name+" "+c.Name]; ok {
					text += "\n" + own
				}
			}
			text = strings.TrimPrefix(text, "\n")
		}
		if text != "" {
			fmt.Fprintf(ctx.Stdout, "\nExamples:\n%s\n", text)
		}
	}
	return nil
}
