package dashboards

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// keepEnded is how long a finding that is over stays known: "the last finding was six hours ago".
	keepEnded = 24 * time.Hour
	maxKept   = 2000 // findings, and likewise silences and told events
	// sayAgain is how often what stands is told again, so that a reader who goes back for a day finds it.
	sayAgain = 10 * time.Minute
	sayLeast = 2 * time.Second // between two words about one finding, unless it opens, ends or changes its level
	// overAfter is how long a finding that nobody judges must be calm to be over, unknownFor how long it stays where nothing can be said.
	overAfter  = 15 * time.Second
	unknownFor = 10 * time.Minute
)

// book holds the findings of all replicas, and what people said of them. What it is told by notes and what is judged here come together in it: after a restart
// a finding goes on under the name and from the time that it had, although the detector sees it anew.
type book struct {
	mu       sync.Mutex
	findings map[string]*kept
	alias    map[string]string // id of the detector's → id under which it is known
	acks     map[string]stamped[Ack]
	silences map[string]stamped[Silence]
	told     map[string]stamped[ToldEvent]
}

type stamped[T any] struct {
	v    T
	ts   int64
	said time.Time // when this process last told it
}

// kept is one finding with what is known of its telling.
type kept struct {
	Finding
	ts      int64     // of its newest word
	judged  bool      // by this process, at the last tick
	carried time.Time // since when it is ours and open, and nobody judges it
	calm    time.Time // since when it is calm all the same
	ranked  time.Time // when it was last asked what changed before; zero: never
	hash    uint64    // of what was told last
	said    time.Time
	level   string // as it was told
}

func newBook() *book {
	return &book{findings: map[string]*kept{}, alias: map[string]string{}, acks: map[string]stamped[Ack]{}, silences: map[string]stamped[Silence]{}, told: map[string]stamped[ToldEvent]{}}
}

// take takes a note in, and reports whether it was news.
func (k *book) take(n *Note) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch n.Kind {
	case NoteFinding:
		f := k.findings[n.ID]
		if f != nil && (f.judged || n.TS <= f.ts) {
			return false // our own word, come back; or who judges it knows more
		}
		if f == nil {
			if len(k.findings) >= maxKept && !k.dropOldest() {
				return false
			}
			f = &kept{}
			k.findings[n.ID] = f
		}
		f.Finding, f.ts = *n.Finding, n.TS
		f.Ack, f.Silenced = nil, nil
		f.hash, f.said, f.level = f.sum(), time.UnixMilli(n.TS), f.Level // it has been told, whoever did: not once more before something is new
		return true
	case NoteAck: // first go those of findings that are not known any more, then those of such as are over
		return put(k.acks, n.ID, *n.Ack, n.TS, func(id string, a stamped[Ack]) (use int) {
			if f := k.findings[id]; f != nil && f.Ended == nil {
				return needed
			} else if f != nil {
				return 1
			}
			return 0
		})
	case NoteSilence:
		return put(k.silences, n.ID, *n.Silence, n.TS, func(_ string, s stamped[Silence]) (use int) {
			if !s.v.Over && n.TS < s.v.Until {
				return needed
			}
			return 0
		})
	case NoteEvent:
		return put(k.told, n.ID, *n.Event, n.TS, func(string, stamped[ToldEvent]) int { return needed })
	}
	return false
}

// needed is the use of what is never given up for something newer.
const needed = math.MaxInt

// put takes v in, if it is newer than what is known under the id. Where there are as many as are kept, the one of least use goes for it, of several the oldest;
// where all are needed it is not taken.
func put[T any](m map[string]stamped[T], id string, v T, ts int64, use func(id string, v stamped[T]) int) bool {
	old, has := m[id]
	if has && old.ts >= ts {
		return false
	}
	if !has && len(m) >= maxKept {
		least, out := needed, ""
		for other, x := range m {
			if u := use(other, x); u < least || u == least && u < needed && x.ts < m[out].ts {
				least, out = u, other
			}
		}
		if least == needed {
			return false
		}
		delete(m, out)
	}
	m[id] = stamped[T]{v, ts, time.Time{}}
	return true
}

// judgement is what a tick says of the findings.
type judgement struct {
	now    time.Time
	live   bool // else nothing opens or ends
	judged []Finding
	owns   func(service, env string) bool
	still  map[string]verdict  // of those that the detector is silent about: is it so still?
	before map[string][]Change // what else changed before a finding, of some
}

type verdict struct{ on, known bool }

const (
	// rankAgain is how often it is asked what changed before a finding, for a minute: some of it is heard of late. maxRanked bounds how many are asked about at once.
	rankAgain = 10 * time.Second
	rankFor   = time.Minute
	maxRanked = 3
)

// open gives the findings about which the Board is to be asked before they are settled: those that nobody judges, and those of which it is to be said what came before.
func (k *book) open(now time.Time, owns func(service, env string) bool) (unjudged, unranked []Finding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.findings {
		switch {
		case f.Ended != nil:
		case !f.judged:
			if owns == nil || owns(f.Service, f.Env) {
				unjudged = append(unjudged, f.Finding)
			}
		case len(unranked) < maxRanked && (f.ranked.IsZero() || now.Sub(f.ranked) >= rankAgain && now.Sub(time.UnixMilli(f.Since)) < rankFor+rankAgain):
			unranked = append(unranked, f.Finding)
		}
	}
	return unjudged, unranked
}

// settle brings what is judged and what is known together. It gives the list for the page and what the others are to be told.
func (k *book) settle(j judgement) (list []Finding, notes []Note) {
	k.mu.Lock()
	defer k.mu.Unlock()
	here := map[string]bool{}
	for i := range j.judged {
		if f := k.judge(&j.judged[i], j.now); f != nil {
			here[f.ID] = true
		}
	}
	for id, f := range k.findings {
		if f.Ended == nil && !here[id] {
			k.unjudged(f, &j, here)
		}
	}
	for id, f := range k.findings {
		if f.Ended != nil && j.now.Sub(time.UnixMilli(*f.Ended)) > keepEnded {
			delete(k.findings, id)
			delete(k.acks, id)
			continue
		}
		if changes, ok := j.before[id]; ok {
			f.Before, f.ranked = changes, j.now
		}
		if f.Ended != nil {
			f.past()
		}
		f.Text = f.sentence()
		if here[id] || !f.carried.IsZero() {
			if n, ok := f.tell(j.now); ok {
				notes = append(notes, n)
			}
		}
	}
	for id := range k.alias {
		if k.findings[k.alias[id]] == nil {
			delete(k.alias, id)
		}
	}
	notes = k.repeat(notes, &j)
	return k.list(j.now), notes
}

// judge takes over what the detector says of one finding.
func (k *book) judge(in *Finding, now time.Time) *kept {
	id := cmp.Or(k.alias[in.ID], in.ID)
	f := k.findings[id]
	if f == nil && in.Ended == nil {
		if f = k.same(in); f != nil { // known from before a restart, or from who judged it until now
			id = f.ID
			k.alias[in.ID] = id
		}
	}
	if f == nil {
		if len(k.findings) >= maxKept {
			k.dropOldest()
		}
		f = &kept{}
		k.findings[id] = f
	}
	if f.stays(in) {
		f.renew(in)
		f.judged, f.carried, f.calm = true, time.Time{}, time.Time{}
		return f
	}
	since, before, was := f.Since, f.Before, f.Was
	owner, chat, runbook := f.Owner, f.Chat, f.Runbook
	f.Finding = *in
	if f.Ended != nil { // its service may be gone
		f.Owner, f.Chat, f.Runbook = cmp.Or(f.Owner, owner), cmp.Or(f.Chat, chat), cmp.Or(f.Runbook, runbook)
	}
	f.ID, f.Before = id, before
	if since > 0 && since < f.Since && f.Canary == nil { // a verdict counts since it turned
		f.Since, f.Was = since, was
	}
	if f.Ended != nil && *f.Ended < f.Since {
		at := f.Since // not its address: lists that readers have hold Ended, and Since is written again at the next tick
		f.Ended = &at
	}
	f.judged, f.carried, f.calm = f.Ended == nil, time.Time{}, time.Time{}
	return f
}

// same is an open finding that nobody judges and that is about the same as one that has just been found.
func (k *book) same(in *Finding) (best *kept) {
	for _, f := range k.findings {
		if f.Ended == nil && !f.judged && f.Env == in.Env && f.Service == in.Service && trouble(f.Metric) == trouble(in.Metric) &&
			(f.Canary == nil || in.Canary == nil || f.Canary.Version == in.Canary.Version) && (best == nil || f.Since < best.Since) {
			best = f
		}
	}
	return best
}

// trouble is which of a service's findings one about a metric is: it has one of each kind at a time.
func trouble(metric string) string {
	switch metric {
	case "instances", "budget", MetricCanary:
		return metric
	}
	return "signal"
}

// tells reports whether an open finding tells what f did.
func (k *kept) tells(f *kept) bool {
	return k.Ended == nil && k.Env == f.Env && (contains(k.Services, f.Service) || k.Place != "" && k.Place == f.Place || f.Metric == "budget" && k.Service == f.Service && trouble(k.Metric) == "signal")
}

// dropOldest forgets the finding that has been over for longest; false: all are open.
func (k *book) dropOldest() bool {
	var old *kept
	for _, f := range k.findings {
		if f.Ended != nil && (old == nil || *f.Ended < *old.Ended) {
			old = f
		}
	}
	if old == nil {
		return false
	}
	delete(k.findings, old.ID)
	return true
}

// unjudged decides about an open finding of which the detector says nothing.
func (k *book) unjudged(f *kept, j *judgement, here map[string]bool) {
	now := j.now.UnixMilli()
	if f.judged {
		// It was there at the last tick. Another tells it now, or its service is no more.
		f.judged = false
		f.Ended = &now
		for id, o := range k.findings {
			// One about a place may be another's, who told of it.
			if o != f && (here[id] || j.owns != nil && !j.owns(o.Service, o.Env)) && o.tells(f) {
				f.PartOf = o.ID
			}
		}
		f.carried = j.now
		return
	}
	if !j.live || j.owns != nil && !j.owns(f.Service, f.Env) {
		f.carried, f.calm = time.Time{}, time.Time{}
		f.Unheal()
		return
	}
	if f.carried.IsZero() {
		f.carried = j.now
	}
	switch v := j.still[f.ID]; {
	case !v.known && j.now.Sub(f.carried) < unknownFor:
	case v.on && v.known:
		f.calm = time.Time{}
		f.Unheal()
	case f.calm.IsZero():
		f.calm = j.now
		f.Unheal()
		f.Heal(j.now, j.now.Add(overAfter))
	case j.now.Sub(f.calm) >= overAfter:
		t := f.calm.UnixMilli()
		f.Unheal()
		f.Ended = &t
	}
}

// bare is what the others are told of.
func (f *kept) bare() Finding {
	bare := f.Finding
	bare.Ack, bare.Silenced = nil, nil
	return bare
}

// sum tells whether what is told of it is what was.
func (f *kept) sum() uint64 {
	bare := f.bare()
	text, err := json.Marshal(&bare)
	if err != nil { // texts and figures only
		return 0
	}
	h := fnv.New64a()
	h.Write(text)
	return h.Sum64()
}

// tell is what the others are to hear of the finding, if there is anything.
func (f *kept) tell(now time.Time) (Note, bool) {
	bare := f.bare()
	sum := f.sum()
	age := now.Sub(time.UnixMilli(f.Since))
	// What has gone on for long changes little from moment to moment, whatever its digits do.
	pause := min(max(sayLeast, age/10), sayAgain/2)
	first := f.said.IsZero() || f.level != f.Level || f.Ended != nil
	switch {
	case sum == f.hash && (f.Ended != nil || now.Sub(f.said) < sayAgain):
		return Note{}, false
	case sum != f.hash && !first && now.Sub(f.said) < pause:
		return Note{}, false
	}
	f.hash, f.said, f.level, f.ts = sum, now, f.Level, max(now.UnixMilli(), f.ts+1)
	return Note{V: 1, Kind: NoteFinding, ID: f.ID, TS: f.ts, Finding: &bare}, true
}

// repeat tells silences and acknowledgements that stand again, now and then, and forgets what is over.
func (k *book) repeat(notes []Note, j *judgement) []Note {
	now := j.now.UnixMilli()
	mine := func(service, env string) bool { return j.owns == nil || j.owns(service, env) }
	for id, s := range k.silences {
		switch {
		case now > s.v.Until+eventsFor.Milliseconds():
			delete(k.silences, id)
		case !s.v.Over && now < s.v.Until && mine(s.v.Service, s.v.Env) && j.now.Sub(s.said) >= time.Hour && j.live:
			if !s.said.IsZero() || j.now.Sub(time.UnixMilli(s.ts)) >= time.Hour {
				s.ts++
				notes = append(notes, Note{V: 1, Kind: NoteSilence, ID: id, TS: s.ts, Silence: &s.v})
			}
			s.said = j.now
			k.silences[id] = s
		}
	}
	for id, a := range k.acks {
		f := k.findings[id]
		switch {
		case f == nil && j.now.Sub(time.UnixMilli(a.ts)) > 2*keepEnded:
			delete(k.acks, id)
		case f != nil && f.Ended == nil && mine(f.Service, f.Env) && j.now.Sub(a.said) >= time.Hour && j.live:
			if !a.said.IsZero() || j.now.Sub(time.UnixMilli(a.ts)) >= time.Hour {
				a.ts++
				notes = append(notes, Note{V: 1, Kind: NoteAck, ID: id, TS: a.ts, Ack: &a.v})
			}
			a.said = j.now
			k.acks[id] = a
		}
	}
	for id, e := range k.told {
		if now > e.v.At+eventsFor.Milliseconds() {
			delete(k.told, id)
		}
	}
	return notes
}

// parts is the findings that are over because others tell them.
func (k *book) parts() (out []Finding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.findings {
		if f.PartOf != "" && f.Ended != nil {
			out = append(out, f.Finding)
		}
	}
	return out
}

// list is everything that is known, open ones first, newest first, with what people said of it. The caller holds the lock.
func (k *book) list(now time.Time) []Finding {
	out := make([]Finding, 0, len(k.findings))
	for id, f := range k.findings {
		if f.PartOf != "" {
			continue // another tells it
		}
		g := f.Finding
		if a, ok := k.acks[id]; ok && !a.v.Over {
			v := a.v
			g.Ack = &v
		}
		for _, s := range k.silences {
			if s.v.Covers(&g, now.UnixMilli()) && (g.Silenced == nil || s.v.Until > g.Silenced.Until) {
				v := s.v
				g.Silenced = &v
			}
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b Finding) int {
		switch {
		case (a.Ended == nil) != (b.Ended == nil):
			return cmp.Compare(b2i(a.Ended != nil), b2i(b.Ended != nil))
		case a.Ended != nil && *a.Ended != *b.Ended:
			return cmp.Compare(*b.Ended, *a.Ended)
		}
		return cmp.Or(cmp.Compare(b.Since, a.Since), cmp.Compare(a.Level, b.Level), strings.Compare(a.ID, b.ID)) // bad before warn
	})
	return out
}
