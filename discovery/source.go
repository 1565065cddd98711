package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Source watches serversets in one place and publishes what it sees until ctx ends.
//
// Its promises: every Set is full, never a delta; a source that cannot see says nothing of members (a lost session is not an empty fleet)
// but keeps its View honest; a member that does not parse is published with its error; after every reconnect it lists everything
// again. Run returns only when ctx is done, or at once with an error that no retry can mend (bad configuration).
type Source interface {
	Name() string
	Run(ctx context.Context, out *Latest) error
}

// Latest is the letter box between sources and the roster: it holds the newest Set of each path and the newest View of each source until they are
// taken. Sources never block on it, and a slow reader sees the latest state, not a queue of old ones.
type Latest struct {
	mu    sync.Mutex
	sets  map[[2]string]Set
	views map[string]View
	ready chan struct{}
}

// NewLatest makes an empty letter box.
func NewLatest() *Latest {
	return &Latest{sets: map[[2]string]Set{}, views: map[string]View{}, ready: make(chan struct{}, 1)}
}

// PutSet replaces the pending set of s.Source and s.Path. The caller must not change s.Members afterwards.
func (l *Latest) PutSet(s Set) {
	l.mu.Lock()
	l.sets[[2]string{s.Source, s.Path}] = s
	l.mu.Unlock()
	l.wake()
}

// PutView replaces the pending view of v.Source. A complete list of paths is kept until taken even if a later view has none.
func (l *Latest) PutView(v View) {
	l.mu.Lock()
	if old, ok := l.views[v.Source]; ok && old.Complete && !v.Complete {
		v.Complete, v.Paths = true, old.Paths
	}
	l.views[v.Source] = v
	l.mu.Unlock()
	l.wake()
}

func (l *Latest) wake() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// Ready has a value when something may be pending.
func (l *Latest) Ready() <-chan struct{} { return l.ready }

// Take empties the box: sets in the order of source and path, then views.
func (l *Latest) Take() ([]Set, []View) {
	l.mu.Lock()
	sets, views := l.sets, l.views
	l.sets, l.views = map[[2]string]Set{}, map[string]View{}
	l.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(sets), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	outs := make([]Set, 0, len(sets))
	for _, k := range keys {
		outs = append(outs, sets[k])
	}
	outv := make([]View, 0, len(views))
	for _, n := range slices.Sorted(maps.Keys(views)) {
		outv = append(outv, views[n])
	}
	return outs, outv
}

// Watch runs the sources and keeps the roster at their latest until ctx ends and all have stopped. onChange, if not nil, is called after
// each batch that changed something, from one goroutine. Two sources of one name are refused.
func Watch(ctx context.Context, r *Roster, sources []Source, onChange func([]Change)) error {
	names := map[string]bool{}
	for _, s := range sources {
		if names[s.Name()] {
			return fmt.Errorf("watch sources: two are called %q; give each job a name of its own", s.Name())
		}
		names[s.Name()] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	box := NewLatest()
	var wg sync.WaitGroup
	for _, s := range sources {
		wg.Go(func() {
			if err := s.Run(ctx, box); err != nil && !errors.Is(err, context.Canceled) {
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
		case <-tick.C:
			changes = r.Expire(time.Now())
		case <-box.Ready():
			sets, views := box.Take()
			now := time.Now()
			for _, s := range sets {
				changes = append(changes, r.Apply(s, now)...)
			}
			for _, v := range views {
				changes = append(changes, r.See(v, now)...)
			}
		}
		if len(changes) > 0 && onChange != nil {
			onChange(changes)
		}
	}
}
