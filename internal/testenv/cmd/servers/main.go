// Command servers fetches what the tests of this project run against: by Maven ZooKeeper, Kafka with the agents that show its JMX, and twitter-server, and, as root on Debian,
// Chromium, kcat, Prometheus, its Alertmanager and its node exporter. `make servers` runs it. With -try it is no failure that something cannot be had,
// unless CI=true: tests go on without. With -missing it fetches nothing and says in one line what is not there.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("servers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	onlyMissing := flags.Bool("missing", false, "fetch nothing; say in one line what is not there")
	try := flags.Bool("try", false, "no failure when something cannot be had, unless CI=true")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *onlyMissing {
		if absent := testenv.Lacks(); len(absent) > 0 {
			fmt.Fprintf(stdout, "not there, so tests ran without: %s; `make servers` fetches them\n", strings.Join(absent, ", "))
		}
		return nil
	}
	err := testenv.FetchAll(ctx, stdout)
	if err != nil && *try && os.Getenv("CI") != "true" && ctx.Err() == nil {
		fmt.Fprintln(stderr, "servers: going on without:", err)
		return nil
	}
	return err
}
