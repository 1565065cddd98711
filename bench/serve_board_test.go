package main

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// BenchmarkServed is what `serve` does with a fleet's records once it has them: decode, take in, and everything that follows from them twice a second: a minute of 1,000
// instances of 10 services, each scraped every ten seconds, after twelve minutes of them. The times are those of one number.
func BenchmarkServed(b *testing.B) {
	const interval = 10 * time.Second
	_, members, err := fleetOf(1000, 10, interval)
	if err != nil {
		b.Fatal(err)
	}
	judge, err := detect.New(detect.Config{})
	if err != nil {
		b.Fatal(err)
	}
	board, err := dashboards.NewBoard(dashboards.Options{MaxBytes: 4 << 30, Percentile: quantile.Over, Judge: judge.Judge, Roll: func(dashboards.Rollup) {}, Publish: func(dashboards.Note) {}})
	if err != nil {
		b.Fatal(err)
	}
	var r wire.Record
	var buf []byte
	var seq uint64
	var decoding, adding, ticking time.Duration
	numbers := 0
	at := time.UnixMilli(1_764_000_000_000)
	n := 0
	half := func() {
		end := at.Add(500 * time.Millisecond)
		for slot := at.Truncate(interval); ; {
			m := members[n]
			due := slot.Add(m.phase)
			if !due.Before(end) {
				break
			}
			snap := m.snapshot(due, interval)
			seq++
			buf = wire.AppendSnapshot(buf[:0], &snap, wire.ID{Collector: 1, Start: 1, Sequence: seq}, wire.Provenance{})
			t := time.Now()
			if err := wire.Decode(buf, &r); err != nil {
				b.Fatal(err)
			}
			u := time.Now()
			board.Add(&dashboards.Record{ID: dashboards.RecordID(r.ID), Seen: due, Service: r.Service, Env: r.Env, Instance: r.Instance, Time: due, Took: r.Took, Interval: r.Source.Interval, Outcome: collector.OK, Slot: r.Source.Slot, Tags: r.Tags, Samples: r.Samples})
			decoding, adding = decoding+u.Sub(t), adding+time.Since(u)
			numbers += m.of.numbers()
			if n++; n == len(members) {
				n = 0
				break
			}
		}
		at = end
		board.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: 1_764_000_000_000})
		t := time.Now()
		board.Tick(at)
		ticking += time.Since(t)
	}
	for range 12 * 60 * 2 {
		half()
	}
	decoding, adding, ticking, numbers = 0, 0, 0, 0
	b.ReportAllocs()
	for b.Loop() {
		for range 60 * 2 {
			half()
		}
	}
	per := func(d time.Duration, what string) {
		b.ReportMetric(float64(d.Nanoseconds())/float64(numbers), what)
	}
	per(decoding, "decode-ns/number")
	per(adding, "add-ns/number")
	per(ticking, "tick-ns/number")
	b.ReportMetric(float64(board.Health().Bytes)/float64(len(members)*members[0].of.numbers()), "B/series")
	for _, f := range board.Findings() {
		b.Errorf("found: %s", f.Title)
	}
}
