package discovery

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// savedEntry is a record on disk: an entry, with what a filter has made unlike what the source saw, and what time and guards make of it.
type savedEntry struct {
	Entry
	Seen    *Instance  `json:"seen,omitempty"` // before the filter, so that no rule runs twice over one instance
	Also    []Instance `json:"also,omitempty"` // what other sets say of it, before the filter
	Held    *savedHold `json:"held,omitempty"`
	Quiet   bool       `json:"quiet,omitempty"`
	Penalty float64    `json:"penalty,omitempty"`
	Decays  int64      `json:"penalty_at,omitempty"` // Unix ns
	Events  []Event    `json:"events,omitempty"`
}

// savedHold is how a guard holds one.
type savedHold struct {
	Fleet   bool          `json:"fleet,omitempty"`
	Source  string        `json:"source"` // of the set that it left
	Path    string        `json:"path"`
	Why     string        `json:"why"`
	Left    time.Time     `json:"left"`
	Answers int8          `json:"answers,omitempty"`
	Since   time.Time     `json:"since"` // of the guard, with the rest
	Peak    int           `json:"peak"`
	Now     int           `json:"now"`
	Within  time.Duration `json:"within,omitempty"`
	Tripped bool          `json:"tripped,omitempty"`
	Frozen  *Order        `json:"frozen,omitempty"`
}

// savedGroup is what is learnt of a service in time.
type savedGroup struct {
	Service string `json:"service"`
	Env     string `json:"env"`
	Grown   int64  `json:"grown"` // Unix ns, as are the times below; see growth
	Low     int    `json:"low"`
	Floors  [2]int `json:"floors"`
	Era     int64  `json:"era,omitempty"`
	Bids    int64  `json:"bids,omitempty"`
}

// savedSet is when a set was verified.
type savedSet struct {
	Source   string    `json:"source"`
	Path     string    `json:"path"`
	Verified time.Time `json:"verified"`
}

// saved is a record as it goes to disk; ok is false for one that its source says again.
func (r *Roster) saved(rec *record) (s savedEntry, ok bool) {
	if rec.gone || rec.state == "" || rec.state == Unparsable {
		return s, false
	}
	s.Entry = r.plain(rec)
	if len(rec.holds) > 0 {
		own := rec.own()
		first := true
		for i, h := range rec.holds {
			switch {
			case i > 0 && rec.holds[i-1].set == h.set:
			case h.set == own && first:
				if first = false; h.m.Instance != *rec.inst {
					s.Seen = &h.m.Instance
				}
			default:
				s.Also = append(s.Also, h.m.Instance)
			}
		}
		if x := rec.x; own.loaded && x != nil && x.verified != 0 {
			s.Verified = clock(x.verified)
		}
	}
	if x := rec.x; x != nil {
		s.Quiet, s.Penalty, s.Decays, s.Events = x.quiet, x.penalty, x.penaltyAt, slices.Clone(x.events)
		if g := x.guard; g != nil {
			s.Held = &savedHold{Fleet: g.set == nil, Source: x.from.source, Path: x.from.path, Why: x.path, Left: clock(x.left), Answers: x.answers,
				Since: g.since, Peak: g.peak, Now: g.now, Within: g.within, Tripped: g.tripped, Frozen: x.frozen}
		}
	}
	return s, true
}

// loader fills an empty roster with what was on disk.
type loader struct {
	r       *Roster
	now     time.Time
	sets    map[setKey]time.Time // when they were verified
	heard   map[string]time.Time // until when sources said that all they had published was so
	strings map[string]string
}

// share keeps one copy of what many have in common.
func (l *loader) share(texts ...*string) {
	for _, t := range texts {
		if s, ok := l.strings[*t]; ok {
			*t = s
		} else {
			l.strings[*t] = *t
		}
	}
}

func (l *loader) instance(i *Instance) {
	l.share(&i.Service, &i.Env, &i.Source, &i.Path, &i.Format, &i.Status, &i.Scheme, &i.StatsPath)
}

func (l *loader) load(s *savedEntry) {
	r := l.r
	inst := s.Instance
	l.instance(&inst)
	rec := r.record(&inst, l.now)
	rec.joined, rec.reason = nanos(s.Joined), s.Reason
	rec.g.first = min(rec.g.first, rec.joined)
	if s.Penalty != 0 || len(s.Events) > 0 || s.State == Departed || s.Held != nil {
		rec.x = &extra{cause: s.Cause, excuse: s.Excuse, verified: nanos(s.Verified), penalty: s.Penalty, penaltyAt: s.Decays, flaps: s.Flaps, quiet: s.Quiet, events: s.Events}
		if s.Penalty != 0 {
			r.flaps[rec] = true
		}
	}
	switch {
	case s.State == Departed:
		rec.x.left = nanos(s.Since)
		r.set(rec, Departed, &inst, s.Since)
		r.departed(rec, l.now)
		return
	case s.Held != nil:
		l.held(rec, &inst, s)
		return
	}
	seen := &inst
	if s.Seen != nil {
		seen = s.Seen
		l.instance(seen)
	}
	l.member(seen, s.Verified)
	for i := range s.Also {
		l.instance(&s.Also[i])
		l.member(&s.Also[i], s.Verified)
	}
	state, since := s.State, s.Since
	if state.Scraped() {
		since = l.now
		state, rec.reason = Unconfirmed, unconfirmed(r.setOf(setKey{seen.Source, seen.Path}).verified)
	}
	r.set(rec, state, &inst, since)
}

// member puts one into its set as it was.
func (l *loader) member(i *Instance, verified time.Time) {
	h := l.r.setOf(setKey{i.Source, i.Path})
	h.loaded = true
	for _, t := range []time.Time{verified, l.sets[h.setKey], l.heard[i.Source]} {
		if t.After(h.verified) {
			h.verified = t
		}
	}
	l.r.fix(h, i.Format == "static")
	m := &Member{Instance: *i}
	h.members = append(h.members, m)
	l.r.hold(h, m, l.now)
}

// held gives one back to the guard that held it.
func (l *loader) held(rec *record, inst *Instance, s *savedEntry) {
	r, k := l.r, s.Held
	h := r.setOf(setKey{k.Source, k.Path})
	h.loaded = h.loaded || len(h.members) == 0
	x := rec.x
	x.left, x.from, x.path = nanos(k.Left), h.setKey, k.Why
	herd, set := &h.herd, h
	if k.Fleet {
		herd, set = &r.fleet, nil
	}
	g := r.guardOf(herd, set, l.now)
	g.since, g.peak, g.now, g.within, g.tripped = k.Since, k.Peak, k.Now, k.Within, k.Tripped
	if k.Frozen != nil {
		k.Frozen.plain()
		g.frozen = k.Frozen
	}
	rec.inst = inst
	r.keep(rec, g)
	x.answers, x.frozen = k.Answers, k.Frozen
	r.set(rec, Unconfirmed, inst, s.Since)
	if x.excuse == "" {
		herd.lost = append(herd.lost, loss{rec, l.now})
	}
}

// done sizes what was loaded: it counts as seen now, for nobody is to vanish over a restart.
func (l *loader) done() {
	r := l.r
	clear(r.touch)
	r.touch = r.touch[:0]
	for _, src := range r.sources {
		src.configured = true
		for _, h := range src.sets {
			r.sized(h, l.now)
			h.recall(l.now)
		}
	}
	r.fleet.recall(l.now)
	slices.SortFunc(r.gone, func(a, b departure) int { return cmp.Compare(a.since, b.since) })
	for _, g := range r.groups {
		if should := g.size() + len(g.missing); g.low == 0 || g.low > should {
			g.low = should
		}
	}
	r.version++
}

// unconfirmed is the reason of one who is known from the disk only.
func unconfirmed(verified time.Time) string {
	return "last seen " + verified.UTC().Format(time.RFC3339) + ", before a restart; not confirmed since"
}

// rosterFile is the roster.json of version 1.
type rosterFile struct {
	Version int          `json:"v"`
	Entries []savedEntry `json:"entries"`
}

func readV1(file string) ([]savedEntry, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var f rosterFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("load roster %q: %w; starting without it", file, err)
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("load roster %q: version %d is not ours; starting without it", file, f.Version)
	}
	return f.Entries, nil
}
