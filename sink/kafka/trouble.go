package kafka

import (
	"log/slog"
	"sync"
	"time"
)

const (
	lasting  = time.Second      // a hold-up shorter than this mends itself and is no news
	sayAgain = 30 * time.Second // how often one that lasts is told
)

// trouble remembers what stands in the way and says so in the log: when it has lasted a second, now and then while it lasts, and when it is over.
type trouble struct {
	log *slog.Logger

	mu   sync.Mutex
	what map[string]*fault
}

type fault struct {
	reason string
	err    error
	began  time.Time
	said   time.Time      // zero: not yet
	parts  map[int32]bool // where it was seen and not yet overcome
}

// is notes that something does not work at a partition (0 where there is none), for a reason and with an error. What waits for a person is
// news at once.
func (t *trouble) is(what string, part int32, v verdict, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f := t.what[what]
	if f == nil {
		f = &fault{began: now, parts: map[int32]bool{}}
		t.what[what] = f
	}
	f.reason, f.err, f.parts[part] = v.reason, err, true
	if v.wait < waitAuth && now.Sub(f.began) < lasting || now.Sub(f.said) < sayAgain {
		return
	}
	f.said = now
	t.log.Warn("delivery is held up; what waits is kept", "at", what, "partition", part, "reason", v.reason, "err", err)
}

// over notes that it works again.
func (t *trouble) over(what string, part int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.what[what]
	if f == nil {
		return
	}
	if delete(f.parts, part); len(f.parts) > 0 {
		return
	}
	delete(t.what, what)
	if !f.said.IsZero() {
		t.log.Info("delivery goes on", "at", what, "after", time.Since(f.began).Round(time.Millisecond))
	}
}

// now is the trouble that has lasted longest, if there is any.
func (t *trouble) now() (what string, f fault, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w, x := range t.what {
		if !ok || x.began.Before(f.began) {
			what, f, ok = w, *x, true
		}
	}
	return what, f, ok
}
