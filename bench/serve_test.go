package main

import (
	"bytes"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// A few dozen instances, real processes and a real broker's protocol: what the benchmark counts agrees, whatever the times are.
func TestServeSmall(t *testing.T) {
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"serve", "-parts=one", "-instances=48", "-services=4", "-interval=1s", "-history=60s", "-window=1s", "-no-targets"}, nil, &out, &progress)
	t.Logf("%s%s", &progress, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"9600 series: 48 instances of 4 services", "reached  nothing is found where nothing is wrong", "0 lost, 0 doubled, 0 values evicted"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

// Records are as a collector writes them: 200 numbers each, of which the totals are what the load says that it wrote.
func TestServedRecords(t *testing.T) {
	services, members, err := fleetOf(90, 3, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for scrape := range 3 {
		for _, m := range members {
			snap := m.snapshot(time.UnixMilli(int64(1_764_000_000_000+scrape*1000)), time.Second)
			b := wire.AppendSnapshot(nil, &snap, wire.ID{Collector: 1, Start: 1, Sequence: 1}, wire.Provenance{})
			var r wire.Record
			if err := wire.Decode(b, &r); err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			n := 0
			for _, s := range r.Samples {
				n += max(1, len(s.Fields))
				if m == members[0] && len(s.Fields) == 0 {
					values[s.Name] = strings.Clone(s.Value)
				}
			}
			if n != 200 || services[0].numbers() != 200 || r.Skipped > 0 {
				t.Fatalf("%d numbers, %d skipped\n%s", n, r.Skipped, b)
			}
			if want := m.vals[m.of.requests[0]]; m == members[0] && values["requests"] != string(m.of.body[m.of.slots[m.of.requests[0]].at:][:10]) || want < 1e9 {
				t.Fatalf("requests %s, %d", values["requests"], want)
			}
		}
	}
	was := maps.Clone(values)
	snap := members[0].snapshot(time.UnixMilli(1_764_000_003_000), time.Second)
	moved := 0
	for _, s := range snap.Samples {
		if old, ok := was[s.Name]; ok && old != s.Value {
			moved++
		}
	}
	if moved < 50 || moved > len(was)*3/4 {
		t.Errorf("%d of %d numbers moved", moved, len(was))
	}
	if canaries := len(members) / 10; func() (n int) {
		for _, m := range members {
			if m.canary {
				n++
			}
		}
		return n
	}() != canaries {
		t.Errorf("not %d of %d run the new version", canaries, len(members))
	}
}

func TestLagBetween(t *testing.T) {
	name := func(r string) string { return `rollcall_feed_lag_seconds_bucket{le="` + r + `"}` }
	was := map[string]float64{name("0.1"): 7, name("0.25"): 7, name("1.2"): 7, name("30"): 7, name("+Inf"): 7}
	is := map[string]float64{name("0.1"): 17, name("0.25"): 106, name("1.2"): 107, name("30"): 107, name("+Inf"): 107, "other": 5}
	if got := lagBetween(was, is).String(); got != "p50 250 ms, p99 250 ms, max 1200 ms" {
		t.Error(got)
	}
	is[name("+Inf")]++
	if got := lagBetween(was, is).max; got != math.MaxInt64 {
		t.Error(got)
	}
	if got := lagBetween(is, is).String(); got != "p50 0 ms, p99 0 ms, max 0 ms" {
		t.Error(got)
	}
}
