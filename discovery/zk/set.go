package zk

import (
	"fmt"
	"slices"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// set is one serverset.
type set struct {
	t     *tree
	path  string
	place serverset.Place
	rule  *Rule
	seen  uint64 // the last walk that found it

	no         bool // it is none: an ephemeral node
	listed     bool // its members are known
	listing    bool
	kept       []event // what happened while a list was under way: names, not paths
	lists      uint32  // how many were applied
	members    map[string]*member
	slots      []*member // those to be published
	unread     int       // members that have not been read yet
	nameless   int       // those of them whose names do not say where they are; and weights that have not been read
	unparsable int
	defaults   []byte // the data of its own node
	shared     *serverset.Metadata
	vectors    map[string]*vector
	weights    *serverset.Weights

	published bool
	partial   bool      // some of those published are known by their names only
	named     bool      // a complete view had its path
	dirty     time.Time // since when there is something to publish; zero: there is not
	due       time.Time // when what belongs together has come together
	timer     time.Time // of the earliest timer that runs; zero: none does
}

func newSet(t *tree, p serverset.Place, r *Rule) *set {
	return &set{t: t, path: p.Path, place: p, rule: r, members: map[string]*member{}}
}

// forgetRequests is for a connection that is gone: its answers will not come.
func (s *set) forgetRequests() {
	s.listing, s.kept = false, nil
	for _, m := range s.members {
		m.reading, m.again, m.watched = false, false, false
	}
	for _, v := range s.vectors {
		v.reading = false
	}
}

// event takes one event of a member, or keeps it while the members are being listed: the list may be older or newer than it.
func (s *set) event(kind gozk.EventType, name string) {
	switch {
	case s.listing:
		s.kept = append(s.kept, event{kind, name})
	case !s.listed: // a list is to come
	case kind == gozk.EventNodeDeleted:
		s.drop(name)
	case kind == gozk.EventNodeCreated, kind == gozk.EventNodeDataChanged:
		if m := s.members[name]; m == nil {
			s.add(name)
		} else {
			s.unwatch(m)
			s.get(m, false)
		}
	}
}

// apply compares with a list, then takes the events that came meanwhile, of each name the last: every event that the list does not show came after it, and
// one that it does show changes nothing.
func (s *set) apply(all names, l *listing, walk bool) {
	first := !s.listed
	s.listing, s.listed = false, true
	if l.told {
		s.setDefaults(l.data)
	}
	s.lists++
	var fresh []string
	all.each(func(name []byte) {
		m := s.members[string(name)] // without making a string
		if m == nil {
			if v := s.vectors[string(name)]; v != nil {
				v.seen = s.lists
			} else {
				fresh = append(fresh, string(name))
			}
			return
		}
		m.seen = s.lists
		switch {
		case m.over:
		case !m.read:
			s.get(m, false)
		case walk && mayChange(m):
			s.get(m, true)
		}
	})
	for n, m := range s.members {
		if m.seen != s.lists || m.over {
			s.drop(n)
			if m.seen == s.lists {
				fresh = append(fresh, n) // there may be room now
			}
		}
	}
	for n, v := range s.vectors {
		if v.seen != s.lists {
			s.drop(n)
		}
	}
	if len(s.members)+len(fresh) > s.t.cfg.MaxMembers {
		slices.Sort(fresh) // so that it is the same ones who are over the limit
	}
	for _, n := range fresh {
		s.add(n)
	}
	kept := map[string]gozk.EventType{}
	for _, e := range s.kept {
		kept[e.path] = e.kind
	}
	s.kept = nil
	for n, kind := range kept {
		s.event(kind, n)
	}
	if first || walk {
		s.touch(0) // verified anew, or empty
	}
}

func (s *set) setDefaults(data []byte) {
	if slices.Equal(data, s.defaults) {
		return
	}
	s.defaults, s.shared = data, nil
	if md, ok := serverset.DecodeMetadata(data); ok {
		s.shared = &md
	}
	for _, m := range s.members {
		if !m.over && (m.read || m.reading) { // one whose first read is under way was sent with the old ones
			s.get(m, true)
		}
	}
}

func (s *set) options() serverset.Options {
	o := s.rule.Options
	o.Defaults = s.shared
	return o
}

// add begins a new member: what its name tells is taken at once, the rest is read.
func (s *set) add(name string) {
	o := s.options()
	if o.IsVector(name) {
		s.addVector(name)
		return
	}
	if o.Ignored(name) {
		return
	}
	m := &member{name: name, slot: -1, seen: s.lists}
	s.members[name] = m
	s.unread++
	s.nameless++
	format := o.Format
	if format == "" {
		format = serverset.ByName(name)
	}
	switch {
	case len(s.members) > s.t.cfg.MaxMembers:
		m.over = true
		bad := o.Decode(s.place, name, nil)
		bad.Err = fmt.Errorf("the serverset has more than %d members; those beyond are not read", s.t.cfg.MaxMembers)
		bad.Instance = discovery.Instance{Key: discovery.Key{Service: s.place.Service, Env: s.place.Env}, Path: s.path, Member: bad.Member, Format: bad.Format, Shard: discovery.NoShard}
		s.got(m, bad, false)
		return
	case len(name) > serverset.MaxName:
		s.got(m, o.Decode(s.place, name, nil), false) // nothing to read
		return
	case format == serverset.KingPin, format == serverset.Nerve && serverset.ByName(name) == serverset.Nerve:
		s.guess(m, o.Decode(s.place, name, nil))
	}
	s.get(m, false)
}

// drop ends a member.
func (s *set) drop(name string) {
	if s.dropVector(name) {
		return
	}
	m := s.members[name]
	if m == nil {
		return
	}
	delete(s.members, name)
	s.unwatch(m)
	shown := m.slot >= 0
	s.hide(m)
	switch {
	case !m.read:
		s.unread--
		if m.m == nil {
			s.nameless--
		}
		if shown {
			s.touch(leaveDelay)
		} else {
			s.touch(joinDelay) // others may wait for it only
		}
	case !m.no:
		if m.m.Err != nil {
			s.unparsable--
		}
		s.touch(leaveDelay)
	}
}

// hide takes a member out of what is published.
func (s *set) hide(m *member) {
	if m.slot < 0 {
		return
	}
	last := s.slots[len(s.slots)-1]
	s.slots[m.slot], last.slot = last, m.slot
	s.slots[len(s.slots)-1] = nil
	s.slots = s.slots[:len(s.slots)-1]
	m.slot = -1
}

// show puts a member into what is published.
func (s *set) show(m *member) {
	if m.slot < 0 {
		m.slot = int32(len(s.slots))
		s.slots = append(s.slots, m)
	}
}
