package dashboards

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A collector whose clock is ahead, or becomes so, or is set right again: the windows are neither empty nor moved, and who stops answering is seen to.
func TestClockAhead(t *testing.T) {
	const by = 300
	for _, tc := range []struct {
		name  string
		ahead func(s int) float64
		told  bool // at the end
	}{
		{"right", func(int) float64 { return 0 }, false},
		{"a little ahead", func(int) float64 { return 1.5 }, false},
		{"ahead", func(int) float64 { return by }, true},
		{"a year ahead", func(int) float64 { return 365 * 86400 }, true},
		{"becomes so", func(s int) float64 { return float64(by * b2i(s > 60)) }, true},
		{"further and further", func(s int) float64 { return by + float64(s)*.05 }, true},
		{"is set right", func(s int) float64 { return float64(by * b2i(s < 60)) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, Options{})
			f.b.SetFeed(Feed{State: FeedLive})
			add := func(s int, history bool) {
				for i := range 2 {
					r := f.record(fmt.Sprintf("10.0.0.%d:80", i), float64(s)+tc.ahead(s), counter("requests", float64(100+10*s)))
					r.Seen = t0.Add(time.Duration(s)*time.Second + 100*time.Millisecond)
					if history {
						r.Seen, r.History = t0.Add(time.Second), true
					}
					f.b.Add(r)
				}
			}
			for s := -30; s <= 0; s++ {
				add(s, true)
			}
			for s := 1; s <= 120; s++ {
				add(s, false)
				f.tick(float64(s) + .5)
				if r := f.row(); (s < 55 || s > 75) && (s > 10) && (r.Rate < 19 || r.Rate > 21.5 || r.Answering != 2) {
					t.Fatalf("%d s: rate %v, %d answer", s, r.Rate, r.Answering)
				}
			}
			if text := fmt.Sprint(f.b.Now("").Strip.Exceptions); strings.Contains(text, "clock") != tc.told {
				t.Errorf("exceptions are %s", text)
			}
			f.tick(140)
			if r := f.row(); r.Answering != 0 || r.Rate.Known() {
				t.Errorf("after the end %d answer, with a rate of %v", r.Answering, r.Rate)
			}
			w, _ := f.b.Window("checkout", "prod", "10.0.0.0:80", "requests", "", t0.Add(-time.Hour), t0.Add(400*24*time.Hour))
			for _, p := range w.Points {
				if at := time.UnixMilli(p.T); at.After(t0.Add(122 * time.Second)) {
					t.Fatalf("a value of %s", at.Sub(t0))
				}
			}
		})
	}
}
