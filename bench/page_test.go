package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
)

// A trace of two frames that draw and one long task between them, beside another page that does less.
func TestFramesOf(t *testing.T) {
	ms := func(pid int, name, ph string, ts, dur float64) traceEvent {
		return traceEvent{Name: name, Ph: ph, TS: 1e6 + ts*1000, Dur: dur * 1000, TDur: dur * 500, PID: pid, TID: pid}
	}
	named := func(pid int) traceEvent {
		return traceEvent{Name: "thread_name", Ph: "M", PID: pid, TID: pid, Args: json.RawMessage(`{"name":"CrRendererMain"}`)}
	}
	all := []traceEvent{
		named(1), named(2), ms(2, "RunTask", "X", 0, 1),
		ms(1, "RunTask", "X", 1, 8), ms(1, "AnimationFrame", "b", 1, 0), ms(1, "FunctionCall", "X", 1, 4), ms(1, "Layout", "X", 2, 1), ms(1, "Layout", "X", 6, 2), // 3 script, 3 layout
		ms(1, "RunTask", "X", 30, 60), ms(1, "TimerFire", "X", 31, 50), ms(1, "MinorGC", "X", 40, 10),
		ms(1, "RunTask", "X", 100, 0.2),                                                                                                                // nothing to speak of
		ms(1, "RunTask", "X", 200, 5), ms(1, "AnimationFrame", "b", 200.5, 0), ms(1, "RunMicrotasks", "X", 201, 2), ms(3, "FunctionCall", "X", 1, 500), // a worker's
	}
	var got []string
	for _, f := range framesOf(all) {
		got = append(got, fmt.Sprintf("%.1f+%.1f of %.1f, %.1f, %v", f.script, f.layout, f.busy, f.processor, f.drew))
	}
	want := []string{"3.0+3.0 of 8.0, 3.0, true", "50.0+0.0 of 60.0, 25.0, false", "2.0+0.0 of 5.0, 1.0, true"}
	for _, w := range want {
		if !strings.Contains(strings.Join(got, "\n"), w) {
			t.Errorf("no frame is %s", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the frames are:\n%s", strings.Join(got, "\n"))
	}
	if framesOf(all[:3]) != nil {
		t.Error("frames without any drawing")
	}
}

// Every instance of the fleet that the page is measured with says something new at each pull, and what is broken shows.
func TestPageFleet(t *testing.T) {
	board, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now().Truncate(10 * time.Second).Add(-5 * time.Minute)
	board.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	f := newPageFleet(board, 12, 4, begun)
	rates := map[string]float64{}
	for n := range 2 {
		f.fail.Store(n == 1)
		f.past(begun.Add(time.Duration(n)*time.Minute), begun.Add(time.Duration(n+1)*time.Minute), time.Second)
		rows := board.Rows()
		if len(rows) != 12 {
			t.Fatalf("%d services", len(rows))
		}
		for i, r := range rows {
			if r.Answering != 4 || float64(r.Rate) == rates[r.Service] || !r.Rate.Known() {
				t.Errorf("%s: %d answer, %v a second", r.Service, r.Answering, r.Rate)
			}
			rates[r.Service] = float64(r.Rate)
			if bad := r.ErrorRatio > 0.02; bad != (n == 1 && strings.HasSuffix(r.Service, "-0000") || n == 1 && strings.HasSuffix(r.Service, "-0001") || n == 1 && strings.HasSuffix(r.Service, "-0002")) {
				t.Errorf("minute %d, row %d: %s fails at %v", n, i, r.Service, r.ErrorRatio)
			}
		}
	}
}

// BenchmarkPageTick is the tick of services of 10 instances that have all said something new since the one before, as the page is measured with: of many, and of some that
// have a whole history to be compared with. cpu-ms is what it takes of all processors.
func BenchmarkPageTick(b *testing.B) {
	for _, c := range []struct{ services, seconds int }{{2000, 15}, {200, 615}} {
		b.Run(fmt.Sprintf("services=%d/history=%ds", c.services, c.seconds), func(b *testing.B) {
			judge, err := detect.New(detect.Config{})
			if err != nil {
				b.Fatal(err)
			}
			board, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: judge.Judge, MaxBytes: 1 << 30, Window: 20 * time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			at := time.UnixMilli(1_764_000_000_000)
			board.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: at.UnixMilli()})
			f := newPageFleet(board, c.services, 10, at)
			second := func() { // pulls are spread over it, as live has them
				for turn := range pageSlices {
					for i := turn; i < len(f.instances); i += pageSlices {
						f.pull(&f.instances[i], at.Add(time.Duration(turn)*time.Second/pageSlices), 1)
					}
				}
				at = at.Add(time.Second)
			}
			for range c.seconds {
				second()
				board.Tick(at.Add(time.Second / 4))
			}
			var cpu time.Duration
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				second()
				runtime.GC() // what the pulls left is none of the tick's
				begun := ownCPU()
				b.StartTimer()
				board.Tick(at.Add(time.Second / 4))
				cpu += ownCPU() - begun
			}
			b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
