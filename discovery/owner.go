package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// hold and release keep the index of who holds an id.
func (r *Roster) hold(id string, h *heldSet) {
	hs := r.holders[id]
	if i, has := slices.BinarySearchFunc(hs, h, func(a, b *heldSet) int { return a.compare(b.setKey) }); !has {
		r.holders[id] = slices.Insert(hs, i, h)
	}
}

func (r *Roster) release(id string, h *heldSet) {
	hs := slices.DeleteFunc(r.holders[id], func(o *heldSet) bool { return o == h })
	if len(hs) == 0 {
		delete(r.holders, id)
		return
	}
	r.holders[id] = hs
}

// verdict is what the roster makes of one set's word about an id.
type verdict struct {
	*heldSet
	Member        // after the filter
	state  State  // as if the set had just been read
	reason string // of the state
}

func (r *Roster) judge(id string, h *heldSet) verdict {
	v := verdict{heldSet: h, Member: *h.members[id], state: Present}
	switch {
	case v.Err != nil:
		v.state, v.reason = Unparsable, v.Err.Error()
	case v.Status == string(Failing):
		v.state, v.reason = Failing, "its own checks fail; its agent keeps it in the serverset"
	}
	if r.opts.Filter != nil && v.Err == nil {
		if why, keep := r.opts.Filter(&v.Instance); !keep {
			v.state, v.reason = Filtered, why
		}
		v.RuledScheme = v.Scheme != h.members[id].Scheme
	}
	return v
}

// owner is the word of the set that an id belongs to, and those of other jobs that would pull it, too. Some set must hold it.
func (r *Roster) owner(id string) (own verdict, others []verdict) {
	found := false
	for i, h := range r.holders[id] {
		v := r.judge(id, h)
		switch kept := v.state.Scraped(); {
		case kept && !found:
			own, found = v, true
		case kept && JobOf(h.source) != JobOf(own.source):
			others = append(others, v)
		case i == 0:
			own = v
		}
	}
	return own, others
}

// decide brings the entry of an id to what the sets say. An id that none holds any more departs, for the reason why.
func (r *Roster) decide(id string, now time.Time, why string) []Change {
	if len(r.holders[id]) == 0 {
		e := r.entries[id]
		if e == nil || e.State == Departed {
			return nil
		}
		was := e.State
		e.State, e.Reason, e.Since = Departed, why, now
		return []Change{{Entry: *e, Was: was, At: now}}
	}
	own, others := r.owner(id)
	for i, o := range others {
		if job := JobOf(o.source); i == 0 || job != JobOf(others[i-1].source) {
			own.reason = strings.TrimPrefix(own.reason+"; seen by job "+job+" too, which does not pull it", "; ")
		}
	}
	e := r.entries[id]
	if own.loaded && own.state.Scraped() {
		if e != nil && e.State == Unconfirmed {
			own.verified, own.reason = e.Verified, e.Reason
		} else {
			own.reason = unconfirmed(own.verified)
		}
		own.state = Unconfirmed
	}
	if c, moved := r.put(id, own, now); moved {
		return []Change{c}
	}
	return nil
}

func (r *Roster) put(id string, v verdict, now time.Time) (Change, bool) {
	e := r.entries[id]
	if e == nil || e.State == Departed {
		was := State("")
		if e != nil {
			was = Departed
		}
		e = &Entry{Instance: v.Instance, State: v.state, Reason: v.reason, Since: now, Joined: now, Verified: v.verified}
		r.entries[id] = e
		return Change{Entry: *e, Was: was, At: now}, true
	}
	was, same := e.State, e.Same(&v.Instance)
	e.Instance, e.Verified = v.Instance, v.verified
	if was == v.state && e.Reason == v.reason && same {
		return Change{}, false
	}
	if was != v.state {
		e.State, e.Since = v.state, now
	}
	e.Reason = v.reason
	return Change{Entry: *e, Was: was, At: now}, true
}

// Shadowed is what a second job sees of endpoints that another job pulls, in order: as entries that are Filtered, with the reason. They are in neither Entries nor
// Targets, where each endpoint of a service stands once.
func (r *Roster) Shadowed() []Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Entry
	for id, hs := range r.holders {
		if len(hs) < 2 {
			continue
		}
		own, others := r.owner(id)
		for _, o := range others {
			e := Entry{Instance: o.Instance, State: Filtered, Reason: "seen by job " + JobOf(own.source) + " too, which pulls it", Verified: o.verified}
			if was := r.entries[id]; was != nil {
				e.Since, e.Joined = was.Since, was.Joined
			}
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(a.Key.Compare(b.Key), strings.Compare(a.Source, b.Source), strings.Compare(a.Path, b.Path))
	})
	return out
}
