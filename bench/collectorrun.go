package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
)

// result is one turn of one side.
type result struct {
	load load
	side string
	figures
}

// figures are what came out of it.
type figures struct {
	window   time.Duration
	cpu      time.Duration // of what scrapes, in the window
	others   time.Duration // of the fleet and the broker
	scrapes  int64         // good ones of the window, by its own word
	missed   int64         // slots of the window without an answer; of rollcall: slots of the whole run without a good record
	rss      uint64        // the most of the window
	peak     uint64        // the most ever
	mallocs  uint64
	requests int64   // that the fleet answered, in the whole run
	records  int64   // in the topic, of good scrapes; -1: this side makes none
	packed   float64 // how many bytes became one
	untold   int     // slots that no record speaks of
	off      int     // answers without a record, records without an answer, ids twice or missing, records that are not whole
	trouble  string  // in words
}

// microseconds is the CPU of one number.
func (f figures) microseconds() float64 {
	return f.cpu.Seconds() * 1e6 / float64(max(1, f.scrapes)) / numbersEach
}

func (f figures) busy() float64 { return f.cpu.Seconds() / f.window.Seconds() * 100 }

func (f figures) allocations() float64 { return float64(f.mallocs) / float64(max(1, f.scrapes)) }

func (f figures) line(side string) string {
	s := fmt.Sprintf("%-8s %.3f µs a sample, %3.0f %% of its core (the rest %3.0f %% of theirs), %.0f scrapes/s, missed %d, %.1f MB (most %.1f), %.1f allocations a scrape",
		side, f.microseconds(), f.busy(), f.others.Seconds()/f.window.Seconds()*100, float64(f.scrapes)/f.window.Seconds(), f.missed, mb(f.rss), mb(f.peak), f.allocations())
	if f.records >= 0 {
		s += fmt.Sprintf(", %d records of %d answers", f.records, f.requests)
	}
	if f.packed > 0 {
		s += fmt.Sprintf(", packed %.1f : 1", f.packed)
	}
	return s + f.trouble
}

func mb(b uint64) float64 { return float64(b) / (1 << 20) }

// running is a side at work.
type running interface {
	counts(ctx context.Context) (agentCounts, error)
	pid() int
	gone() <-chan struct{} // closed when it has ended
	end() error
}

// counts makes a process of ours a side.
func (p *process) counts(context.Context) (c agentCounts, err error) { return c, p.ask("counts", &c) }

// measure has a side scrape a fleet.
func (b *collectorBench) measure(ctx context.Context, l load, side string) (f figures, err error) {
	dir, err := b.runDir()
	if err != nil {
		return f, err
	}
	list, err := b.targetList(dir, l.targets)
	if err != nil {
		return f, err
	}
	if err := b.reset(); err != nil {
		return f, err
	}
	broker, addr, err := b.startBroker(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, broker.end()) }()
	s, err := b.start(ctx, side, dir, list, addr, l.interval)
	if err != nil {
		return f, err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, s.end())
		}
	}()
	if err := b.warmUp(ctx, l, s); err != nil {
		return f, err
	}
	if err := b.observe(ctx, l, s, broker, &f); err != nil {
		return f, err
	}
	last, err := s.counts(ctx)
	if err != nil {
		return f, err
	}
	ended = true
	if err := s.end(); err != nil {
		return f, err
	}
	all, err := b.totals(l.targets)
	if err != nil {
		return f, err
	}
	f.requests, f.records = all.Answered, -1
	switch side {
	case sideOurs:
		t := sink.DefaultTopics()
		err = f.readOurs(ctx, addr, l.interval, t.Snapshots, t.Backfill)
	case sidePlain:
		f.records = 0
		err = eachRecord(ctx, addr, plainTopic, func([]byte) error { f.records++; return nil })
	}
	if last.LastError != "" {
		f.trouble += ", last error: " + last.LastError
	}
	return f, err
}

// start starts a side on its core.
func (b *collectorBench) start(ctx context.Context, side, dir, list, broker string, interval time.Duration) (running, error) {
	if side == sideOurs {
		return startDaemon(ctx, b.program, dir, list, broker, b.core, interval)
	}
	p, err := startSelf(ctx, side, b.core, "agent", "-of", side, "-targets", list, "-interval", interval.String(), "-broker", broker)
	if err != nil {
		return nil, err
	}
	if err := p.answer("being ready", nil); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// warmUp waits until every target has answered, and then a while.
func (b *collectorBench) warmUp(ctx context.Context, l load, s running) error {
	limit := time.Now().Add(30*time.Second + 2*l.interval)
	for {
		now, err := b.totals(l.targets)
		if err != nil {
			return err
		}
		if now.Least > 0 {
			break
		}
		if time.Now().After(limit) {
			return fmt.Errorf("not every target was scraped within %s: %d answers", 30*time.Second+2*l.interval, now.Answered)
		}
		select {
		case <-s.gone():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return sleep(ctx, b.warm)
}

// observe measures a side for a window.
func (b *collectorBench) observe(ctx context.Context, l load, s running, broker *process, f *figures) error {
	asked, err := s.counts(ctx)
	if err != nil {
		return err
	}
	counts, err := s.counts(ctx)
	if err != nil {
		return err
	}
	was, err := b.totals(l.targets)
	if err != nil {
		return err
	}
	cpuWas, err := cpuOf(s.pid())
	if err != nil {
		return err
	}
	begin := time.Now()
	brokerWas, err := cpuOf(broker.pid())
	if err != nil {
		return err
	}
	window := max(b.window, l.interval)
	for end := begin.Add(window); time.Now().Before(end); {
		if err := sleep(ctx, min(250*time.Millisecond, time.Until(end))); err != nil {
			return err
		}
		now, err := memoryOf(strconv.Itoa(s.pid()), "VmRSS")
		if err != nil {
			return err
		}
		f.rss = max(f.rss, now)
	}
	is, err := b.totals(l.targets) // as at the beginning, so that what it takes shifts the window and does not stretch it
	if err != nil {
		return err
	}
	cpuNow, err := cpuOf(s.pid())
	if err != nil {
		return err
	}
	f.window = time.Since(begin)
	brokerIs, err := cpuOf(broker.pid())
	if err != nil {
		return err
	}
	counted, err := s.counts(ctx)
	if err != nil {
		return err
	}
	if f.peak, err = memoryOf(strconv.Itoa(s.pid()), "VmHWM"); err != nil {
		return err
	}
	// Who throws an answer away, because it came too late for him, has scraped nothing; and nobody has scraped what was not answered.
	f.scrapes = min(is.Answered-was.Answered, int64(counted.OK-counts.OK))
	f.cpu, f.others = cpuNow-cpuWas, is.CPU-was.CPU+brokerIs-brokerWas
	// To ask allocates, too: as much as was allocated between the first two times, in which there was little else.
	f.mallocs = counted.Mallocs - counts.Mallocs - min(counted.Mallocs-counts.Mallocs, counts.Mallocs-asked.Mallocs)
	f.packed = float64(counted.Unpacked-counts.Unpacked) / float64(max(1, counted.Packed-counts.Packed))
	f.missed = int64(counted.Skipped-counts.Skipped) + int64(counted.Failed-counts.Failed)
	return nil
}

// readOurs holds what is in the topics against what the fleet has answered.
func (f *figures) readOurs(ctx context.Context, addr string, interval time.Duration, topics ...string) error {
	t, err := readTopics(ctx, addr, interval, false, topics...)
	if err != nil {
		return err
	}
	f.records, f.untold, f.off, f.trouble = int64(t.Records), t.Untold, t.off(f.requests), t.words()
	f.missed = int64(t.Untold + t.failed() + t.Other[outcomeSkipped])
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
