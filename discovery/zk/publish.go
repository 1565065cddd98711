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
	memberDelay = 10 * time.Microsecond // and this for each member, for sets are published whole: a tenth of a second for 10,000
	readDelay   = time.Second           // the longest wait for members that are still being read
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

// wait sets the timer for what is due.
func (s *set) wait() {
	if s.waiting {
		return
	}
	s.waiting = true
	s.t.after(time.Until(s.due), func() {
		s.waiting = false
		s.publish()
	})
}

// publish puts the whole set out. The first time it waits until every member was read, for who is not in it would be taken for gone; later a member that is
// still being read keeps the others waiting for a second at most.
func (s *set) publish() {
	now := time.Now()
	switch {
	case s.dirty.IsZero() || !s.listed || s.t.sets[s.path] != s:
		return
	case now.Before(s.due):
		s.wait()
		return
	case s.unread > 0 && !s.published:
		return // the last one read comes back here
	case s.unread > 0 && now.Before(s.dirty.Add(readDelay)):
		s.due = now.Add(joinDelay)
		s.wait()
		return
	}
	members := make([]*discovery.Member, 0, len(s.members))
	for _, m := range s.members {
		if m.read && !m.no {
			members = append(members, m.m)
		}
	}
	s.dirty = time.Time{}
	s.published = true
	if s.t.told && !s.named {
		s.t.putView(true) // before the set: a complete view that does not know the path would drop it
	}
	s.put(members)
}

func (s *set) put(members []*discovery.Member) {
	st := s.t.s.Status()
	s.t.m.published.Inc()
	s.t.out.PutSet(discovery.Set{Source: s.t.cfg.Name, Path: strings.Clone(s.path), Members: members, Verified: st.LastHeard, Stale: st.ReadOnly})
}
