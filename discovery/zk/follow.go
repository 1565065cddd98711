package zk

import (
	"context"
	"errors"
	"slices"
)

// Follower tells that something changed at a root or below it, and reads there. It is for small trees that are read whole at each change: the membership of a
// group, the orders given to it. Serversets have a Source.
type Follower struct {
	s     *Session
	f     *feed
	ready chan struct{}
	epoch uint64
}

// Follow begins to follow root, over every reconnect, until Unfollow. It may be called before Run.
func (s *Session) Follow(root string) *Follower {
	ready := make(chan struct{}, 1)
	return &Follower{s: s, f: s.follow(root, ready), ready: ready}
}

// Unfollow ends it.
func (f *Follower) Unfollow() { f.s.unfollow(f.f) }

// Ready has a value when there may be something to Take.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Take reports whether the tree is under watch now, and whether anything may have changed since the Take before: after a new connection that is always so. What
// is read after a Take is told of again when it changes; so Take, then read.
func (f *Follower) Take() (live, changed bool) {
	st, events := f.f.take()
	changed = st.live && (st.epoch != f.epoch || len(events) > 0)
	if st.live {
		f.epoch = st.epoch
	}
	return st.live, changed
}

// Children lists the names below a node, sorted, and sees that a change of them is told of.
func (f *Follower) Children(ctx context.Context, path string) ([]string, Stat, error) {
	list := f.s.Children
	if !f.recursive() {
		list = func(ctx context.Context, path string) ([]string, Stat, error) {
			return f.s.childrenWatch(ctx, path)
		}
	}
	names, st, err := list(ctx, path)
	slices.Sort(names)
	return names, st, err
}

// Get reads a node and sees that a change of it is told of. ok is false where there is none.
func (f *Follower) Get(ctx context.Context, path string) (data []byte, st Stat, ok bool, err error) {
	if f.recursive() {
		data, st, err = f.s.Get(ctx, path)
	} else {
		data, st, err = f.s.getWatch(ctx, path)
	}
	if errors.Is(err, ErrNoNode) {
		return nil, st, false, nil
	}
	return data, st, err == nil, err
}

func (f *Follower) recursive() bool {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	return f.f.recursive
}
