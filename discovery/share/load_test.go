package share

import (
	"testing"
	"time"
)

func TestSteps(t *testing.T) {
	at := time.Unix(1764000000, 0)
	s := &steps{last: at}
	weight, load := FullWeight, 0.0
	changes := 0
	drive := func(d time.Duration) {
		for range d / time.Second {
			at = at.Add(time.Second)
			if w := s.next(weight, func() float64 { return load }, at); w != weight {
				changes++
				weight = w
			}
		}
	}
	for _, tc := range []struct {
		name      string
		load      float64
		long      time.Duration
		want, chg int
	}{
		{"calm", 0.3, 10 * time.Minute, FullWeight, 0},
		{"a short peak", 1, 30 * time.Second, FullWeight, 0},
		{"calm again", 0.3, 10 * time.Minute, FullWeight, 0},
		{"too busy: one step in three minutes", 0.95, 4 * time.Minute, FullWeight - weightStep, 1},
		{"between the bounds nothing moves", 0.65, 20 * time.Minute, FullWeight - weightStep, 0},
		{"too busy for long: never below the least", 1, 2 * time.Hour, leastShare, 5},
		{"calm for long", 0.1, 2 * time.Hour, FullWeight, 6},
	} {
		load, changes = tc.load, 0
		drive(tc.long)
		if weight != tc.want || changes != tc.chg {
			t.Errorf("%s: weight %d after %d changes, want %d after %d", tc.name, weight, changes, tc.want, tc.chg)
		}
	}
}

func TestGhosts(t *testing.T) {
	at := time.Unix(1764000000, 0)
	ids := func(cs []Collector) (out string) {
		for _, c := range cs {
			out += c.ID
		}
		return out
	}
	a, b, c := member("a", 16), member("b", 16), member("c", 16)
	before := divide("a", a, b, c)
	var g ghosts
	for _, tc := range []struct {
		name    string
		session int64
		after   time.Duration
		sees    []Collector
		want    string
	}{
		{"at the start", 1, 0, []Collector{a, b, c}, "abc"},
		{"one goes", 1, 0, []Collector{a, b}, "ab"},
		{"our session and all others went", 2, 0, []Collector{a}, "abc"},
		{"one is back", 2, 1, []Collector{a, b}, "abc"},
		{"time is over", 2, 10, []Collector{a, b}, "ab"},
		{"our session went, the others' did not", 3, 10, []Collector{a, b}, "ab"},
	} {
		if got := ids(g.with(tc.sees, before, tc.session, at.Add(tc.after*time.Second), 10*time.Second)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
