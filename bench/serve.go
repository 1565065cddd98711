package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
)

// The parts of the benchmark.
const (
	partOne    = "one"    // a server alone
	partBudget = "budget" // the same with the budget of bytes as it is delivered
	partTwo    = "two"    // two that share, and one of them dies
)

var serveParts = []string{partOne, partBudget, partTwo}

// serveBench is a run of `rollcall serve` on a fleet's records.
type serveBench struct {
	instances, services int
	interval            time.Duration
	history             time.Duration
	window              time.Duration
	maxBytes            string
	bothCores           bool
	only                string
	program             string
	profile             string
	noTargets           bool
	markdown            bool

	dir         string
	core, other int // of what is measured; of the broker and the load
	broker      *process
	addr        string // of the broker
	load        *process
	numbers     int // of a record
	say         func(string, ...any)
	targets     []target
}

func benchServe(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &serveBench{}
	quick := false
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&b.instances, "instances", 5000, "of the fleet; each says 200 numbers")
	fs.IntVar(&b.services, "services", 50, "that they are of")
	fs.DurationVar(&b.interval, "interval", 10*time.Second, "between two scrapes of an instance")
	fs.DurationVar(&b.history, "history", time.Hour, "that is in the topic when a server starts")
	fs.DurationVar(&b.window, "window", 30*time.Second, "how long is measured")
	fs.StringVar(&b.maxBytes, "max-bytes", "2GB", "dashboards.max_bytes of what is measured")
	fs.BoolVar(&b.bothCores, "both-cores", false, "a server may run on every core, as it is delivered; default: the first alone, the broker and the load on the second")
	fs.StringVar(&b.only, "parts", "", "only these: one,budget,two")
	fs.StringVar(&b.program, "rollcall", "", "the program to measure; default: built from this tree")
	fs.StringVar(&b.profile, "profile", "", "keep profiles of the window's CPU and of the heap in files that begin so, for go tool pprof")
	fs.BoolVar(&quick, "quick", false, "a twentieth of the fleet, ten minutes of history, short windows")
	fs.BoolVar(&b.noTargets, "no-targets", false, "do not fail where a target is missed")
	fs.BoolVar(&b.markdown, "markdown", false, "print tables as docs/performance.md has them")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if quick {
		b.instances, b.services, b.history, b.window = b.instances/20, max(4, b.services/5), b.history/6, 10*time.Second
	}
	if b.services < 1 || b.instances < b.services || b.interval < time.Second || b.history < 2*b.interval || b.window < time.Second {
		return errors.New("serve: at least 1 service, as many instances, 1 s between scrapes, a history of two of them and a window of 1 s")
	}
	for part := range strings.SplitSeq(b.only, ",") {
		if b.only != "" && !wanted(strings.Join(serveParts, ","), part) {
			return fmt.Errorf("serve: %q is none of %s", part, strings.Join(serveParts, ", "))
		}
	}
	began := time.Now()
	b.say = func(format string, args ...any) {
		fmt.Fprintf(stderr, "%5.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	err := b.run(ctx, stdout)
	missed := 0
	for _, t := range b.targets {
		word := "reached"
		if !t.met {
			word = "missed"
			missed++
		}
		fmt.Fprintf(stdout, "%-8s %s: %s\n", word, t.what, t.got)
	}
	if err == nil && missed > 0 && !b.noTargets {
		err = fmt.Errorf("serve: %d of the targets missed", missed)
	}
	return err
}

func (b *serveBench) series() int { return b.instances * b.numbers }

func (b *serveBench) target(met bool, what, format string, args ...any) {
	b.targets = append(b.targets, target{what, met, fmt.Sprintf(format, args...)})
}

func (b *serveBench) run(ctx context.Context, stdout io.Writer) (err error) {
	if b.dir, err = os.MkdirTemp("", "rollcall-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.core, b.other, err = cores(); err != nil {
		return err
	}
	if b.program == "" {
		b.say("building rollcall")
		if b.program, err = buildRollcall(ctx, b.dir); err != nil {
			return err
		}
	}
	if err := b.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.load.end(), b.broker.end()) }()
	run := map[string]func(context.Context, io.Writer) error{partOne: b.alone, partBudget: b.budget, partTwo: b.pair}
	for _, part := range serveParts {
		if !wanted(b.only, part) {
			continue
		}
		if err := run[part](ctx, stdout); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// begin starts the broker and the load, and has the past written.
func (b *serveBench) begin(ctx context.Context) (err error) {
	if b.broker, err = startSelf(ctx, "broker", b.other, "broker"); err != nil {
		return err
	}
	if err = b.broker.answer("its address", &b.addr); err == nil {
		t := sink.DefaultTopics()
		for _, topic := range []string{t.Snapshots, t.Backfill, t.Roster, t.Rollups, t.Findings} {
			err = errors.Join(err, makeTopic(ctx, b.addr, topic))
		}
	}
	if err == nil { // its past is written by both cores: nothing is measured yet
		b.load, err = startSelf(ctx, "load", anyCore, "load", "-broker", b.addr, "-instances", fmt.Sprint(b.instances), "-services", fmt.Sprint(b.services), "-interval", b.interval.String())
	}
	if err != nil {
		return errors.Join(err, b.broker.end())
	}
	var counts loadCounts
	if err = b.load.answer("being ready", &b.numbers); err == nil {
		b.say("%d series: %d instances of %d services, %d numbers each, every %s; writing the last %s", b.series(), b.instances, b.services, b.numbers, b.interval, b.history)
		err = b.load.ask("past "+b.history.String(), &counts)
	}
	if err == nil {
		err = confine(b.load.pid(), b.other)
	}
	if err == nil && counts.Error != "" {
		err = errors.New(counts.Error)
	}
	if err != nil {
		return errors.Join(err, b.load.end(), b.broker.end())
	}
	b.say("%d records, %.0f MB, are in the topic", counts.Records, float64(counts.Bytes)/(1<<20))
	return nil
}
