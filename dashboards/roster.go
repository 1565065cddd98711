package dashboards

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

const (
	// settle is how long a service gathers when it is first seen: who joins in it replaces nobody, and versions seen in it are not new.
	settle = 15 * time.Second
	// replaceWithin is how far a leave and the join that makes up for it may be apart, where the roster does not say who replaced whom.
	replaceWithin = 2 * time.Minute
	// forgetAfter is how long one of whom the roster says nothing is kept after its last scrape.
	forgetAfter = 15 * time.Minute
)

// RosterChange takes one entry's move in.
func (b *Board) RosterChange(c discovery.Change) {
	s := b.service(c.Service, c.Env)
	if s == nil {
		return
	}
	s.mu.Lock()
	d, first := s.enter(c.Entry, c.At, true)
	s.mu.Unlock()
	if first {
		b.ledger.join(d)
	}
}

// RosterState takes the full state of a service in, as of at: who is not among the entries is not on the roster any more.
func (b *Board) RosterState(name, env string, entries []discovery.Entry, at time.Time) {
	s := b.service(name, env)
	if s == nil {
		return
	}
	var joins []time.Duration
	s.mu.Lock()
	s.rostered = true
	named := make(map[string]bool, len(entries))
	for _, e := range entries {
		named[e.ID()] = true
		if d, first := s.enter(e, at, false); first {
			joins = append(joins, d)
		}
	}
	for id := range s.broken {
		if !named[id] {
			delete(s.broken, id)
		}
	}
	for _, in := range s.instances {
		if in.roster != nil && !named[in.roster.ID()] {
			in.roster = nil
		}
	}
	s.mu.Unlock()
	for _, d := range joins {
		b.ledger.join(d)
	}
}

// enter puts an entry in its place and tells the events of a change. It returns how long the instance took from joining to its first snapshot, once.
func (s *service) enter(e discovery.Entry, at time.Time, change bool) (joined time.Duration, first bool) {
	s.rostered, s.ownerAt = true, 0
	t := ms(at)
	if j := ms(e.Joined); j > 0 && (s.firstSeen == 0 || j < s.firstSeen) {
		s.firstSeen = j
	}
	if e.Host == "" {
		s.broken[e.ID()] = e
		return 0, false
	}
	in := s.instance(e.Addr())
	was := in.roster
	if was != nil && was.Path != e.Path && e.State == discovery.Departed && was.State != discovery.Departed && was.Since.After(e.Since) {
		return 0, false // an old word about another path
	}
	version, track := in.tag(TagVersion), in.tag(TagTrack)
	in.roster, in.rosterAt = &e, t
	if was != nil || in.last > 0 {
		in.moved(t, TagVersion, version, in.tag(TagVersion))
		in.moved(t, TagTrack, track, in.tag(TagTrack))
	}
	if e.State.Scraped() {
		s.versionSeen(in, version, t, &s.entered)
	}
	if change {
		s.rosterEvent(in, was, &e, t)
	}
	if in.last > 0 && in.seenFirst.After(e.Joined) {
		return in.joinTook(in.seenFirst)
	}
	return 0, false
}

// firstSeen notes when an instance's first snapshot came, and how long after its joining that was.
func (in *instance) firstSeen(r *Record) (time.Duration, bool) {
	if in.seenFirst.IsZero() || in.roster != nil && in.joinNoted != ms(in.roster.Joined) && in.seenFirst.Before(in.roster.Joined) {
		in.seenFirst = r.Seen
	}
	if in.roster == nil || r.Time.Before(in.roster.Joined.Add(-time.Second)) {
		return 0, false
	}
	return in.joinTook(r.Seen)
}

func (in *instance) joinTook(seen time.Time) (time.Duration, bool) {
	j := ms(in.roster.Joined)
	if j == 0 || j == in.joinNoted || !in.roster.State.Scraped() {
		return 0, false
	}
	in.joinNoted = j
	return max(seen.Sub(in.roster.Joined), 0), true
}

// expected reports whether the instance should answer, apart from those who left; implied: only its snapshots say so.
func (in *instance) expected(rostered bool, now int64) (yes, implied bool) {
	if in.roster != nil {
		return in.roster.State.Scraped(), false
	}
	if !rostered {
		// No roster at all: whoever answered lately is expected.
		return in.last > 0 && now-in.heard() <= discovery.MissedFor.Milliseconds(), true
	}
	// The roster's word may come a moment after the first snapshot.
	return in.last > 0 && now-in.heard() <= max(3*int64(in.pause()), 15_000), true
}

// tally is who should answer, who is there and who does.
type tally struct {
	expected, present, answering, missing int
	every                                 time.Duration // the longest interval at which any of those who answer is pulled now
}

// count fills the tally, and the lists of who is missing and who is silent if asked for. The caller holds the lock.
func (s *service) count(now int64, missing, silent *[]*instance) tally {
	return s.countIn("", now, missing, silent)
}

// countIn is count of those in a region: over all regions the tallies add up to that of the service.
func (s *service) countIn(region string, now int64, missing, silent *[]*instance) tally {
	var t tally
	var gone, flapping []*instance
	if s.moves() {
		gone, flapping = s.unexcused(now), s.flapping(now)
		gone = slices.DeleteFunc(gone, func(in *instance) bool { return !in.in(region) })
	}
	t.expected, t.missing = len(gone), len(gone)
	if missing != nil {
		*missing = gone
	}
	for _, in := range s.instances {
		yes, implied := in.expected(s.rostered, now)
		if !yes || !in.in(region) {
			continue
		}
		if !implied && in.roster.State == discovery.Quarantined && flapping == nil && !in.answering(now) {
			continue // it comes and goes, and no others of its service: nobody is to be called for it
		}
		t.expected++
		if implied || in.roster.State != discovery.Unconfirmed {
			t.present++
		}
		if in.answering(now) {
			t.answering++
			t.every = max(t.every, in.interval)
		} else if silent != nil && (in.last > 0 || !in.behind(now) && now-in.known() > max(3*int64(in.pause()), 10_000)) {
			*silent = append(*silent, in)
		}
	}
	return t
}

// moves reports whether anybody has left or comes and goes, as far as the roster knows: mostly nobody does.
func (s *service) moves() bool {
	for _, in := range s.instances {
		if e := in.roster; e != nil && (e.State == discovery.Departed || e.State == discovery.Quarantined || e.Flaps >= comesAndGoes) {
			return true
		}
	}
	return false
}

// comesAndGoes is how often one has to have left and come back for its being away to count as a part of that.
const comesAndGoes = 3

// flapping are those who come and go, if they are so many of the service that it is the service that does: nil for one alone. One of them that has just left is one of them
// still.
func (s *service) flapping(now int64) []*instance {
	var out []*instance
	of := 0
	for _, in := range s.instances {
		e := in.roster
		if e == nil {
			continue
		}
		away := e.Flaps >= comesAndGoes && e.Missing(time.UnixMilli(now))
		if away || e.State.Scraped() {
			of++
		}
		if away || e.State == discovery.Quarantined {
			out = append(out, in)
		}
	}
	if !discovery.ManyFlap(len(out), of) {
		return nil
	}
	slices.SortFunc(out, func(a, b *instance) int { return strings.Compare(a.addr, b.addr) })
	return out
}

// known is when the instance was first heard of.
func (in *instance) known() int64 {
	if in.roster != nil {
		return ms(in.roster.Joined)
	}
	return in.begun
}

// unexcused are those who left in the last 15 minutes and whom nothing excuses, by the roster's word.
func (s *service) unexcused(now int64) []*instance {
	var out, untold []*instance
	for _, in := range s.instances {
		e := in.roster
		switch {
		case e == nil || e.State != discovery.Departed || now-ms(e.Since) >= discovery.MissedFor.Milliseconds():
		case e.Cause == "" && e.Excuse == "":
			untold = append(untold, in)
		case e.Excuse == "":
			out = append(out, in)
		}
	}
	out = append(out, s.unreplaced(untold)...)
	slices.SortFunc(out, func(a, b *instance) int {
		return cmp.Or(a.roster.Since.Compare(b.roster.Since), strings.Compare(a.addr, b.addr))
	})
	return out
}

// unreplaced are those of left whom nobody replaced, where an older collector says neither cause nor excuse: an instance that joined the service within two minutes
// of the leave, and not when the service gathered, makes up for one.
func (s *service) unreplaced(left []*instance) []*instance {
	if len(left) == 0 {
		return nil
	}
	var joins []int64
	for _, in := range s.instances {
		if in.roster != nil && in.roster.State.Scraped() {
			if j := ms(in.roster.Joined); j > s.firstSeen+settle.Milliseconds() {
				joins = append(joins, j)
			}
		}
	}
	slices.Sort(joins)
	slices.SortFunc(left, func(a, b *instance) int {
		return cmp.Or(a.roster.Since.Compare(b.roster.Since), strings.Compare(a.addr, b.addr))
	})
	out := left[:0]
	for _, in := range left {
		t := ms(in.roster.Since)
		i, _ := slices.BinarySearch(joins, t-replaceWithin.Milliseconds())
		if i < len(joins) && joins[i] <= t+replaceWithin.Milliseconds() {
			joins = slices.Delete(joins, i, i+1)
			continue
		}
		out = append(out, in)
	}
	return out
}

// state is how the page calls where an instance stands.
func (s *service) state(in *instance, now int64) (state discovery.State, reason string, since int64) {
	if in.roster != nil {
		return in.roster.State, in.roster.Reason, ms(in.roster.Since)
	}
	if yes, _ := in.expected(s.rostered, now); yes {
		return discovery.Present, "known by its snapshots; the roster does not have it", in.begun
	}
	return discovery.Departed, "no snapshot any more, and the roster does not have it", in.last
}

// expire drops what is older than the window: values, then instances that nobody speaks of.
func (s *service) expire(cutoff, now int64) {
	for addr, in := range s.instances {
		in.trim(cutoff)
		old := in.heard() < now-forgetAfter.Milliseconds() && in.last < cutoff
		left := in.roster == nil || in.roster.State == discovery.Departed && ms(in.roster.Since) < cutoff
		if old && left && len(in.blocks) == 0 && len(in.head) == 0 {
			s.drop(in)
			delete(s.instances, addr)
		}
	}
	s.events.trim(now - eventsFor.Milliseconds())
}

// drop takes an instance's share out of the columns.
func (s *service) drop(in *instance) {
	for c, n := range in.cols {
		s.leave(&s.cols[n], in.state[c].vote)
	}
	for k := range s.hists {
		if k.in == in {
			delete(s.hists, k)
		}
	}
}

// gone reports a service of which nothing is left.
func (s *service) gone() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.instances) == 0 && len(s.broken) == 0
}

func (s *service) bytes() int {
	n := 128*len(s.cols) + 24*len(s.ring.rate)
	for _, in := range s.instances {
		n += in.bytes()
	}
	return n
}
