package discovery

import (
	"context"
	"maps"
	"slices"
	"sync"
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
		v.Complete, v.Paths, v.Hidden = true, old.Paths, old.Hidden
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

// drop forgets what a source that was stopped has left in the box.
func (l *Latest) drop(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.sets, func(k [2]string, _ Set) bool { return k[0] == source })
	delete(l.views, source)
}
