package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
)

// pageServed is what the server of the page says of itself since it was asked last.
type pageServed struct {
	Addr     string
	Seconds  float64
	CPU      float64 // processors busy
	Ticks    int
	TickP50  time.Duration
	TickMax  time.Duration
	HeapMB   float64
	Findings int
	Events   uint64 // that went out to pages
	Bytes    uint64
}

// runPageServe serves the page of a fleet in which every instance changes each second, in a process of its own.
func runPageServe(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("page-serve", flag.ContinueOnError)
	services := flags.Int("services", 2000, "")
	each := flags.Int("each", 10, "")
	past := flags.Duration("past", 15*time.Minute, "")
	profile := flags.String("profile", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	judge, err := detect.New(detect.Config{})
	if err != nil {
		return err
	}
	board, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: judge.Judge, MaxBytes: 1 << 30, Window: 20 * time.Minute})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	set := metrics.NewSet()
	s, err := web.New(web.Config{Board: board, Version: "bench", Metrics: set})
	if err != nil {
		return err
	}
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	begun := time.Now().Truncate(time.Second)
	board.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: begun.Add(-*past).UnixMilli()})
	fleet := newPageFleet(board, *services, *each, begun.Add(-*past))
	const step = 10 * time.Second
	// Each pull of the past takes its while: the last is of now.
	fleet.past(begun.Add(-*past), begun, step)
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { fleet.live(stop) })
	all.Go(func() { _ = board.Run(ctx) }) // nil until ctx ends
	var ticks tickTimes
	all.Go(func() { ticks.watch(ctx, board) })
	srv := &http.Server{Handler: s.Handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	all.Go(func() { _ = srv.Serve(on) }) // it ends when it is closed
	out := json.NewEncoder(stdout)
	events, sent := set.GetOrCreateCounter("rollcall_web_events_total"), set.GetOrCreateCounter("rollcall_web_event_bytes_total")
	last, lastCPU, lastEvents, lastSent := time.Now(), ownCPU(), uint64(0), uint64(0)
	say := func() error {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now, cpu := time.Now(), ownCPU()
		p := pageServed{Addr: on.Addr().String(), Seconds: now.Sub(last).Seconds(), CPU: (cpu - lastCPU).Seconds() / now.Sub(last).Seconds(), HeapMB: float64(m.HeapAlloc) / (1 << 20),
			Events: events.Get() - lastEvents, Bytes: sent.Get() - lastSent}
		last, lastCPU, lastEvents, lastSent = now, cpu, lastEvents+p.Events, lastSent+p.Bytes
		p.Ticks, p.TickP50, p.TickMax = ticks.take()
		for _, f := range board.Findings() {
			if f.Ended == nil {
				p.Findings++
			}
		}
		return out.Encode(p)
	}
	in := bufio.NewScanner(stdin)
	for err = say(); err == nil && in.Scan(); {
		switch in.Text() {
		case "figures":
			err = say()
		case "break":
			fleet.fail.Store(true)
			err = say()
		default:
			err = fmt.Errorf("asked for %q", in.Text())
		}
	}
	err = errors.Join(err, in.Err())
	close(stop)
	cancel()
	_ = srv.Close()
	all.Wait()
	return err
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tickTimes is how long the board's ticks took, from the moment of which they speak until those who wait for them are woken.
type tickTimes struct {
	mu  sync.Mutex
	all []time.Duration
}

func (t *tickTimes) watch(ctx context.Context, b *dashboards.Board) {
	for {
		updated := b.Updated()
		select {
		case <-ctx.Done():
			return
		case <-updated:
		}
		d := time.Since(b.AsOf())
		t.mu.Lock()
		t.all = append(t.all, d)
		t.mu.Unlock()
	}
}

func (t *tickTimes) take() (n int, p50, most time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(t.all)
	n, p50, most = len(t.all), t.all[len(t.all)/2], t.all[len(t.all)-1]
	t.all = nil
	return n, p50, most
}
