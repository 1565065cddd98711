// Package ops is what every daemon of this project shares: its log, its signals, its listener, its own metrics and its health. It knows nothing of
// what a daemon does.
package ops

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// Logger writes to w at a level (debug, info, warn, error) in a format (logfmt, json).
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "logfmt", "":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: use logfmt or json", format)
}

// Signals ends run at the first SIGINT or SIGTERM: the daemon drains. The second ends drain: what is left is cut. reload gets one value
// for each SIGHUP that is not already waiting.
func Signals(ctx context.Context) (run, drain context.Context, reload <-chan struct{}, stop func()) {
	run, endRun := context.WithCancel(ctx)
	drain, endDrain := context.WithCancel(context.WithoutCancel(ctx))
	hup := make(chan struct{}, 1)
	sigs := make(chan os.Signal, 4)
	signal.Notify(sigs, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-sigs:
				switch {
				case s == syscall.SIGHUP:
					select {
					case hup <- struct{}{}:
					default:
					}
				case run.Err() == nil:
					endRun()
				default:
					endDrain()
				}
			}
		}
	}()
	return run, drain, hup, func() {
		signal.Stop(sigs)
		close(done)
		endRun()
		endDrain()
	}
}

// Build says which build this is: version, revision and Go's version, each "unknown" where the build does not say.
type Build struct{ Version, Revision, Go string }

// version is set by the Makefile: -ldflags "-X …/ops.version=…".
var version string

// ThisBuild reads the build's own records.
func ThisBuild() Build {
	b := Build{Version: version, Revision: "unknown", Go: "unknown"}
	if i, ok := debug.ReadBuildInfo(); ok {
		b.Go = i.GoVersion
		if b.Version == "" && i.Main.Version != "(devel)" {
			b.Version = i.Main.Version
		}
		for _, s := range i.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
}

func (b Build) String() string {
	return fmt.Sprintf("%s (revision %s, %s)", b.Version, b.Revision, b.Go)
}
