package zk

import (
	"context"
	"slices"
	"strings"
	"sync"

	gozk "github.com/go-zookeeper/zk"
)

// event is something that happened to a node.
type event struct {
	kind gozk.EventType
	path string
}

// maxEvents is how many events of one feed wait: beyond it they are dropped and everything is listed again, which then is the cheaper way.
const maxEvents = 200_000

// feed carries the events at a root and below it from a Session to one follower, over every reconnect: each connection is an epoch, and nothing is known of
// what happened between two of them. The session never blocks on it.
type feed struct {
	root  string
	ready chan struct{} // has a value when there is something to take; a follower may share it between its feeds

	mu        sync.Mutex
	epoch     uint64 // grows with each connection, and when events were dropped
	live      bool   // connected, and watches can be had
	recursive bool   // the server sends every event below root by itself
	readOnly  bool
	events    []event
	link      *link // of the connection
}

func newFeed(root string, ready chan struct{}) *feed {
	return &feed{root: root, ready: ready}
}

func (f *feed) wake() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// up begins an epoch. Events from before say nothing any more: the follower lists everything.
func (f *feed) up(l *link, recursive, readOnly bool) {
	f.mu.Lock()
	f.epoch++
	f.link, f.live, f.recursive, f.readOnly, f.events = l, true, recursive, readOnly, nil
	f.mu.Unlock()
	f.wake()
}

func (f *feed) down() {
	f.mu.Lock()
	f.live, f.events = false, nil
	f.mu.Unlock()
	f.wake()
}

func (f *feed) put(e event) {
	if f.root != "/" && e.path != f.root && !strings.HasPrefix(e.path, f.root+"/") {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.live {
		return
	}
	if len(f.events) >= maxEvents {
		f.epoch++
		f.events = nil
	} else {
		f.events = append(f.events, e)
	}
	f.wake()
}

// feedState is what take returns of a feed.
type feedState struct {
	epoch                     uint64
	live, recursive, readOnly bool
	link                      *link
}

// take empties the feed.
func (f *feed) take() (feedState, []event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return feedState{f.epoch, f.live, f.recursive, f.readOnly, f.link}, events
}

// follow begins to carry events at root and below it; unfollow ends it.
func (s *Session) follow(root string, ready chan struct{}) *feed {
	f := newFeed(root, ready)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = append(s.feeds, f)
	if l := s.link; l != nil {
		s.taskLocked(func(ctx context.Context) { s.armFeeds(ctx, l, []*feed{f}) })
	}
	return f
}

func (s *Session) unfollow(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = slices.DeleteFunc(s.feeds, func(g *feed) bool { return g == f })
}
