package kafka

import (
	"log/slog"
	"sync"
	"time"
)

// trouble remembers what stands in the way and says so in the log: once when it begins or changes, every minute while it lasts, once when it is over.
type trouble struct {
	log *slog.Logger

	mu   sync.Mutex
	what map[string]*fault
}

type fault struct {
	reason string
	err    error
	began  time.Time
	said   time.Time
	parts  map[int32]bool // where it was seen and not yet overcome
}

// is notes that something does not work at a partition (0 where there is none), for a reason and with an error.
func (t *trouble) is(what string, part int32, reason string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f := t.what[what]
	if f == nil {
		f = &fault{began: now, parts: map[int32]bool{}}
		t.what[what] = f
	}
	f.err, f.parts[part] = err, true
	if f.reason != reason || now.Sub(f.said) > time.Minute {
		f.reason, f.said = reason, now
		t.log.Warn("delivery is held up; what waits is kept in memory", "at", what, "partition", part, "reason", reason, "err", err)
	}
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
	t.log.Info("delivery goes on", "at", what, "after", time.Since(f.began).Round(time.Millisecond))
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
