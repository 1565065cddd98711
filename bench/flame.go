package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
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
	reportStages(stdout, b.markdown, root, perScrape, floors)
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

func reportStages(w io.Writer, markdown bool, root *frame, perScrape float64, floors map[string]figures) {
	all, kernel := make([]int64, len(stages)), make([]int64, len(stages))
	root.byStage(all, kernel)
	table := rows{{"", "µs a scrape", "ns a sample", "of it in the kernel", "share"}}
	line := func(name string, us float64, inKernel string, share float64) {
		table.add(name, fmt.Sprintf("%.1f", us), fmt.Sprintf("%.0f", us*1000/numbersEach), inKernel, fmt.Sprintf("%.0f %%", 100*share))
	}
	ofKernel := func(nanos int64) string { return fmt.Sprintf("%.1f", perScrape*float64(nanos)/float64(root.nanos)) }
	var inKernel int64
	for i, s := range stages {
		inKernel += kernel[i]
		share := float64(all[i]) / float64(root.nanos)
		line(s.name, perScrape*share, ofKernel(kernel[i]), share)
	}
	line("all", perScrape, ofKernel(inKernel), 1)
	for _, side := range []string{sideNetHTTP, sideBare} {
		us := floors[side].microseconds() * numbersEach
		line(sideNames[side]+", read and discard", us, "", us/perScrape)
	}
	table.write(w, markdown)
}
