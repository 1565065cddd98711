package zk

import (
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// How long a change waits before it is published, so that what belongs together comes together: a member that is replaced (delete and create in one
// transaction, or a registrar's reconnect) must not be seen to leave.
const (
	joinDelay   = 20 * time.Millisecond
	leaveDelay  = 100 * time.Millisecond
	memberDelay = 10 * time.Microsecond  // and this for each member, for sets are published whole: a tenth of a second for 10,000
	nameDelay   = 250 * time.Millisecond // the longest wait for the data of members whose names say where they are
	readDelay   = time.Second            // the longest wait for members that say so in their data only
)

// touch has the set published soon, and what happens meanwhile with it.
func (s *set) touch(delay time.Duration) {
	if delay > 0 && s.published {
		delay = max(delay, min(time.Duration(len(s.members))*memberDelay, readDelay/2))
	}
	due := time.Now().Add(delay)
	if s.dirty.IsZero() {
		s.dirty, s.due = time.Now(), due
	} else if late := s.dirty.Add(2 * leaveDelay); delay >= leaveDelay && due.After(s.due) && due.Before(late) {
		s.due = due // a leave after a join waits for its own return
	}
	s.wait()
}

// ready is when what has changed may be published; zero: not before more was read. The first time everybody must be known, at least by name, for who is not in the
// set would be taken for gone; later one who is still being read keeps the others waiting for a second at most.
func (s *set) ready() time.Time {
	at := s.due
	switch {
	case s.unread == 0:
	case s.nameless == 0 && !s.partial:
		at = later(at, s.dirty.Add(nameDelay))
	case s.published || s.nameless == 0:
		at = later(at, s.dirty.Add(readDelay))
	default:
		return time.Time{}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// wait sets the timer for what is due, unless one runs that comes sooner.
func (s *set) wait() {
	at := s.ready()
	if at.IsZero() || !s.timer.IsZero() && !at.Before(s.timer) {
		return
	}
	s.timer = at
	s.t.after(time.Until(at), func() {
		if s.timer.Equal(at) {
			s.timer = time.Time{}
		}
		s.publish()
	})
}

// publish puts the whole set out, if it is time.
func (s *set) publish() {
	if s.dirty.IsZero() || !s.listed || s.t.sets[s.path] != s {
		return
	}
	if at := s.ready(); at.IsZero() || time.Now().Before(at) {
		s.wait()
		return
	}
	members := make([]*discovery.Member, len(s.slots))
	for i, m := range s.slots {
		members[i] = m.m
	}
	s.dirty = time.Time{}
	s.published = true
	s.partial = s.unread > s.nameless // those are in it by their names
	if s.t.told && !s.named {
		s.t.putView(true) // before the set: a complete view that does not know the path would drop it
	}
	s.put(members, s.partial)
}

func (s *set) put(members []*discovery.Member, partial bool) {
	st := s.t.s.Status()
	s.t.m.published.Inc()
	s.t.out.PutSet(discovery.Set{Source: s.t.cfg.Name, Path: strings.Clone(s.path), Members: members, Verified: st.LastHeard, Zxid: s.t.s.zxid.Load(), Stale: st.ReadOnly,
		Partial: partial})
}
