package zkserve

import (
	"bytes"
	"strings"
	"time"
)

// reply is the body of an answer: head, then what other answers share, then tail.
type reply struct{ head, shared, tail []byte }

// handle answers one request and says whether the connection goes on.
func (s *Server) handle(c *conn, frame []byte) bool {
	d := &decoder{b: frame}
	xid, op := d.int32(), opcode(d.int32())
	if d.err != nil {
		s.log.Info("connection closed: request without a header", "client", c.addr, "bytes", len(frame))
		return false
	}
	start := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.session == nil || s.stopped {
		return false
	}
	c.session.touch(start)
	r, code := s.answer(c, op, d)
	zxid := s.zxid
	switch op {
	case opPing:
		xid = xidPing
	case opAuth:
		zxid = 0 // it shows nothing of the tree
	}
	b := make([]byte, 4, 20+len(r.head))
	b = appendInt32(b, xid)
	b = appendInt64(b, zxid)
	b = appendInt32(b, int32(code))
	s.latency.add(time.Since(start))
	if code != ok {
		c.send(b)
	} else {
		c.send(append(b, r.head...), r.shared, r.tail)
	}
	if op == opCloseSession || code == authFailed || !known(op) {
		s.detach(c)
		c.finish()
		return false
	}
	return true
}

// known says whether the server has the operation at all; after another one it closes, as ZooKeeper does.
func known(op opcode) bool {
	switch op {
	case opCreate, opDelete, opExists, opGetData, opSetData, opGetACL, opSetACL, opGetChildren, opSync, opPing, opGetChildren2, opMulti,
		opCreate2, opReconfig, opCheckWatches, opRemoveWatches, opCreateContainer, opCreateTTL, opMultiRead, opAuth, opSetWatches,
		opSASL, opGetEphemerals, opAllChildrenNumber, opSetWatches2, opAddWatch, opWhoAmI, opCloseSession:
		return true
	}
	return false
}

// answer does what the request wants. A fault of the request is a code, never a closed connection for others.
func (s *Server) answer(c *conn, op opcode, d *decoder) (reply, code) {
	switch op {
	case opPing:
		return reply{}, ok
	case opCloseSession:
		s.closeSession(c.session)
		return reply{}, ok
	case opAuth:
		return reply{}, s.authenticate(c, d)
	case opSASL: // as a server without SASL: there is no token for the client
		if d.buffer(); d.err != nil {
			return reply{}, authFailed
		}
		return reply{head: appendBuffer(nil, nil)}, ok
	case opReconfig:
		return reply{}, reconfigDisabled
	case opCreate, opCreate2, opCreateContainer, opCreateTTL, opDelete, opSetData, opSetACL:
		return s.write(c, op, d)
	case opMulti:
		return s.multi(c, d)
	case opSetWatches, opSetWatches2:
		return reply{}, s.setWatches(c, d, op == opSetWatches2)
	case opAddWatch:
		return s.addWatch(c, d)
	case opCheckWatches, opRemoveWatches:
		return reply{}, s.checkWatches(c, d, op == opRemoveWatches)
	case opWhoAmI:
		return whoAmI(c), ok
	case opGetEphemerals:
		prefix := d.string()
		if d.err != nil {
			return reply{}, marshallingError
		}
		return reply{head: c.session.list(prefix)}, ok
	}
	if !known(op) {
		return reply{}, unimplemented
	}
	return s.read(c, op, d)
}

// write does a single change.
func (s *Server) write(c *conn, op opcode, d *decoder) (reply, code) {
	step := decodeStep(op, d)
	if d.err != nil {
		return reply{}, marshallingError
	}
	t := s.begin(c)
	head, code := t.do(step)
	if code == ok {
		code = t.commit()
	}
	return reply{head: head}, code
}

// step is one change that a client asks for, alone or in a multi.
type step struct {
	createRequest       // path, data, acl and op of all of them
	version       int32 // expected, -1: any
	valid         bool  // an operation that can stand here
}

func decodeStep(op opcode, d *decoder) step {
	var st step
	st.op, st.valid = op, true
	switch op {
	case opCreate, opCreate2, opCreateContainer, opCreateTTL:
		st.path, st.data, st.acl, st.flags, st.ttl = d.path(), bytes.Clone(d.buffer()), d.acls(), d.int32(), -1
		if op == opCreateTTL {
			st.ttl = d.int64()
		}
	case opDelete, opCheck:
		st.path, st.version = d.path(), d.int32()
	case opSetData:
		st.path, st.data, st.version = d.path(), bytes.Clone(d.buffer()), d.int32()
	case opSetACL:
		st.path, st.acl, st.version = d.path(), d.acls(), d.int32()
	default:
		st.valid = false
	}
	return st
}

// do makes the change and returns the answer's body.
func (t *txn) do(st step) ([]byte, code) {
	switch st.op {
	case opDelete:
		return nil, t.delete(st.path, st.version)
	case opCheck:
		return nil, t.check(st.path, st.version)
	case opSetData:
		return statOf(t.setData(st.path, st.data, st.version))
	case opSetACL:
		return statOf(t.setACL(st.path, st.acl, st.version))
	}
	path, n, c := t.create(st.createRequest)
	if c != ok {
		return nil, c
	}
	b := appendString(nil, path)
	if st.op != opCreate {
		b = n.appendStat(b)
	}
	return b, ok
}

func statOf(n *node, c code) ([]byte, code) {
	if c != ok {
		return nil, c
	}
	return n.appendStat(nil), ok
}

// authenticate adds an identity to the connection.
func (s *Server) authenticate(c *conn, d *decoder) code {
	d.int32() // type
	scheme, auth := d.string(), d.buffer()
	switch {
	case d.err != nil:
		return authFailed
	case scheme == "ip":
		return ok // every connection has its own from the start
	case scheme == "digest" && len(c.ids) < 64:
		c.ids = append(c.ids, digestIdentity(auth))
		return ok
	}
	return authFailed
}

// whoAmI lists the schemes and users of the connection, without secrets.
func whoAmI(c *conn) reply {
	b := appendInt32(nil, int32(len(c.ids)))
	for _, id := range c.ids {
		user := id.id
		if id.scheme == "digest" {
			user, _, _ = strings.Cut(user, ":")
		}
		b = appendString(appendString(b, id.scheme), user)
	}
	return reply{head: b}
}

// list is the session's ephemerals below a prefix.
func (ses *session) list(prefix string) []byte {
	prefix = strings.TrimSpace(prefix)
	n, b := 0, make([]byte, 4)
	for _, p := range ses.sortedEphemerals() {
		if strings.HasPrefix(p, prefix) {
			b = appendString(b, p)
			n++
		}
	}
	appendInt32(b[:0], int32(n))
	return b
}
