package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Watcher runs sources and keeps a roster at their latest. The set of sources may change while it runs.
type Watcher struct {
	roster   *Roster
	onChange func([]Change)
	box      *Latest
	next     chan []Source
}

// NewWatcher makes a watcher of r. onChange, if not nil, is called after each batch that changed something, from one goroutine.
func NewWatcher(r *Roster, onChange func([]Change)) *Watcher {
	return &Watcher{roster: r, onChange: onChange, box: NewLatest(), next: make(chan []Source, 1)}
}

// Set says which sources are to run from now on: one that runs already (the same value) goes on undisturbed, one that is not named any more is
// stopped and its members leave the roster, another of the same name takes over its members. Two of one name are refused.
func (w *Watcher) Set(sources []Source) error {
	names := map[string]bool{}
	for _, s := range sources {
		if names[s.Name()] {
			return fmt.Errorf("watch sources: two are called %q; give each job a name of its own", s.Name())
		}
		names[s.Name()] = true
	}
	for {
		select {
		case w.next <- sources:
			return nil
		default:
		}
		select { // the latest wins
		case <-w.next:
		default:
		}
	}
}

type running struct {
	source Source
	cancel context.CancelFunc
	done   chan struct{}
}

// Run watches until ctx ends and all sources have stopped, or until one says that it cannot run at all; the error names it.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	active := map[string]*running{}
	start := func(s Source) {
		run, stop := context.WithCancel(ctx)
		r := &running{s, stop, make(chan struct{})}
		active[s.Name()] = r
		wg.Go(func() {
			defer close(r.done)
			if err := s.Run(run, w.box); err != nil && !errors.Is(err, context.Canceled) {
				cancel(fmt.Errorf("watch source %q: %w", s.Name(), err))
			}
		})
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var changes []Change
		select {
		case <-ctx.Done():
			wg.Wait()
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case sources := <-w.next:
			keep := map[string]bool{}
			for _, s := range sources {
				keep[s.Name()] = true
				if r := active[s.Name()]; r != nil {
					if r.source == s {
						continue
					}
					r.cancel()
					<-r.done
				}
				start(s)
			}
			for name, r := range active {
				if !keep[name] {
					r.cancel()
					<-r.done
					delete(active, name)
					w.box.drop(name)
					changes = append(changes, w.roster.Forget(name, time.Now())...)
				}
			}
		case <-tick.C:
			changes = w.roster.Tick(time.Now())
		case <-w.box.Ready():
			sets, views := w.box.Take()
			now := time.Now()
			for _, s := range sets {
				changes = append(changes, w.roster.Apply(s, now)...)
			}
			for _, v := range views {
				changes = append(changes, w.roster.See(v, now)...)
			}
		}
		if len(changes) > 0 && w.onChange != nil {
			w.onChange(changes)
		}
	}
}
