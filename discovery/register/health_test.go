package register

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealthRisesAndFalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Bool
		var probes atomic.Int64
		probe := func(context.Context) error {
			probes.Add(1)
			if sick.Load() {
				return errors.New("it hurts\nvery much")
			}
			return nil
		}
		wake := make(chan struct{}, 1)
		c := Check{Kind: "tcp", Interval: 10 * time.Second, Rise: 2, Fall: 3}.withDefaults()
		h := startHealth(t.Context(), []Check{c}, []prober{probe}, wake, func(bool, time.Duration) {})
		defer h.stop()
		expect := func(when string, kind verdictKind, woken bool) {
			t.Helper()
			synctest.Wait()
			if v := h.verdict(); v.kind != kind {
				t.Errorf("%s: %+v, want kind %d (%d probes)", when, v, kind, probes.Load())
			}
			select {
			case <-wake:
				if !woken {
					t.Errorf("%s: woken for nothing", when)
				}
			default:
				if woken {
					t.Errorf("%s: not woken", when)
				}
			}
		}
		expect("one pass of two", unknown, false)
		time.Sleep(1100 * time.Millisecond)
		expect("two passes: no need to wait for the interval at the start", well, true)
		sick.Store(true)
		time.Sleep(11 * time.Second)
		expect("one failure of three: time to look how large the serverset still is", well, true)
		if !h.verdict().shaky {
			t.Error("not shaky after a failure")
		}
		time.Sleep(11 * time.Second)
		expect("two failures of three", well, false)
		time.Sleep(11 * time.Second)
		expect("three failures", down, true)
		if v := h.verdict(); !strings.Contains(v.why, "it hurts") || strings.Contains(v.why, "very") {
			t.Errorf("the reason is %q", v.why)
		}
		sick.Store(false)
		time.Sleep(11 * time.Second)
		expect("one pass of two after a fall", down, false)
		time.Sleep(11 * time.Second)
		expect("well again", well, true)
	})
}

func TestHealthOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := func(context.Context) error { return nil }
		bad := func(context.Context) error { return errors.New("no") }
		hung := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		once := Check{Kind: "tcp", Rise: 1, Fall: 1}.withDefaults()
		never := Check{Kind: "tcp", Rise: 1, Fall: 100}.withDefaults()
		for _, tc := range []struct {
			name   string
			checks []Check
			probes []prober
			want   verdictKind
		}{
			{"none: always well", nil, nil, well},
			{"all pass", []Check{once, once}, []prober{good, good}, well},
			{"one fails", []Check{once, once}, []prober{good, bad}, down},
			{"one has no word yet", []Check{once, never}, []prober{good, bad}, unknown},
			{"one fails, one has no word", []Check{never, once}, []prober{bad, bad}, down},
			{"one hangs", []Check{once, once}, []prober{good, hung}, down},
		} {
			h := startHealth(t.Context(), tc.checks, tc.probes, make(chan struct{}, 1), func(bool, time.Duration) {})
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if v := h.verdict(); v.kind != tc.want {
				t.Errorf("%s: %+v, want kind %d", tc.name, v, tc.want)
			}
			h.stop()
		}
	})
}
