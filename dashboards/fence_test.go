package dashboards

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
)

// pull is a scrape of 10.0.0.1:80 in the n-th second's slot; in none where n is 0.
func (f *fleet) pull(by, term uint64, n int, into float64, o collector.Outcome) *Record {
	r := f.record("10.0.0.1:80", float64(n)+into, gauge("who", float64(by*10_000)+float64(n)), counter("requests", float64(10*n)))
	r.ID.Collector, r.Term, r.Slot, r.Outcome = by, term, t0.Add(time.Duration(n)*time.Second).UnixMilli(), o
	if n == 0 {
		r.Slot = 0
	}
	if o != collector.OK {
		r.Samples = nil
	}
	return r
}

// counted is who counts, slot by slot.
func (f *fleet) counted() (out []string) {
	w, _ := f.b.Window("checkout", "prod", "10.0.0.1:80", "who", "", t0, t0.Add(time.Hour))
	for _, p := range w.Points {
		out = append(out, fmt.Sprintf("%d:%d", int(p.V)%10_000, int(p.V)/10_000))
	}
	return out
}

func TestFence(t *testing.T) {
	type pull struct {
		by, term uint64
		slot     int
		into     float64
		outcome  collector.Outcome
	}
	ok, skipped, timeout := collector.OK, collector.Skipped, collector.Timeout
	for _, tc := range []struct {
		name   string
		pulls  []pull
		want   string
		fenced uint64
	}{
		{"one collector", []pull{{1, 5, 1, 0, ok}, {1, 5, 2, 0, ok}}, "[1:1 2:1]", 0},
		{"a hand-over without a double", []pull{{1, 5, 1, 0, ok}, {2, 6, 2, 0, ok}}, "[1:1 2:2]", 0},
		{"the higher term, come last", []pull{{1, 5, 1, 0, ok}, {2, 6, 1, 0.1, ok}}, "[1:2]", 1},
		{"the higher term, come first", []pull{{2, 6, 1, 0.1, ok}, {1, 5, 1, 0.2, ok}}, "[1:2]", 1},
		{"the higher term, pulled earlier", []pull{{1, 5, 1, 0.2, ok}, {2, 6, 1, 0.1, ok}}, "[1:2]", 1},
		{"equal terms: the smaller collector", []pull{{2, 5, 1, 0, ok}, {1, 5, 1, 0.1, ok}, {3, 5, 1, 0.2, ok}}, "[1:1]", 2},
		{"at one millisecond", []pull{{1, 5, 1, 0, ok}, {2, 6, 1, 0, ok}}, "[1:2]", 1},
		{"a former owner's pull of a slot that nobody else has", []pull{{2, 6, 2, 0, ok}, {1, 5, 1, 0, ok}}, "[1:1 2:2]", 0},
		{"who only tells that it skipped does not count", []pull{{1, 5, 1, 0, ok}, {2, 6, 1, 0, skipped}}, "[1:1]", 1},
		{"a failed pull counts", []pull{{1, 5, 1, 0, ok}, {2, 6, 1, 0, timeout}}, "[]", 1},
		{"alone, and then in a group", []pull{{1, 0, 1, 0, ok}, {2, 6, 1, 0.1, ok}}, "[1:2]", 1},
		{"one collector twice in a slot", []pull{{1, 5, 1, 0, ok}, {1, 6, 1, 0.3, ok}}, "[1:1]", 1},
		{"one collector, restarted within a slot", []pull{{1, 5, 1, 0.3, ok}, {1, 5, 1, 0, ok}}, "[1:1]", 1},
		{"a last one, of no slot", []pull{{1, 5, 1, 0, ok}, {1, 5, 0, 1.4, ok}}, "[1:1 0:1]", 0},
		{"a last one before the regular one comes", []pull{{1, 5, 0, 1.4, ok}, {1, 5, 1, 0, ok}}, "[1:1 0:1]", 0},
		{"a last one, and another collector's of the slot", []pull{{1, 5, 1, 0, ok}, {1, 5, 0, 1.4, ok}, {2, 6, 1, 0.1, ok}}, "[1:2 0:1]", 1},
	} {
		f := newFleet(t, Options{})
		for _, p := range tc.pulls {
			f.b.Add(f.pull(p.by, p.term, p.slot, p.into, p.outcome))
		}
		f.tick(3)
		if got := fmt.Sprint(f.counted()); got != tc.want || f.b.Stats().Fenced != tc.fenced {
			t.Errorf("%s: %s counts, %d fenced; want %s, %d", tc.name, got, f.b.Stats().Fenced, tc.want, tc.fenced)
		}
	}
}

// Whatever came, in whatever order and however late: of each slot one collector's scrape counts, and it is the right one.
func TestFenceInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, Options{})
		const slots = 150
		type key struct{ by, term uint64 }
		best := map[int]key{}
		var all []*Record
		seed := rapid.Uint64().Draw(rt, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		for n := range slots {
			for by := range uint64(3) {
				if rng.IntN(100) < 60 {
					continue
				}
				k := key{by + 1, uint64(5 + rng.IntN(3))}
				all = append(all, f.pull(k.by, k.term, n+1, float64(rng.IntN(900))/1000, collector.OK))
				if old, has := best[n+1]; !has || cmp.Or(cmp.Compare(old.term, k.term), cmp.Compare(k.by, old.by)) < 0 {
					best[n+1] = k
				}
			}
		}
		// Some come in time, some late by a little, some by a lot.
		late := rng.IntN(3)
		slices.SortStableFunc(all, func(a, b *Record) int { return a.Time.Compare(b.Time) })
		for range late * len(all) / 4 {
			i := rng.IntN(len(all))
			r := all[i]
			all = slices.Delete(all, i, i+1)
			all = slices.Insert(all, i+rng.IntN(len(all)-i+1), r)
		}
		for i, r := range all {
			f.b.Add(r)
			if i%20 == 19 {
				f.tick(float64(slots + i))
			}
		}
		f.tick(1000)
		var want []string
		for n := range slots {
			if k, has := best[n+1]; has {
				want = append(want, fmt.Sprintf("%d:%d", n+1, k.by))
			}
		}
		if got := f.counted(); !slices.Equal(got, want) {
			rt.Fatalf("counted\n%v\nwant\n%v", got, want)
		}
		if n := f.b.Stats().Fenced; n != uint64(len(all)-len(want)) {
			rt.Fatalf("%d of %d fenced, want %d", n, len(all), len(all)-len(want))
		}
	})
}

// No rate is taken across a change of collector: their clocks may differ.
func TestNoRateAcrossAChange(t *testing.T) {
	f := newFleet(t, Options{})
	for n := range 20 {
		by := uint64(1)
		into := 0.0
		if n >= 10 {
			by, into = 2, 0.5 // by a clock that is off
		}
		f.b.Add(f.pull(by, uint64(5+n/10), n, into, collector.OK))
	}
	f.tick(20)
	w, ok := f.b.Window("checkout", "prod", "10.0.0.1:80", "requests", "", t0, t0.Add(time.Minute))
	if !ok || len(w.Points) != 20 {
		t.Fatalf("%d points", len(w.Points))
	}
	n := 0
	w.Increases(func(i Increase) bool {
		n++
		if rate := i.By / float64(i.To-i.From) * 1000; rate != 10 {
			t.Errorf("a rate of %v from %d to %d", rate, i.From, i.To)
		}
		return true
	})
	if n != 18 {
		t.Errorf("%d rates, want 18", n)
	}
}
