package serve

import (
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// trouble tells the time line what collectors came to: by what differs from one of their words to the next.
type trouble struct {
	say func(at time.Time, kind, text string)

	mu     sync.Mutex
	by     map[uint64]life
	guards map[guardOf]uint64 // the collector that told of it first
}

type guardOf struct{ scope, source string }

type life struct {
	wire.Own
	start uint64
	at    time.Time
	blind map[string]bool // sources that it does not hear
}

// maxLives bounds the collectors that are remembered.
const maxLives = 10_000

// hear compares a record's word with the one before of that collector. The first one of a collector is nothing to compare with.
func (t *trouble) hear(r *wire.RosterRecord) {
	at := time.UnixMilli(r.TS)
	if now := time.Now(); at.After(now) {
		at = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by, t.guards = map[uint64]life{}, map[guardOf]uint64{}
	}
	was, known := t.by[r.Collector]
	if known && (r.Start < was.start || r.Start == was.start && at.Before(was.at)) || !known && len(t.by) >= maxLives {
		return
	}
	is := life{*r.Own, r.Start, at, map[string]bool{}}
	for _, v := range is.Sources {
		if !v.Connected && at.Sub(v.LastHeard) > silentAfter {
			is.blind[v.Source] = true
		}
	}
	t.by[r.Collector] = is
	who := (&word{id: r.Collector}).name()
	note := func(format string, args ...any) {
		t.say(at, dashboards.EventCollector, who+" "+fmt.Sprintf(format, args...))
	}
	if known {
		dropped := was.Delivery.Dropped
		switch {
		case r.Start != was.start:
			note("was started anew")
			dropped = 0
		case at.Sub(was.at) > silentAfter:
			note("said nothing for %d s", int(at.Sub(was.at).Seconds()))
		}
		if n := is.Delivery.Dropped; n > dropped {
			note("dropped %d records", n-dropped)
		}
		if is.Kafka != "" && was.Kafka == "" {
			note("is in trouble with Kafka: %s", is.Kafka)
		} else if is.Kafka == "" && was.Kafka != "" {
			note("is out of its trouble with Kafka")
		}
		if was.ConfigOK && !is.ConfigOK {
			note("runs another configuration than the one on disk: its reload failed")
		}
		for _, v := range is.Sources {
			switch s := v.Source; {
			case is.blind[s] && !was.blind[s]:
				note("hears nothing from %s", s)
			case was.blind[s] && !is.blind[s]:
				note("hears from %s again", s)
			}
		}
	}
	t.hearGuards(r.Collector, &is, at)
}

// hearGuards tells of guards that begin to hold somebody, and that do not any more. All collectors tell of the same guards: the first that does counts.
func (t *trouble) hearGuards(by uint64, is *life, at time.Time) {
	now := map[guardOf]bool{}
	for _, g := range is.Guards {
		key := guardOf{g.Scope, g.Source}
		now[key] = true
		if _, known := t.guards[key]; known || len(t.guards) >= maxLives {
			continue
		}
		t.guards[key] = by
		since := g.Since
		if since.IsZero() || since.After(at) {
			since = at
		}
		t.say(since, dashboards.EventGuard, fmt.Sprintf("%d instances vanished together from %s and are held", g.Held, g.Scope))
	}
	for key, first := range t.guards {
		if first == by && !now[key] {
			delete(t.guards, key)
			t.say(at, dashboards.EventGuard, "nobody is held at "+key.scope+" any more")
		}
	}
}
