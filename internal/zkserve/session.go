package zkserve

import (
	"crypto/rand"
	"crypto/subtle"
	"maps"
	"slices"
	"time"
)

// session is a client's life on this server, over however many connections.
type session struct {
	id         int64
	password   [16]byte
	timeout    time.Duration
	deadline   time.Time
	conn       *conn // nil while the client is away
	ephemerals map[string]struct{}
}

// sortedEphemerals is in the order of paths, only so that two runs do the same.
func (ses *session) sortedEphemerals() []string {
	return slices.Sorted(maps.Keys(ses.ephemerals))
}

// newSession makes a session. Its number comes from the clock, so that those of an earlier run are unknown to this one.
func (s *Server) newSession(timeout time.Duration) *session {
	for s.sessions[s.nextSession] != nil {
		s.nextSession++
	}
	ses := &session{id: s.nextSession, timeout: timeout, ephemerals: map[string]struct{}{}}
	s.nextSession++
	rand.Read(ses.password[:])
	s.sessions[ses.id] = ses
	s.zxid++
	return ses
}

// findSession is the session of that number, if the password is its own.
func (s *Server) findSession(id int64, password []byte) *session {
	ses := s.sessions[id]
	if ses == nil || subtle.ConstantTimeCompare(ses.password[:], password) != 1 {
		return nil
	}
	return ses
}

func (ses *session) touch(now time.Time) { ses.deadline = now.Add(ses.timeout) }

// expire ends the sessions that were silent for too long.
func (s *Server) expire(now time.Time) {
	for _, ses := range s.sessions {
		if now.Before(ses.deadline) {
			continue
		}
		s.log.Info("session expired", "session", hex(ses.id), "timeout", ses.timeout, "ephemerals", len(ses.ephemerals))
		s.expired++
		c := ses.conn
		s.closeSession(ses)
		if c != nil {
			s.detach(c)
			c.finish()
		}
	}
}

// negotiate holds a wished timeout in the server's bounds.
func (s *Server) negotiate(ms int32) time.Duration {
	return min(max(time.Duration(ms)*time.Millisecond, s.cfg.MinSessionTimeout), s.cfg.MaxSessionTimeout)
}

// connect answers a ConnectRequest, the first frame of a connection. It says false where the connection must be closed without
// an answer.
func (s *Server) connect(c *conn, frame []byte) bool {
	d := decoder{b: frame}
	d.int32() // protocol version
	seen := d.int64()
	timeout := s.negotiate(d.int32())
	id := d.int64()
	password := d.buffer()
	if d.err != nil {
		s.log.Info("connection closed: malformed connect request", "client", c.addr, "bytes", len(frame))
		return false
	}
	c.askedReadOnly = len(d.b) > 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if seen > s.zxid {
		s.log.Info("connection closed: the client has seen a later zxid than this server's", "client", c.addr, "zxid", hex(seen), "ours", hex(s.zxid))
		return false
	}
	var ses *session
	if id == 0 {
		if len(s.sessions) >= s.cfg.MaxSessions {
			s.log.Warn("connection closed: too many sessions", "client", c.addr, "sessions", len(s.sessions))
			return false
		}
		ses = s.newSession(timeout)
	} else if ses = s.findSession(id, password); ses == nil {
		s.log.Info("session is unknown or its password wrong: answered expired", "client", c.addr, "session", hex(id))
		c.send(connectResponse(0, 0, make([]byte, 16), c.askedReadOnly))
		c.finish()
		return false
	} else if old := ses.conn; old != nil {
		s.detach(old)
		old.finish()
	}
	ses.timeout = timeout
	ses.touch(time.Now())
	ses.conn, c.session = c, ses
	c.send(connectResponse(timeout, ses.id, ses.password[:], c.askedReadOnly))
	return true
}

// connectResponse carries the readOnly byte only for clients that sent theirs: older ones do not expect it.
func connectResponse(timeout time.Duration, id int64, password []byte, readOnly bool) []byte {
	b := make([]byte, 4, 64)
	b = appendInt32(b, 0)
	b = appendInt32(b, int32(timeout.Milliseconds()))
	b = appendInt64(b, id)
	b = appendBuffer(b, password)
	if readOnly {
		b = appendBool(b, false)
	}
	return b
}

// detach takes a connection from its session and its watches away; the session lives on until its timeout.
func (s *Server) detach(c *conn) {
	s.watches.drop(c)
	if c.session != nil && c.session.conn == c {
		c.session.conn = nil
	}
	c.session = nil
}
