package zk

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// listing is what is known of the lists of one path.
type listing struct {
	busy, again bool // one is under way; one more is wanted after it
	waiting     bool // one is put off
	last        time.Time
	data        []byte // of the serverset's own node, where it was told
	told        bool
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
	if s := t.sets[path]; s != nil {
		s.listing = true
		l.data, l.told = nil, false
		t.urgent.push(wanted{t: t, what: listDefaults, s: s, l: l})
	}
	t.m.lists.Inc()
	t.urgent.push(wanted{t: t, what: list, l: l, path: path})
}

func (t *tree) answered(q *request) {
	path, l := q.path, q.l
	if t.superseded(path, l) {
		return
	}
	s := t.sets[path]
	switch {
	case q.code == 0:
		delete(t.blind, path)
		if s != nil {
			if s.no = serverset.Ephemeral(q.stat.EphemeralOwner); s.no { // a member of another serverset that a pattern takes for one
				s.listing, s.kept, s = false, nil, nil
			}
		}
		t.children(path, q.names)
		if s != nil {
			s.apply(q.names, l, t.todo != nil)
			l.data = nil
		}
	case q.code == codeNoNode && !t.state.recursive:
		// Somebody has to watch for its return.
		t.urgent.push(wanted{t: t, what: look, l: l, path: path})
		return
	case q.code == codeNoNode:
		t.absent(path, l)
	case q.forbidden():
		if t.blind[path] == "" {
			t.cfg.Log.Warn("cannot list; what was known there stays", "source", t.cfg.Name, "path", path, "err", q.err())
		}
		t.blind[path] = q.err().Error()
		if s != nil {
			s.listing, s.kept = false, nil
		}
	default: // no answer in time, or none that says anything; were the connection lost, we would not be here
		t.urgent.push(q.wanted)
		return
	}
	t.listed(path, l)
}

// superseded reports an answer about a path that went and came back meanwhile, or is not followed any more.
func (t *tree) superseded(path string, l *listing) bool {
	l.busy = false
	now := t.lists[path]
	if now == nil && t.todo != nil {
		delete(t.todo, path)
		t.endWalk()
	}
	l.busy = now == l
	return now != l
}

// looked takes the answer to whether a path is there that was not a moment ago.
func (t *tree) looked(q *request) {
	if t.superseded(q.path, q.l) {
		return
	}
	switch {
	case q.code == codeNoNode:
		t.absent(q.path, q.l)
	case q.again():
		t.urgent.push(q.wanted)
		return
	default:
		q.l.again = true // it appeared while we looked
	}
	t.listed(q.path, q.l)
}

func (t *tree) absent(path string, l *listing) {
	delete(t.blind, path)
	t.gone(path)
	if !l.again {
		delete(t.lists, path)
	}
}

// listed ends a list.
func (t *tree) listed(path string, l *listing) {
	l.busy = false
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
func (t *tree) children(path string, names names) {
	_, _, folder, _ := t.what(path)
	if !folder {
		return
	}
	there := make(map[string]bool, names.count)
	names.each(func(name []byte) {
		n := string(name)
		there[n] = true
		p := join(path, n)
		if rule, _, folder, literals := t.what(p); rule != nil || folder || len(literals) > 0 {
			t.visit(p, t.todo != nil)
		}
	})
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
