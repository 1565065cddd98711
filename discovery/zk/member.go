package zk

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// member is one child of a serverset's node. There are many: it holds nothing that the serverset knows.
type member struct {
	name string
	m    *discovery.Member // as published; nil until something is known of it
	slot int32             // in set.slots; -1: it is not published
	seen uint32            // the last list that had it

	read    bool // m is what it says, not only its name
	no      bool // it is no member: a folder
	over    bool // beyond the limit
	reading bool
	again   bool // it changed while it was read
	watched bool // by a one-shot watch
}

// mayChange reports members whose data is worth reading again after nobody looked: registrars of KingPin's format, ours among them, change it, and so do people who
// make nodes by hand; the data of the others is written once.
func mayChange(m *member) bool {
	return m.no || m.m.Format == string(serverset.KingPin) || m.m.Err != nil || m.m.Owner == 0
}

// maxDataWatches bounds the one-shot watches on members' data where the server has no recursive ones; beyond it their changes are seen by the next walk.
const maxDataWatches = 100_000

// watch says whether a member is to be read with a one-shot watch, and notes that it is.
func (s *set) watch(m *member) bool {
	if s.t.state.recursive || m.watched || s.t.watching >= maxDataWatches {
		return false
	}
	if _, _, _, err := serverset.ParseKingPinName(m.name); err != nil {
		return false
	}
	m.watched = true
	s.t.watching++
	return true
}

// unwatch notes that a member's watch has fired, or is of no more use.
func (s *set) unwatch(m *member) {
	if m.watched {
		m.watched = false
		s.t.watching--
	}
}

// get reads a member, urgently or when there is time.
func (s *set) get(m *member, refresh bool) {
	if m.reading {
		m.again = true
		return
	}
	m.reading = true
	s.t.m.reads.Inc()
	q := &s.t.urgent
	if refresh {
		q = &s.t.refresh
	}
	q.push(wanted{t: s.t, what: readMember, s: s, m: m, name: m.name})
}

// answered takes the answer to get.
func (s *set) answered(q *request) {
	m := q.m
	m.reading = false
	if s.t.sets[s.path] != s || s.members[m.name] != m {
		return // gone meanwhile
	}
	if q.code != 0 {
		s.unwatch(m)
	}
	switch {
	case m.again, q.again():
		m.again = false
		s.get(m, false)
	case q.code == codeNoNode:
		s.drop(m.name)
	case q.code == 0, q.forbidden():
		s.weights.Apply(&q.got.Instance)
		s.got(m, q.got, q.no)
	default: // an error that nobody expects of a read
		s.t.cfg.Log.Warn("cannot read a member; what was known of it stays", "source", s.t.cfg.Name, "path", join(s.path, m.name), "err", q.err())
		if !m.read {
			bad := q.how.Decode(s.place, m.name, nil)
			bad.Err = cmp.Or(bad.Err, fmt.Errorf("cannot be read: %w", q.err()))
			s.got(m, bad, false)
		}
	}
}

// decode reads a member. It is called while its data is at hand.
func (q *request) decode(data []byte) {
	m := q.how.Decode(q.s.place, q.name, data)
	m.Zxid = q.stat.Czxid
	err := q.err()
	switch {
	case err != nil && m.Err != nil: // the name of a KingPin member is enough; of others it is not
		m.Err = fmt.Errorf("cannot be read: %w", err)
	case m.Err != nil && q.stat.NumChildren > 0, errors.Is(m.Err, serverset.ErrUntold) && q.stat.EphemeralOwner == 0 && len(data) == 0:
		q.no = true
	case err == nil:
		serverset.Held(&m.Instance, q.stat.EphemeralOwner)
	}
	q.got = m
}

// guess takes what a member's name says, until it is read. A name that is broken says nothing yet.
func (s *set) guess(m *member, got discovery.Member) {
	if got.Err != nil {
		return
	}
	got.Source, got.Path = s.t.cfg.Name, s.path
	m.m = s.t.guessed(got)
	s.nameless--
	s.show(m)
	if s.published {
		s.touch(joinDelay)
	}
}

// guesses is how many guesses are kept together.
const guesses = 64

// guessed keeps what a name says beside what others say: all of them are of no more use when their members have been read, and then leave no holes of their size
// behind in memory, which nothing else would fill for long.
func (r *run) guessed(m discovery.Member) *discovery.Member {
	if len(r.guesses) == cap(r.guesses) {
		r.guesses = make([]discovery.Member, 0, guesses)
	}
	r.guesses = append(r.guesses, m)
	return &r.guesses[len(r.guesses)-1]
}

// got takes what a member says.
func (s *set) got(m *member, got discovery.Member, no bool) {
	was, first := m.m, !m.read
	got.Source, got.Path = s.t.cfg.Name, s.path
	if !first && m.no == no && was.Instance == got.Instance && text(was.Err) == text(got.Err) {
		return
	}
	bad := func() bool { return m.m != nil && m.m.Err != nil && !m.no }
	if first {
		s.unread--
		if was == nil {
			s.nameless--
		}
	} else if bad() {
		s.unparsable--
	}
	if was == nil || was.Instance != got.Instance || text(was.Err) != text(got.Err) {
		m.m = &got
	}
	m.read, m.no = true, no
	if bad() {
		s.unparsable++
	}
	if no {
		s.hide(m)
	} else {
		s.show(m)
	}
	s.touch(joinDelay)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
