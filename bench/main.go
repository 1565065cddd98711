// Command bench measures rollcall beside what others do, in one run on one machine: its discovery on a real ZooKeeper, its collector on a fleet of its own, its sink on
// a real Kafka.
//
// It is a Go module of its own, so that what it compares with (Prometheus' discovery as a library) stays out of rollcall. It runs on Linux: it reads /proc and
// asks the kernel how many bytes came over a socket. Each side is measured in a process of its own, which is this program again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: bench roster [flags]     rollcall and Prometheus follow the same serversets; -h lists the flags
       bench reconnect [flags]  many sessions are cut at once: when is each back?
       bench collector [flags]  a fleet is scraped into Kafka: by rollcall, by a plain collector, and by nobody who keeps what he reads
       bench reliability [flags]  a collector under load, and what happens to it and its Kafka: is everything in the topics, once?
       bench analysis [flags]   localisation, detection and canary verdicts on labelled cases, beside the best published
       bench serve [flags]      a million live series through rollcall serve, through two that share them, and through one that is left
       bench page [flags]       the page of 20,000 instances in a real browser: frames, memory, and how long news takes to the screen
       bench sink [flags]       records into Kafka and into the embedded broker: by rollcall's sink, kafka-go's Writer and franz-go
`

// errUsage says that the words after the command name none of its ways.
var errUsage = errors.New("unknown way")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp): // which the flags have printed
	case interrupted: // whatever came of that: those who are asked have been ended
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		os.Exit(130)
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	what := ""
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch what {
	case "roster":
		return benchRoster(ctx, args, stdout, stderr)
	case "reliability":
		return benchReliability(ctx, args, stdout, stderr)
	case "reconnect":
		return benchReconnect(ctx, args, stdout, stderr)
	case "collector":
		return benchCollector(ctx, args, stdout, stderr)
	case "analysis":
		return benchAnalysis(ctx, args, stdout, stderr)
	case "serve":
		return benchServe(ctx, args, stdout, stderr)
	case "sink":
		return benchSink(ctx, args, stdout, stderr)
	case "page":
		return benchPage(ctx, args, stdout, stderr)
	case "page-serve": // what it looks at
		return runPageServe(ctx, args, stdin, stdout)
	case "producer": // one of its ways
		return runProducer(ctx, args, stdin, stdout)
	case "load": // started by serve
		return runLoad(ctx, args, stdin, stdout)
	case "fleet": // what follows is started by collector
		return runFleet(ctx, args, stdin, stdout)
	case "broker":
		return runBroker(ctx, args, stdin, stdout)
	case "agent":
		return runAgent(ctx, args, stdin, stdout)
	case "side": // one of those measured, started by roster
		return runSide(ctx, args, stdin, stdout)
	}
	return errUsage
}
