package detect

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
)

// Every fault is found within two polls of being fully there, named rightly, as one finding, and ends when it does.
func TestFaults(t *testing.T) {
	for _, tc := range faults {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(*seeds) {
				w := newWorld(t, sim.Demo(seed+1, start, time.Second))
				if tc.before != nil {
					tc.before(w)
				}
				// The first thing breaks 20 s after the start.
				w.run(20*time.Second, nil)
				if n := len(w.b.Findings()); n != 0 {
					t.Fatalf("seed %d: %d findings in calm: %s", seed, n, w.show())
				}
				tc.hit(w)
				took := 0 // seconds; the first two are the polls in which it is not whole yet, and whole
				w.run(20*time.Second, func() bool {
					took++
					return len(w.open()) == 0
				})
				if len(w.open()) == 0 || took > 4 {
					t.Errorf("seed %d: found after %d s: %s", seed, took, w.show())
				}
				w.run(20*time.Second, nil)
				fs := w.b.Findings()
				if len(fs) != 1 {
					t.Fatalf("seed %d: want one finding: %s", seed, w.show())
				}
				f := fs[0]
				if tc.service != "" && f.Service != tc.service || tc.service == "" && len(f.Services) < 6 || f.Metric != tc.metric || !strings.Contains(f.Only, tc.only) || !strings.Contains(f.Title, f.News) {
					t.Errorf("seed %d: %s", seed, w.show())
				}
				if want, ok := wheres[tc.name]; ok && strings.Join(f.Where, " ") != want {
					t.Errorf("seed %d: it is where %q, want %q: %s", seed, f.Where, want, w.show())
				}
				if want, ok := hits[tc.name]; ok {
					for _, r := range w.b.Rows() {
						if got := strings.Join(r.Signals, " "); r.Env == f.Env && r.Service == "checkout" && got != want {
							t.Errorf("seed %d: in trouble are %q, want %q: %s", seed, got, want, w.show())
						}
					}
				}
				if len(f.Services) > 0 {
					if !slices.Equal(f.Where, []string{f.Place}) {
						t.Errorf("seed %d: the place is %q, and it is where %q", seed, f.Place, f.Where)
					}
					for _, e := range f.Events {
						if who, _, ok := strings.Cut(e.Text, ": "); !ok || !strings.HasSuffix(who, " services") && !slices.Contains(f.Services, strings.Split(who, ", ")[0]) {
							t.Errorf("seed %d: of several services an event is %q", seed, e.Text)
						}
					}
				}
				if seed == 0 {
					t.Logf("after %d s: %s", took, w.show())
				}
				w.Effects = nil
				w.Return(w.b, w.now)
				healed := false
				w.run(30*time.Second, func() bool {
					open := w.open()
					for _, f := range open {
						healed = healed || f.Recovered > 0 && f.Closes > f.Recovered && strings.Contains(f.Text, "recovered at ") && strings.Contains(f.Text, " unless it returns") && strings.Contains(f.Title, f.News)
					}
					return len(open) > 0
				})
				if signal := tc.metric != "instances" && tc.service != ""; signal && !healed || strings.Contains(w.show(), "recovered at") {
					t.Errorf("seed %d: it does not say that it is well again, or still does: %s", seed, w.show())
				}
				if len(w.open()) != 0 || len(w.b.Findings()) != 1 {
					t.Errorf("seed %d: not ended: %s", seed, w.show())
				} else if is := w.b.Findings()[0]; is.Metric != tc.metric || !strings.Contains(is.Only, tc.only) {
					t.Errorf("seed %d: what is over was about %s and is about %s: %s", seed, tc.metric, is.Metric, w.show())
				}
			}
		})
	}
}

// A process that stood still has not heard anybody; that is no news of them.
func TestStall(t *testing.T) {
	w := newWorld(t, sim.Demo(1, start, time.Second))
	w.run(22*time.Second, nil)
	for range 3 {
		from := w.now
		w.now = w.now.Add(12 * time.Second)
		w.b.Tick(w.now.Add(100 * time.Millisecond)) // before anything of the time between is read
		if fs := w.b.Findings(); len(fs) != 0 {
			t.Fatalf("at once: %s", w.show())
		}
		w.Scrape(w.b, from, w.now)
		w.run(10*time.Second, nil)
	}
	if fs := w.b.Findings(); len(fs) != 0 {
		t.Errorf("afterwards: %s", w.show())
	}
}

// What breaks before a service has gathered is found as soon as it has.
func TestEarlyFault(t *testing.T) {
	for _, after := range []time.Duration{11 * time.Second, 13 * time.Second, 15 * time.Second} {
		w := newWorld(t, sim.Demo(1, start, time.Second))
		w.run(after, nil)
		faults[0].hit(w)
		w.run(12*time.Second, nil)
		if fs := w.open(); len(fs) != 1 || !strings.Contains(fs[0].Only, faults[0].only) {
			t.Errorf("broken after %s: %s", after, w.show())
		}
	}
}

var seeds = flag.Uint("seeds", 3, "how many fleets TestFaults breaks in each way")

// While the feed is dead nothing opens and nothing closes.
func TestDeadFeed(t *testing.T) {
	w := newWorld(t, sim.Demo(1, start, time.Second))
	w.run(22*time.Second, nil)
	faults[0].hit(w)
	w.run(6*time.Second, nil)
	before := w.open()
	if len(before) != 1 {
		t.Fatalf("before: %s", w.show())
	}
	w.b.SetFeed(dashboards.Feed{State: dashboards.FeedDead, Since: w.now.UnixMilli()})
	for range 60 {
		w.now = w.now.Add(time.Second)
		w.b.Tick(w.now)
		if after := w.open(); len(after) != 1 || after[0].ID != before[0].ID || after[0].Title != before[0].Title {
			t.Fatalf("meanwhile: %s", w.show())
		}
	}
	w.Effects = nil
	w.b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	w.run(15*time.Second, nil)
	if len(w.open()) != 0 {
		t.Errorf("afterwards: %s", w.show())
	}
}

var calm = flag.Duration("calm", 5*time.Minute, "how long TestCalm lasts, in the fleet's time")

// A fleet in calm, with its daily shape and its noise, is silent. The days are short, so that the shape is steep.
func TestCalm(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration
		day   time.Duration
	}{
		{"a second", time.Second, 10 * time.Minute},
		{"ten seconds", 10 * time.Second, 2 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := sim.Demo(11, start, tc.every)
			f.Day = tc.day
			w := newWorld(t, f)
			seen := map[string]bool{}
			w.run(*calm, func() bool {
				for _, f := range w.open() {
					if !seen[f.ID] {
						seen[f.ID] = true
						t.Errorf("after %s: %s", w.now.Sub(start), w.show())
					}
				}
				return true
			})
		})
	}
}
