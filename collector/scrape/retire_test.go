package scrape

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
)

// ended counts what Config.Retired was told.
type ended struct {
	mu sync.Mutex
	n  map[string]int
}

func (e *ended) Retired(k TargetKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n == nil {
		e.n = map[string]int{}
	}
	e.n[k.Addr()]++
}

func (e *ended) of(addr string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n[addr]
}

func lasts(p *Pool, result string) int { return int(p.m.job("apps").last(result).Get()) }

func key(j *Job, addr string) TargetKey { return targets(j, addr)[0].TargetKey() }

// Who leaves in order is pulled once more, at once: what its counters say last is not lost. What goes wrong in that is nobody's news.
func TestRetire(t *testing.T) {
	const a = "10.0.0.1:8001"
	for _, tc := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, leaves bool) // nil: it counts its seconds
		stale  bool                                                      // nobody knows whose it is by then
		twice  bool
		want   int // snapshots of a last pull
		result string
	}{
		{"answers", nil, false, false, 1, lastOK},
		{"answers, told twice", nil, false, true, 1, lastOK},
		{"has gone", func(w http.ResponseWriter, _ *http.Request, leaves bool) {
			if leaves {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, someStats)
		}, false, false, 0, lastFailed},
		{"hangs", func(w http.ResponseWriter, r *http.Request, leaves bool) {
			if leaves {
				<-r.Context().Done()
			}
			fmt.Fprint(w, someStats)
		}, false, false, 0, lastFailed},
		{"says no", func(w http.ResponseWriter, r *http.Request, leaves bool) {
			if leaves {
				http.Error(w, "draining", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprint(w, someStats)
		}, false, false, 0, lastFailed},
		{"hung before", func(w http.ResponseWriter, r *http.Request, _ bool) { <-r.Context().Done() }, false, false, 0, lastLeftOut},
		{"another's, perhaps", nil, true, false, 0, lastLeftOut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				begin := time.Now()
				leaves, stale, asked := false, false, 0
				f.handler(a, func(w http.ResponseWriter, r *http.Request) {
					asked++
					if tc.answer != nil {
						tc.answer(w, r, leaves)
						return
					}
					fmt.Fprintf(w, `{"counters":{"seconds":%d}}`, time.Since(begin)/time.Second)
				})
				var e ended
				set1 := metrics.NewSet()
				p, got, stop := f.running(t, Config{Term: func() uint64 { return 7 }, Retired: e.Retired, Metrics: set1, Fresh: func(time.Time) bool { return !stale }})
				j := &Job{Name: "apps", NoServerInfo: true}
				set(t, p, targets(j, a))
				time.Sleep(25 * time.Second)
				synctest.Wait()
				got.take()
				pulls := asked
				leaves, stale = true, tc.stale
				gone := time.Now()
				said := fmt.Sprint(int(time.Since(begin) / time.Second))
				p.Retire([]TargetKey{key(j, a)})
				if tc.twice {
					p.Retire([]TargetKey{key(j, a)})
				}
				time.Sleep(lastWithin + time.Millisecond)
				synctest.Wait()
				all := got.take()
				if len(all) != tc.want || lasts(p, tc.result) != 1 {
					t.Errorf("%d snapshots, %d counted as %s", len(all), lasts(p, tc.result), tc.result)
				}
				for _, s := range all {
					if s.Outcome != collector.OK || !s.Slot.IsZero() || s.Term != 7 || s.Samples[0].Value != said || s.Time.Sub(gone) > time.Millisecond || s.Interval != 10*time.Second {
						t.Errorf("said %s; snapshot %+v", said, s)
					}
				}
				// One that closes the connection which was kept is asked anew on another one.
				if most := map[string]int{lastOK: 1, lastFailed: 2}[tc.result]; asked-pulls > most {
					t.Errorf("asked %d times", asked-pulls)
				}
				if want := 1 + map[bool]int{true: 1}[tc.twice]; e.of(a) < 1 || e.of(a) > want || f.open != 0 || len(p.Status()) != 0 || len(p.leaving) != 0 {
					t.Errorf("its end was told %d times; %d connections, %d targets, %d leaving", e.of(a), f.open, len(p.Status()), len(p.leaving))
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				if all := got.take(); len(all) != 0 {
					t.Errorf("pulled after it left: %+v", all)
				}
				var text strings.Builder
				set1.WritePrometheus(&text)
				if tc.result == lastFailed && !strings.Contains(text.String(), `rollcall_scrape_pulls_total{job="apps",outcome="refused"} 0`) {
					t.Error("a last pull that failed counts as a scrape")
				}
				stop()
			})
		})
	}
}

// A last pull waits for the one that is under way, which is not cut: never two at once of one target.
func TestRetireWhilePulling(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fails bool // the one under way
		want  int
		last  string
	}{{"it ends well", false, 2, lastOK}, {"it fails", true, 0, lastFailed}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				const a = "10.0.0.1:8001"
				at, asked := 0, 0
				var leaves atomic.Bool
				f.handler(a, func(w http.ResponseWriter, r *http.Request) {
					if at++; at > 1 {
						t.Error("two at once")
					}
					defer func() { at-- }()
					asked++
					time.Sleep(800 * time.Millisecond)
					if tc.fails && leaves.Load() {
						panic(http.ErrAbortHandler)
					}
					fmt.Fprintf(w, `{"counters":{"asked":%d}}`, asked)
				})
				var e ended
				p, got, stop := f.running(t, Config{Retired: e.Retired})
				j := &Job{Name: "apps", NoServerInfo: true}
				set(t, p, nil)
				synctest.Wait()
				set(t, p, targets(j, a)) // at once
				time.Sleep(100 * time.Millisecond)
				leaves.Store(true)
				p.Retire([]TargetKey{key(j, a)})
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				if e.of(a) != 0 {
					t.Error("its end was told before it came")
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				all := got.take()
				if len(all) != tc.want || lasts(p, tc.last) != 1 || e.of(a) != 1 || f.open != 0 {
					t.Errorf("%d snapshots %+v, end told %d times", len(all), all, e.of(a))
				}
				if len(all) == 2 && (all[0].Slot.IsZero() || !all[1].Slot.IsZero() || all[1].Samples[0].Value != "2") {
					t.Errorf("%+v", all)
				}
				stop()
			})
		})
	}
}

// When many leave at once a hundred are pulled, and the rest is dropped; a set that comes at the same moment changes nothing in that.
func TestMassRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(300)
		for _, a := range hosts {
			f.stats(a, someStats)
		}
		var e ended
		p, got, stop := f.running(t, Config{Retired: e.Retired, MaxInFlight: 20})
		j := &Job{Name: "apps", NoServerInfo: true, Interval: time.Minute}
		set(t, p, targets(j, hosts...))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got.take()
		var keys []TargetKey
		for _, a := range hosts[:250] {
			keys = append(keys, key(j, a))
		}
		p.Retire(keys)
		set(t, p, targets(j, hosts[250:]...)) // before the pool looked
		time.Sleep(time.Millisecond)
		synctest.Wait()
		n := 0
		for _, s := range got.take() {
			if s.Slot.IsZero() {
				n++
			}
		}
		if n != 100 || lasts(p, lastOK) != 100 || lasts(p, lastLeftOut) != 150 || len(p.Status()) != 50 {
			t.Errorf("%d last pulls, %d targets", n, len(p.Status()))
		}
		for _, k := range keys {
			if e.of(k.Addr()) != 1 {
				t.Errorf("%s: end told %d times", k, e.of(k.Addr()))
			}
		}
		p.Retire([]TargetKey{{Job: "apps"}}) // nobody
		synctest.Wait()
		if e.of(TargetKey{}.Addr()) != 1 {
			t.Error("the end of one who is not there was not told")
		}
		stop()
		p.Retire(keys)
		if len(p.changes) != 0 {
			t.Error("a pool that has stopped keeps who leaves")
		}
	})
}

// A stop has no last pulls, and waits for none that cannot end.
func TestRetireAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(4)
		for _, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}
		p, got, stop := f.running(t, Config{MaxInFlight: 2})
		j := &Job{Name: "apps", NoServerInfo: true}
		set(t, p, nil)
		synctest.Wait()
		set(t, p, targets(j, hosts...)) // two are pulled, two wait
		time.Sleep(100 * time.Millisecond)
		for _, a := range hosts {
			p.Retire([]TargetKey{key(j, a)})
		}
		synctest.Wait()
		now := time.Now()
		stop()
		if d := time.Since(now); d > grace {
			t.Errorf("the stop took %s", d)
		}
		if all := got.take(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

// Whatever comes when: one target is never pulled twice at once, and in the end everybody is gone and nothing is open.
func TestRetireInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(8)
		var mu sync.Mutex
		at := map[string]int{}
		for _, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				if at[a]++; at[a] > 1 {
					t.Errorf("%s is pulled twice at once", a)
				}
				wait := time.Duration(rand.IntN(1200)) * time.Millisecond
				mu.Unlock()
				select {
				case <-r.Context().Done():
				case <-time.After(wait):
				}
				mu.Lock()
				at[a]--
				mu.Unlock()
				if wait%7 == 0 {
					panic(http.ErrAbortHandler)
				}
				fmt.Fprint(w, someStats)
			})
		}
		var e ended
		p, got, stop := f.running(t, Config{Retired: e.Retired, MaxInFlight: 4})
		j := &Job{Name: "apps", NoServerInfo: true, Interval: 2 * time.Second, Timeout: time.Second}
		for range 3000 {
			some := slices.Clone(hosts)
			rand.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
			some = some[:1+rand.IntN(3)]
			var keys []TargetKey
			for _, a := range some {
				keys = append(keys, key(j, a))
			}
			switch rand.IntN(8) {
			case 0, 1, 2, 3:
				changed(t, p, targets(j, some...))
			case 4, 5:
				p.Retire(keys)
			case 6:
				changed(t, p, nil, keys...)
			default:
				set(t, p, targets(j, hosts[:rand.IntN(len(hosts))]...))
			}
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		}
		if all := got.take(); len(all) < 100 || lasts(p, lastOK) < 20 || lasts(p, lastFailed) < 5 || lasts(p, lastLeftOut) < 1 {
			t.Errorf("%d snapshots; last ones: %d good, %d failed, %d left out", len(all), lasts(p, lastOK), lasts(p, lastFailed), lasts(p, lastLeftOut))
		}
		for _, a := range hosts {
			changed(t, p, targets(j, a))
			p.Retire([]TargetKey{key(j, a)})
		}
		told := 0
		for _, a := range hosts {
			told -= e.of(a)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, a := range hosts {
			told += e.of(a)
		}
		p.mu.Lock()
		if told != len(hosts) || len(p.targets)+len(p.leaving)+p.heap.len()+p.inLine() != 0 || p.counts != (counts{}) || f.open != 0 {
			t.Errorf("%d ends told, %d targets, %d leaving, %d due, %d connections", told, len(p.targets), len(p.leaving), p.heap.len(), f.open)
		}
		p.mu.Unlock()
		stop()
	})
}
