package zk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	members    map[string]*member
	unread     int // members that have not been read yet
	unparsable int
	defaults   []byte // the data of its own node
	shared     *serverset.Metadata

	published bool
	named     bool      // a complete view had its path
	dirty     time.Time // since when there is something to publish; zero: there is not
	due       time.Time
	waiting   bool // a timer runs
}

// member is one child of a serverset's node.
type member struct {
	name    string
	m       *discovery.Member // nil until it is read
	read    bool // m is known
	no      bool // it is no member: a folder
	over    bool // beyond the limit
	reading bool
	again   bool // it changed while it was read
}

func newSet(t *tree, p serverset.Place, r *Rule) *set {
	return &set{t: t, path: p.Path, place: p, rule: r, members: map[string]*member{}}
}

// forgetRequests is for a connection that is gone: its answers will not come.
func (s *set) forgetRequests() {
	s.listing, s.kept = false, nil
	for _, m := range s.members {
		m.reading, m.again = false, false
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
			s.get(m, false)
		}
	}
}

// apply compares with a list, then takes the events that came meanwhile, of each name the last: every event that the list does not show came after it, and
// one that it does show changes nothing.
func (s *set) apply(a listed, walk bool) {
	first := !s.listed
	s.listing, s.listed = false, true
	s.setDefaults(a.data)
	there := make(map[string]bool, len(a.names))
	for _, n := range a.names {
		there[n] = true
	}
	for n, m := range s.members {
		if !there[n] || m.over {
			s.drop(n)
		}
	}
	if len(a.names) > s.t.cfg.MaxMembers {
		slices.Sort(a.names) // so that it is the same ones who are over the limit
	}
	for _, n := range a.names {
		switch m := s.members[n]; {
		case m == nil:
			s.add(n)
		case !m.read:
			s.get(m, false)
		case walk && !m.over && mayChange(m):
			s.get(m, true)
		}
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

// mayChange reports members whose data is worth reading again after nobody looked: registrars of KingPin's format, ours among them, change it; the data of the
// others is written once.
func mayChange(m *member) bool {
	return m.no || m.m.Format == string(serverset.KingPin) || m.m.Err != nil
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

// readDefaults reads the serverset's own node again.
func (s *set) readDefaults() {
	s.t.m.reads.Inc()
	s.t.urgent.push(job{s.t, s.t.state.epoch, func(ctx context.Context) func() {
		data, _, err := s.t.s.Get(ctx, s.path)
		return func() {
			if err == nil && s.t.sets[s.path] == s {
				s.setDefaults(data)
			}
		}
	}})
}

func (s *set) options() serverset.Options {
	o := s.rule.Options
	o.Defaults = s.shared
	return o
}

// add begins a new member: what its name does not tell is read.
func (s *set) add(name string) {
	o := s.options()
	if o.Ignored(name) {
		return
	}
	m := &member{name: name}
	s.members[name] = m
	s.unread++
	switch {
	case len(s.members) > s.t.cfg.MaxMembers:
		m.over = true
		bad := o.Decode(s.place, name, nil)
		bad.Err = fmt.Errorf("the serverset has more than %d members; those beyond are not read", s.t.cfg.MaxMembers)
		bad.Instance = discovery.Instance{Key: discovery.Key{Service: s.place.Service, Env: s.place.Env}, Path: s.path, Member: bad.Member, Format: bad.Format, Shard: discovery.NoShard}
		s.got(m, bad)
	case len(name) > serverset.MaxName, serverset.ByName(name) == serverset.Nerve && (o.Format == "" || o.Format == serverset.Nerve):
		s.got(m, o.Decode(s.place, name, nil)) // nothing to read: it is too long, or says everything
	default:
		s.get(m, false)
	}
}

// drop ends a member.
func (s *set) drop(name string) {
	m := s.members[name]
	if m == nil {
		return
	}
	delete(s.members, name)
	switch {
	case !m.read:
		s.unread--
		s.touch(joinDelay) // others may wait for it only
	case !m.no:
		if m.m.Err != nil {
			s.unparsable--
		}
		s.touch(leaveDelay)
	}
}

// maxDataWatches bounds the one-shot watches on members' data where the server has no recursive ones; beyond it their changes are seen by the next walk.
const maxDataWatches = 100_000

// get reads a member, urgently or when there is time.
func (s *set) get(m *member, refresh bool) {
	if m.reading {
		m.again = true
		return
	}
	m.reading = true
	s.t.m.reads.Inc()
	path, t := join(s.path, m.name), s.t
	read := t.s.Get
	if _, _, _, err := serverset.ParseKingPinName(m.name); err == nil && !t.state.recursive && t.feed.watches() < maxDataWatches {
		read = func(ctx context.Context, path string) ([]byte, Stat, error) { return t.s.getWatch(ctx, t.feed, path) }
	}
	o := s.options()
	q := &t.urgent
	if refresh {
		q = &t.refresh
	}
	q.push(job{t, t.state.epoch, func(ctx context.Context) func() {
		data, st, err := read(ctx, path)
		var got discovery.Member
		no := false
		if err == nil || errors.Is(err, ErrNoAuth) || errors.Is(err, ErrTooBig) {
			got, no = decode(o, s.place, m.name, data, st, err)
		}
		return func() { s.answered(m, got, no, err) }
	}})
}

// decode runs in a worker.
func decode(o serverset.Options, p serverset.Place, name string, data []byte, st Stat, err error) (m discovery.Member, no bool) {
	m = o.Decode(p, name, data)
	m.Zxid = st.Czxid
	switch {
	case err != nil && m.Err != nil: // the name of a KingPin member is enough; of others it is not
		m.Err = fmt.Errorf("cannot be read: %w", err)
	case m.Err != nil && st.NumChildren > 0, errors.Is(m.Err, serverset.ErrUntold) && st.EphemeralOwner == 0 && len(data) == 0:
		no = true
	}
	return m, no
}

func (s *set) answered(m *member, got discovery.Member, no bool, err error) {
	m.reading = false
	if s.t.sets[s.path] != s || s.members[m.name] != m {
		return // gone meanwhile
	}
	switch {
	case m.again:
		m.again = false
		s.get(m, false)
	case err == nil, errors.Is(err, ErrNoAuth), errors.Is(err, ErrTooBig):
		m.no = no
		s.got(m, got)
	case errors.Is(err, ErrNoNode):
		s.drop(m.name)
	default: // no answer in time
		m.reading = true
		epoch := s.t.state.epoch
		s.t.after(time.Second+rand.N(2*time.Second), func() {
			if s.t.state.epoch == epoch && s.members[m.name] == m {
				m.reading = false
				s.get(m, false)
			}
		})
	}
}

// got takes what a member says.
func (s *set) got(m *member, got discovery.Member) {
	was, first := m.m, !m.read
	got.Source, got.Path = s.t.cfg.Name, s.path
	if !first && was.Instance == got.Instance && text(was.Err) == text(got.Err) {
		return
	}
	m.m, m.read = &got, true
	if first {
		s.unread--
	} else if was.Err != nil {
		s.unparsable--
	}
	if got.Err != nil && !m.no {
		s.unparsable++
	}
	s.touch(joinDelay)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
