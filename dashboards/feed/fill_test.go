package feed

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// What is there is live from its end, and filled in behind it to where the window begins: in its place, once, and without a hole.
func TestFill(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster, topics.Findings, topics.Rollups)
	now := time.Now()
	const every = 10 * time.Second
	n := 0
	for back := 90 * time.Minute; back > 0; back -= every {
		at := now.Add(-back)
		r.seq[1]++
		r.produce(topics.Snapshots, 1, at, encode(wire.ID{Collector: 7, Start: 1, Partition: 1, Sequence: r.seq[1]}, "10.0.0.1:80", at, int(at.Unix())))
		if back <= time.Hour {
			n++
		}
	}
	h := rollup.NewHistory(0)
	r.history = h
	slot := func(back time.Duration) int64 { return now.Add(-back).UnixMilli() / 10_000 * 10_000 }
	for _, back := range []time.Duration{30 * time.Hour, 20 * time.Hour, 5 * time.Hour, time.Hour, time.Minute} {
		u := dashboards.Rollup{Service: "checkout", Env: "prod", T: slot(back), Step: 10_000, AsOf: slot(back) + 20_000, Slices: []dashboards.Slice{{N: 1, Rate: 5}}}
		r.produce(topics.Rollups, 1, time.UnixMilli(u.T), rollup.Append(nil, &u))
	}
	r.run()
	r.live()
	tail := r.board.Stats().Seen
	r.until("all is filled in", 20*time.Second, func() bool {
		f := r.board.Feed()
		return !f.Filling && f.History > 0 && r.board.Stats().Seen >= uint64(n-1)
	})
	s := r.board.Stats()
	if s.Lost != 0 || s.Duplicated != 0 || s.Seen > uint64(n+1) || tail > s.Seen {
		t.Errorf("%+v; %d were there when it was live", s, tail)
	}
	var w dashboards.Window
	r.until("all are in their places, which is at a tick", 10*time.Second, func() bool {
		w, _ = r.board.Window("checkout", "prod", "10.0.0.1:80", "requests", "", now.Add(-2*time.Hour), now)
		return len(w.Points) >= n-1
	})
	for i := 1; i < len(w.Points); i++ {
		if w.Points[i].T <= w.Points[i-1].T {
			t.Fatalf("point %d is out of order", i)
		}
	}
	if f := r.board.Feed(); f.Note != "" || now.UnixMilli()-f.History < 59*time.Minute.Milliseconds() {
		t.Errorf("feed says %+v", f)
	}
	r.until("roll-ups of the last day are there", 10*time.Second, func() bool {
		return h.Has("checkout", "prod", slot(time.Minute)) && h.Has("checkout", "prod", slot(time.Hour)) && h.Has("checkout", "prod", slot(5*time.Hour)) && h.Has("checkout", "prod", slot(20*time.Hour))
	})
	if h.Has("checkout", "prod", slot(30*time.Hour)) {
		t.Error("what is older than a day is there")
	}
}

// What there is no room for is not read: where the budget took values that are younger, history ends.
func TestFillEndsAtTheBudget(t *testing.T) {
	r := newRig(t)
	b, err := dashboards.NewBoard(dashboards.Options{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r.board = b
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	now := time.Now()
	var many []collector.Sample
	for i := range 1000 {
		many = append(many, collector.Sample{Name: "c" + strconv.Itoa(i), Kind: collector.Counter, Value: strconv.Itoa(i)})
	}
	for i := range 200 {
		at := now.Add(time.Duration(i-200) * 100 * time.Millisecond)
		b.Add(&dashboards.Record{Seen: at, Service: "large", Env: "prod", Instance: "10.0.0." + strconv.Itoa(i%10) + ":80", Time: at, Interval: time.Second, Samples: many})
	}
	b.Tick(now)
	if b.Evicted() == 0 {
		t.Fatal("nothing had to go")
	}
	was := b.Stats().Seen
	for back := 30 * time.Minute; back > 0; back -= 10 * time.Second {
		at := now.Add(-back)
		r.seq[1]++
		r.produce(topics.Snapshots, 1, at, encode(wire.ID{Collector: 7, Start: 1, Partition: 1, Sequence: r.seq[1]}, "10.0.0.1:80", at, int(at.Unix())))
	}
	r.run()
	r.live()
	r.until("it has ended", 20*time.Second, func() bool {
		f := r.board.Feed()
		return !f.Filling && f.History > 0
	})
	if n := b.Stats().Seen - was; n < 11 || n > 13 {
		t.Errorf("%d records were read, which the last two minutes are 12 of", n)
	}
	if f := b.Feed(); now.UnixMilli()-f.History > 3*time.Minute.Milliseconds() {
		t.Errorf("feed says %+v", f)
	}
}

// A young history is said to be one.
func TestWarming(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	now := time.Now()
	r.produce(topics.Snapshots, 1, now, r.snapshot(1, "10.0.0.1:80", now, 1))
	r.run()
	r.live()
	r.until("it says so", 5*time.Second, func() bool {
		note := r.board.Feed().Note
		return strings.HasPrefix(note, "history from "+now.UTC().Format("15:")) && strings.HasSuffix(note, "detection warming")
	})
}
