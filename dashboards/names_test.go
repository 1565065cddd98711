package dashboards

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// However columns come, one by one or all at once, the same is found of them.
func TestLearnedBitByBit(t *testing.T) {
	words := []string{"requests", "errors", "latency_ms", "http", "srv", "clnt", "queue", "used", "max", "total", "exceptions", "db", "count", "sum", "bucket", "failures", "5xx", "x"}
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var all []column
		for range 60 {
			name := words[rng.IntN(len(words))]
			for range rng.IntN(3) {
				name += []string{"/", "_", "."}[rng.IntN(3)] + words[rng.IntN(len(words))]
			}
			s := collector.Sample{Name: name, Kind: []collector.Kind{collector.Counter, collector.Gauge, collector.Untyped, collector.Counter}[rng.IntN(4)]}
			switch rng.IntN(6) {
			case 0:
				s = labelled(s, "code", "5xx")
			case 1:
				s = labelled(s, "client.as.number", "1")
			case 2:
				s = labelled(s, "class", "a.b.Timeout")
			case 3:
				s = labelled(s, "le", "0.5")
			case 4:
				s = dist(name, collector.Interval, "count", 1, "sum", 2, "p50", 1, "p99", 3)
			}
			all = append(all, cols(s)...)
		}
		g := Golden{Rate: []string{"x*"}, Errors: []string{"nothing"}}
		if seed%2 == 0 {
			g = Golden{}
		}
		whole, parts := newKnowing(g), newKnowing(g)
		whole.learn(all)
		var lines []*line
		for n := 0; n < len(all); n += 1 + rng.IntN(5) {
			parts.learn(all[:n])
			parts.golden(all[:n])
			lines = parts.lines(all[:n], lines)
		}
		parts.learn(all)
		if a, b := whole.golden(all), parts.golden(all); !reflect.DeepEqual(a, b) {
			t.Errorf("seed %d: %+v\nbit by bit %+v", seed, a, b)
		}
		a, b := whole.lines(all, nil), parts.lines(all, lines)
		if len(a) != len(b) {
			t.Fatalf("seed %d: %d lines, bit by bit %d", seed, len(a), len(b))
		}
		for i := range a {
			if a[i].name != b[i].name || !reflect.DeepEqual(a[i].cols, b[i].cols) || !reflect.DeepEqual(a[i].of, b[i].of) || a[i].scale != b[i].scale {
				t.Errorf("seed %d: line %+v, bit by bit %+v", seed, a[i], b[i])
			}
		}
	}
}

// What comes beside the golden signals changes nothing of them: no figure of the past is made anew.
func TestNewNamesLeaveFiguresAlone(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 30 {
		smp := []collector.Sample{counter("requests", float64(10*s))}
		for i := range s * 10 {
			smp = append(smp, gauge(fmt.Sprintf("shard_%d_depth", i), 1))
		}
		f.add("10.0.0.1:80", float64(s), smp...)
		seq := f.b.find("checkout", "prod").golden.seq
		f.tick(float64(s) + .5)
		if sv := f.b.find("checkout", "prod"); s > 0 && sv.golden.seq != seq || sv.known.seen != len(sv.cols) {
			t.Fatalf("%d: plan %d after %d, %d of %d columns known", s, sv.golden.seq, seq, sv.known.seen, len(sv.cols))
		}
	}
	if r := f.row(); !near(r.Rate, 10) {
		t.Errorf("rate %v", r.Rate)
	}
}

// BenchmarkNewNames is a tick after which 100 of a service's 45,000 names are new.
func BenchmarkNewNames(b *testing.B) {
	f := newFleet(b, Options{})
	n, s := 0, 0.0
	add := func(k int) {
		smp := make([]collector.Sample, 0, k+1)
		smp = append(smp, counter("requests", s))
		for range k {
			smp = append(smp, counter(fmt.Sprintf("build_%d/shard/queries_of_%d", n%7, n), float64(n)))
			n++
		}
		f.add(fmt.Sprintf("10.0.%d.%d:80", n/100/250, n/100%250), s, smp...)
		s++
	}
	for range 45 {
		add(900)
		f.tick(s)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if n > 49_000 {
			f.b.mu.Lock()
			f.b.opts.MaxColumns = 1 << 20
			f.b.mu.Unlock()
		}
		add(100)
		b.StartTimer()
		f.b.Tick(t0.Add(time.Duration(s) * time.Second))
	}
}
