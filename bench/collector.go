package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// load is one size of fleet and how often it is scraped.
type load struct {
	name     string
	targets  int
	interval time.Duration
	sides    []string // in the order of their turns
	once     []string // those of them that have one turn, however many runs there are
}

// The sides: what scrapes.
const (
	sideBare    = "bare"     // a bare connection, read and discard
	sideNetHTTP = "nethttp"  // net/http, read and discard
	sidePlain   = "plain"    // the plain collector
	sideOurs    = "rollcall" // the daemon of this tree
)

var allSides = []string{sideBare, sideNetHTTP, sidePlain, sideOurs}

// loads are those of the issue. Of the largest one the slow sides have one turn: it takes as long as the three others.
var loads = []load{
	{"1000", 1000, time.Second, allSides, nil},
	{"5000", 5000, time.Second, allSides, nil},
	{"15000", 15_000, 10 * time.Second, allSides, []string{sideBare, sidePlain}},
	{"10000", 10_000, time.Second, []string{sideNetHTTP, sideOurs}, nil},
}

// overloaded is the name of the load that is found out.
const overloaded = "overload"

// collectorBench is a run of all of it.
type collectorBench struct {
	runs      int
	warm      time.Duration // after every target has answered
	window    time.Duration
	only      string
	sides     string
	program   string
	flame     string
	profile   string
	processes int
	scale     float64 // of the numbers of targets: tests are small
	steps     int     // on the way to its best
	noTargets bool
	markdown  bool

	dir         string
	core, other int // of what is measured; of all the rest
	fleet       []*process
	say         func(string, ...any)
}

func benchCollector(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &collectorBench{processes: 2}
	quick := false
	fs := flag.NewFlagSet("collector", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&b.runs, "runs", 3, "turns of each side; the medians count")
	fs.DurationVar(&b.warm, "warm", 2*time.Second, "how long a side scrapes before it is measured, after it has scraped everybody once")
	fs.DurationVar(&b.window, "window", 5*time.Second, "how long it is measured; at least one interval")
	fs.StringVar(&b.only, "loads", "", "only these: 1000,5000,15000,10000,overload")
	fs.StringVar(&b.sides, "sides", "", "only these: bare,nethttp,plain,rollcall")
	fs.StringVar(&b.program, "rollcall", "", "the program to measure; default: built from this tree")
	fs.StringVar(&b.flame, "flame", "", "measure nothing, but profile the collector at 5,000 targets, and draw this SVG")
	fs.StringVar(&b.profile, "profile", "", "with -flame: keep the profile in this file, for go tool pprof")
	fs.Float64Var(&b.scale, "scale", 1, "by what all numbers of targets are multiplied")
	fs.IntVar(&b.steps, "steps", len(overloadSteps), "at most so many steps on the way to overload")
	fs.BoolVar(&quick, "quick", false, "one run of everything, with short windows")
	fs.BoolVar(&b.noTargets, "no-targets", false, "do not fail where a target is missed")
	fs.BoolVar(&b.markdown, "markdown", false, "print tables as docs/performance.md has them")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if quick {
		b.runs, b.warm, b.window = 1, time.Second, 3*time.Second
	}
	if b.runs < 1 || b.window < 100*time.Millisecond || b.scale <= 0 || b.scale > 1 || b.steps < 1 || b.steps > len(overloadSteps) {
		return errors.New("collector: at least 1 run, a window of 100ms, a scale above 0 and up to 1, 1 to 11 steps")
	}
	if err := b.known(); err != nil {
		return err
	}
	began := time.Now()
	b.say = func(format string, args ...any) {
		fmt.Fprintf(stderr, "%5.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	defer http.DefaultClient.CloseIdleConnections()
	missed, err := b.run(ctx, stdout)
	if err == nil && len(missed) > 0 && !b.noTargets {
		err = fmt.Errorf("collector: %d of the targets missed", len(missed))
	}
	return err
}

// known says which names of loads and sides are none.
func (b *collectorBench) known() error {
	names := []string{overloaded}
	for _, l := range loads {
		names = append(names, l.name)
	}
	for list, of := range map[string][]string{b.only: names, b.sides: allSides} {
		for name := range strings.SplitSeq(list, ",") {
			if list != "" && !slices.Contains(of, name) {
				return fmt.Errorf("collector: %q is none of %s", name, strings.Join(of, ", "))
			}
		}
	}
	return nil
}

// wanted says whether a comma-separated list has a name, or is empty.
func wanted(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

func (b *collectorBench) run(ctx context.Context, stdout io.Writer) (missed []string, err error) {
	if b.dir, err = os.MkdirTemp("", "rollcall-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.core, b.other, err = cores(); err != nil {
		return nil, err
	}
	if b.core == b.other {
		b.say("there is one core: what is measured shares it with the fleet and the broker")
	}
	if b.program == "" && (wanted(b.sides, sideOurs) || b.flame != "") {
		b.say("building rollcall")
		if b.program, err = buildRollcall(ctx, b.dir); err != nil {
			return nil, err
		}
	}
	if err := b.startFleet(ctx); err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range b.fleet {
			err = errors.Join(err, p.end())
		}
	}()
	if b.flame != "" {
		return nil, b.drawFlame(ctx, stdout)
	}
	var results []result
	for run := range b.runs {
		for _, l := range loads {
			if !wanted(b.only, l.name) {
				continue
			}
			l.targets = max(1, int(float64(l.targets)*b.scale))
			for _, side := range l.sides {
				if !wanted(b.sides, side) || run > 0 && slices.Contains(l.once, side) {
					continue
				}
				f, err := b.measure(ctx, l, side)
				if err != nil {
					return nil, fmt.Errorf("%s, %d targets: %w", side, l.targets, err)
				}
				results = append(results, result{l, side, f})
				b.say("run %d, %d targets every %s: %s", run+1, l.targets, l.interval, f.line(side))
			}
		}
	}
	var over []overload
	for run := range b.runs {
		if wanted(b.only, overloaded) && wanted(b.sides, sideOurs) {
			o, err := b.overload(ctx)
			if err != nil {
				return nil, fmt.Errorf("overload: %w", err)
			}
			over = append(over, o)
			b.say("run %d, overload: %s", run+1, o.line())
		}
	}
	if len(results)+len(over) == 0 {
		return nil, errors.New("no load has any of these sides")
	}
	return b.report(results, over, stdout), nil
}

// startFleet starts the processes of the fleet, for the largest load.
func (b *collectorBench) startFleet(ctx context.Context) error {
	most := overloadTargets
	for _, l := range loads {
		if wanted(b.only, l.name) && b.flame == "" {
			most = max(most, l.targets)
		}
	}
	each := (max(1, int(float64(most)*b.scale)) + b.processes - 1) / b.processes
	for i := range b.processes {
		p, err := startSelf(ctx, "fleet", b.other, "fleet", "-id", fmt.Sprint(i), "-instances", fmt.Sprint(each))
		if err == nil {
			b.fleet = append(b.fleet, p)
			err = p.answer("being ready", nil)
		}
		if err != nil {
			for _, p := range b.fleet {
				err = errors.Join(err, p.end())
			}
			return err
		}
	}
	return nil
}

// totals is what the fleet says of its first n instances.
func (b *collectorBench) totals(n int) (fleetTotals, error) {
	all := fleetTotals{Least: 1 << 62}
	for i, p := range b.fleet {
		var t fleetTotals
		mine := (n - i + b.processes - 1) / b.processes
		if mine == 0 {
			continue
		}
		if err := p.ask(fmt.Sprintf("totals %d", mine), &t); err != nil {
			return all, err
		}
		all.Answered += t.Answered
		all.Others += t.Others
		all.CPU += t.CPU
		all.Least = min(all.Least, t.Least)
	}
	return all, nil
}

// reset has the fleet count from nothing.
func (b *collectorBench) reset() error {
	for _, p := range b.fleet {
		if err := p.ask("reset 0", nil); err != nil {
			return err
		}
	}
	return nil
}

// runDir is a folder for one run of one side.
func (b *collectorBench) runDir() (string, error) { return os.MkdirTemp(b.dir, "run-") }

// startBroker starts an empty broker.
func (b *collectorBench) startBroker(ctx context.Context) (*process, string, error) {
	p, err := startSelf(ctx, "broker", b.other, "broker")
	if err != nil {
		return nil, "", err
	}
	var addr string
	if err := p.answer("its address", &addr); err != nil {
		return nil, "", errors.Join(err, p.end())
	}
	return p, addr, nil
}

func (b *collectorBench) targetList(dir string, n int) (string, error) {
	file := filepath.Join(dir, "targets.json")
	return file, writeTargets(file, n, b.processes)
}
