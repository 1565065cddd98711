package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/pprof/profile"
)

// flameFor is how long is profiled: at a hundred looks a second, thousands.
const flameFor = 30 * time.Second

// drawFlame profiles the collector at 5,000 targets a second, draws where its time goes, and prints it by stage, beside the floors of the same run.
func (b *collectorBench) drawFlame(ctx context.Context, stdout io.Writer) error {
	l := loads[1]
	l.targets = max(1, int(float64(l.targets)*b.scale))
	floors := map[string]figures{}
	for _, side := range []string{sideBare, sideNetHTTP} {
		f, err := b.measure(ctx, l, side)
		if err != nil {
			return err
		}
		b.say("%s", f.line(side))
		floors[side] = f
	}
	raw, cost, err := b.profileDaemon(ctx, l)
	if err != nil {
		return err
	}
	if b.profile != "" {
		if err := os.WriteFile(b.profile, raw, 0o644); err != nil {
			return fmt.Errorf("keep the profile: %w", err)
		}
	}
	p, err := profile.ParseData(raw)
	if err != nil {
		return fmt.Errorf("read the collector's profile: %w", err)
	}
	root := flames(p)
	if root.nanos == 0 {
		return errors.New("the collector's profile is empty")
	}
	perScrape := cost.microseconds() * numbersEach
	title := fmt.Sprintf("rollcall collect, %d targets × %d numbers every %s: %.1f µs a scrape, body to acknowledged record", l.targets, numbersEach, l.interval, perScrape)
	if err := os.WriteFile(b.flame, flameSVG(root, title, perScrape), 0o644); err != nil {
		return fmt.Errorf("draw the flames: %w", err)
	}
	reportStages(stdout, root, perScrape, floors)
	return nil
}

// profileDaemon runs the daemon at a load and takes a CPU profile of it. The cost is that of the time in which it was profiled.
func (b *collectorBench) profileDaemon(ctx context.Context, l load) (raw []byte, f figures, err error) {
	dir, err := b.runDir()
	if err != nil {
		return nil, f, err
	}
	list, err := b.targetList(dir, l.targets)
	if err != nil {
		return nil, f, err
	}
	if err := b.reset(); err != nil {
		return nil, f, err
	}
	broker, addr, err := b.startBroker(ctx)
	if err != nil {
		return nil, f, err
	}
	defer func() { err = errors.Join(err, broker.end()) }()
	d, err := startDaemon(ctx, b.program, dir, list, addr, b.core, l.interval)
	if err != nil {
		return nil, f, err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := b.warmUp(ctx, l, d); err != nil {
		return nil, f, err
	}
	b.say("profiling for %s", flameFor)
	type answer struct {
		raw []byte
		err error
	}
	done := make(chan answer, 1)
	go func() {
		raw, err := d.get(ctx, "/debug/pprof/profile?seconds="+strconv.Itoa(int(flameFor/time.Second)))
		done <- answer{raw, err}
	}()
	long := *b
	long.window = flameFor - time.Second
	err = long.observe(ctx, l, d, broker, &f)
	got := <-done
	return bytes.Clone(got.raw), f, errors.Join(err, got.err)
}

func reportStages(w io.Writer, root *frame, perScrape float64, floors map[string]figures) {
	all, kernel := make([]int64, len(stages)), make([]int64, len(stages))
	root.byStage(all, kernel)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "\tµs a scrape\tns a sample\tof it in the kernel\tshare\t\n")
	line := func(name string, us, inKernel, share float64) {
		fmt.Fprintf(tw, "%s\t%.1f\t%.0f\t%.1f\t%.0f %%\t\n", name, us, us*1000/numbersEach, inKernel, 100*share)
	}
	var inKernel int64
	for i, s := range stages {
		inKernel += kernel[i]
		share := float64(all[i]) / float64(root.nanos)
		line(s.name, perScrape*share, perScrape*float64(kernel[i])/float64(root.nanos), share)
	}
	line("all", perScrape, perScrape*float64(inKernel)/float64(root.nanos), 1)
	for _, side := range []string{sideNetHTTP, sideBare} {
		us := floors[side].microseconds() * numbersEach
		fmt.Fprintf(tw, "%s, read and discard\t%.1f\t%.0f\t\t%.0f %%\t\n", sideNames[side], us, us*1000/numbersEach, 100*us/perScrape)
	}
	_ = tw.Flush() // to a terminal or a buffer
}
