package zk

import (
	"math/rand/v2"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// tree is everything below one root: its feed, and the serversets found there.
type tree struct {
	*run
	root  string
	rules []*Rule
	feed  *feed
	state feedState // as last taken

	sets   map[string]*set
	lists  map[string]*listing
	blind  map[string]string   // paths that may not be listed, and why
	number uint64              // of the walk
	todo   map[string]struct{} // what is still to be listed in this walk; nil when it is done
	walked bool                // a walk has been completed, on whatever connection
	// current is the epoch of which a walk has been completed: everything is under watch.
	current  uint64
	watching int  // one-shot watches on members' data
	rootOnly int  // how much speaks for a server whose events name only the root
	below    bool // an event has named something below it
}

// take does what the feed asks for: begin with a new connection, or apply events.
func (t *tree) take() {
	state, events := t.feed.take()
	was := t.state
	t.state = state
	if !state.live || state.epoch != was.epoch {
		t.watching, t.rootOnly, t.below = 0, 0, false
		for _, s := range t.sets {
			s.forgetRequests()
		}
		clear(t.lists)
		t.todo = nil
	}
	if !state.live {
		if was.live {
			t.putView(false)
		}
		return
	}
	if state.epoch != was.epoch || !was.live {
		t.walk()
		t.putView(false)
		return
	}
	for _, e := range events {
		t.m.events.Inc()
		t.apply(e)
	}
}

// walk lists everything and compares: after each reconnect, for nobody tells what happened in between, and now and then.
func (t *tree) walk() {
	t.m.walks.Inc()
	t.number++
	t.todo = map[string]struct{}{}
	t.visit(t.root, true)
	t.endWalk()
	number := t.number
	t.after(t.cfg.Reconcile+rand.N(t.cfg.Reconcile/10+1), func() {
		if t.state.live && t.number == number && t.todo == nil {
			t.walk()
		}
	})
}

// endWalk drops what a walk that has come to its end did not find.
func (t *tree) endWalk() {
	if t.todo == nil || len(t.todo) > 0 {
		return
	}
	t.todo = nil
	t.walked, t.current = true, t.state.epoch
	for _, s := range t.sets {
		if s.seen != t.number && !t.hidden(s.path) {
			t.remove(s)
		}
	}
	t.putView(true)
}

// hidden reports whether path lies at or below one that may not be listed.
func (t *tree) hidden(path string) bool {
	for p := range t.blind {
		if under(p, path) {
			return true
		}
	}
	return false
}

// what a path is to the rules: a serverset, a folder above some, both or neither.
func (t *tree) what(path string) (rule *Rule, place serverset.Place, folder bool, literals []string) {
	parts := split(path)
	for _, r := range t.rules {
		if !explains(r.Pattern, parts) {
			continue
		}
		if r.Pattern.Depth() == len(parts) {
			if rule == nil {
				rule = r
				place, _ = r.Pattern.Match(path)
			}
		} else if name, ok := r.Pattern.Literal(len(parts)); ok {
			literals = append(literals, name)
		} else {
			folder = true
		}
	}
	return rule, place, folder, literals
}

// visit looks at a path: as part of a walk, or because it appeared.
func (t *tree) visit(path string, walk bool) {
	rule, place, folder, literals := t.what(path)
	if rule != nil {
		s := t.sets[path]
		if s == nil {
			s = newSet(t, place, rule)
			t.sets[path] = s
		}
		s.seen = t.number
	}
	if (rule != nil || folder) && (walk || t.lists[path] == nil) {
		if walk {
			t.todo[path] = struct{}{}
		}
		t.list(path)
	}
	for _, name := range literals {
		t.visit(join(path, name), walk)
	}
}

// gone drops a path that is not there any more, with everything below it.
func (t *tree) gone(path string) {
	dropped := false
	for p, s := range t.sets {
		if under(path, p) {
			dropped = dropped || s.listed
			t.remove(s)
		}
	}
	if dropped {
		t.changedPaths()
	}
}

// forgetLists makes a path and all below it new, should it appear again.
func (t *tree) forgetLists(path string) {
	for p := range t.lists {
		if under(path, p) {
			delete(t.lists, p)
		}
	}
}

// remove drops a serverset that is seen to be gone.
func (t *tree) remove(s *set) {
	delete(t.sets, s.path)
	if !s.published {
		return
	}
	s.members, s.slots = nil, nil
	s.put(nil, false) // its members left; the complete view, where there is one, says that the path did as well
}

// changedPaths publishes the paths that there are now, if that has been done before.
func (t *tree) changedPaths() {
	if t.told && t.todo == nil {
		t.putView(true)
	}
}

// apply takes one event.
func (t *tree) apply(e event) {
	if t.state.recursive && e.path == t.root {
		// Some servers name only the root of a recursive watch in its events, whatever happened below it: no such event is believed, one looks.
		if t.rootOnly += 4; e.kind == gozk.EventNodeDataChanged {
			t.rootOnly -= 3 // which may well be the root's own
		}
		if t.rootOnly >= 10 && !t.below {
			t.s.distrust(t.state.link)
		}
		t.walkSoon()
		return
	}
	t.below = true
	up, name := parent(e.path)
	if s := t.sets[up]; s != nil && e.path != "/" {
		if e.kind == gozk.EventNodeDeleted && !t.state.recursive {
			t.list(up) // tells who left and, at the same time, who came in its place
		} else {
			s.event(e.kind, name)
		}
	}
	rule, _, folder, literals := t.what(e.path)
	if rule == nil && !folder && len(literals) == 0 {
		return
	}
	switch e.kind {
	case gozk.EventNodeCreated:
		t.forgetLists(e.path)
		t.visit(e.path, false)
	case gozk.EventNodeDeleted:
		t.forgetLists(e.path)
		t.gone(e.path)
		if !t.state.recursive {
			t.visit(e.path, false) // finds nothing, and so watches for its return
		}
	case gozk.EventNodeDataChanged:
		if s := t.sets[e.path]; s != nil {
			t.m.reads.Inc()
			t.urgent.push(wanted{t: t, what: readDefaults, s: s})
		}
	case gozk.EventNodeChildrenChanged:
		t.list(e.path)
	}
}

// walkSoon walks, but not more often than every ListEvery.
func (t *tree) walkSoon() {
	l := t.lists[""] // no path is empty
	if l == nil {
		l = &listing{}
		t.lists[""] = l
	}
	if l.waiting {
		return
	}
	l.waiting = true
	epoch := t.state.epoch
	t.after(rand.N(t.cfg.ListEvery+1), func() {
		if l.waiting = false; t.state.live && t.state.epoch == epoch {
			if t.todo != nil {
				t.walkSoon() // after the one that is under way
				return
			}
			t.walk()
		}
	})
}
