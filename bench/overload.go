package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
)

// overloadTargets are those of the overload: the collector is offered more by being told to ask them more often.
const overloadTargets = 10_000

// overloadSteps are how many scrapes a second are asked for, one after the other, to find the collector's best. It ends where a tenth is skipped.
var overloadSteps = []int{8000, 10_000, 12_000, 14_000, 16_000, 18_000, 20_000, 22_000, 25_000, 28_000, 32_000}

// overloadBy is what is asked for then, in best ones: twice and a little.
const overloadBy = 2.2

// intervalFor is how often each target is to be scraped to make so many scrapes a second; no shorter than the collector allows.
func intervalFor(targets int, rate float64) time.Duration {
	return max(100*time.Millisecond, time.Duration(float64(targets)/rate*float64(time.Second)).Truncate(time.Millisecond))
}

// overload is what came of it.
type overload struct {
	targets int
	best    float64 // scrapes a second, the most of all steps
	asked   float64 // a second, at that step
	left    float64 // skipped a second, at that step
	offered float64 // a second, when it was too much
	kept    float64 // scrapes a second then
	skipped float64 // a second then
	rss     uint64
	peak    uint64
	least   int // skipped of the target that was skipped least, while overloaded
	most    int
	lost    int // as figures.off
	slots   int // slots that no record speaks of, while overloaded
	trouble string
}

func (o overload) line() string {
	return fmt.Sprintf("best %.0f scrapes/s, %.0f offered: %.0f kept (%.1f %% of the best), %.0f skipped/s; %.1f MB (most %.1f); a target skipped %d to %d times; %d records off, %d slots untold%s",
		o.best, o.offered, o.kept, 100*o.kept/o.best, o.skipped, mb(o.rss), mb(o.peak), o.least, o.most, o.lost, o.slots, o.trouble)
}

// overload looks for the collector's best, and then asks for twice as much.
func (b *collectorBench) overload(ctx context.Context) (o overload, err error) {
	l := load{name: overloaded, targets: max(1, int(overloadTargets*b.scale))}
	l.interval = intervalFor(l.targets, float64(overloadSteps[0])*b.scale)
	o.targets = l.targets
	dir, err := b.runDir()
	if err != nil {
		return o, err
	}
	list, err := b.targetList(dir, l.targets)
	if err != nil {
		return o, err
	}
	if err := b.reset(); err != nil {
		return o, err
	}
	broker, addr, err := b.startBroker(ctx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, broker.end()) }()
	d, err := startDaemon(ctx, b.program, dir, list, addr, b.core, l.interval)
	if err != nil {
		return o, err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, d.end())
		}
	}()
	if err := b.warmUp(ctx, l, d); err != nil {
		return o, err
	}
	for i, step := range overloadSteps[:b.steps] {
		every := intervalFor(l.targets, float64(step)*b.scale)
		if i > 0 {
			if err := d.every(ctx, every); err != nil {
				return o, err
			}
		}
		kept, skipped, err := b.rate(ctx, d, l.targets, b.warm/3+2*every, max(every, b.window/2))
		if err != nil {
			return o, err
		}
		asked := float64(l.targets) / every.Seconds()
		b.say("overload: %.0f asked for a second: %.0f kept, %.0f skipped", asked, kept, skipped)
		if kept = min(kept, asked); kept > o.best { // what was left of the step before is not the best of this one
			o.best, o.asked, o.left = kept, asked, skipped
		}
		if skipped > asked/10 {
			break
		}
	}
	hard := intervalFor(l.targets, overloadBy*o.best)
	if err := d.every(ctx, hard); err != nil {
		return o, err
	}
	o.offered = float64(l.targets) / hard.Seconds()
	if o.kept, o.skipped, err = b.rate(ctx, d, l.targets, b.warm, b.window); err != nil {
		return o, err
	}
	if o.rss, err = memoryOf(strconv.Itoa(d.pid()), "VmRSS"); err != nil {
		return o, err
	}
	if o.peak, err = memoryOf(strconv.Itoa(d.pid()), "VmHWM"); err != nil {
		return o, err
	}
	ended = true
	if err := d.end(); err != nil {
		return o, err
	}
	all, err := b.totals(l.targets)
	if err != nil {
		return o, err
	}
	topics := sink.DefaultTopics()
	t, err := readTopics(ctx, addr, hard, true, topics.Snapshots, topics.Backfill)
	if err != nil {
		return o, err
	}
	o.least, o.most, o.slots = t.Fewest, t.Most, t.Untold
	o.lost, o.trouble = t.off(all.Answered), t.words()
	return o, nil
}

// rate is how many scrapes a second the fleet answers, and how many the collector says it skips, in a window after a while.
func (b *collectorBench) rate(ctx context.Context, d *daemon, targets int, after, window time.Duration) (kept, skipped float64, err error) {
	if err := sleep(ctx, after); err != nil {
		return 0, 0, err
	}
	look := func() (time.Time, int64, uint64, error) {
		c, err := d.counts(ctx)
		if err != nil {
			return time.Time{}, 0, 0, err
		}
		t, err := b.totals(targets)
		return time.Now(), t.Answered, c.Skipped, err
	}
	begin, was, skippedWas, err := look()
	if err != nil {
		return 0, 0, err
	}
	if err := sleep(ctx, window); err != nil {
		return 0, 0, err
	}
	end, is, skippedIs, err := look()
	took := end.Sub(begin).Seconds()
	return float64(is-was) / took, float64(skippedIs-skippedWas) / took, err
}
