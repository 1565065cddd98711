package zk

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
)

// listing is what is known of the lists of one path.
type listing struct {
	busy, again bool // one is under way; one more is wanted after it
	waiting     bool // one is put off
	last        time.Time
}

// list asks for the names at a path; never twice at once, and without recursive watches not more often than every ListEvery.
func (t *tree) list(path string) {
	l := t.lists[path]
	if l == nil {
		l = &listing{}
		t.lists[path] = l
	}
	if l.busy {
		l.again = true
		return
	}
	if wait := time.Until(l.last.Add(t.cfg.ListEvery)); !t.state.recursive && wait > 0 {
		if !l.waiting {
			l.waiting = true
			epoch := t.state.epoch
			t.after(wait+rand.N(t.cfg.ListEvery/5+1), func() {
				if l.waiting = false; t.state.epoch == epoch && t.lists[path] == l {
					t.list(path)
				}
			})
		}
		return
	}
	l.busy, l.last = true, time.Now()
	s := t.sets[path]
	if s != nil {
		s.listing = true
	}
	t.m.lists.Inc()
	recursive := t.state.recursive
	t.urgent.push(job{t, t.state.epoch, func(ctx context.Context) func() {
		a := t.ask(ctx, path, s != nil, recursive)
		return func() { t.answered(path, l, a) }
	}})
}

// listed is what the server said of a path.
type listed struct {
	names []string
	data  []byte // of the node itself, where it is a serverset
	stat  Stat
	err   error
}

// ask runs in a worker.
func (t *tree) ask(ctx context.Context, path string, isSet, recursive bool) (a listed) {
	if isSet {
		a.data, _, a.err = t.s.Get(ctx, path)
	}
	if a.err == nil || errors.Is(a.err, ErrNoAuth) || errors.Is(a.err, ErrTooBig) {
		if recursive {
			a.names, a.stat, a.err = t.s.Children(ctx, path)
		} else {
			a.names, a.stat, a.err = t.s.childrenWatch(ctx, t.feed, path)
		}
	}
	if recursive || !errors.Is(a.err, ErrNoNode) {
		return a
	}
	// Somebody has to watch for its return.
	if there, err := t.s.existsWatch(ctx, t.feed, path); err != nil {
		a.err = err
	} else if there {
		a.err = errAppeared
	}
	return a
}

var errAppeared = errors.New("it appeared while we looked")

func (t *tree) answered(path string, l *listing, a listed) {
	l.busy = false
	if now := t.lists[path]; now != l { // it went and came back meanwhile; this answer is of the old one
		if now == nil && t.todo != nil {
			delete(t.todo, path)
			t.endWalk()
		}
		return
	}
	s := t.sets[path]
	switch {
	case a.err == nil:
		delete(t.blind, path)
		if s != nil {
			if s.no = a.stat.EphemeralOwner != 0; s.no { // a member of another serverset that a pattern takes for one
				s.listing, s.kept, s = false, nil, nil
			}
		}
		t.children(path, a.names)
		if s != nil {
			s.apply(a, t.todo != nil)
		}
	case errors.Is(a.err, ErrNoNode):
		delete(t.blind, path)
		t.gone(path)
		if !l.again {
			delete(t.lists, path)
		}
	case errors.Is(a.err, ErrNoAuth), errors.Is(a.err, ErrTooBig):
		if t.blind[path] == "" {
			t.cfg.Log.Warn("cannot list; what was known there stays", "source", t.cfg.Name, "path", path, "err", a.err)
		}
		t.blind[path] = a.err.Error()
		if s != nil {
			s.listing, s.kept = false, nil
		}
	default: // no answer in time; were the connection lost, we would not be here
		l.busy = true // keeps others from asking meanwhile
		epoch := t.state.epoch
		t.after(time.Second+rand.N(2*time.Second), func() {
			if t.state.epoch == epoch && t.lists[path] == l {
				l.busy = false
				t.list(path)
			}
		})
		return
	}
	if l.again {
		l.again = false
		t.list(path)
		return
	}
	if t.todo != nil {
		delete(t.todo, path)
		t.endWalk()
	}
}

// children follows the folders and serversets below a path that has been listed.
func (t *tree) children(path string, names []string) {
	_, _, folder, _ := t.what(path)
	if !folder {
		return
	}
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
		p := join(path, n)
		if rule, _, folder, literals := t.what(p); rule != nil || folder || len(literals) > 0 {
			t.visit(p, t.todo != nil)
		}
	}
	if t.state.recursive {
		return // what vanished is told by its event, or missed by the walk; this list may be older than what events have told of
	}
	for p, s := range t.sets {
		rest, below := strings.CutPrefix(p, strings.TrimSuffix(path, "/")+"/")
		if first, _, _ := strings.Cut(rest, "/"); below && !there[first] {
			t.remove(s)
			t.forgetLists(join(path, first))
			t.changedPaths()
		}
	}
}
