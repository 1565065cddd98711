package tag

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// body is a snapshot of n counters under Ostrich-like names, and its copy for each turn.
type body struct {
	all, work []collector.Sample
	turn      int
	change    func(turn int, all []collector.Sample) // what differs from one turn to the next
}

func newBody(n int, name func(i int) string) *body {
	b := &body{}
	for i := range n {
		b.all = append(b.all, counter(name(i), fmt.Sprint(i*1000)))
	}
	b.work = make([]collector.Sample, n)
	return b
}

func (b *body) changing(change func(turn int, all []collector.Sample)) *body {
	b.change = change
	return b
}

func (b *body) next() []collector.Sample {
	b.turn++
	if b.change != nil {
		b.change(b.turn, b.all)
	}
	copy(b.work, b.all)
	return b.work
}

func BenchmarkEnrich(b *testing.B) {
	plain := func(i int) string { return fmt.Sprintf("http/requests/%d", i) }
	byClient := func(i int) string { return fmt.Sprintf("hits/8.8.8.%d", i%256) }
	names := func(name func(int) string) func() []string {
		return sync.OnceValue(func() (out []string) {
			for i := range 1 << 20 {
				out = append(out, name(i))
			}
			return out
		})
	}
	ids, clients := names(plain), names(func(i int) string { return fmt.Sprintf("hits/8.%d.%d.%d", i>>16, i>>8&255, i&255) })
	// Every fifth series is another one at each turn, that was never there before.
	churn := func(names func() []string) func(int, []collector.Sample) {
		return func(turn int, all []collector.Sample) {
			names := names()
			for i := 0; i < len(all); i += 5 {
				all[i].Name = names[(200+turn*40+i/5)%len(names)]
			}
		}
	}
	turned := func(_ int, all []collector.Sample) { slices.Reverse(all) }
	labelled := func(n int) *body {
		b := newBody(n, func(int) string { return "http_requests_total" })
		for i := range b.all {
			b.all[i].Labels = pairs("code", fmt.Sprint(200+i%5), "handler", fmt.Sprintf("/api/v1/thing%d", i), "method", "GET")
		}
		return b
	}
	drop := map[string][]Relabel{"apps": {{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}}}
	asked := map[string][]Relabel{"apps": {{SourceLabels: []string{"instance", "code"}, Regex: ptr("(.*);5.*"), TargetLabel: "failing"}}}
	both := map[string]string{Version: "1.42.0", Track: "canary"}
	for _, bm := range []struct {
		name string
		cfg  Config
		body *body
		own  map[string]string
	}{
		{"no rules, registered", Config{}, newBody(200, plain), both},
		{"no rules, version from labels", Config{}, newBody(200, plain), nil},
		{"rule that fits nothing", Config{Rules: []Rule{hits}}, newBody(200, plain), both},
		{"ten rules that fit nothing", Config{Rules: slices.Repeat([]Rule{hits}, 10)}, newBody(200, plain), both},
		{"rule over all, summed", Config{Rules: []Rule{hits}}, newBody(200, byClient), both},
		{"rule over all, summed, 20 % churned", Config{Rules: []Rule{hits}}, newBody(200, byClient).changing(churn(clients)), both},
		{"rule over all, summed, reordered", Config{Rules: []Rule{hits}}, newBody(200, byClient).changing(turned), both},
		{"rule over all, renamed", Config{Rules: []Rule{{Name: `http/(?P<what>requests)/(?P<n>\d+)`}}}, newBody(200, plain), both},
		{"metric relabelling", Config{MetricRelabel: drop}, newBody(200, plain), both},
		{"metric relabelling, 20 % churned", Config{MetricRelabel: drop}, newBody(200, plain).changing(churn(ids)), both},
		{"metric relabelling, reordered", Config{MetricRelabel: drop}, newBody(200, plain).changing(turned), both},
		{"metric relabelling, labels", Config{MetricRelabel: asked}, labelled(200), both},
	} {
		b.Run(bm.name, func(b *testing.B) { benchmark(b, bm.cfg, bm.body, bm.own) })
	}
}

func benchmark(b *testing.B, cfg Config, body *body, own map[string]string) {
	benchmarkFull(b, cfg, 0, body, own)
}

// benchmarkFull has so many bytes of what may be remembered taken by others.
func benchmarkFull(b *testing.B, cfg Config, taken int64, body *body, own map[string]string) {
	cfg.Geo = places(b, world)
	cfg.Host = true
	e := mustNew(b, cfg)
	e.states.bytes.Add(taken)
	if own == nil {
		body.all = append(body.all, label("version", "1.42.0"))
		body.work = append(body.work, collector.Sample{})
	}
	s := snapshot(t0)
	s.Instance.Tags = discovery.TagsOf(own)
	at := t0
	size := 0
	for _, smp := range body.all {
		size += len(smp.Name) + len(smp.Value)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	body.next()
	runtime.GC()
	began := cpu()
	for b.Loop() {
		at = at.Add(10 * time.Second)
		s.Time, s.Samples, s.Tags = at, body.next(), s.Instance.Tags
		e.Enrich(s)
	}
	b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(b.N)/float64(len(body.all)), "cpu-ns/sample")
}

// cpu is what this process has taken so far: on a busy machine it says more than the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestNoAllocations(t *testing.T) {
	names := func(i int) string { return fmt.Sprintf("http/requests/%d", i) }
	drop := map[string][]Relabel{"apps": {{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}}}
	for _, tc := range []struct {
		name string
		cfg  Config
		body *body
		want float64
	}{
		{"without rules", Config{}, newBody(200, names), 0},
		{"with limits", Config{Limits: Limits{1000, 1000}}, newBody(200, names), 0},
		{"with relabelling", Config{MetricRelabel: drop}, newBody(200, names), 0},
		{"reordered", Config{MetricRelabel: drop}, newBody(200, names).changing(func(_ int, all []collector.Sample) { slices.Reverse(all) }), 0},
		{"summed: the text of the sums", Config{Rules: []Rule{hits}}, newBody(200, func(i int) string { return fmt.Sprintf("hits/8.8.8.%d", i) }).changing(func(turn int, all []collector.Sample) {
			all[1].Value = []string{"5000", "6000", "7000"}[turn%3]
		}), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.body.all[0] = label("version", "1.42.0")
			e := mustNew(t, tc.cfg)
			s := snapshot(t0)
			at := t0
			if n := testing.AllocsPerRun(100, func() {
				at = at.Add(time.Second)
				s.Time, s.Samples, s.Tags = at, tc.body.next(), s.Instance.Tags
				e.Enrich(s)
			}); n > tc.want {
				t.Fatalf("%v allocations a snapshot, want %v", n, tc.want)
			}
		})
	}
}
