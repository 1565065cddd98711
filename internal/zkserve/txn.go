package zkserve

import (
	"fmt"
	"strings"
)

// txn is a change in the making: one write, or all of a multi. It changes the tree at once, so that later steps see earlier ones,
// and keeps what takes it back.
type txn struct {
	s       *Server
	zxid    int64
	now     int64 // Unix milliseconds
	ids     []identity
	session *session
	undo    []func()
	changes []change
	log     batch
}

func (s *Server) begin(c *conn) *txn {
	t := &txn{s: s, zxid: s.zxid + 1, now: s.wallTime()}
	if c != nil {
		t.ids, t.session = c.ids, c.session
	}
	return t
}

// commit writes what has to be kept and tells the watchers. When it cannot be kept, nothing has happened.
func (t *txn) commit() code {
	if !t.log.empty() {
		if err := t.s.store.append(t.zxid, &t.log); err != nil {
			t.rollback()
			return systemError
		}
	}
	t.s.zxid = t.zxid
	for _, ch := range t.changes {
		t.s.tell(ch, t.zxid)
	}
	return ok
}

func (t *txn) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
	t.undo, t.changes = nil, nil
}

// createRequest is create, create2, createContainer and createTTL.
type createRequest struct {
	op    opcode
	path  string
	data  []byte
	acl   []acl
	flags int32
	ttl   int64
}

func (t *txn) create(r createRequest) (path string, n *node, c code) {
	tree := t.s.tree
	switch {
	case r.flags < 0 || r.flags > flagTTLSequential:
		return "", nil, badArguments
	case r.flags == flagTTL || r.flags == flagTTLSequential:
		return "", nil, unimplemented // as a server without extended types
	case r.op == opCreateTTL && r.ttl >= 0:
		return "", nil, badArguments
	case r.op == opCreateTTL: // this one ends a real server (3.9.4)
		return "", nil, unimplemented
	case !strings.Contains(r.path, "/") || strings.ContainsRune(r.path, 0):
		return "", nil, badArguments
	}
	list, c := fixACL(r.acl, t.ids)
	if c != ok {
		return "", nil, c
	}
	parentPath, _ := split(r.path)
	parent := tree.get(parentPath)
	if parent == nil {
		return "", nil, noNode
	}
	if !parent.acl.allows(permCreate, t.ids) {
		return "", nil, noAuth
	}
	path = r.path
	if r.flags&flagSequential != 0 {
		path += fmt.Sprintf("%010d", parent.cversion)
	}
	if !validPath(path) {
		return "", nil, badArguments
	}
	if tree.get(path) != nil {
		return "", nil, nodeExists
	}
	if parent.ephemeral() {
		return "", nil, noChildrenForEphemerals
	}
	if len(tree.nodes) >= t.s.cfg.MaxNodes {
		return "", nil, quotaExceeded
	}
	n = &node{data: r.data, acl: tree.acls.get(list), czxid: t.zxid, mzxid: t.zxid, pzxid: t.zxid, ctime: t.now, mtime: t.now}
	switch {
	case r.op == opCreateContainer:
		n.owner = containerOwner
	case r.flags&flagEphemeral != 0:
		n.owner = t.session.id
	}
	t.add(path, n, parent)
	if !n.ephemeral() {
		t.log.put(path, n)
	}
	t.log.touch(parentOf(path), parent)
	return path, n, ok
}

// add puts a new znode below its parent, with its way back.
func (t *txn) add(path string, n, parent *node) {
	tree, owner := t.s.tree, t.session
	cversion, pzxid := parent.cversion, parent.pzxid
	tree.put(path, n)
	parent.cversion++
	parent.pzxid = t.zxid
	if n.ephemeral() {
		owner.ephemerals[path] = struct{}{}
	}
	t.undo = append(t.undo, func() {
		if n.ephemeral() {
			delete(owner.ephemerals, path)
		}
		tree.remove(path, n)
		parent.cversion, parent.pzxid = cversion, pzxid
	})
	t.changes = append(t.changes, change{eventCreated, path, n.acl, parent.acl})
}

func (t *txn) delete(path string, version int32) code {
	tree := t.s.tree
	if !strings.Contains(path, "/") || strings.ContainsRune(path, 0) || special(path) {
		return badArguments
	}
	parentPath, _ := split(path)
	parent := tree.get(parentPath)
	if parent == nil {
		return noNode
	}
	if !parent.acl.allows(permDelete, t.ids) {
		return noAuth
	}
	n := tree.get(path)
	switch {
	case n == nil:
		return noNode
	case version != -1 && version != n.version:
		return badVersion
	case len(n.children) > 0:
		return notEmpty
	}
	t.remove(path, n, parent)
	return ok
}

// remove takes a znode without children away, with the way back, whoever may.
func (t *txn) remove(path string, n, parent *node) {
	tree := t.s.tree
	var owner *session
	pzxid := parent.pzxid
	tree.remove(path, n)
	parent.pzxid = t.zxid
	if n.ephemeral() {
		if owner = t.s.sessions[n.owner]; owner != nil {
			delete(owner.ephemerals, path)
		}
	} else {
		t.log.delete(path)
		t.log.touch(parentOf(path), parent)
	}
	t.undo = append(t.undo, func() {
		tree.put(path, n)
		parent.pzxid = pzxid
		if owner != nil {
			owner.ephemerals[path] = struct{}{}
		}
	})
	t.changes = append(t.changes, change{eventDeleted, path, n.acl, parent.acl})
}

func (t *txn) setData(path string, data []byte, version int32) (*node, code) {
	if !validPath(path) {
		return nil, badArguments
	}
	n := t.s.tree.get(path)
	switch {
	case n == nil:
		return nil, noNode
	case !n.acl.allows(permWrite, t.ids):
		return nil, noAuth
	case version != -1 && version != n.version:
		return nil, badVersion
	}
	before := *n
	grown := int64(len(data) - len(n.data))
	n.data, n.mzxid, n.mtime = data, t.zxid, t.now
	n.version++
	t.s.tree.bytes += grown
	t.undo = append(t.undo, func() {
		n.data, n.mzxid, n.mtime, n.version = before.data, before.mzxid, before.mtime, before.version
		t.s.tree.bytes -= grown
	})
	if !n.ephemeral() {
		t.log.put(path, n)
	}
	t.changes = append(t.changes, change{eventDataChanged, path, n.acl, nil})
	return n, ok
}

func (t *txn) setACL(path string, list []acl, version int32) (*node, code) {
	if !validPath(path) {
		return nil, badArguments
	}
	list, c := fixACL(list, t.ids)
	if c != ok {
		return nil, c
	}
	n := t.s.tree.get(path)
	switch {
	case n == nil:
		return nil, noNode
	case !n.acl.allows(permAdmin, t.ids):
		return nil, noAuth
	case version != -1 && version != n.aversion:
		return nil, badVersion
	}
	before := *n
	n.acl = t.s.tree.acls.get(list)
	n.aversion++
	t.undo = append(t.undo, func() { n.acl, n.aversion = before.acl, before.aversion })
	if !n.ephemeral() {
		t.log.put(path, n)
	}
	return n, ok
}

func (t *txn) check(path string, version int32) code {
	if !validPath(path) {
		return badArguments
	}
	n := t.s.tree.get(path)
	switch {
	case n == nil:
		return noNode
	case !n.acl.allows(permRead, t.ids):
		return noAuth
	case version != -1 && version != n.version:
		return badVersion
	}
	return ok
}

// closeSession ends a session and takes its ephemerals with it.
func (s *Server) closeSession(ses *session) {
	t := s.begin(nil)
	for _, path := range ses.sortedEphemerals() {
		n, parent := s.tree.get(path), s.tree.get(parentOf(path))
		t.remove(path, n, parent)
	}
	delete(s.sessions, ses.id)
	t.commit() // logs nothing, so it cannot fail
}

// removeContainers deletes the containers that had children and have none.
func (s *Server) removeContainers() {
	for path := range s.tree.containers {
		n := s.tree.get(path)
		if len(n.children) > 0 || n.cversion == 0 {
			continue
		}
		t := s.begin(nil)
		t.remove(path, n, s.tree.get(parentOf(path)))
		t.commit()
	}
}
