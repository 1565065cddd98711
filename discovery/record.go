package discovery

import (
	"slices"
	"time"
)

// record is one line of the roster as it is kept: small, for there are as many as the fleet has instances. What only some have is in its extra.
type record struct {
	inst   *Instance // as it is shown: after the filter; the member's own where the filter changed nothing
	state  State
	reason string
	since  int64  // Unix ns
	joined int64  // Unix ns
	holds  []hold // the sets that hold it, by name, newest member first; see Apply
	one    [1]hold
	x      *extra
	g      *group
	mark   uint64 // of the batch that looked at it last
	gone   bool   // it is on the roster no more
}

// hold is one member of a set that speaks of a record. KingPin's members join again under new names, so one set may hold a record several times.
type hold struct {
	set *heldSet
	m   *Member
}

// extra is what is kept of one to whom something has happened beyond joining.
type extra struct {
	cause     Cause
	excuse    string
	left      int64  // Unix ns, when it went from its last set; 0: it is in one
	from      setKey // that set
	path      string // why it went, in words
	verified  int64  // Unix ns, when it was last known to be in it
	guard     *guard // that holds it
	frozen    *Order // that holds it, too, or alone
	answers   int8   // since it vanished: > 0 it answers, < 0 scrapes in a row without an answer
	quiet     bool   // it is quarantined
	penalty   float64
	penaltyAt int64
	flaps     int
	owner     int64 // session that it went with
	events    []Event
}

// eventsKept bounds what is remembered of one entry.
const eventsKept = 24

// endpoint tells the records of a group apart. The host of one that does not parse is its path and name, and its port 0.
type endpoint struct {
	host string
	port uint16
}

func endpointOf(i *Instance) endpoint {
	if i.Host == "" {
		return endpoint{i.Path + "/" + i.Member, 0}
	}
	return endpoint{i.Host, i.Port}
}

// stateCount is how many states there are; see stateIndex.
const stateCount = 7

var states7 = [stateCount]State{Present, Unconfirmed, Quarantined, Failing, Departed, Unparsable, Filtered}

func stateIndex(s State) int { return slices.Index(states7[:], s) }

// group is one service in one environment.
type group struct {
	service, env string
	records      map[endpoint]*record
	counts       [stateCount]int
	zones        map[string]int // who is scraped, by zone
	first        int64          // Unix ns, when it was first heard of
	growth
	quiet      [2]int               // who is quarantined: who is there, and who is away
	saying     int                  // members that say how many should be there
	left, came newcomers            // who may be replaced, and who may replace
	lone       []lonely             // who left within a minute, for no reason that is known
	shrunk     bool                 // some of these have an excuse that is taken back if others follow them
	missing    map[*record]struct{} // departed lately; those that are excused, or back, meanwhile included
}

// restless reports whether so many of the service come and go that it is the service that does.
func (g *group) restless() bool { return ManyFlap(g.quiet[0]+g.quiet[1], g.size()+g.quiet[1]) }

func (g *group) size() int {
	return g.counts[0] + g.counts[1] + g.counts[2] + g.counts[3]
}

// The tags that the roster itself looks at, by their OpenTelemetry names.
const (
	tagVersion = "service.version"
	tagZone    = "cloud.availability_zone"
	tagHost    = "host.name"
	tagRack    = "rack"
)

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func clock(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// group is that of a service, a new one if there is none.
func (r *Roster) group(service, env string, now time.Time) *group {
	k := [2]string{service, env}
	g := r.groups[k]
	if g == nil {
		g = &group{service: service, env: env, records: map[endpoint]*record{}, missing: map[*record]struct{}{}, zones: map[string]int{}, first: nanos(now)}
		r.groups[k] = g
	}
	return g
}

// record is the one of an instance, a new one without a state if there is none.
func (r *Roster) record(i *Instance, now time.Time) *record {
	g := r.group(i.Service, i.Env, now)
	k := endpointOf(i)
	rec := g.records[k]
	if rec == nil {
		rec = &record{g: g}
		rec.holds = rec.one[:0]
		g.records[k] = rec
		if i.Host == "" {
			r.broken[k.host] = rec
		}
	}
	return rec
}

// lookup is the record of an instance, or nil.
func (r *Roster) lookup(i *Instance) *record {
	if g := r.groups[[2]string{i.Service, i.Env}]; g != nil {
		return g.records[endpointOf(i)]
	}
	return nil
}

// set is the only place where a record changes its state or its instance, so that every number stays right.
func (r *Roster) set(rec *record, s State, inst *Instance, now time.Time) {
	r.number(rec, -1)
	if rec.state != s {
		rec.since = nanos(now)
	}
	rec.state, rec.inst = s, inst
	r.number(rec, 1)
	r.touched(rec)
}

// number adds a record to what is counted, or takes it out.
func (r *Roster) number(rec *record, by int) {
	if rec.state == "" {
		return
	}
	n, g := stateIndex(rec.state), rec.g
	r.counts[n] += by
	g.counts[n] += by
	src := r.source(rec.inst.Source)
	src.entries += by
	if rec.state == Present {
		src.present += by
	}
	if rec.state.Scraped() {
		z := rec.inst.Tags.Get(tagZone)
		if g.zones[z] += by; g.zones[z] == 0 {
			delete(g.zones, z)
		}
		if _, says := says(rec.inst); says {
			g.saying += by
		}
	}
	if rec.x != nil && rec.x.quiet {
		g.quiet[map[bool]int{true: 1, false: 0}[rec.state == Departed]] += by
		if by > 0 {
			r.quiet[rec] = true
		} else {
			delete(r.quiet, rec)
		}
	}
}

// forget takes a record off the roster.
func (r *Roster) forget(rec *record) {
	r.number(rec, -1)
	k := endpointOf(rec.inst)
	if rec.g.records[k] == rec {
		delete(rec.g.records, k)
	}
	if rec.inst.Host == "" && r.broken[k.host] == rec {
		delete(r.broken, k.host)
	}
	if rec.x != nil && rec.x.guard != nil {
		r.free(rec)
	}
	rec.gone = true
	r.touched(rec)
	if len(rec.g.records) == 0 {
		delete(r.groups, [2]string{rec.g.service, rec.g.env})
	}
}

// touched has the journal write the record.
func (r *Roster) touched(rec *record) {
	if r.dirty != nil {
		r.dirty[rec] = struct{}{}
	}
}

func (rec *record) more() *extra {
	if rec.x == nil {
		rec.x = &extra{}
	}
	return rec.x
}

// tell adds to what is remembered of a record. The first thing that happens to one brings its joining with it.
func (rec *record) tell(now time.Time, what, detail string, zxid int64) {
	x := rec.more()
	if len(x.events) == 0 && rec.joined != 0 && rec.joined != nanos(now) {
		x.events = append(x.events, rec.joining())
	}
	if len(x.events) >= eventsKept {
		x.events = slices.Delete(x.events, 1, 2) // the first says since when it is known
	}
	x.events = append(x.events, Event{At: now, What: what, Detail: detail, Zxid: zxid})
}

func (rec *record) joining() Event {
	return Event{At: clock(rec.joined), What: "joined", Detail: rec.inst.Path, Zxid: rec.inst.Zxid}
}

// change is the record's move from was, as of now.
func (r *Roster) change(rec *record, was State, now time.Time) Change {
	return Change{Entry: r.entry(rec), Was: was, At: now, Seen: r.source(rec.inst.Source).zxid}
}

// entry is a record as it reads at this moment: one whose source cannot see reads as unconfirmed.
func (r *Roster) entry(rec *record) Entry {
	e := r.plain(rec)
	if e.State != Departed {
		e.Cause, e.Excuse = "", "" // one that a guard holds may have them already
	}
	if e.State == Present {
		if src := r.sources[e.Source]; src != nil && src.away != "" {
			e.State, e.Reason, e.Since = Unconfirmed, src.away, src.awaySince
		}
	}
	return e
}

// plain is a record as it is kept.
func (r *Roster) plain(rec *record) Entry {
	e := Entry{Instance: *rec.inst, State: rec.state, Reason: rec.reason, Since: clock(rec.since), Joined: clock(rec.joined)}
	x := rec.x
	if x != nil {
		e.Verified, e.Cause, e.Excuse, e.Flaps = clock(x.verified), x.cause, x.excuse, x.flaps
	}
	if len(rec.holds) > 0 {
		e.Verified = r.verified(rec.own())
	}
	return e
}

// own is the set whose word is shown, among those that hold the record.
func (rec *record) own() *heldSet {
	for _, h := range rec.holds {
		if h.set.source == rec.inst.Source && h.set.path == rec.inst.Path {
			return h.set
		}
	}
	return rec.holds[0].set
}
