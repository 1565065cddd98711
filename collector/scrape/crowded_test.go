package scrape

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// With one place and three targets that need it for longer than there is, each gets its turn, and every slot is told.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		for _, a := range addrs(3) {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(900 * time.Millisecond)
				fmt.Fprint(w, someStats)
			})
		}
		p, got, stop := f.running(t, Config{MaxInFlight: 1})
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: time.Second, Timeout: time.Second}, addrs(3)...))
		time.Sleep(60 * time.Second)
		synctest.Wait()
		ok, skipped, busy := map[string]int{}, map[string]int{}, 0
		for _, s := range got.take() {
			switch s.Outcome {
			case collector.OK:
				ok[s.Instance.Host]++
			case collector.Skipped:
				skipped[s.Instance.Host]++
				if strings.Contains(s.Reason, "no place was free") {
					busy++
				}
			default:
				t.Errorf("%s %s", s.Outcome, s.Reason)
			}
		}
		if busy < 30 {
			t.Errorf("%d slots skipped for want of a place", busy)
		}
		for _, a := range addrs(3) {
			h := instance(a).Host
			if ok[h] < 19 || ok[h] > 24 || ok[h]+skipped[h] < 57 || ok[h]+skipped[h] > 60 {
				t.Errorf("%s: %d pulls and %d skipped in 60 slots", h, ok[h], skipped[h])
			}
		}
		stop()
	})
}

// Targets that hang take half of the places at most: the others miss nothing.
func TestHangingTargetsHurtThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(60)
		for i, a := range hosts {
			if i < 40 {
				f.handler(a, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			} else {
				f.handler(a, func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(10 * time.Millisecond)
					fmt.Fprint(w, someStats)
				})
			}
		}
		p, got, stop := f.running(t, Config{MaxInFlight: 20})
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: 10 * time.Second, Timeout: 9 * time.Second}, hosts...))
		time.Sleep(40 * time.Second) // until all are known for what they are
		synctest.Wait()
		got.take()
		time.Sleep(60 * time.Second)
		synctest.Wait()
		good, hung := 0, 0
		for _, s := range got.take() {
			switch s.Outcome {
			case collector.OK:
				good++
			case collector.Timeout:
				hung++
			}
		}
		if good != 20*6 || hung < 50 {
			t.Errorf("%d good pulls of 120, %d timeouts", good, hung)
		}
		stop()
	})
}

// Targets that are too large are pulled two at a time: so many of them take no more memory than two do, and nobody waits for them.
func TestLargeTargetsHurtThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(60)
		var large, most atomic.Int64
		for i, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				if i < 40 {
					most.Store(max(most.Load(), large.Add(1)))
					defer large.Add(-1)
					time.Sleep(200 * time.Millisecond)
					fmt.Fprint(w, strings.Repeat(" ", 5000))
				}
				fmt.Fprint(w, someStats)
			})
		}
		p, got, stop := f.running(t, Config{})
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: 5 * time.Second, BodyLimit: 4000}, hosts...))
		time.Sleep(10 * time.Second) // until all are known for what they are
		synctest.Wait()
		got.take()
		most.Store(0)
		time.Sleep(60 * time.Second)
		synctest.Wait()
		good, tooLarge := 0, 0
		for _, s := range got.take() {
			switch s.Outcome {
			case collector.OK:
				good++
			case collector.BodyLimit:
				tooLarge++
			}
		}
		if good != 20*12 || tooLarge < 40*11 || most.Load() > gorgedAtOnce+1 { // one may still be at its end that nobody reads any more
			t.Errorf("%d good pulls of 240, %d of 480 that were too large, %d at once", good, tooLarge, most.Load())
		}
		stop()
	})
}

// Workers that nobody needs end.
func TestWorkersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(90)
		var slow atomic.Bool
		slow.Store(true)
		for _, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				if slow.Load() {
					time.Sleep(4 * time.Second)
				}
				fmt.Fprint(w, someStats)
			})
		}
		p, _, stop := f.running(t, Config{})
		j := &Job{Name: "apps", NoServerInfo: true}
		set(t, p, targets(j, hosts[:1]...))
		time.Sleep(time.Second)
		synctest.Wait()
		set(t, p, targets(j, hosts...))
		time.Sleep(time.Second)
		synctest.Wait()
		count := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.workers.busy + len(p.workers.resting)
		}
		if n := count(); n < 89 {
			t.Errorf("%d workers for 90 slow targets", n)
		}
		slow.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := count(); n > 3 {
			t.Errorf("%d workers for 9 quick pulls a second", n)
		}
		stop()
	})
}

// Large bodies share a budget: who comes when it is used up is skipped, and says so; the small ones are not touched.
func TestBodyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(6)
		for i, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				if i > 0 {
					fmt.Fprint(w, strings.Repeat(" ", 300<<10))
					w.(http.Flusher).Flush()
					time.Sleep(500 * time.Millisecond)
				}
				fmt.Fprint(w, someStats)
			})
		}
		p, got, stop := f.running(t, Config{MaxBodyBytes: 1 << 20})
		set(t, p, nil)
		synctest.Wait()
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: 10 * time.Second}, hosts...))
		time.Sleep(time.Second)
		synctest.Wait()
		count := map[collector.Outcome]int{}
		for _, s := range got.take() {
			count[s.Outcome]++
			if s.Instance.Host == instance(hosts[0]).Host && s.Outcome != collector.OK || s.Outcome == collector.Skipped && !strings.Contains(s.Reason, "holds bodies of 1048576 bytes") {
				t.Errorf("%s %s", s.Outcome, s.Reason)
			}
		}
		if count[collector.OK] < 2 || count[collector.Skipped] < 1 || count[collector.OK]+count[collector.Skipped] != 6 || p.pulls.used.Load() != 0 {
			t.Errorf("%v, %d bytes held", count, p.pulls.used.Load())
		}
		stop()
	})
}
