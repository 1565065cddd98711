package register

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDamper(t *testing.T) {
	f := Flap{}.withDefaults()
	now := time.Unix(1_764_000_000, 0)
	var d damper
	for i, want := range []time.Duration{0, 0, 5 * time.Minute} { // 3 falls at once: 3000 points, to be 1500
		d.fell(&f, now)
		if got := d.wait(&f, now).Round(time.Second); got != want {
			t.Errorf("after %d falls: wait %v, want %v", i+1, got, want)
		}
	}
	if got := d.wait(&f, now.Add(4*time.Minute)).Round(time.Second); got != time.Minute {
		t.Errorf("after 4 quiet minutes: wait %v, want 1m", got)
	}
	if got := d.wait(&f, now.Add(5*time.Minute+time.Second)); got != 0 {
		t.Errorf("after 5 quiet minutes: wait %v", got)
	}
	for range 100 {
		d.fell(&f, now.Add(6*time.Minute))
	}
	if got := d.wait(&f, now.Add(6*time.Minute)).Round(time.Second); got != 10*time.Minute {
		t.Errorf("at worst: wait %v, want two half-lives", got)
	}
	slow := damper{}
	for i := range 100 { // one fall in ten minutes never adds up
		at := now.Add(time.Duration(i) * 10 * time.Minute)
		if slow.fell(&f, at); slow.wait(&f, at) != 0 {
			t.Fatalf("fall %d: damped", i)
		}
	}
}

// However a check flips, it is believed a bounded number of times an hour, and believed again after two quiet half-lives.
func TestDamperBounds(t *testing.T) {
	f := Flap{}.withDefaults()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_764_000_000, 0)
		end := now.Add(time.Hour)
		var d damper
		believed := 0
		for now.Before(end) {
			now = now.Add(time.Duration(rapid.IntRange(1, 120_000).Draw(t, "ms")) * time.Millisecond)
			if d.wait(&f, now) == 0 {
				believed++
				d.fell(&f, now) // joins, and falls at once; while it is not believed, its falls do not reach ZooKeeper
			}
		}
		// 3 at once, then one for each time that 3000 points halve.
		if believed > 30 {
			t.Fatalf("believed %d times in an hour", believed)
		}
		if d.wait(&f, now.Add(2*f.HalfLife+time.Second)) != 0 {
			t.Fatal("not believed after two quiet half-lives")
		}
	})
}

func TestSizes(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	s := newSizes()
	if s.peak("/a", now) != 0 {
		t.Error("a size of nothing")
	}
	s.add("/a", 10, now)
	s.add("/a", 7, now)
	s.add("/b", 99, now)
	s.add("/a", 5, now.Add(30*time.Minute))
	for _, tc := range []struct {
		after time.Duration
		want  int
	}{{0, 10}, {59 * time.Minute, 10}, {62 * time.Minute, 5}, {92 * time.Minute, 0}, {-2 * time.Minute, 0}} {
		if got := s.peak("/a", now.Add(tc.after)); got != tc.want {
			t.Errorf("after %v: %d, want %d", tc.after, got, tc.want)
		}
	}
	if c := s.copy(now.Add(62 * time.Minute)); len(c) != 1 || len(c["/a"]) != 1 {
		t.Errorf("copy: %v", c)
	}
	for i := range 10_000 {
		s.add("/a", 1, now.Add(time.Duration(i)*time.Minute))
	}
	if n := len(s.byPath["/a"]); n > 61 {
		t.Errorf("%d sizes are kept for an hour", n)
	}
}
