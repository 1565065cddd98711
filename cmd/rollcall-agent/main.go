// Command rollcall-agent runs on each host: it registers the host's applications in serversets and keeps them there while they are well.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

type cli struct {
	Register registerCmd      `cmd:"" help:"Register services in serversets for as long as they pass their checks."`
	Check    checkCmd         `cmd:"" help:"Check an agent's configuration file and the files of services that it names."`
	Version  kong.VersionFlag `name:"version" help:"Print the version."`

	LogLevel  string `name:"log.level" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat string `name:"log.format" default:"logfmt" enum:"logfmt,json" help:"logfmt or json."`
}

// env is what a command gets beside its flags.
type env struct {
	ctx, cut       context.Context // ended by the first signal; by the second
	reload         <-chan struct{} // SIGHUP
	stdout, stderr io.Writer
	log            *slog.Logger
	build          ops.Build
}

// usageError is a mistake on the command line or in a configuration file.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exit is how kong ends the program after --help and --version.
type exit int

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	var c cli
	build := ops.ThisBuild()
	p, err := kong.New(&c, kong.Name("rollcall-agent"), kong.Description("Registers the applications of this host, and keeps them registered.\n\nExamples:\n"+examples[""]),
		kong.Writers(stdout, stderr), kong.Vars{"version": "rollcall-agent " + build.String()}, kong.Exit(func(code int) { panic(exit(code)) }),
		kong.Help(help), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(stderr, "rollcall-agent:", err)
		return exitFailure
	}
	k, err := p.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "rollcall-agent: %v; `rollcall-agent --help` lists commands, `rollcall-agent COMMAND --help` explains one\n", err)
		return exitUsage
	}
	log, err := ops.Logger(stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		fmt.Fprintln(stderr, "rollcall-agent:", err)
		return exitUsage
	}
	runCtx, cut, reload, stop := ops.Signals(ctx)
	defer stop()
	err = k.Run(&env{ctx: runCtx, cut: cut, reload: reload, stdout: stdout, stderr: stderr, log: log, build: build})
	var u usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &u):
		fmt.Fprintln(stderr, "rollcall-agent:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "rollcall-agent:", err)
	return exitFailure
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
