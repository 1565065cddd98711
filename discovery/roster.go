package discovery

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// State is where an instance stands on the roster.
type State string

// The states of an Entry. Those before Departed are scraped.
const (
	Present     State = "present"     // in its serverset, as of the last look
	Unconfirmed State = "unconfirmed" // known from before, and no source can confirm or deny it now
	Quarantined State = "quarantined" // joins and leaves too fast; scraped, kept out of alarms
	Failing     State = "failing"     // in its serverset although its own checks fail: its agent keeps it there on purpose
	Departed    State = "departed"    // left; stays listed for a while with when and why
	Unparsable  State = "unparsable"  // a member that cannot be read; Reason says why
	Filtered    State = "filtered"    // dropped by a rule of ours; Reason names the rule
)

// Scraped reports whether instances in this state are pulled from.
func (s State) Scraped() bool {
	return s == Present || s == Unconfirmed || s == Quarantined || s == Failing
}

// Entry is one line of the roster.
type Entry struct {
	Instance
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"`    // when it came into this state
	Joined   time.Time `json:"joined"`   // when it was first seen, this time
	Verified time.Time `json:"verified"` // when its path was last verified with it in
}

// ID tells entries apart: the Key for an instance, path and member for one that does not parse.
func (e *Entry) ID() string { return entryID(&e.Instance) }

func entryID(i *Instance) string {
	if i.Host == "" {
		return i.Path + "/" + i.Member
	}
	return i.Key.String()
}

// Change is one entry's move. Was is empty for one that is new on the roster; Was == State means that attributes changed.
type Change struct {
	Entry
	Was State     `json:"was,omitempty"`
	At  time.Time `json:"at"`
}

// RosterOptions shape a Roster; the zero value keeps departed members for 24 hours, 100,000 at most, and filters nobody.
type RosterOptions struct {
	// Filter may rewrite an instance (relabelling) and says whether to keep it; reason names the rule that drops it. It must give the same answer for
	// the same instance.
	Filter     func(*Instance) (reason string, keep bool)
	KeepFor    time.Duration // how long departed members stay listed
	KeepAtMost int           // how many departed members stay listed
}

// Roster holds every instance that should answer or lately should have. It is safe for concurrent use.
type Roster struct {
	opts RosterOptions

	mu      sync.RWMutex
	sets    map[[2]string]*heldSet // by source and path: what the source said last
	entries map[string]*Entry
	views   map[string]View
	version uint64
}

type heldSet struct {
	members  map[string]Member // by entry id, before the filter
	verified time.Time
	stale    bool
}

// NewRoster makes an empty roster.
func NewRoster(o RosterOptions) *Roster {
	o.KeepFor = cmp.Or(o.KeepFor, 24*time.Hour)
	o.KeepAtMost = cmp.Or(o.KeepAtMost, 100_000)
	return &Roster{opts: o, sets: map[[2]string]*heldSet{}, entries: map[string]*Entry{}, views: map[string]View{}}
}

// Apply takes a full set: who is new joins, who changed is updated, who is in no set any more departs. It returns what moved.
func (r *Roster) Apply(s Set, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := [2]string{s.Source, s.Path}
	next := make(map[string]Member, len(s.Members))
	for _, m := range s.Members {
		m.Source, m.Path = s.Source, s.Path
		id := entryID(&m.Instance)
		// One endpoint may stand twice in a set (KingPin joins again under a new name): the newest registration speaks.
		if old, ok := next[id]; ok && old.Zxid > m.Zxid {
			continue
		}
		next[id] = m
	}
	var before map[string]Member
	if held := r.sets[k]; held != nil {
		before = held.members
	}
	r.sets[k] = &heldSet{members: next, verified: s.Verified, stale: s.Stale}
	var out []Change
	for id, m := range next {
		if e := r.entries[id]; e != nil && e.State != Departed && (e.Source != s.Source || e.Path != s.Path) {
			if _, held := r.holder(e.Source, e.Path, id); held {
				continue // seen by two: it belongs to the one that saw it first
			}
		}
		if c, moved := r.put(m, s.Verified, now); moved {
			out = append(out, c)
		}
	}
	for id := range before {
		if _, still := next[id]; !still {
			out = append(out, r.leave(id, k, now, "left "+s.Path)...)
		}
	}
	return r.done(out)
}

// See takes a source's word about itself. A complete view drops the paths that it no longer names, with all their members.
func (r *Roster) See(v View, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Change
	if v.Complete {
		there := make(map[string]bool, len(v.Paths))
		for _, p := range v.Paths {
			there[p] = true
		}
		for k, held := range r.sets {
			if k[0] != v.Source || there[k[1]] {
				continue
			}
			delete(r.sets, k)
			for id := range held.members {
				out = append(out, r.leave(id, k, now, k[1]+" was removed")...)
			}
		}
	}
	v.Paths = nil
	r.views[v.Source] = v
	return r.done(out)
}

// Refilter puts every member through a new filter: after a reload of the configuration.
func (r *Roster) Refilter(f func(*Instance) (string, bool), now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Filter = f
	var out []Change
	for k, held := range r.sets {
		for id, m := range held.members {
			if e := r.entries[id]; e != nil && [2]string{e.Source, e.Path} == k {
				if c, moved := r.put(m, held.verified, now); moved {
					out = append(out, c)
				}
			}
		}
	}
	return r.done(out)
}

// Forget drops every set of a source that is no longer configured.
func (r *Roster) Forget(source string, now time.Time) []Change {
	out := r.See(View{Source: source, Complete: true}, now)
	r.mu.Lock()
	delete(r.views, source)
	r.mu.Unlock()
	return out
}

// Expire forgets those who departed too long ago, and the oldest of too many.
func (r *Roster) Expire(now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []*Entry
	for id, e := range r.entries {
		if e.State != Departed {
			continue
		}
		if now.Sub(e.Since) > r.opts.KeepFor {
			delete(r.entries, id)
			continue
		}
		gone = append(gone, e)
	}
	if over := len(gone) - r.opts.KeepAtMost; over > 0 {
		slices.SortFunc(gone, func(a, b *Entry) int { return a.Since.Compare(b.Since) })
		for _, e := range gone[:over] {
			delete(r.entries, e.ID())
		}
	}
	return nil
}

// holder is the member that a set holds under id, if it does.
func (r *Roster) holder(source, path, id string) (Member, bool) {
	if held := r.sets[[2]string{source, path}]; held != nil {
		m, ok := held.members[id]
		return m, ok
	}
	return Member{}, false
}

func (r *Roster) put(m Member, verified, now time.Time) (Change, bool) {
	id := entryID(&m.Instance)
	state, reason := Present, ""
	switch {
	case m.Err != nil:
		state, reason = Unparsable, m.Err.Error()
	case m.Status == string(Failing):
		state, reason = Failing, "its own checks fail; its agent keeps it in the serverset"
	}
	if r.opts.Filter != nil && m.Err == nil {
		if why, keep := r.opts.Filter(&m.Instance); !keep {
			state, reason = Filtered, why
		}
	}
	e := r.entries[id]
	if e == nil || e.State == Departed {
		was := State("")
		if e != nil {
			was = Departed
		}
		e = &Entry{Instance: m.Instance, State: state, Reason: reason, Since: now, Joined: now, Verified: verified}
		r.entries[id] = e
		return Change{Entry: *e, Was: was, At: now}, true
	}
	was, same := e.State, e.Same(&m.Instance)
	e.Instance, e.Verified = m.Instance, verified
	if was == state && e.Reason == reason && same {
		return Change{}, false
	}
	if was != state {
		e.State, e.Since = state, now
	}
	e.Reason = reason
	return Change{Entry: *e, Was: was, At: now}, true
}

// leave marks an entry as departed unless another set still holds it; then that set takes it over.
func (r *Roster) leave(id string, from [2]string, now time.Time, why string) []Change {
	e := r.entries[id]
	if e == nil || e.State == Departed || [2]string{e.Source, e.Path} != from {
		return nil
	}
	for k, held := range r.sets {
		if m, ok := held.members[id]; ok && k != from {
			if c, moved := r.put(m, held.verified, now); moved {
				return []Change{c}
			}
			return nil
		}
	}
	was := e.State
	e.State, e.Reason, e.Since = Departed, why, now
	return []Change{{Entry: *e, Was: was, At: now}}
}

func (r *Roster) done(out []Change) []Change {
	if len(out) > 0 {
		r.version++
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.ID(), b.ID()) })
	return out
}

// Version grows with each batch of changes.
func (r *Roster) Version() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.version
}

// Entries is a copy of the roster, ordered by service, environment, host, port.
func (r *Roster) Entries() []Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Entry, 0, len(r.entries))
	for _, e := range r.entries {
		c := *e
		if held := r.sets[[2]string{c.Source, c.Path}]; held != nil && c.State != Departed && c.State != Unconfirmed {
			c.Verified = held.verified
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(a.Key.Compare(b.Key), strings.Compare(a.ID(), b.ID()))
	})
	return out
}

// Targets is every instance to pull from, in order.
func (r *Roster) Targets() []Instance {
	var out []Instance
	for _, e := range r.Entries() {
		if e.State.Scraped() {
			out = append(out, e.Instance)
		}
	}
	return out
}

// Find looks an entry up by its ID.
func (r *Roster) Find(id string) (Entry, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e, ok := r.entries[id]; ok {
		return *e, nil
	}
	return Entry{}, fmt.Errorf("find %q on the roster: no such instance; give service/env/host:port", id)
}

// Views is the last word of every source, by name.
func (r *Roster) Views() []View {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.SortedFunc(maps.Values(r.views), func(a, b View) int { return strings.Compare(a.Source, b.Source) })
}
