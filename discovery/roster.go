package discovery

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	Batch   uint64    `json:"-"`                   // Roster.Version after it: of two moves of one entry the later has the higher, in whatever order they are heard of
}

// RosterOptions shape a Roster; the zero value keeps departed members for 24 hours, 100,000 at most, and filters nobody.
type RosterOptions struct {
	// Filter may rewrite an instance (relabelling), but for its Key, and says whether to keep it; reason names the rule that drops it. It must give the same
	// answer for the same instance, must not keep the pointer, and is called under the roster's lock, from several goroutines at once.
	Filter     func(*Instance) (reason string, keep bool)
	KeepFor    time.Duration // how long departed members stay listed
	KeepAtMost int           // how many departed members stay listed
	Guard      GuardOptions
	Flap       FlapOptions
	// NoGuard names the sources whose word is always believed at once, as that of static targets is; nil: none. It is asked whenever a source speaks, and by Refilter,
	// under the roster's lock.
	NoGuard func(source string) bool
}

// Roster holds every instance that should answer or lately should have. It is safe for concurrent use.
//
// A change costs what changed. What walks over all that a roster holds is Entries, Walk, Targets, Shadowed and Refilter; Groups looks at those of a service whose members
// say how many they should be, and at everybody while a source is in doubt.
type Roster struct {
	opts RosterOptions
	held atomic.Int64 // how many are held by guards: Heard looks at nothing else while it is 0
	died atomic.Int64 // how many are in dead

	mu       sync.RWMutex
	sources  map[string]*sourceState
	groups   map[[2]string]*group
	broken   map[string]*record // those that do not parse, by ID
	owners   map[int64]int      // how many members each session holds
	counts   [stateCount]int
	version  uint64
	doubts   uint64
	orders   []Order
	ordered  bool // the orders have changed since the journal wrote them
	expected map[[2]string]Expected

	fleet  herd
	guards map[*guard]struct{}
	quiet  map[*record]bool // who is quarantined
	flaps  map[*record]bool // whose penalty has not decayed
	going  map[int64][]*record
	gone   []departure // by time, and some that are outdated
	dead   []departure // let go lately for they did not answer
	swept  time.Time
	dirty  map[*record]struct{} // what a journal has to write; nil: there is none
	grew   map[*group]struct{}  // as are these
	spoken map[*heldSet]struct{}

	batch   uint64
	in, out []*Member // scratch of diff
	touch   []*record // scratch of Apply
	same    map[*Member]struct{}
	judged  Instance // scratch of judge
}

// sourceState is a source's view, and what it sees.
type sourceState struct {
	View
	sets       map[string]*heldSet
	entries    int // on the roster
	present    int // of these
	zxid       int64
	unguarded  bool
	since      time.Time // when it began not to see; zero: it does
	away       string    // why its present entries read as unconfirmed; empty: they do not
	awaySince  time.Time
	configured bool // it is not forgotten
	spoke      bool // of itself
}

type setKey struct{ source, path string }

// heldSet is what a source said last of a path.
type heldSet struct {
	setKey
	herd
	members    []*Member // before the filter
	verified   time.Time
	stale      bool // read from a server without a quorum
	loaded     bool // it is from the disk, and no source has confirmed it
	removed    bool // the path is gone; kept while a guard holds those who were in it
	static     bool // its members stand in the configuration: who leaves was taken out on purpose
	unparsable int
}

// NewRoster makes an empty roster.
func NewRoster(o RosterOptions) *Roster {
	o.KeepFor = cmp.Or(o.KeepFor, 24*time.Hour)
	o.KeepAtMost = cmp.Or(o.KeepAtMost, 100_000)
	o.Guard, o.Flap = o.Guard.defaults(), o.Flap.defaults()
	return &Roster{opts: o, sources: map[string]*sourceState{}, groups: map[[2]string]*group{}, broken: map[string]*record{}, owners: map[int64]int{},
		guards: map[*guard]struct{}{}, quiet: map[*record]bool{}, flaps: map[*record]bool{}, going: map[int64][]*record{}, same: map[*Member]struct{}{}, grew: map[*group]struct{}{}, spoken: map[*heldSet]struct{}{}}
}

// Apply takes a full set: who is new joins, who changed is updated, who is in no set any more departs, or is held by a guard. It returns what moved. Members that are
// the same pointers as in the set before cost next to nothing, less still in the same order.
//
// An endpoint that several sets hold is one entry. It belongs to the first of them, by the names of sources and then by path, whose rules keep it: whoever spoke
// first, and so the same one after every restart. Where the others are of another job, the entry's Reason names that job, and Shadowed lists them.
func (r *Roster) Apply(s Set, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	src := r.source(s.Source)
	r.believe(src)
	src.configured = true
	if s.Zxid > src.zxid {
		src.zxid = s.Zxid
	}
	held := r.setOf(setKey{s.Source, s.Path})
	return r.done(r.replace(held, s, "left "+s.Path, "", now))
}

// replace makes s the members of held. why and cause are those of whoever is in it no more; an empty cause is to be found.
func (r *Roster) replace(held *heldSet, s Set, why string, cause Cause, now time.Time) []Change {
	if len(s.Members) > 0 {
		r.fix(held, s.Members[0].Format == "static")
	}
	seen := r.verified(held) // before: it is when those who left were last known to be in it
	r.diff(held.members, s.Members)
	r.batch++
	for _, m := range r.in {
		r.hold(held, m, now)
	}
	for _, m := range r.out {
		r.release(held, m)
	}
	lapsed, broken := held.loaded, map[string]error{}
	for _, m := range r.in {
		if m.Err != nil {
			broken[m.Member] = m.Err
		}
	}
	held.members, held.verified, held.stale, held.loaded, held.removed = s.Members, s.Verified, s.Stale, false, false
	if r.dirty != nil {
		r.spoken[held] = struct{}{}
	}
	var out []Change
	var leavers []*record
	for _, rec := range r.touch {
		switch {
		case len(rec.holds) > 0:
			out = r.settle(rec, now, out)
		case rec.state != "" && rec.state != Departed:
			leavers = append(leavers, rec)
		}
	}
	clear(r.touch)
	r.touch = r.touch[:0]
	r.sized(held, now)
	if len(leavers) > 0 {
		out = r.leave(leavers, leaving{held: held, why: why, cause: cause, seen: seen, lapsed: lapsed, broken: broken}, now, out)
	}
	return out
}

// diff leaves in r.in and r.out which members are new and which are gone. Lists in the same order are compared without a map.
func (r *Roster) diff(was, is []*Member) {
	r.in, r.out = r.in[:0], r.out[:0]
	for len(was) > 0 && len(is) > 0 && was[0] == is[0] {
		was, is = was[1:], is[1:]
	}
	for len(was) > 0 && len(is) > 0 && was[len(was)-1] == is[len(is)-1] {
		was, is = was[:len(was)-1], is[:len(is)-1]
	}
	if len(was) == 0 || len(is) == 0 {
		r.in, r.out = append(r.in, is...), append(r.out, was...)
		return
	}
	for _, m := range was {
		r.same[m] = struct{}{}
	}
	for _, m := range is {
		if _, there := r.same[m]; there {
			delete(r.same, m)
		} else {
			r.in = append(r.in, m)
		}
	}
	for _, m := range was {
		if _, left := r.same[m]; left {
			r.out = append(r.out, m)
			delete(r.same, m)
		}
	}
}

// source is the state of one, a new one if there is none.
func (r *Roster) source(name string) *sourceState {
	src := r.sources[name]
	if src == nil {
		src = &sourceState{View: View{Source: name}, sets: map[string]*heldSet{}, unguarded: r.opts.NoGuard != nil && r.opts.NoGuard(name)}
		r.sources[name] = src
	}
	return src
}

// believe asks again whether a source's word is believed at once: over a reload of the configuration a name may come to be another kind of source's.
func (r *Roster) believe(src *sourceState) {
	unguarded := r.opts.NoGuard != nil && r.opts.NoGuard(src.Source)
	if unguarded == src.unguarded {
		return
	}
	for _, h := range src.sets {
		if !h.static {
			r.fleet.n += map[bool]int{true: -h.n, false: h.n}[unguarded]
		}
	}
	src.unguarded = unguarded
}

// fix says whether the members of a set stand in the configuration.
func (r *Roster) fix(h *heldSet, static bool) {
	if static == h.static {
		return
	}
	if !r.source(h.source).unguarded {
		r.fleet.n += map[bool]int{true: -h.n, false: h.n}[static]
	}
	h.static = static
}

// setOf is the held set of k, a new one if there is none.
func (r *Roster) setOf(k setKey) *heldSet {
	src := r.source(k.source)
	held := src.sets[k.path]
	if held == nil {
		held = &heldSet{setKey: k}
		src.sets[k.path] = held
	}
	return held
}

func (k setKey) compare(o setKey) int {
	return cmp.Or(strings.Compare(k.source, o.source), strings.Compare(k.path, o.path))
}

// guarded reports whether a set that shrinks is doubted.
func (r *Roster) guarded(h *heldSet) bool { return !h.static && !r.source(h.source).unguarded }

// verified is when the members of a set were last known to be in it.
func (r *Roster) verified(h *heldSet) time.Time {
	if v := &r.source(h.source).View; v.Live && !h.loaded && !h.removed && v.LastHeard.After(h.verified) {
		return v.LastHeard
	}
	return h.verified
}

// See takes a source's word about itself. A complete view drops the paths that it no longer names, with all their members.
func (r *Roster) See(v View, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done(r.see(v, "", now))
}

func (r *Roster) see(v View, cause Cause, now time.Time) []Change {
	var out []Change
	src := r.source(v.Source)
	if v.Complete {
		there := make(map[string]bool, len(v.Paths))
		for _, p := range v.Paths {
			there[p] = true
		}
		for _, path := range slices.Sorted(maps.Keys(src.sets)) {
			held := src.sets[path]
			if there[path] || held.removed || v.hides(path) {
				continue
			}
			why := path + " was removed"
			if cause == Unconfigured {
				why = "no job looks at " + path + " any more"
			}
			out = append(out, r.replace(held, Set{Verified: held.verified}, why, cmp.Or(cause, PathRemoved), now)...)
			held.removed = true
			r.drop(held)
		}
	}
	v.Paths, v.Hidden = nil, nil
	v.Complete = v.Complete || src.Complete // it has said all, since it began
	src.View, src.configured, src.spoke = v, true, true
	switch {
	case v.Connected && !v.ReadOnly:
		src.since = time.Time{}
		r.back(src)
	case src.since.IsZero():
		src.since = now
	}
	return out
}

// drop forgets a path that is gone, once no guard needs it.
func (r *Roster) drop(h *heldSet) {
	if h.removed && h.guard == nil {
		delete(r.source(h.source).sets, h.path)
	}
}

// hides reports that path may exist unseen.
func (v *View) hides(path string) bool {
	return slices.ContainsFunc(v.Hidden, func(h string) bool { return below(path, h) })
}

// Refilter puts every member through a new filter: after a reload of the configuration. Who was unconfirmed stays so.
func (r *Roster) Refilter(f func(*Instance) (string, bool), now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Filter = f
	for _, src := range r.sources {
		r.believe(src)
	}
	var out []Change
	for _, g := range r.groups {
		for _, rec := range g.records {
			if len(rec.holds) > 0 {
				out = r.settle(rec, now, out)
			}
		}
	}
	return r.done(out)
}

// Forget drops every set of a source that is no longer configured: nobody guards it, and nobody misses who was in it.
func (r *Roster) Forget(source string, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.see(View{Source: source, Complete: true}, Unconfigured, now)
	if src := r.sources[source]; src != nil {
		for _, h := range src.sets {
			if h.guard != nil {
				out = r.end(h.guard, Unconfigured, "no job looks at "+h.path+" any more", "no job looks there any more", now, out)
			}
			h.removed = true
			r.drop(h)
		}
		src.View, src.configured, src.spoke = View{Source: source}, false, false
		src.since = time.Time{}
		r.back(src)
	}
	return r.done(out)
}

func (r *Roster) done(out []Change) []Change {
	if len(out) > 0 {
		r.version++
		for i := range out {
			out[i].Batch = r.version
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Or(a.Key.Compare(b.Key), strings.Compare(a.Member, b.Member)) })
	return out
}

// Version grows with each batch of changes.
func (r *Roster) Version() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.version
}
