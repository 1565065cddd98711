package scrape

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Where only half of the pulls can be made, for whatever reason, the other half is skipped evenly: no target has more than its share, each slot is told, as good or as
// skipped, and as many pulls are made as can be.
func TestOverloadIsEven(t *testing.T) {
	const n, seconds = 100, 60
	var began time.Time
	for _, tc := range []struct {
		name   string
		conf   Config
		takes  time.Duration
		pulls  int // that can be made
		within int // of the share
	}{
		{"too few places", Config{MaxInFlight: 5}, 100 * time.Millisecond, 50 * seconds, 1},
		{"too few places for a third", Config{MaxInFlight: 3}, 100 * time.Millisecond, 30 * seconds, 1},
		{"the sink is behind, every other second", Config{MaxInFlight: 10, Behind: func() bool { return int(time.Since(began).Seconds())%2 == 1 }}, 100 * time.Millisecond, 50 * seconds, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began = time.Now()
				f := newFleet()
				for _, a := range addrs(n) {
					f.handler(a, func(w http.ResponseWriter, r *http.Request) {
						time.Sleep(tc.takes)
						fmt.Fprint(w, someStats)
					})
				}
				p, got, stop := f.running(t, tc.conf)
				set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: time.Second}, addrs(n)...))
				for range seconds {
					time.Sleep(time.Second)
					p.mu.Lock()
					if w := p.inLine(); w > n || p.workers.busy > tc.conf.MaxInFlight {
						t.Errorf("%d targets wait and %d are pulled, of %d", w, p.workers.busy, n)
					}
					p.mu.Unlock()
				}
				synctest.Wait()
				ok, told, total := map[string]int{}, map[string]map[int64]bool{}, 0
				for _, s := range got.take() {
					h := s.Instance.Host
					switch s.Outcome {
					case collector.OK:
						ok[h]++
						total++
					case collector.Skipped:
					default:
						t.Errorf("%s %s", s.Outcome, s.Reason)
					}
					if told[h] == nil {
						told[h] = map[int64]bool{}
					}
					if told[h][s.Slot.UnixNano()] {
						t.Errorf("the slot at %s of %s is told twice", s.Slot, h)
					}
					told[h][s.Slot.UnixNano()] = true
				}
				if total < tc.pulls*9/10 {
					t.Errorf("%d pulls of %d that could be made", total, tc.pulls)
				}
				share := total / n
				for _, a := range addrs(n) {
					h := instance(a).Host
					// The last slots are told with the next pull.
					if ok[h] < share-tc.within || ok[h] > share+1+tc.within || len(told[h]) < seconds-8 {
						t.Errorf("%s: %d pulls, where %d are each target's share; %d slots told", h, ok[h], share, len(told[h]))
					}
				}
				stop()
			})
		})
	}
}

// While goroutines wait for a processor, nothing more begins; when they have gone, it does.
func TestCrowd(t *testing.T) {
	p, err := New(Config{Handle: func(*collector.Snapshot) {}})
	if err != nil {
		t.Fatal(err)
	}
	roomy := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.room() > 0
	}
	var end atomic.Bool
	var wg sync.WaitGroup
	for range 4 * crowd * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !end.Load() {
				runtime.Gosched()
			}
		})
	}
	testenv.Eventually(t, "a crowd", func() bool { return !roomy() })
	end.Store(true)
	wg.Wait()
	testenv.Eventually(t, "room again", roomy)
	p.c.Behind = func() bool { return true }
	if roomy() {
		t.Error("there is room though the sink is behind")
	}
}

// instant is a connection to an application that answers in no time and needs no goroutine.
type instant struct {
	net.Conn
	answer bytes.Reader
	asked  int
}

func (c *instant) Write(b []byte) (int, error) {
	c.answer.Reset(instantAnswer)
	c.asked++
	return len(b), nil
}

func (c *instant) Read(b []byte) (int, error)       { return c.answer.Read(b) }
func (c *instant) Close() error                     { return nil }
func (c *instant) SetDeadline(time.Time) error      { return nil }
func (c *instant) SetReadDeadline(time.Time) error  { return nil }
func (c *instant) SetWriteDeadline(time.Time) error { return nil }

var instantAnswer = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(benchBody(0)), benchBody(0))

// While there are too few processors for the scrapes, nobody is asked anything besides.
func TestCrowdedAsksNoMore(t *testing.T) {
	c := &instant{}
	p, err := New(Config{Handle: (*collector.Snapshot).Release, Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Set(targets(&Job{Name: "apps", Interval: time.Hour}, "10.0.0.1:8001")); err != nil {
		t.Fatal(err)
	}
	p.ctx = context.Background()
	p.turn(time.Now())
	for _, x := range p.targets {
		for _, crowded := range []bool{true, false} {
			c.asked = 0
			p.load.crowded.Store(crowded)
			p.scrape(x, nil, 0)
			if c.asked == 0 || c.asked > 1 == crowded {
				t.Errorf("crowded %v: asked %d times", crowded, c.asked)
			}
		}
	}
}

// idlePool is a pool of n targets that have been pulled twice each, and then wait.
func idlePool(tb testing.TB, n int, c Config) *Pool {
	tb.Helper()
	c.Handle = func(s *collector.Snapshot) {
		if s.Outcome != collector.OK {
			tb.Errorf("%s %s", s.Outcome, s.Reason)
		}
		s.Release()
	}
	c.Dial = func(context.Context, string, string) (net.Conn, error) { return &instant{}, nil }
	p, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	j := &Job{Name: "apps", NoServerInfo: true, Interval: time.Hour}
	ts := make([]Target, n)
	for i := range ts {
		ts[i] = Target{Job: j, Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 8001}, Shard: discovery.NoShard}}
	}
	if err := p.Set(ts); err != nil {
		tb.Fatal(err)
	}
	p.ctx = context.Background()
	p.turn(time.Now())
	for range 2 {
		for _, t := range p.targets {
			p.scrape(t, nil, 0)
		}
	}
	return p
}

// A target that waits for its slot costs its attributes, its schedule, its connection and the request: no goroutine, no timer, no buffer.
func TestIdleTarget(t *testing.T) {
	const n, most = 15_000, 2_200 // the names of the instance are in it, which in a daemon are the roster's
	heap := func() int {
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	idlePool(t, 10, Config{}) // what the first pull of all needs is not a target's
	before, goroutines := heap(), runtime.NumGoroutine()
	p := idlePool(t, n, Config{})
	if each := (heap() - before) / n; each > most {
		t.Errorf("a target that waits holds %d bytes, at most %d are its due", each, most)
	} else {
		t.Logf("%d bytes a target", each)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 0 {
		t.Errorf("%d goroutines more than before", more)
	}
	if len(p.targets) != n || p.heap.len() != n {
		t.Errorf("%d targets, %d of them due", len(p.targets), p.heap.len())
	}
}

// BenchmarkMetrics renders the pool's own series with 20,000 targets: they are by job, outcome and stage, never by target.
func BenchmarkMetrics(b *testing.B) {
	p := idlePool(b, 20_000, Config{})
	var out counted
	b.ReportAllocs()
	for b.Loop() {
		out = 0
		p.m.set.WritePrometheus(&out)
	}
	b.ReportMetric(float64(out), "B/page")
}

type counted int

func (c *counted) Write(b []byte) (int, error) { *c += counted(len(b)); return len(b), nil }

var _ io.Writer = (*counted)(nil)
