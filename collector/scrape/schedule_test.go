package scrape

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func addrs(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("10.0.%d.%d:8001", i/250, i%250+1))
	}
	return out
}

func TestHeap(t *testing.T) {
	var h heap
	rng := rand.New(rand.NewPCG(1, 2))
	var all []*target
	for range 500 {
		all = append(all, &target{at: -1})
	}
	base := time.Unix(0, 0)
	for range 5000 {
		t := all[rng.IntN(len(all))]
		if rng.IntN(4) == 0 {
			h.remove(t)
		} else {
			h.set(t, base.Add(time.Duration(rng.IntN(1000))))
		}
	}
	last, n := base, 0
	for h.len() > 0 {
		x := h.items[0].t
		if x.due.Before(last) || x.at != 0 {
			t.Fatal("out of order")
		}
		last = x.due
		h.remove(x)
		n++
	}
	if n < 100 {
		t.Errorf("%d targets", n)
	}
}

// Every target has its own place in the interval, the same in each process and after each restart, and the places are spread evenly.
func TestOffsets(t *testing.T) {
	buckets := make([]int, 10)
	for _, a := range addrs(5000) {
		k := TargetKey{instance(a).Key, "apps"}
		one := target{phase: phaseOf(k, 7)}
		now := time.Unix(1764000000, 123456789)
		due := one.slot(now, 10*time.Second)
		if d := due.Sub(now); d <= 0 || d > 10*time.Second {
			t.Fatalf("%s begins in %s", a, d)
		}
		if again := (&target{phase: phaseOf(k, 7)}).slot(now.Add(-37*time.Second), 10*time.Second); due.Sub(again)%(10*time.Second) != 0 {
			t.Fatalf("%s has two places", a)
		}
		if phaseOf(k, 8) == one.phase || phaseOf(TargetKey{k.Key, "other"}, 7) == one.phase {
			t.Fatalf("%s has one place for all seeds and jobs", a)
		}
		buckets[due.UnixNano()/int64(time.Second)%10]++
	}
	for i, n := range buckets {
		if n < 400 || n > 600 {
			t.Errorf("%d of 5000 targets in tenth %d", n, i)
		}
	}
}

// The next slot follows the wall clock without ever leaving a gap of two intervals or making a burst.
func TestNextSlot(t *testing.T) {
	const i = 10 * time.Second
	one := target{phase: 3 * time.Second}
	due := time.Unix(1000, 0).Add(3 * time.Second)
	for _, tc := range []struct {
		late, jump time.Duration // of the look at the clock, and of the clock
		want       time.Duration // until the next, from due, by the monotonic clock
		lost       int
	}{
		{0, 0, i, 0},
		{2 * time.Second, 0, i, 0},
		{9 * time.Second, 0, i, 0},
		{10 * time.Second, 0, 2 * i, 1},
		{35 * time.Second, 0, 4 * i, 3},
		{0, time.Second, i - time.Second, 0},
		{0, -time.Second, i + time.Second, 0},
		{0, time.Hour, i, 0},
		{0, 4 * time.Second, i - 4*time.Second, 0},
		{0, 6 * time.Second, i + 4*time.Second, 0},
		{0, -26 * time.Second, i - 4*time.Second, 0},
	} {
		// A monotonic clock cannot be made by hand: a jump of the wall clock is a phase that moved the other way.
		moved := target{phase: (one.phase - tc.jump%i + i) % i}
		got, lost := moved.next(due, due.Add(tc.late), i)
		if got.Sub(due) != tc.want || lost != tc.lost {
			t.Errorf("late %s, jump %s: %s and %d lost, want %s and %d", tc.late, tc.jump, got.Sub(due), lost, tc.want, tc.lost)
		}
	}
}

// At the start and when many join, each begins in its own place; when few join, at once.
func TestFirstPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		all := addrs(400)
		for _, a := range all {
			f.stats(a, someStats)
		}
		p, got, stop := f.running(t, Config{})
		j := &Job{Name: "apps", NoServerInfo: true}
		pulledWithin := func(d time.Duration, n int) int {
			set(t, p, targets(j, all[:n]...))
			time.Sleep(d)
			synctest.Wait()
			return len(got.take())
		}
		if n := pulledWithin(time.Second, 50); n > 15 {
			t.Errorf("%d of 50 pulled in the first second after the start", n)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		got.take()
		before := f.total()
		if n := pulledWithin(time.Millisecond, 80); n < 30 || f.total()-before != 30 {
			t.Errorf("%d of 30 new ones at once", n)
		}
		if n := pulledWithin(time.Millisecond, 190); n > 10 { // 70 left in the bucket, 110 come
			t.Errorf("%d pulled at once of too many", n)
		}
		if n := pulledWithin(time.Millisecond, 260); n < 70 {
			t.Errorf("%d of 70 at once with the rest of the bucket", n)
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		got.take()
		if n := pulledWithin(time.Millisecond, 320); n > 10 {
			t.Errorf("%d at once half a second later", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got.take()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(got.take()); n != 320 {
			t.Errorf("%d pulls of 320 targets in an interval", n)
		}
		stop()
	})
}

func (f *fleet) total() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.dials {
		n += d
	}
	return n
}

// A new set leaves alone who did not change, follows who did, and ends who left.
func TestSetDiff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		const a, b, c = "10.0.0.1:8001", "10.0.0.2:8001", "10.0.0.3:8001"
		paths := map[string][]string{}
		for _, x := range []string{a, b} {
			f.handler(x, func(w http.ResponseWriter, r *http.Request) {
				f.mu.Lock()
				paths[x] = append(paths[x], r.URL.Path)
				f.mu.Unlock()
				fmt.Fprint(w, someStats)
			})
		}
		hung := 0
		f.handler(c, func(w http.ResponseWriter, r *http.Request) { hung++; <-r.Context().Done() })
		p, got, stop := f.running(t, Config{})
		j := &Job{Name: "apps", NoServerInfo: true}
		set(t, p, targets(j, a, b))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		times := func(host string) (out []time.Time) {
			for _, s := range got.take() {
				if s.Instance.Host == host {
					out = append(out, s.Time)
				}
			}
			return out
		}
		was := times("10.0.0.1")
		// b has another member and a tag, and a another path by a new job: neither moves, and neither is dialled again.
		ts := targets(&Job{Name: "apps", NoServerInfo: true, MetricsPath: "/new"}, a, b)
		ts[1].Member, ts[1].Tags = "x", discovery.TagsOf(map[string]string{"team": "t"})
		set(t, p, ts)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		all := got.take()
		for _, s := range all {
			if s.Instance.Host == "10.0.0.1" && s.Time.Sub(was[0])%(10*time.Second) != 0 {
				t.Errorf("moved by %s", s.Time.Sub(was[0]))
			}
			if s.Instance.Host == "10.0.0.2" && s.Tags.Get("team") != "t" {
				t.Errorf("tags %v", s.Tags.Map())
			}
		}
		if len(all) != 4 || f.dialled(a) != 1 || f.dialled(b) != 1 || !slices.Equal(paths[a], []string{"/stats.json", "/stats.json", "/new", "/new"}) {
			t.Errorf("%d pulls, %d and %d dials, paths %v", len(all), f.dialled(a), f.dialled(b), paths[a])
		}
		// c joins, is pulled at once and hangs; when it leaves its pull ends with no snapshot, and the others' connections stay.
		set(t, p, append(ts, targets(j, c)...))
		time.Sleep(time.Second)
		synctest.Wait()
		got.take()
		if hung != 1 {
			t.Fatalf("%d pulls of c", hung)
		}
		set(t, p, ts[1:])
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if f.open != 1 || f.dialled(c) != 1 {
			t.Errorf("%d connections open", f.open)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if all := got.take(); len(all) != 1 || all[0].Instance.Host != "10.0.0.2" {
			t.Errorf("snapshots after the others left: %+v", all)
		}
		// a comes back within its interval: it was pulled in it already.
		set(t, p, ts)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got.take()
		time.Sleep(10*time.Second - time.Millisecond)
		set(t, p, ts[1:])
		time.Sleep(time.Millisecond)
		synctest.Wait()
		set(t, p, ts)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := times("10.0.0.1"); len(got) > 2 {
			t.Errorf("pulled at %v", got)
		}
		// The interval changes: so does the schedule.
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: time.Second}, a))
		got.take()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(got.take()); n != 10 {
			t.Errorf("%d pulls in 10 s", n)
		}
		set(t, p, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(got.take()); n != 0 || len(p.Status()) != 0 || f.open != 0 {
			t.Errorf("%d pulls of nobody, %d open", n, f.open)
		}
		stop()
	})
}

// Pulls under way at a stop end within their timeout, or 2 s; no slot of a target vanishes.
func TestStopWhilePulling(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes time.Duration
		ok    int // the others are told as skipped
		stop  time.Duration
	}{
		{"they end", time.Second, 2, 1050 * time.Millisecond},
		{"they hang", time.Hour, 0, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				for _, a := range addrs(3) {
					f.handler(a, func(w http.ResponseWriter, r *http.Request) {
						select {
						case <-r.Context().Done():
						case <-time.After(tc.takes):
						}
						fmt.Fprint(w, someStats)
					})
				}
				p, got, stop := f.running(t, Config{MaxInFlight: 2})
				j := &Job{Name: "apps", NoServerInfo: true, Interval: 10 * time.Second}
				set(t, p, nil)
				synctest.Wait()
				set(t, p, targets(j, addrs(3)...)) // all at once: two are pulled, one waits
				time.Sleep(50 * time.Millisecond)
				synctest.Wait()
				now := time.Now()
				stop()
				if d := time.Since(now); d > tc.stop {
					t.Errorf("the stop took %s", d)
				}
				ok, skipped := 0, 0
				for _, s := range got.take() {
					switch {
					case s.Outcome == collector.OK:
						ok++
					case s.Outcome == collector.Skipped && strings.Contains(s.Reason, "the collector stopped"):
						skipped++
					default:
						t.Errorf("%s %s", s.Outcome, s.Reason)
					}
				}
				if ok != tc.ok || ok+skipped != 3 {
					t.Errorf("%d good and %d skipped snapshots", ok, skipped)
				}
			})
		})
	}
}

// Who leaves while being pulled and comes back at once is still never pulled twice at once.
func TestLeaveAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(700 * time.Millisecond)
			fmt.Fprint(w, someStats)
		})
		p, got, stop := f.running(t, Config{})
		ts := targets(&Job{Name: "apps", NoServerInfo: true, Interval: time.Second}, "10.0.0.1:8001")
		for range 50 {
			set(t, p, ts)
			time.Sleep(130 * time.Millisecond)
			set(t, p, nil)
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
		set(t, p, ts)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if all := got.take(); len(all) < 2 || all[len(all)-1].Outcome != collector.OK {
			t.Errorf("%+v", all)
		}
		stop()
	})
}

// TestEvery: a target that is looked at closely is pulled in its own interval, from its next slot on, and in its job's again afterwards.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.stats("10.0.0.1:80", someStats)
		f.stats("10.0.0.2:80", someStats)
		p, got, stop := f.running(t, Config{})
		defer stop()
		j := &Job{Name: "apps", Interval: second(10), NoServerInfo: true}
		ts := targets(j, "10.0.0.1:80", "10.0.0.2:80")
		set(t, p, ts)
		time.Sleep(second(30))
		count := func() (n [2]int) {
			for _, s := range got.take() {
				n[s.Instance.Host[len(s.Instance.Host)-1]-'1']++
				if want := map[bool]time.Duration{true: second(1), false: second(10)}[ts[0].Every > 0 && s.Instance.Host == "10.0.0.1"]; s.Interval != want || s.Outcome != collector.OK {
					t.Errorf("%s: every %s, %s", s.Instance.Key, s.Interval, s.Outcome)
				}
			}
			return n
		}
		if n := count(); n != [2]int{3, 3} {
			t.Errorf("before: %v pulls in 30 s", n)
		}
		ts[0].Every = time.Second
		if err := p.Change(ts[:1], nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(second(30))
		if n := count(); n != [2]int{30, 3} {
			t.Errorf("closely: %v pulls in 30 s", n)
		}
		ts[0].Every = 0
		if err := p.Change(ts[:1], nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(second(30))
		if n := count(); n != [2]int{3, 3} {
			t.Errorf("after: %v pulls in 30 s", n)
		}
		ts[0].Every = time.Millisecond
		if err := p.Change(ts[:1], nil); err == nil {
			t.Error("every millisecond is taken")
		}
	})
}
