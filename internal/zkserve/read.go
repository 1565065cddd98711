package zkserve

// read answers what changes nothing: exists, getData, getACL, getChildren, getChildren2, sync, getAllChildrenNumber, multiRead.
func (s *Server) read(c *conn, op opcode, d *decoder) (reply, code) {
	if op == opMultiRead {
		return s.multiRead(c, d)
	}
	path, watch := d.path(), false
	switch op {
	case opExists, opGetData, opGetChildren, opGetChildren2:
		watch = d.bool()
	}
	if d.err != nil {
		return reply{}, marshallingError
	}
	if op == opSync {
		return reply{head: appendString(nil, path)}, ok
	}
	if watch && s.watches.size() >= s.cfg.MaxWatches {
		return reply{}, throttled
	}
	return s.readNode(c, op, path, watch)
}

func (s *Server) readNode(c *conn, op opcode, path string, watch bool) (reply, code) {
	n := s.tree.get(path)
	if n == nil {
		if op == opExists && watch { // it waits for the znode's creation
			s.watches.data.add(c, path, watchOnce)
		}
		return reply{}, noNode
	}
	perm := int32(permRead)
	if op == opGetACL {
		perm |= permAdmin
	}
	if !n.acl.allows(perm, c.ids) {
		return reply{}, noAuth
	}
	if watch {
		table := &s.watches.data
		if op == opGetChildren || op == opGetChildren2 {
			table = &s.watches.child
		}
		table.add(c, path, watchOnce)
	}
	switch op {
	case opExists:
		return reply{head: n.appendStat(nil)}, ok
	case opGetData:
		return reply{head: appendInt32(nil, int32(length(n.data))), shared: n.data, tail: n.appendStat(nil)}, ok
	case opGetChildren:
		return reply{head: appendInt32(nil, int32(len(n.children))), shared: n.list()}, ok
	case opGetChildren2:
		return reply{head: appendInt32(nil, int32(len(n.children))), shared: n.list(), tail: n.appendStat(nil)}, ok
	case opAllChildrenNumber:
		return reply{head: appendInt32(nil, int32(s.tree.descendants(path)))}, ok
	}
	list := n.acl.list
	if !n.acl.allows(permAdmin, c.ids) {
		list = n.acl.masked()
	}
	return reply{head: n.appendStat(appendACLs(nil, list))}, ok
}

// length is that of a jute buffer: -1 for a null one.
func length(data []byte) int {
	if data == nil {
		return -1
	}
	return len(data)
}

// setWatches sets a reconnected client's watches again and tells it what it missed since its last zxid.
func (s *Server) setWatches(c *conn, d *decoder, persistent bool) code {
	since := d.int64()
	data, exist, child := d.strings(), d.strings(), d.strings()
	var lasting, recursive []string
	if persistent {
		lasting, recursive = d.strings(), d.strings()
	}
	if d.err != nil {
		return marshallingError
	}
	if s.watches.size()+len(data)+len(exist)+len(child)+2*len(lasting)+len(recursive) > s.cfg.MaxWatches {
		return throttled
	}
	missed := func(event int32, path string) { notify([]*conn{c}, event, path, -1, nil) }
	for _, p := range data {
		switch n := s.tree.get(p); {
		case n == nil:
			missed(eventDeleted, p)
		case n.mzxid > since:
			missed(eventDataChanged, p)
		default:
			s.watches.data.add(c, p, watchOnce)
		}
	}
	for _, p := range exist {
		if s.tree.get(p) != nil {
			missed(eventCreated, p)
		} else {
			s.watches.data.add(c, p, watchOnce)
		}
	}
	for _, p := range child {
		switch n := s.tree.get(p); {
		case n == nil:
			missed(eventDeleted, p)
		case n.pzxid > since:
			missed(eventChildrenChanged, p)
		default:
			s.watches.child.add(c, p, watchOnce)
		}
	}
	for _, p := range lasting {
		s.watches.child.add(c, p, watchPersistent)
		s.watches.data.add(c, p, watchPersistent)
	}
	for _, p := range recursive {
		s.watches.data.add(c, p, watchRecursive)
	}
	return ok
}

// addWatch sets a persistent (mode 0) or persistent recursive (mode 1) watch. Its body is a code of its own.
func (s *Server) addWatch(c *conn, d *decoder) (reply, code) {
	path, mode := d.path(), d.int32()
	switch {
	case d.err != nil || mode != 0 && mode != 1:
		return reply{}, marshallingError
	case s.watches.size()+2 > s.cfg.MaxWatches:
		return reply{}, throttled
	case mode == 1:
		s.watches.data.add(c, path, watchRecursive)
	default:
		s.watches.data.add(c, path, watchPersistent)
		s.watches.child.add(c, path, watchPersistent)
	}
	return reply{head: appendInt32(nil, int32(ok))}, ok
}

// checkWatches says whether the client has a watch; removeWatches also takes it away.
func (s *Server) checkWatches(c *conn, d *decoder, remove bool) code {
	path, typ := d.path(), d.int32()
	if d.err != nil || typ < typeChildren || typ > typePersistentRecursive {
		return marshallingError
	}
	there := false
	if remove {
		there = s.watches.remove(c, path, typ)
	} else {
		there = s.watches.contains(c, path, typ)
	}
	if !there {
		return noWatcher
	}
	return ok
}
