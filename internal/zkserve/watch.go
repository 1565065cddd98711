package zkserve

import "slices"

// The modes of a watch are a set: one connection may have all three on one path.
const (
	watchOnce       uint8 = 1
	watchPersistent uint8 = 2
	watchRecursive  uint8 = 4
	watchAny        uint8 = 7
)

// watchTable is the watches of one kind: those that fire on a znode itself (data), or on its children (child). A recursive watch
// stands in the data table only, as no event of children is sent to it.
type watchTable struct {
	paths     map[string][]*conn // who watches; the modes are with the connection
	modes     func(*conn) *map[string]uint8
	recursive int
	size      int
	turn      *uint64 // counts fire, to mark whom it has found
}

func (t *watchTable) add(c *conn, path string, mode uint8) {
	m := t.modes(c)
	if *m == nil {
		*m = map[string]uint8{}
	}
	have := (*m)[path]
	if have == 0 {
		t.paths[path] = append(t.paths[path], c)
		t.size++
	}
	if mode&^have&watchRecursive != 0 {
		t.recursive++
	}
	(*m)[path] = have | mode
}

func (t *watchTable) has(c *conn, path string, mode uint8) bool { return (*t.modes(c))[path]&mode != 0 }

// remove takes modes away and says whether one of them was there.
func (t *watchTable) remove(c *conn, path string, mode uint8) bool {
	m := *t.modes(c)
	have := m[path]
	if have&mode == 0 {
		return false
	}
	if have&mode&watchRecursive != 0 {
		t.recursive--
	}
	if left := have &^ mode; left != 0 {
		m[path] = left
		return true
	}
	delete(m, path)
	t.size--
	if rest := slices.DeleteFunc(t.paths[path], func(o *conn) bool { return o == c }); len(rest) == 0 {
		delete(t.paths, path)
	} else {
		t.paths[path] = rest
	}
	return true
}

// drop takes all watches of a connection away.
func (t *watchTable) drop(c *conn) {
	for path := range *t.modes(c) {
		t.remove(c, path, watchAny)
	}
}

// fire collects who is to hear of a change at path, and uses up the one-shot watches there.
func (t *watchTable) fire(path string) []*conn {
	*t.turn++
	out := slices.Clone(t.paths[path])
	for _, c := range out {
		c.turn = *t.turn
		t.remove(c, path, watchOnce)
	}
	if t.recursive == 0 {
		return out
	}
	for p := path; p != "/"; {
		p = parentOf(p)
		for _, c := range t.paths[p] {
			if c.turn != *t.turn && t.has(c, p, watchRecursive) {
				c.turn = *t.turn
				out = append(out, c)
			}
		}
	}
	return out
}

// watches is both tables.
type watches struct{ data, child watchTable }

func newWatches() *watches {
	turn := new(uint64)
	return &watches{
		data:  watchTable{paths: map[string][]*conn{}, turn: turn, modes: func(c *conn) *map[string]uint8 { return &c.dataWatches }},
		child: watchTable{paths: map[string][]*conn{}, turn: turn, modes: func(c *conn) *map[string]uint8 { return &c.childWatches }},
	}
}

func (w *watches) size() int { return w.data.size + w.child.size }

// The types by which a client names watches to check or remove (org.apache.zookeeper.Watcher.WatcherType).
const (
	typeChildren            = 1
	typeData                = 2
	typeAny                 = 3
	typePersistent          = 4
	typePersistentRecursive = 5
)

// contains is checkWatches: whether the connection has a watch of the type at path.
func (w *watches) contains(c *conn, path string, typ int32) bool {
	switch typ {
	case typeChildren:
		return w.child.has(c, path, watchOnce)
	case typeData:
		return w.data.has(c, path, watchOnce)
	case typePersistent:
		return w.data.has(c, path, watchPersistent)
	case typePersistentRecursive:
		return w.data.has(c, path, watchRecursive)
	}
	return w.child.has(c, path, watchAny) || w.data.has(c, path, watchAny)
}

// remove is removeWatches; it says whether there was one.
func (w *watches) remove(c *conn, path string, typ int32) bool {
	switch typ {
	case typeChildren:
		return w.child.remove(c, path, watchOnce)
	case typeData:
		return w.data.remove(c, path, watchOnce)
	case typePersistent:
		child := w.child.remove(c, path, watchPersistent)
		return w.data.remove(c, path, watchPersistent) || child
	case typePersistentRecursive:
		return w.data.remove(c, path, watchRecursive)
	}
	child := w.child.remove(c, path, watchAny)
	return w.data.remove(c, path, watchAny) || child
}

func (w *watches) drop(c *conn) {
	w.data.drop(c)
	w.child.drop(c)
}

// change is one thing that happened to a znode, with the ACLs that decide who may hear of it.
type change struct {
	event     int32 // created, deleted or data changed
	path      string
	acl       *aclList
	parentACL *aclList
}

// tell sends the events of a change. It comes before the reply to the request that made the change, and before every reply that
// would show it: all of them go through the same lock.
func (s *Server) tell(ch change, zxid int64) {
	data := s.watches.data.fire(ch.path)
	notify(data, ch.event, ch.path, zxid, ch.acl)
	if ch.event == eventDataChanged {
		return
	}
	if ch.event == eventDeleted {
		child := s.watches.child.fire(ch.path)
		child = slices.DeleteFunc(child, func(c *conn) bool { return slices.Contains(data, c) })
		notify(child, ch.event, ch.path, zxid, ch.acl)
	}
	parent := parentOf(ch.path)
	notify(s.watches.child.fire(parent), eventChildrenChanged, parent, zxid, ch.parentACL)
}

// notify queues one watch event for each connection, but those from which the znode's ACL hides it. A nil ACL hides it from none.
func notify(conns []*conn, event int32, path string, zxid int64, acl *aclList) {
	if len(conns) == 0 {
		return
	}
	b := appendInt32(make([]byte, 0, 4+16+12+len(path)), int32(16+12+len(path)))
	b = appendInt32(b, xidNotification)
	b = appendInt64(b, zxid)
	b = appendInt32(b, int32(ok))
	b = appendInt32(b, event)
	b = appendInt32(b, stateConnected)
	b = appendString(b, path)
	for _, c := range conns {
		if acl == nil || acl.allows(permRead, c.ids) {
			c.queue(b)
		}
	}
}
