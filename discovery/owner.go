package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// hold and release keep the index of who holds a record, the sizes of sets and what each session holds.
func (r *Roster) hold(s *heldSet, m *Member, now time.Time) {
	rec := r.record(&m.Instance, now)
	h := hold{s, m}
	if slices.Contains(rec.holds, h) {
		return
	}
	first := !rec.in(s)
	i, _ := slices.BinarySearchFunc(rec.holds, h, compareHolds) // before its equals: a later word of the same member wins
	rec.holds = slices.Insert(rec.holds, i, h)
	if m.Err != nil {
		s.unparsable++
	} else if first {
		r.grow(s, 1)
	}
	if m.Owner != 0 {
		r.owners[m.Owner]++
	}
	r.look(rec)
}

func (r *Roster) release(s *heldSet, m *Member) {
	rec := r.lookup(&m.Instance)
	if rec == nil {
		return
	}
	i := slices.Index(rec.holds, hold{s, m})
	if i < 0 {
		return
	}
	rec.holds = slices.Delete(rec.holds, i, i+1)
	if len(rec.holds) <= 1 { // back to the room that it has for one: nothing is to be kept of the member that went, nor of a list that was longer for a moment
		last := [1]hold{}
		n := copy(last[:], rec.holds)
		rec.one = last
		rec.holds = rec.one[:n]
	}
	if m.Err != nil {
		s.unparsable--
	} else if !rec.in(s) {
		r.grow(s, -1)
	}
	if m.Owner != 0 {
		if r.owners[m.Owner]--; r.owners[m.Owner] <= 0 {
			delete(r.owners, m.Owner)
		}
	}
	r.look(rec)
}

// look puts a record on the list of those that a batch has to look at, once.
func (r *Roster) look(rec *record) {
	if rec.mark != r.batch {
		rec.mark = r.batch
		r.touch = append(r.touch, rec)
	}
}

func (rec *record) in(s *heldSet) bool {
	return slices.ContainsFunc(rec.holds, func(h hold) bool { return h.set == s })
}

// compareHolds orders by source and path, and within a set the newest registration first: it speaks.
func compareHolds(a, b hold) int {
	return cmp.Or(a.set.compare(b.set.setKey), cmp.Compare(b.m.Zxid, a.m.Zxid), strings.Compare(a.m.Member, b.m.Member))
}

// verdict is what the roster makes of one set's word about a record.
type verdict struct {
	hold
	inst   *Instance // after the filter
	state  State     // as if the set had just been read
	reason string    // of the state
}

// judge puts a member through the filter, in the room of made. What the filter makes of it is inst again if that is the same.
func (r *Roster) judge(h hold, inst, made *Instance) verdict {
	m := h.m
	v := verdict{hold: h, inst: &m.Instance, state: Present}
	switch {
	case m.Err != nil:
		v.state, v.reason = Unparsable, m.Err.Error()
		return v
	case m.Status == string(Failing):
		v.state, v.reason = Failing, "its own checks fail; its agent keeps it in the serverset"
	case m.Status == Leaving:
		v.reason = "it is about to leave"
	}
	if r.opts.Filter == nil {
		return v
	}
	*made = m.Instance
	if why, keep := r.opts.Filter(made); !keep {
		v.state, v.reason = Filtered, why
	}
	made.Key, made.RuledScheme = m.Key, made.Scheme != m.Scheme
	switch {
	case *made == m.Instance:
	case inst != nil && *inst == *made:
		v.inst = inst
	default:
		c := *made
		v.inst = &c
	}
	return v
}

// owner is the word of the set that a record belongs to, and those of other jobs that would pull it, too. Some set must hold it.
func (r *Roster) owner(rec *record, made *Instance) (own verdict, others []verdict) {
	found := false
	for i, h := range rec.holds {
		if i > 0 && h.set == rec.holds[i-1].set {
			continue // an older name of the same
		}
		v := r.judge(h, rec.inst, made)
		switch kept := v.state.Scraped(); {
		case kept && !found:
			own, found = v, true
		case kept && JobOf(h.set.source) != JobOf(own.set.source):
			others = append(others, v)
		case i == 0:
			own = v
		}
	}
	return own, others
}

// settle brings a record that some set holds to what the sets say.
func (r *Roster) settle(rec *record, now time.Time, out []Change) []Change {
	own, others := r.owner(rec, &r.judged)
	state, reason := own.state, own.reason
	for i, o := range others {
		if job := JobOf(o.set.source); i == 0 || job != JobOf(others[i-1].set.source) {
			reason = strings.TrimPrefix(reason+"; seen by job "+job+" too, which does not pull it", "; ")
		}
	}
	was, x := rec.state, rec.x
	if own.set.loaded && state.Scraped() {
		if was == Unconfirmed {
			reason = rec.reason
		} else {
			reason = unconfirmed(own.set.verified)
		}
		state = Unconfirmed
	}
	fresh := was == "" || was == Departed
	left := int64(0)
	if was == Departed {
		left = rec.x.left
		out = r.flapped(rec, now, out)
		x = rec.x
	}
	if !fresh && !was.Scraped() && state.Scraped() {
		rec.g.low++ // a rule or its data kept it out: the service is as large as it was
	}
	if x != nil {
		if x.guard != nil {
			rec.tell(now, "back", "in "+own.set.path+" again", own.m.Zxid)
			r.free(rec)
		}
		x.cause, x.excuse, x.left, x.answers, x.owner = "", "", 0, 0, 0
		if x.quiet && (state == Present || state == Failing) {
			state, reason = Quarantined, quarantined(x.flaps)
		}
	}
	if !fresh && was == state && rec.reason == reason && rec.inst.Same(own.inst) {
		r.number(rec, -1) // what only the registrar's names tell may differ
		rec.inst = own.inst
		r.number(rec, 1)
		return out
	}
	var old Tags
	if !fresh && rec.inst.Tags != own.inst.Tags {
		old = rec.inst.Tags
		if rec.inst.Zxid != 0 || own.inst.Zxid == 0 { // else it was known by its name only, and this is its first word
			rec.tell(now, "changed", difference(old, own.inst.Tags), own.m.Zxid)
		}
	}
	rec.reason = reason
	if fresh {
		rec.joined = nanos(now)
	}
	r.set(rec, state, own.inst, now)
	switch {
	case was == Departed:
		rec.tell(now, "joined again", own.set.path, own.m.Zxid)
	case was != "" && was != state:
		rec.tell(now, string(state), reason, own.m.Zxid)
	}
	c := r.change(rec, was, now)
	if !fresh && old != own.inst.Tags {
		c.OldTags = old
	}
	out = append(out, c)
	if fresh && state.Scraped() && !own.set.loaded {
		out = r.arrived(rec, left, now, out)
	}
	return out
}

// difference is what changed between two lists of tags, in words.
func difference(was, is Tags) string {
	var out []string
	for n, v := range is.All() {
		switch old := was.Get(n); {
		case old == "":
			out = append(out, n+" is "+v)
		case old != v:
			out = append(out, n+" "+old+" → "+v)
		}
	}
	for n := range was.All() {
		if is.Get(n) == "" {
			out = append(out, n+" is gone")
		}
	}
	return strings.Join(out, ", ")
}

// Shadowed is what a second job sees of endpoints that another job pulls, in order: as entries that are Filtered, with the reason. They are in neither Entries nor
// Targets, where each endpoint of a service stands once.
func (r *Roster) Shadowed() []Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Entry
	var made Instance
	for _, g := range r.groups {
		for _, rec := range g.records {
			if len(rec.holds) < 2 {
				continue
			}
			own, others := r.owner(rec, &made)
			for _, o := range others {
				out = append(out, Entry{Instance: *o.inst, State: Filtered, Reason: "seen by job " + JobOf(own.set.source) + " too, which pulls it",
					Verified: r.verified(o.set), Since: clock(rec.since), Joined: clock(rec.joined)})
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(a.Key.Compare(b.Key), strings.Compare(a.Source, b.Source), strings.Compare(a.Path, b.Path))
	})
	return out
}
