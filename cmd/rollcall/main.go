// Command rollcall discovers every application that has registered itself, pulls its statistics, and streams them to Kafka for the people on call.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

type cli struct {
	Demo       demoCmd          `cmd:"" help:"A fleet in motion on this machine, on embedded servers. Start here."`
	Up         upCmd            `cmd:"" help:"Collector and dashboards in one process, with embedded servers where none are configured."`
	Collect    collectCmd       `cmd:"" help:"The collector: discover, scrape, enrich, stream to Kafka."`
	Serve      serveCmd         `cmd:"" help:"The dashboards: read the topics, serve the page and its API."`
	Export     exportCmd        `cmd:"" help:"The snapshots in another form: flat samples, Prometheus remote write, lines of JSON, Avro."`
	Status     statusCmd        `cmd:"" help:"Five lines: is all well? Exit 0 if so, else 1."`
	Top        topCmd           `cmd:"" help:"The page in a terminal: services by trouble, and their instances."`
	Ls         lsCmd            `cmd:"" help:"Who should be there, those who are missing first."`
	Watch      watchCmd         `cmd:"" help:"Each change of the roster, as it happens."`
	Why        whyCmd           `cmd:"" help:"Everything that made an instance what it is, in plain sentences."`
	Get        getCmd           `cmd:"" help:"Ask every instance of a service now, and tabulate what they say."`
	Tap        tapCmd           `cmd:"" help:"Live records as they arrive in the topic: chosen ones, chosen numbers."`
	Audit      auditCmd         `cmd:"" help:"What the topics lack, what stands in them twice: every gap and double by its id. Exit 1 if any."`
	Spool      spoolCmd         `cmd:"" help:"What waits on disk for Kafka: look at it, take back what was refused, send what a lost host has left."`
	Plan       planCmd          `cmd:"" help:"What a fleet needs of Kafka and of collectors, from what is measured; commands that make topics and rights."`
	Findings   findingsCmd      `cmd:"" help:"What is wrong and what was, each in a sentence with its evidence."`
	Event      eventCmd         `cmd:"" help:"Tell of a deploy, a flag, a change of configuration: it stands on the time line, and beside what broke after it."`
	Canary     canaryCmd        `cmd:"" help:"Does a new version do harm? Exit 0 pass, 3 hold, 4 fail."`
	Silence    silenceCmd       `cmd:"" help:"Make the findings of a service, and rules about it, quiet for a while; without a service, list what is silent."`
	Freeze     freezeCmd        `cmd:"" help:"Let nobody below a path leave the roster, for a while."`
	Accept     acceptCmd        `cmd:"" help:"Let those depart whom a guard holds below a path."`
	Burst      burstCmd         `cmd:"" help:"Pull a part of a service every second, for a few minutes."`
	Orders     ordersCmd        `cmd:"" help:"Which orders are in force; end one."`
	Check      checkCmd         `cmd:"" help:"Check a configuration file; what is recognised of a service, and what is missing."`
	Test       testCmd          `cmd:"" help:"Run unit tests of rules and relabelling; no server is needed."`
	Config     configCmd        `cmd:"" help:"Write a configuration from what a ZooKeeper holds."`
	Broker     brokerCmd        `cmd:"" help:"The embedded Kafka-protocol broker alone."`
	Fleet      fleetCmd         `cmd:"" help:"A fleet to load-test with: serves statistics and registers itself, or writes a target file."`
	Completion completionCmd    `cmd:"" help:"What a shell needs to complete these commands and their flags."`
	Version    kong.VersionFlag `name:"version" help:"Print the version."`

	LogLevel  string `name:"log.level" default:"auto" enum:"auto,debug,info,warn,error" help:"debug, info, warn or error; auto is info, and warn in the demo."`
	LogFormat string `name:"log.format" default:"logfmt" enum:"logfmt,json" help:"logfmt or json."`
}

// env is what a command gets beside its flags.
type env struct {
	ctx, cut       context.Context // ended by the first signal; by the second
	reload         <-chan struct{} // SIGHUP
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	build          ops.Build
}

// failure ends the program with a code of its own.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error { return failure{exitUsage, fmt.Errorf(format, args...)} }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	build := ops.ThisBuild()
	exited := -1
	p, err := kong.New(&c, kong.Name("rollcall"), kong.Description("Every application answers the roll: discover, pull, enrich, stream, show.\n\nExamples:\n"+examples[""]),
		kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Vars{"version": "rollcall " + build.String()},
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(duration)),
		kong.Exit(func(code int) { exited = code; panic(errExit) }), kong.Help(help), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(stderr, "rollcall:", plainLines(err))
		return exitFailure
	}
	if len(args) > 0 && args[0] == completeWord {
		complete(ctx, p.Model.Node, args[1:], stdout)
		return exitOK
	}
	k, code := parse(p, args, stderr, &exited)
	if k == nil {
		return code
	}
	level := c.LogLevel
	if level == "auto" {
		level = "info"
		if k.Command() == "demo" {
			level = "warn" // the demo has its own things to say
		}
	}
	log, err := ops.Logger(stderr, level, c.LogFormat)
	if err != nil {
		fmt.Fprintln(stderr, "rollcall:", plainLines(err))
		return exitUsage
	}
	runCtx, cut, reload, stop := ops.Signals(ctx)
	defer stop()
	err = k.Run(&env{ctx: runCtx, cut: cut, reload: reload, stdin: stdin, stdout: stdout, stderr: stderr, log: log, build: build})
	if err == nil || errors.Is(err, context.Canceled) {
		return exitOK
	}
	var f failure
	if errors.As(err, &f) {
		if f.err != nil {
			fmt.Fprintln(stderr, "rollcall:", plainLines(f.err))
		}
		return f.code
	}
	fmt.Fprintln(stderr, "rollcall:", plainLines(err))
	return exitFailure
}

var errExit = errors.New("exit")

// duration reads 1h30m, 500ms, and, as configurations have them, 7d.
func duration(k *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := k.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		if d, err = config.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is no duration; give 90s, 1h30m or 7d", text)
		}
	}
	target.SetInt(int64(d))
	return nil
}

// parse reads the command line; without a context to run, code is the answer (help and version are 0, mistakes are 2).
func parse(p *kong.Kong, args []string, stderr io.Writer, exited *int) (k *kong.Context, code int) {
	defer func() {
		if r := recover(); r != nil {
			if r != errExit {
				panic(r)
			}
			k, code = nil, *exited
		}
	}()
	k, err := p.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "rollcall: %s; `rollcall --help` lists commands, `rollcall COMMAND --help` explains one\n", plainLines(err))
		return nil, exitUsage
	}
	return k, exitOK
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
