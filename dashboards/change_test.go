package dashboards

import (
	"math"
	"testing"
	"time"
)

// A figure is told as one that moved when it moved by more than it varies (by more than chance, where it is counted), at the time when it did, and not when it was
// on its way back.
func TestStepped(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	rate, errors := figure{"rate", "/s", 10}, figure{"errors", "/s", 10}
	for _, c := range []struct {
		name        string
		f           figure
		was, wiggle float64
		is          float64
		from, to    int // when it is, in seconds from the moment
		until       int // end of the span, likewise; 0: a moment
		want        string
		when        int
	}{
		{"one error a second after none, in steps of ten", errors, 0, 0, 1, -30, 999, 0, "", 0},
		{"a storm of them after none", errors, 0, 0, 30, -30, 999, 0, "errors 0/s → 30/s", -30},
		{"a twentieth more of many requests", rate, 1000, 3, 1050, -30, 999, 0, "", 0},
		{"half as many again", rate, 1000, 3, 1500, -60, 999, 0, "rate 1000/s → 1500/s", -60},
		{"half as many", rate, 1000, 3, 500, -60, 999, 0, "rate 1000/s → 500/s", -60},
		{"it varies as much all the time", rate, 1000, 200, 1500, -30, 999, 0, "", 0},
		{"a latency, which is no count", figure{"latency", " ms", 0}, 20, 0.2, 81.23, -10, 999, 0, "latency 20 ms → 81.2 ms", -10},
		{"a gauge that always stood still", figure{name: "threads"}, 8, 0, 16, -20, 999, 0, "threads 8 → 16", -20},
		{"nothing moved", figure{name: "threads"}, 8, 0, 8, 0, 0, 0, "", 0},
		{"it was away, and is back", errors, 0, 0, 30, -90, -20, 0, "", 0},
		{"it was away, and comes back as the span begins", errors, 0, 0, 30, -90, 0, 120, "", 0},
		{"within the span", errors, 0, 0, 30, 50, 999, 120, "errors 0/s → 30/s", 50},
		{"within the span, and back", errors, 0, 0, 30, 50, 90, 120, "errors 0/s → 30/s", 50},
		{"for one step", errors, 0, 0, 30, 50, 60, 120, "", 0},
		{"after the span", errors, 0, 0, 30, 140, 999, 120, "", 0},
	} {
		get := func(from, to int64) (v []Point) {
			for k := (from + 9999) / 10_000; k <= to/10_000; k++ {
				p := Point{T: k * 10_000, V: c.was + c.wiggle*math.Sin(float64(k))}
				if s := int(p.T/1000 - at.Unix()); s >= c.from && s < c.to {
					p.V = c.is
				}
				v = append(v, p)
			}
			return v
		}
		said, when := "", 0
		for _, change := range stepped(nil, &service{name: "cart", env: "prod"}, c.f, at, at.Add(time.Duration(c.until)*time.Second), 1, get) {
			said, when = change.Text, int(change.T/1000-at.Unix())
		}
		if said != c.want || when != c.when {
			t.Errorf("%s: told %q at %d s, want %q at %d s", c.name, said, when, c.want, c.when)
		}
	}
}

// What a span is compared with is calm, where there was such a while lately.
func TestCalm(t *testing.T) {
	type trouble struct {
		from, to float64 // to 0: it lasts
		env      string
	}
	for _, tc := range []struct {
		name     string
		troubles []trouble
		before   float64
		want     float64
	}{
		{"nothing was wrong", nil, 1000, 1000},
		{"long ago", []trouble{{500, 700, "prod"}}, 1000, 1000},
		{"right before", []trouble{{900, 950, "prod"}}, 1000, 890},
		{"it lasts", []trouble{{900, 0, "prod"}}, 1000, 890},
		{"it begins in the span", []trouble{{1020, 0, "prod"}}, 1000, 1000},
		{"one after the other", []trouble{{700, 800, "prod"}, {900, 950, "prod"}}, 1000, 690},
		{"one within the other", []trouble{{700, 980, "prod"}, {900, 950, "prod"}}, 1000, 690},
		{"elsewhere", []trouble{{900, 950, "staging"}}, 1000, 1000},
		{"all the time", []trouble{{-1200, 950, "prod"}}, 1000, 1000},
		{"before anything is held", []trouble{{60, 950, "prod"}}, 1000, 1000},
	} {
		f := newFleet(t, Options{Window: 900 * time.Second})
		f.add("10.0.0.1:80", 999, counter("requests", 1))
		f.tick(1000)
		for i, x := range tc.troubles {
			found := Finding{ID: string(rune('a' + i)), Service: "checkout", Env: x.env, Since: at(x.from).UnixMilli()}
			if x.to != 0 {
				over := at(x.to).UnixMilli()
				found.Ended = &over
			}
			f.b.findings = append(f.b.findings, found)
		}
		if got := f.b.Calm("checkout", "prod", at(tc.before), 120*time.Second); !got.Equal(at(tc.want)) {
			t.Errorf("%s: %v s, want %v", tc.name, got.Sub(t0).Seconds(), tc.want)
		}
	}
}
