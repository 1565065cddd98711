package scrape

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestSlotOf(t *testing.T) {
	const i = 10 * time.Second
	one := target{phase: 3*time.Second + 70*i}
	at := func(s float64) time.Time { return time.Unix(1764000000, 0).Add(second(s)) } // a multiple of i
	for _, tc := range []struct {
		name      string
		due, want float64
	}{
		{"on time", 3, 3},
		{"by clocks that were put right", 2.99, 3},
		{"later clocks", 3.01, 3},
		{"at once, in the middle", 8, 3},
		{"at once, late", 11.5, 3},
		{"just before the next", 12, 13},
		{"before the first", 1.5, -7},
	} {
		if got := one.slotOf(at(tc.due), i); !got.Equal(at(tc.want)) {
			t.Errorf("%s: %s is in the slot of %s, want %s", tc.name, at(tc.due), got, at(tc.want))
		}
	}
}

// Two collectors name one slot alike, though they began at different times; every snapshot says term and slot.
func TestSlotsAndTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(20)
		for _, a := range hosts {
			f.stats(a, someStats)
		}
		j := &Job{Name: "apps", NoServerInfo: true}
		slots := func(term uint64, wait time.Duration) map[string][]int64 {
			time.Sleep(wait)
			p, got, stop := f.running(t, Config{Term: func() uint64 { return term }})
			defer stop()
			set(t, p, targets(j, hosts...))
			time.Sleep(25 * time.Second)
			synctest.Wait()
			out := map[string][]int64{}
			for _, s := range got.take() {
				if s.Term != term {
					t.Errorf("term %d, want %d", s.Term, term)
				}
				if d := s.Time.Sub(s.Slot); d < 0 || d > time.Second {
					t.Errorf("%s pulled %s after its slot", s.Instance.Addr(), d)
				}
				out[s.Instance.Addr()] = append(out[s.Instance.Addr()], s.Slot.UnixMilli()%10_000)
			}
			return out
		}
		one, two := slots(7, 0), slots(8, 3*time.Second)
		for _, a := range hosts {
			both := slices.Compact(append(slices.Clone(one[a]), two[a]...))
			if len(one[a]) < 2 || len(two[a]) < 2 || len(both) != 1 {
				t.Errorf("%s: places %v and %v in the interval", a, one[a], two[a])
			}
		}
	})
}

// While nobody knows whose the targets are, none is pulled; then those that are still there are, and the others never.
func TestNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(10)
		for _, a := range hosts {
			f.stats(a, someStats)
		}
		var stale atomic.Bool
		begin := time.Now()
		p, got, stop := f.running(t, Config{Fresh: func(now time.Time) bool { return !stale.Load() || now.Sub(begin) > 50*time.Second }})
		j := &Job{Name: "apps", NoServerInfo: true}
		set(t, p, targets(j, hosts...))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		stale.Store(true)
		got.take()
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if n := len(got.take()); n != 0 {
			t.Errorf("%d pulls by a collector that did not know whose they were", n)
		}
		set(t, p, targets(j, hosts[:4]...))
		time.Sleep(6 * time.Second) // the 50 s are over
		synctest.Wait()
		pulled := map[string]bool{}
		for _, s := range got.take() {
			if s.Outcome == collector.OK {
				pulled[s.Instance.Addr()] = true
			}
			if !slices.Contains(hosts[:4], s.Instance.Addr()) {
				t.Errorf("%s was told of as %s, though it is another's", s.Instance.Addr(), s.Outcome)
			}
		}
		if len(pulled) != 4 {
			t.Errorf("%d of 4 pulled again", len(pulled))
		}
		stop()
	})
}

// What another collector had until now begins with its next slot; what is new, at once.
func TestHanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(3)
		for _, a := range hosts {
			f.stats(a, someStats)
		}
		p, got, stop := f.running(t, Config{})
		j := &Job{Name: "apps", NoServerInfo: true}
		ts := targets(j, hosts...)
		set(t, p, ts[:1])
		time.Sleep(20 * time.Second)
		synctest.Wait()
		got.take()
		ts[1].Handed = true
		begin := time.Now()
		changed(t, p, ts[1:])
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, s := range got.take() {
			switch at := s.Time.Sub(begin); s.Instance.Addr() {
			case hosts[1]:
				if s.Slot.Before(begin) {
					t.Errorf("pulled %s after the hand-over, in a slot that began before it", at)
				}
			case hosts[2]:
				if s.Slot.Before(begin) && at > time.Second {
					t.Errorf("a new one waited %s", at)
				}
			}
		}
		stop()
	})
}
