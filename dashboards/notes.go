package dashboards

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrRefused is what cannot be taken; the text says why.
var ErrRefused = errors.New("refused")

// ErrNoFinding says that there is no finding of that id.
var ErrNoFinding = errors.New("no such finding")

// Note takes a record of the topic in: of another replica, of one's own last run, or one's own word come back.
func (b *Board) Note(n Note) {
	if n.Kind == NoteAlert {
		if b.opts.Alerted != nil {
			b.opts.Alerted(n)
		}
		return
	}
	b.book.take(&n)
}

// say takes a note in here and tells the others. What is not taken, because there are too many of its kind, nobody is told of.
func (b *Board) say(n Note, what string) error {
	if !b.book.take(&n) {
		return fmt.Errorf("%w: %d %s are known, which is as many as are kept", ErrRefused, maxKept, what)
	}
	if b.opts.Publish != nil {
		b.opts.Publish(n)
	}
	return nil
}

func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

// Acknowledge says that somebody looks after a finding, or, with over, that they do not any more.
func (b *Board) Acknowledge(id string, a Ack) (Finding, error) {
	if err := errors.Join(who("by", a.By), seen("why", a.Why, MaxWords)); err != nil {
		return Finding{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	b.book.mu.Lock()
	f := b.book.findings[id]
	known := f != nil
	ts := time.Now().UnixMilli()
	if old, ok := b.book.acks[id]; ok {
		ts = max(ts, old.ts+1)
	}
	b.book.mu.Unlock()
	if !known {
		return Finding{}, fmt.Errorf("%w: %q; /api/v1/findings lists them", ErrNoFinding, id[:min(len(id), 40)])
	}
	a.At = time.Now().UnixMilli()
	if err := b.say(Note{V: 1, Kind: NoteAck, ID: id, TS: ts, Ack: &a}, "acknowledgements of open findings"); err != nil {
		return Finding{}, err
	}
	b.relist()
	for _, g := range b.Findings() {
		if g.ID == id {
			return g, nil
		}
	}
	return Finding{}, fmt.Errorf("%w: %q is over and forgotten", ErrNoFinding, id)
}

// Silence makes a service quiet for a while.
func (b *Board) Silence(s Silence) (Silence, error) {
	now := time.Now()
	s.At, s.Over = now.UnixMilli(), false
	if err := s.validate(now); err != nil {
		return s, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if len(b.Silences()) >= maxKept/2 {
		return s, fmt.Errorf("%w: %d silences stand already; end some", ErrRefused, maxKept/2)
	}
	s.ID = newID("s")
	if err := b.say(Note{V: 1, Kind: NoteSilence, ID: s.ID, TS: s.At, Silence: &s}, "silences"); err != nil {
		return s, err
	}
	b.relist()
	return s, nil
}

// EndSilence ends one before its time.
func (b *Board) EndSilence(id, by string) (Silence, error) {
	b.book.mu.Lock()
	old, ok := b.book.silences[id]
	b.book.mu.Unlock()
	now := time.Now().UnixMilli()
	if !ok || old.v.Over || now >= old.v.Until {
		return Silence{}, fmt.Errorf("%w: no silence %q stands; /api/v1/silences lists them", ErrNoFinding, id[:min(len(id), 40)])
	}
	if err := named("by", by, true); err != nil {
		return Silence{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	s := old.v
	s.Over, s.Until = true, now
	if err := b.say(Note{V: 1, Kind: NoteSilence, ID: id, TS: max(now, old.ts+1), Silence: &s}, "silences"); err != nil {
		return s, err
	}
	b.relist()
	return s, nil
}

// Silences are those that stand, the one that ends first first.
func (b *Board) Silences() []Silence {
	now := time.Now().UnixMilli()
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	out := []Silence{}
	for _, s := range b.book.silences {
		if !s.v.Over && now < s.v.Until {
			out = append(out, s.v)
		}
	}
	slices.SortFunc(out, func(a, c Silence) int { return cmp.Compare(a.Until, c.Until) })
	return out
}

// Tell takes in what somebody says has happened.
func (b *Board) Tell(e ToldEvent) (ToldEvent, error) {
	now := time.Now()
	if e.At == 0 {
		e.At = now.UnixMilli()
	}
	if err := e.Check(now); err != nil {
		return e, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	e.ID = newID("e")
	return e, b.say(Note{V: 1, Kind: NoteEvent, ID: e.ID, TS: now.UnixMilli(), Event: &e}, "events of the last day")
}

// relist brings what people said into the list that pages see, without waiting for the next tick.
func (b *Board) relist() {
	b.book.mu.Lock()
	list := b.book.list(time.Now())
	b.book.mu.Unlock()
	b.mu.Lock()
	b.findings = list
	b.mu.Unlock()
}

// OwnFindings is the findings of those services that this process owns: it tells others of them. Those that another tells by now are among them, as over: whoever was
// told that they are open is to hear of it.
func (b *Board) OwnFindings() []Finding {
	out := slices.Concat(b.Findings(), b.book.parts())
	if b.opts.Owns == nil {
		return out
	}
	return slices.DeleteFunc(slices.Clone(out), func(f Finding) bool { return !b.opts.Owns(f.Service, f.Env) })
}

// settleFindings brings the judgement of a tick and what is known from notes together, and tells the others.
func (b *Board) settleFindings(now time.Time, judged []Finding) []Finding {
	for i := range judged {
		b.sign(&judged[i])
	}
	j := judgement{now: now, live: b.Feed().State == FeedLive, judged: judged, owns: b.opts.Owns, still: map[string]verdict{}, before: map[string][]Change{}}
	unjudged, unranked := b.book.open(now, b.opts.Owns)
	if j.live {
		for i := range unjudged {
			on, known := b.still(&unjudged[i])
			j.still[unjudged[i].ID] = verdict{on, known}
		}
		for i := range unranked {
			j.before[unranked[i].ID] = b.before(&unranked[i])
		}
	}
	list, notes := b.book.settle(j)
	if b.opts.Publish != nil {
		for _, n := range notes {
			b.opts.Publish(n)
		}
	}
	return list
}

// leftShare is the share of a rise that may be left when it is over.
const leftShare = 0.3

// still says whether what a finding is about is so still, by the service's own figures.
func (b *Board) still(f *Finding) (on, known bool) {
	s := b.find(f.Service, f.Env)
	if s == nil {
		return false, true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if f.Metric == MetricCanary {
		return f.Canary != nil && s.runs(f.Canary.Version) && s.differ(), true
	}
	if f.Metric == "instances" {
		var missing, silent []*instance
		now := b.now().UnixMilli()
		s.count(now, &missing, &silent)
		return len(missing)+len(silent)+len(s.flapping(now)) > 0, true
	}
	x := math.NaN()
	switch f.Metric {
	case "errors":
		x = s.figures.ratio()
	case "latency":
		x = s.figures.lat.Est
	case "rate":
		x = s.figures.rate
	}
	was, is := float64(f.Was), float64(f.Is)
	if math.IsNaN(x) || math.IsNaN(was+is) || was == is {
		return true, false
	}
	return (x-was)/(is-was) > leftShare, true
}
