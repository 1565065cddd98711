package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// reliability is a run of the faults: three brokers, a fleet that numbers its answers, and the collector as it is delivered.
type reliability struct {
	quick     bool
	only      string
	targets   int
	numbers   int
	interval  time.Duration
	down      time.Duration
	kills     int
	terms     int
	program   string
	out       string
	scale     float64 // of the spans that faults last: tests are short
	keep      bool
	noTargets bool

	dir     string
	cluster *testenv.KafkaCluster
	admin   *admin
	fleet   *answering
	say     func(string, ...any)
}

func benchReliability(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &reliability{}
	fs := flag.NewFlagSet("reliability", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&b.only, "fault", "", "only these: "+strings.Join(faultNames(), ","))
	fs.BoolVar(&b.quick, "quick", false, "a short run of everything: an outage of a minute, 10 kills, 5 ends")
	fs.IntVar(&b.targets, "targets", 300, "instances of the fleet")
	fs.IntVar(&b.numbers, "numbers", 100, "numbers that each answers with")
	fs.DurationVar(&b.interval, "interval", time.Second, "how often each is asked")
	fs.DurationVar(&b.down, "down", 10*time.Minute, "how long Kafka is away")
	fs.IntVar(&b.kills, "kills", 50, "how often the collector is killed")
	fs.IntVar(&b.terms, "terms", 20, "how often it is ended in order")
	fs.Float64Var(&b.scale, "scale", 1, "by what the spans that faults last are multiplied")
	fs.StringVar(&b.program, "rollcall", "", "the program to test; default: built from this tree")
	fs.StringVar(&b.out, "out", "", "write the table into this file, too")
	fs.BoolVar(&b.keep, "keep", false, "keep the folder with logs and data, and say where it is")
	fs.BoolVar(&b.noTargets, "no-targets", false, "do not fail where a target is missed")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if b.quick {
		b.down, b.kills, b.terms = min(b.down, time.Minute), min(b.kills, 10), min(b.terms, 5)
	}
	if b.targets < 1 || b.targets > 5*portsEach || b.numbers < 1 || b.interval < 100*time.Millisecond || b.down < time.Second || b.kills < 1 || b.terms < 1 || b.scale <= 0 || b.scale > 1 {
		return errors.New("reliability: 1 to 5000 targets, numbers, kills and terms of at least 1, an interval of at least 100ms, a scale above 0 and up to 1")
	}
	for name := range strings.SplitSeq(b.only, ",") {
		if b.only != "" && !slices.Contains(faultNames(), name) {
			return fmt.Errorf("reliability: %q is none of %s", name, strings.Join(faultNames(), ", "))
		}
	}
	began := time.Now()
	b.say = func(format string, args ...any) {
		fmt.Fprintf(stderr, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	return b.run(ctx, stdout, stderr)
}

func (b *reliability) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if b.dir, err = os.MkdirTemp("", "rollcall-reliability-"); err != nil {
		return err
	}
	defer func() {
		if b.keep {
			b.say("kept: %s", b.dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	if b.program == "" {
		b.say("building rollcall")
		if b.program, err = buildRollcall(ctx, b.dir); err != nil {
			return err
		}
	}
	if _, err := testenv.Fetch(ctx, testenv.KafkaJars, stderr); err != nil {
		return err
	}
	if b.fleet, err = newAnswering(ctx, byte(100+rand.IntN(150)), b.targets, b.numbers); err != nil {
		return err
	}
	defer b.fleet.close()
	var done []turnout
	err = testenv.Stand(ctx, b.dir, func(line string) { b.say("%s", line) }, func(t testing.TB) error {
		b.say("starting three brokers")
		cluster, ok := testenv.Cluster(t, 3, testenv.BehindProxy(), testenv.Racks(), testenv.BrokerSetting("default.replication.factor", "3"))
		if !ok {
			return errors.New("no Kafka is to be had")
		}
		b.cluster, b.admin = cluster, newAdmin(cluster.Brokers())
		defer b.admin.close()
		if err := b.admin.makeProbe(ctx); err != nil {
			return err
		}
		for _, f := range faults {
			if !wanted(b.only, f.name) {
				continue
			}
			o := b.one(ctx, t, f)
			b.say("%s", o.line())
			for _, m := range o.missed {
				b.say("%s: MISSED %s", f.name, m)
			}
			done = append(done, o)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
	table := b.table(done)
	fmt.Fprint(stdout, table)
	if b.out != "" {
		if err := os.MkdirAll(filepath.Dir(b.out), 0o755); err != nil {
			return err
		}
		err = errors.Join(err, os.WriteFile(b.out, []byte(table), 0o644))
	}
	missed := 0
	for _, o := range done {
		missed += len(o.missed)
	}
	if err == nil && missed > 0 && !b.noTargets {
		err = fmt.Errorf("reliability: %d targets missed", missed)
	}
	return err
}

// one runs one fault. What it brings about ends with it, whatever happens.
func (b *reliability) one(ctx context.Context, t testing.TB, f fault) (o turnout) {
	o.fault = f
	r := &trial{reliability: b, t: t, name: f.name}
	began := time.Now()
	b.say("%s: %s", f.name, f.does(b))
	err := r.prepare(ctx)
	if err == nil {
		err = f.run(ctx, r)
	}
	if err == nil {
		err = r.finish(ctx, &o)
	}
	err = errors.Join(err, r.undo(context.WithoutCancel(ctx)))
	if err != nil {
		o.missed = append(o.missed, err.Error())
		b.say("%s: the collector's log ends with\n%s", f.name, r.logTail(30))
	}
	o.took = time.Since(began)
	return o
}
