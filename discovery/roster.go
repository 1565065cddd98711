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
	Since    time.Time `json:"since"`            // when it came into this state
	Joined   time.Time `json:"joined"`           // when it was first seen, this time
	Verified time.Time `json:"verified"`         // when its path was last verified with it in
	Cause    Cause     `json:"cause,omitempty"`  // of one that departed
	Excuse   string    `json:"excuse,omitempty"` // why nobody misses one that departed; empty: it is missed for MissedFor
	Flaps    int       `json:"flaps,omitempty"`  // how often it left and came back lately
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
	Was     State     `json:"was,omitempty"`
	At      time.Time `json:"at"`
	OldTags Tags      `json:"old_tags,omitzero"`   // before a change of attributes
	Seen    int64     `json:"seen_zxid,omitempty"` // the newest transaction known when it was seen; 0 outside ZooKeeper
}

// RosterOptions shape a Roster; the zero value keeps departed members for 24 hours, 100,000 at most, and filters nobody.
type RosterOptions struct {
	// Filter may rewrite an instance (relabelling) and says whether to keep it; reason names the rule that drops it. It must give the same answer for
	// the same instance.
	Filter     func(*Instance) (reason string, keep bool)
	KeepFor    time.Duration // how long departed members stay listed
	KeepAtMost int           // how many departed members stay listed
	Guard      GuardOptions
	Flap       FlapOptions
	NoGuard    func(source string) bool // sources whose word is always believed at once: static ones; nil: none
}

// Roster holds every instance that should answer or lately should have. It is safe for concurrent use.
type Roster struct {
	opts RosterOptions

	mu      sync.RWMutex
	sets    map[setKey]*heldSet
	holders map[string][]*heldSet // by entry id: the sets that hold it, by name; see Apply
	entries map[string]*Entry
	views   map[string]View
	version uint64

	orders   []Order
	expected map[[2]string]Expected
}

type setKey struct{ source, path string }

// heldSet is what a source said last of a path.
type heldSet struct {
	setKey
	members  map[string]*Member // by entry id, before the filter
	verified time.Time
	loaded   bool // it is from the disk, and no source has confirmed it
}

// NewRoster makes an empty roster.
func NewRoster(o RosterOptions) *Roster {
	o.KeepFor = cmp.Or(o.KeepFor, 24*time.Hour)
	o.KeepAtMost = cmp.Or(o.KeepAtMost, 100_000)
	return &Roster{opts: o, sets: map[setKey]*heldSet{}, holders: map[string][]*heldSet{}, entries: map[string]*Entry{}, views: map[string]View{}}
}

// Apply takes a full set: who is new joins, who changed is updated, who is in no set any more departs. It returns what moved.
//
// An endpoint that several sets hold is one entry. It belongs to the first of them, by the names of sources and then by path, whose rules keep it: whoever spoke
// first, and so the same one after every restart. Where the others are of another job, the entry's Reason names that job, and Shadowed lists them.
func (r *Roster) Apply(s Set, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := setKey{s.Source, s.Path}
	next := make(map[string]*Member, len(s.Members))
	for _, m := range s.Members {
		id := entryID(&m.Instance)
		// One endpoint may stand twice in a set (KingPin joins again under a new name): the newest registration speaks.
		if old, ok := next[id]; ok && old.Zxid > m.Zxid {
			continue
		}
		next[id] = m
	}
	held := r.set(k)
	before := held.members
	held.members, held.verified, held.loaded = next, s.Verified, false
	var out []Change
	for id := range next {
		if _, was := before[id]; !was {
			r.hold(id, held)
		}
		out = append(out, r.decide(id, now, "")...)
	}
	for id := range before {
		if _, still := next[id]; !still {
			r.release(id, held)
			out = append(out, r.decide(id, now, "left "+s.Path)...)
		}
	}
	return r.done(out)
}

// set is the held set of k, a new one if there is none.
func (r *Roster) set(k setKey) *heldSet {
	held := r.sets[k]
	if held == nil {
		held = &heldSet{setKey: k, members: map[string]*Member{}}
		r.sets[k] = held
	}
	return held
}

func (k setKey) compare(o setKey) int {
	return cmp.Or(strings.Compare(k.source, o.source), strings.Compare(k.path, o.path))
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
			if k.source != v.Source || there[k.path] || v.hides(k.path) {
				continue
			}
			delete(r.sets, k)
			for id := range held.members {
				r.release(id, held)
				out = append(out, r.decide(id, now, k.path+" was removed")...)
			}
		}
	}
	v.Paths, v.Hidden = nil, nil
	v.Complete = v.Complete || r.views[v.Source].Complete // it has said all, since it began
	r.views[v.Source] = v
	return r.done(out)
}

// hides reports that path may exist unseen.
func (v *View) hides(path string) bool {
	return slices.ContainsFunc(v.Hidden, func(h string) bool { return path == h || strings.HasPrefix(path, strings.TrimSuffix(h, "/")+"/") })
}

// Refilter puts every member through a new filter: after a reload of the configuration. Who was unconfirmed stays so.
func (r *Roster) Refilter(f func(*Instance) (string, bool), now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Filter = f
	var out []Change
	for id := range r.holders {
		out = append(out, r.decide(id, now, "")...)
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

// Tick does what time does: it forgets those who departed too long ago, and the oldest of too many. Call it about once a second.
func (r *Roster) Tick(now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	type leaver struct {
		id    string
		since time.Time
	}
	var gone []leaver
	for id, e := range r.entries {
		if e.State != Departed {
			continue
		}
		if now.Sub(e.Since) > r.opts.KeepFor {
			delete(r.entries, id)
			continue
		}
		gone = append(gone, leaver{id, e.Since})
	}
	if over := len(gone) - r.opts.KeepAtMost; over > 0 {
		slices.SortFunc(gone, func(a, b leaver) int { return a.since.Compare(b.since) })
		for _, l := range gone[:over] {
			delete(r.entries, l.id)
		}
	}
	return nil
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
		if held := r.sets[setKey{c.Source, c.Path}]; held != nil && c.State != Departed && c.State != Unconfirmed {
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
