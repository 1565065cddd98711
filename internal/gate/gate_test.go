package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// So many are inside, so many wait, and who comes then is sent away at once; who waits gets in as one leaves.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(2, 3, time.Minute)
		var inside, most, sent atomic.Int64
		for range 8 {
			go func() {
				if err := g.Enter(t.Context()); errors.Is(err, ErrFull) {
					sent.Add(1)
					return
				} else if err != nil {
					t.Error(err)
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(10 * time.Second)
				inside.Add(-1)
				g.Leave()
			}()
		}
		synctest.Wait()
		if inside.Load() != 2 || sent.Load() != 3 || g.Refused() != 3 || g.Places() != 2 {
			t.Errorf("%d inside, %d sent away, %d refused", inside.Load(), sent.Load(), g.Refused())
		}
		time.Sleep(time.Minute)
		if most.Load() != 2 || inside.Load() != 0 || g.Enter(t.Context()) != nil {
			t.Errorf("%d inside at once, %d at the end", most.Load(), inside.Load())
		}
	})
}

// Who waits does so as long as they may, or as their question lives.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1, 2, 10*time.Second)
		if err := g.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, tc := range []struct {
			ctx  context.Context
			want error
			took time.Duration
		}{{ctx, context.DeadlineExceeded, time.Second}, {t.Context(), ErrLong, 10 * time.Second}} {
			begun := time.Now()
			if err := g.Enter(tc.ctx); !errors.Is(err, tc.want) || time.Since(begun) != tc.took {
				t.Errorf("%v after %s, want %v", err, time.Since(begun), tc.want)
			}
		}
		g.Leave()
		if err := g.Enter(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestBusy(t *testing.T) {
	for _, tc := range []struct {
		err   error
		busy  bool
		after string
	}{{ErrFull, true, "5"}, {fmt.Errorf("query: %w", ErrLong), true, "5"}, {context.Canceled, false, ""}, {nil, false, ""}} {
		h := http.Header{}
		if got := Busy(h, tc.err); got != tc.busy || h.Get("Retry-After") != tc.after {
			t.Errorf("Busy(%v) = %v, %q", tc.err, got, h.Get("Retry-After"))
		}
	}
}
