package dashboards

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Against a plain set: what was added is there once, and the holes between are counted.
func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s ranges
		model := map[uint64]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			n := rapid.Uint64Range(1, 60).Draw(t, "seq")
			if s.add(n) == model[n] {
				t.Fatalf("add(%d) said otherwise than the model", n)
			}
			model[n] = true
		}
		least, most := uint64(61), uint64(0)
		for n := range model {
			least, most = min(least, n), max(most, n)
			if !s.has(n) {
				t.Fatalf("%d is not there", n)
			}
		}
		if want := most - least + 1 - uint64(len(model)); s.holes() != want {
			t.Fatalf("%d holes, want %d", s.holes(), want)
		}
		if !slices.IsSortedFunc(s.r, func(a, b [2]uint64) int { return int(a[0]) - int(b[1]) - 1 }) {
			t.Fatalf("ranges are %v", s.r)
		}
	})
}

// Torn beyond its bound it forgets the oldest holes, and nothing else.
func TestRangesAreBounded(t *testing.T) {
	var s ranges
	for n := range uint64(3 * maxHoles) {
		s.add(2*n + 1)
	}
	if len(s.r) > maxHoles || s.has(2) != true || s.add(6*maxHoles-1) || !s.add(6*maxHoles-2) {
		t.Errorf("%d ranges", len(s.r))
	}
}

func TestLostAtTheEndOfAStart(t *testing.T) {
	f := newFleet(t, Options{})
	f.b.SetFeed(Feed{State: FeedLive})
	add := func(start, seq uint64, previous RecordID) {
		r := f.record("10.0.0.1:80", float64(10*start)+float64(seq), gauge("x", 1))
		r.ID.Start, r.ID.Sequence, r.Previous = start, seq, previous
		f.b.Add(r)
	}
	add(1, 1, RecordID{})
	add(1, 2, RecordID{})
	add(2, 1, RecordID{Collector: 1, Start: 1, Sequence: 5})
	if n := f.b.Stats().Lost; n != 3 {
		t.Errorf("%d lost, want 3", n)
	}
	add(1, 4, RecordID{})
	if n := f.b.Stats().Lost; n != 2 {
		t.Errorf("%d lost, want 2", n)
	}
	// What the feed has not read yet is not lost.
	f.b.SetFeed(Feed{State: FeedConnecting})
	add(2, 100, RecordID{})
	if n := f.b.Stats().Lost; n != 2 {
		t.Errorf("%d lost, want 2, while the feed reads on", n)
	}
	f.b.SetFeed(Feed{State: FeedLive})
	if n := f.b.Stats().Lost; n != 100 {
		t.Errorf("%d lost, want 100", n)
	}
	for seq := uint64(2); seq < 100; seq++ {
		add(2, seq, RecordID{})
	}
	// A start of which nothing was read is none of ours.
	add(9, 1, RecordID{Collector: 1, Start: 8, Sequence: 100})
	if n := f.b.Stats().Lost; n != 2 {
		t.Errorf("%d lost, want 2", n)
	}
}

func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var h histogram
	var all []float64
	for range 5000 {
		x := 1000 * r.ExpFloat64()
		h.add(x)
		all = append(all, x)
	}
	slices.Sort(all)
	for _, p := range []float64{.5, .99} {
		if got, want := h.quantile(p), all[int(p*5000)]; got < want*.98 || got > want*1.03 {
			t.Errorf("quantile %v is %v, want %v", p, got, want)
		}
	}
	if h.quantile(1) != all[4999] {
		t.Errorf("greatest is %v, want %v", h.quantile(1), all[4999])
	}
}
