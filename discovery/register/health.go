package register

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// verdict is what the checks say together.
type verdict struct {
	kind  verdictKind
	why   string // of down, and of unknown
	shaky bool   // well, but the last probe of some check failed
}

type verdictKind uint8

const (
	unknown verdictKind = iota // some check has neither passed nor failed often enough yet
	well
	down
)

// CheckStatus is where one check stands.
type CheckStatus struct {
	Check  string        `json:"check"`
	State  string        `json:"state"` // unknown, passing, failing
	Since  time.Time     `json:"since"`
	Last   time.Time     `json:"last,omitzero"`
	Took   time.Duration `json:"took_ns"`
	Error  string        `json:"error,omitempty"` // of the last probe
	Passes int           `json:"passes"`          // in a row
	Fails  int           `json:"fails"`
}

// health runs the checks of one service, each in a goroutine of its own, and wakes the service's worker when the verdict may have changed.
type health struct {
	checks []Check
	wake   chan struct{}
	probed func(ok bool, took time.Duration)

	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	status []CheckStatus
}

// startHealth begins at once; stop ends it. Each of probes belongs to the check of its place.
func startHealth(ctx context.Context, checks []Check, probes []prober, wake chan struct{}, probed func(bool, time.Duration)) *health {
	h := &health{checks: checks, wake: wake, probed: probed, status: make([]CheckStatus, len(checks))}
	ctx, h.cancel = context.WithCancel(ctx)
	now := time.Now()
	for i := range checks {
		h.status[i] = CheckStatus{Check: checks[i].String(), State: "unknown", Since: now}
		h.tasks.Go(func() { h.follow(ctx, i, probes[i]) })
	}
	return h
}

func (h *health) stop() {
	h.cancel()
	h.tasks.Wait()
}

// follow probes one check for ever. Until it has a first word it asks once a second at least: nobody likes to wait for a start.
func (h *health) follow(ctx context.Context, i int, probe prober) {
	c := &h.checks[i]
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		pctx, cancel := context.WithTimeout(ctx, c.Timeout)
		err := probe(pctx)
		cancel()
		if ctx.Err() != nil {
			return
		}
		took := time.Since(start)
		wait := c.Interval
		if !h.record(i, start, took, err) {
			wait = min(wait, time.Second)
		}
		wait = time.Duration(float64(wait) * (0.9 + 0.2*rand.Float64()))
		timer.Reset(max(wait-took, 10*time.Millisecond))
	}
}

// record takes one probe's result and reports whether the check has a word by now.
func (h *health) record(i int, at time.Time, took time.Duration, err error) (known bool) {
	h.probed(err == nil, took)
	h.mu.Lock()
	defer h.mu.Unlock()
	s, c := &h.status[i], &h.checks[i]
	was := s.State
	s.Last, s.Took, s.Error = at, took, ""
	if err == nil {
		s.Passes, s.Fails = s.Passes+1, 0
		if s.Passes >= c.Rise {
			s.State = "passing"
		}
	} else {
		s.Passes, s.Fails, s.Error = 0, s.Fails+1, firstLine(err.Error())
		if s.Fails >= c.Fall {
			s.State = "failing"
		}
	}
	if s.State != was {
		s.Since = at
		wake(h.wake)
	} else if s.Fails == 1 && s.State == "passing" {
		wake(h.wake) // it may be about to fall
	}
	return s.State != "unknown"
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

func (h *health) verdict() verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := verdict{kind: well}
	for i := range h.status {
		switch s := &h.status[i]; s.State {
		case "failing":
			return verdict{kind: down, why: fmt.Sprintf("check %s fails: %s", s.Check, s.Error)}
		case "passing":
			v.shaky = v.shaky || s.Fails > 0
		case "unknown":
			v = verdict{kind: unknown, why: fmt.Sprintf("check %s has not passed %d times in a row yet", s.Check, h.checks[i].Rise)}
			if s.Error != "" {
				v.why += ": " + s.Error
			}
		}
	}
	return v
}

func (h *health) checkStatus() []CheckStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]CheckStatus(nil), h.status...)
}
