package stats

import (
	"fmt"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestWatch(t *testing.T) {
	const ostrich, flatly = `{"gauges":{"jvm_uptime":%d},"metrics":{"idle":{"count":0},"m":{"count":%d,"p99":%d}}}`, `{"up":%d,"m.count":%d,"m.p99":%d}`
	lively := func(i int) int { return i * 7 % 5 }
	asleep := func(int) int { return 9 }
	traffic := func(i int) int { return 40 + i*i*7%31 }
	for _, tc := range []struct {
		name     string
		body     string
		count    func(i int) int
		p99      func(i int) int
		restarts int // one in so many scrapes, 0: none
		said     collector.Window
		first    collector.Window // at the first scrape
		last     collector.Window // at the last
	}{
		{"lifetime by its format", ostrich, func(i int) int { return 100 * i }, lively, 0, 0, collector.Lifetime, collector.Lifetime},
		{"lifetime by what it does", flatly, func(i int) int { return 100 * i }, asleep, 0, 0, collector.WindowUnknown, collector.Lifetime},
		{"decaying, or what", flatly, func(i int) int { return 100 * i }, lively, 0, 0, collector.WindowUnknown, collector.WindowUnknown},
		{"latched", flatly, func(i int) int { return traffic(i / 6) }, func(i int) int { return lively(i / 6) }, 0, 0, collector.WindowUnknown, collector.Latched},
		{"latched in Ostrich's clothes", ostrich, func(i int) int { return traffic(i / 6) }, lively, 0, 0, collector.Lifetime, collector.Latched},
		{"reset at each read", flatly, traffic, lively, 0, 0, collector.WindowUnknown, collector.Interval},
		{"reset at each read, little to do", flatly, func(i int) int { return i * 3 % 4 }, lively, 0, 0, collector.WindowUnknown, collector.Interval},
		{"dies a lot", ostrich, func(i int) int { return 1 + i%8 }, lively, 8, 0, collector.Lifetime, collector.Lifetime},
		{"the job knows better", flatly, traffic, lively, 0, collector.Decaying, collector.Decaying, collector.Decaying},
		{"the job, and the format", ostrich, traffic, lively, 0, collector.Latched, collector.Latched, collector.Latched},
		{"stands still", flatly, func(int) int { return 5 }, asleep, 0, 0, collector.WindowUnknown, collector.WindowUnknown},
	} {
		var p Parser
		var w Watch
		for i := range 120 {
			var s collector.Snapshot
			if err := p.Parse(&s, fmt.Appendf(nil, tc.body, i, tc.count(i+1), tc.p99(i)), "", Options{Window: tc.said}); err != nil {
				t.Fatal(err)
			}
			w.See(s.Samples, tc.said, tc.restarts > 0 && i%tc.restarts == tc.restarts-1)
			for _, x := range s.Samples {
				if want := map[int]collector.Window{0: tc.first, 119: tc.last}; x.Name == "m" && (i == 0 || i == 119) && x.Window != want[i] {
					t.Errorf("%s: %q at scrape %d, want %q: %+v", tc.name, x.Window, i, want[i], w)
				}
			}
		}
	}
}

func BenchmarkWatch(b *testing.B) {
	var p Parser
	var s collector.Snapshot
	var w Watch
	if err := p.Parse(&s, ostrichBody(200), "", Options{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.See(s.Samples, collector.WindowUnknown, false)
	}
}
