package tag

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// body is a snapshot of n counters under Ostrich-like names, and its copy for each turn.
type body struct{ all, work []collector.Sample }

func newBody(n int, name func(i int) string) *body {
	b := &body{}
	for i := range n {
		b.all = append(b.all, counter(name(i), fmt.Sprint(i*1000)))
	}
	b.work = make([]collector.Sample, n)
	return b
}

func (b *body) next() []collector.Sample {
	copy(b.work, b.all)
	return b.work
}

func BenchmarkEnrich(b *testing.B) {
	plain := func(i int) string { return fmt.Sprintf("http/requests/%d", i) }
	byClient := func(i int) string { return fmt.Sprintf("hits/8.8.8.%d", i%256) }
	for _, bm := range []struct {
		name string
		cfg  Config
		body *body
		own  map[string]string
	}{
		{"no rules, registered", Config{}, newBody(200, plain), map[string]string{Version: "1.42.0", Track: "canary"}},
		{"no rules, version from labels", Config{}, newBody(200, plain), nil},
		{"rule that fits nothing", Config{Rules: []Rule{hits}}, newBody(200, plain), map[string]string{Version: "1", Track: "canary"}},
		{"rule over all, summed", Config{Rules: []Rule{hits}}, newBody(200, byClient), map[string]string{Version: "1", Track: "canary"}},
		{"metric relabelling", Config{MetricRelabel: map[string][]Relabel{"apps": {{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}}}}, newBody(200, plain), map[string]string{Version: "1", Track: "canary"}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			cfg := bm.cfg
			cfg.Geo = places(b, world)
			cfg.Host = true
			e := mustNew(b, cfg)
			if bm.own == nil {
				bm.body.all = append(bm.body.all, label("version", "1.42.0"))
				bm.body.work = append(bm.body.work, collector.Sample{})
			}
			s := snapshot(t0)
			s.Instance.Tags = discovery.TagsOf(bm.own)
			at := t0
			b.ReportAllocs()
			for b.Loop() {
				at = at.Add(10 * time.Second)
				s.Time, s.Samples, s.Tags = at, bm.body.next(), s.Instance.Tags
				e.Enrich(s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(bm.body.all)), "ns/sample")
		})
	}
}

func TestNoAllocations(t *testing.T) {
	b := newBody(200, func(i int) string { return fmt.Sprintf("http/requests/%d", i) })
	b.all[0] = label("version", "1.42.0")
	e := mustNew(t, Config{})
	s := snapshot(t0)
	at := t0
	if n := testing.AllocsPerRun(100, func() {
		at = at.Add(time.Second)
		s.Time, s.Samples, s.Tags = at, b.next(), s.Instance.Tags
		e.Enrich(s)
	}); n != 0 {
		t.Fatalf("%v allocations a snapshot without rules, want 0", n)
	}
}
