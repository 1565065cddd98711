package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// plan is what a run does.
type plan struct {
	members, sets, rate, loads int
	churn                      time.Duration
	finagle, noTargets         bool
	heap, profile              string
}

// sides in the order in which they load; those that change the tree go the other way round.
var sides = [...]string{"rollcall", "prometheus"}

// outcome is what came out for one side.
type outcome struct {
	loads   []loading
	watches int // on the server
	churn   churning
	members int // that were there after the changes
	latency latency
	settled time.Duration // after the last change until it had everything right, or until we gave up
	diff    difference
}

func benchRoster(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var p plan
	fs := flag.NewFlagSet("roster", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&p.members, "members", 150_000, "members in all serversets; the big one is as large a part of them as 10,822 are of 150,000")
	fs.IntVar(&p.sets, "sets", 2000, "serversets")
	fs.IntVar(&p.loads, "loads", 3, "times that each side loads everything; the median counts")
	fs.IntVar(&p.rate, "rate", 500, "changes a second")
	fs.DurationVar(&p.churn, "churn", time.Minute, "for how long there are changes")
	fs.BoolVar(&p.finagle, "finagle", false, "name members as Finagle does, so that their endpoints are in their data only")
	fs.BoolVar(&p.noTargets, "no-targets", false, "do not fail where a target is missed: small runs are not what they are for")
	fs.StringVar(&p.heap, "heap", "2g", "of ZooKeeper")
	fs.StringVar(&p.profile, "profile", "", "write profiles of each side to files that begin like this")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if p.members < 10 || p.sets < 2 || p.loads < 1 || p.rate < 1 || p.rate > 5000 {
		return errors.New("roster: at least 10 members in 2 sets, 1 load, 1 to 5000 changes a second")
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%5.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	out, err := p.measure(ctx, say, stderr)
	if err != nil {
		return err
	}
	missed := p.report(out, stdout)
	if len(missed) > 0 && !p.noTargets {
		return fmt.Errorf("roster: %d of the targets missed", len(missed))
	}
	return nil
}

func (p plan) measure(ctx context.Context, say func(string, ...any), stderr io.Writer) (map[string]*outcome, error) {
	say("starting ZooKeeper with a heap of %s", p.heap)
	srv, err := startServer(ctx, p.heap, stderr)
	if err != nil {
		return nil, err
	}
	defer srv.stop()
	ctx, cancel := srv.until(ctx)
	defer cancel()
	writers, err := connect(ctx, srv.addr, 8)
	if err != nil {
		return nil, err
	}
	defer writers.close()
	t := newTree(p.members, p.sets, p.finagle)
	begin := time.Now()
	if err := t.load(ctx, writers); err != nil {
		return nil, err
	}
	say("%d members in %d serversets, the big one of %d, made in %.1f s", p.members, p.sets, len(t.sets[0]), time.Since(begin).Seconds())

	out := map[string]*outcome{}
	var last *process
	for round := range p.loads {
		for _, name := range sides {
			o := out[name]
			if o == nil {
				o = &outcome{}
				out[name] = o
			}
			before, err := srv.watches()
			if err != nil {
				return nil, err
			}
			proc, l, err := p.start(ctx, name, srv.addr, p.members)
			if err != nil {
				return nil, err
			}
			now, err := srv.watches()
			if err != nil {
				return nil, errors.Join(err, proc.end())
			}
			o.loads, o.watches = append(o.loads, l), now-before
			say("%s, load %d: endpoints %.2f s, tags %.2f s, %d bytes resident a member and %d after a collection, %d watches", name, round+1, l.Known.Seconds(), l.Tagged.Seconds(), l.RSS/uint64(p.members), l.Freed/uint64(p.members), o.watches)
			if round == p.loads-1 && name == sides[len(sides)-1] {
				last = proc
			} else if err := proc.end(); err != nil {
				return nil, err
			}
			runtime.GC() // of ours, not while others are measured
		}
	}
	for i, name := range slices.Backward(sides[:]) {
		proc := last
		if proc == nil {
			if proc, _, err = p.start(ctx, name, srv.addr, t.count()); err != nil {
				return nil, err
			}
		}
		last = nil
		err := p.change(ctx, t, writers, uint64(i), proc, out[name], say)
		if err = errors.Join(err, proc.end()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// count is how many members there are.
func (t *tree) count() (n int) {
	for _, set := range t.sets {
		for _, m := range set {
			if m.path != "" {
				n++
			}
		}
	}
	return n
}

// settle is how long a side has to come to rest after the last change.
const settle = 45 * time.Second

// change has the tree change under one side.
func (p plan) change(ctx context.Context, t *tree, writers sessions, seed uint64, proc *process, o *outcome, say func(string, ...any)) error {
	say("%s: %d changes a second for %s", proc.name, p.rate, p.churn)
	if err := proc.ask("begin", nil); err != nil {
		return err
	}
	c := newChurn(t, writers, seed)
	changes, err := c.run(ctx, p.rate, p.churn)
	if err != nil {
		return err
	}
	end := time.Now()
	for {
		var has []held
		if o.churn.CPU == 0 { // what comes after is the comparing's
			time.Sleep(time.Second)
			if err := proc.ask("cost", &o.churn); err != nil {
				return err
			}
		}
		if err := proc.ask("dump", &has); err != nil {
			return err
		}
		o.settled, o.diff = time.Since(end), compare(t, has)
		if o.diff.none() || o.settled > settle {
			break
		}
		time.Sleep(time.Second)
	}
	var seen []sighting
	if err := proc.ask("seen", &seen); err != nil {
		return err
	}
	o.latency, o.members = match(changes, seen, t.owner), t.count()
	names, err := t.names(ctx, writers)
	if err != nil {
		return err
	}
	for _, set := range t.sets {
		for _, n := range set {
			if n.path != "" && !names[n.path] {
				return fmt.Errorf("%s is not on the server: the comparison would be worth nothing", n.path)
			}
		}
	}
	if len(names) != t.count() {
		return fmt.Errorf("%d members on the server, %d expected: the comparison would be worth nothing", len(names), t.count())
	}
	say("%s: visible p50 %s, p99 %s, %d unseen; after %.1f s lost %d, ghosts %d, stale %d %s", proc.name, o.latency.P50.Round(time.Millisecond), o.latency.P99.Round(time.Millisecond),
		o.latency.Unseen, o.settled.Seconds(), o.diff.Lost, o.diff.Ghosts, o.diff.Stale, o.diff.Example)
	return nil
}

// start has a side load everything.
func (p plan) start(ctx context.Context, name, addr string, members int) (*process, loading, error) {
	args := []string{"side", "-of", name, "-server", addr, "-want", fmt.Sprint(members)}
	if p.profile != "" {
		args = append(args, "-profile", p.profile+"."+name)
	}
	proc, err := startSelf(ctx, name, anyCore, args...)
	if err != nil {
		return nil, loading{}, err
	}
	var l loading
	if err := proc.out.Decode(&l); err != nil {
		return nil, l, errors.Join(fmt.Errorf("%s did not load: %w", name, err), proc.end())
	}
	return proc, l, nil
}
