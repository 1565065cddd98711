package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// GuardOptions say when a set that shrank is not believed. The zero value is the contract that KingPin advertises.
type GuardOptions struct {
	Off         bool
	Shrink      float64       // a set below this part of its peak is not believed; default 0.5
	MinimumSize int           // of the peak, for Shrink to count; default 5. A set that became empty is never believed at once
	Window      time.Duration // how long a peak is remembered; default 10m
	HoldFor     time.Duration // how long those who vanished are held at most; default 1h
	Silent      int           // unanswered scrapes in a row after which one who vanished is believed to be dead; default 3
}

func (o GuardOptions) defaults() GuardOptions {
	o.Shrink, o.MinimumSize, o.Silent = cmp.Or(o.Shrink, 0.5), cmp.Or(o.MinimumSize, 5), cmp.Or(o.Silent, 3)
	o.Window, o.HoldFor = cmp.Or(o.Window, 10*time.Minute), cmp.Or(o.HoldFor, time.Hour)
	return o
}

// FlapOptions shape the damping of those who join and leave fast. The zero value is the default.
type FlapOptions struct {
	Penalty    float64       // of a leave and the join after it; default 1000
	HalfLife   time.Duration // of the penalty; default 5m
	Quarantine float64       // above it one is quarantined; default 3000
	Release    float64       // below it one is released; default 1000
}

func (o FlapOptions) defaults() FlapOptions {
	o.Penalty, o.HalfLife = cmp.Or(o.Penalty, 1000), cmp.Or(o.HalfLife, 5*time.Minute)
	o.Quarantine, o.Release = cmp.Or(o.Quarantine, 3000), cmp.Or(o.Release, 1000)
	return o
}

// FleetScope is the Scope of the guard over all that a roster holds.
const FleetScope = "fleet"

// Guard is a guard that has tripped: who vanished together is held as Unconfirmed, and scraped.
type Guard struct {
	Scope     string    `json:"scope"`            // a path, or FleetScope
	Source    string    `json:"source,omitempty"` // of the path
	Since     time.Time `json:"since"`
	Peak      int       `json:"peak"`      // the most that were verified and believed within the window
	Now       int       `json:"now"`       // how many are left in the set
	Held      int       `json:"held"`      // of those who vanished: not back, not departed
	Answering int       `json:"answering"` // of those held: answered after they vanished
	Silent    int       `json:"silent"`    // of those held: did not answer since
	Verdict   string    `json:"verdict"`   // in words
	Frozen    *Order    `json:"frozen,omitempty"`
}

// guard is a Guard at work.
type guard struct {
	herd    *herd
	set     *heldSet // nil: the fleet's
	since   time.Time
	peak    int
	now     int           // at the trip
	within  time.Duration // from the peak to the trip
	tripped bool          // else an order alone holds them
	frozen  *Order        // of some of its members: the newest
	members map[*record]struct{}
	dead    int // departed since, for they did not answer
	back    int // seen again
	teller  string
}

// herd is what a guard watches: a set, or the fleet.
type herd struct {
	n     int    // endpoints that are in it now
	peaks []peak // the sizes that none later exceeded, within the window
	lost  []loss // who left it lately without an excuse, oldest first
	guard *guard // nil: it has not tripped
}

type peak struct {
	at time.Time // until when it was so; the last: since when
	n  int
}

type loss struct {
	rec *record
	at  time.Time
}

// grow is the only place where a set changes its size.
func (r *Roster) grow(s *heldSet, by int) {
	s.n += by
	if r.guarded(s) {
		r.fleet.n += by
	}
}

// sized notes the size of a set after a batch, and that of the fleet.
func (r *Roster) sized(s *heldSet, now time.Time) {
	s.sized(now, r.opts.Guard.Window)
	r.fleet.sized(now, r.opts.Guard.Window)
}

// sized keeps the peaks falling: a size counts until Window after a smaller one took its place.
func (h *herd) sized(now time.Time, window time.Duration) {
	if len(h.peaks) > 0 && h.peaks[len(h.peaks)-1].n == h.n {
		return
	}
	if n := len(h.peaks); n > 0 {
		h.peaks[n-1].at = now // it was so until now
	}
	for len(h.peaks) > 0 && h.peaks[len(h.peaks)-1].n <= h.n {
		h.peaks = h.peaks[:len(h.peaks)-1]
	}
	h.peaks = append(h.peaks, peak{now, h.n})
	h.prune(now, window)
}

// recall notes that those who were lost count as having been in it until now: a freeze, or a restart, lasts longer than peaks are remembered.
func (h *herd) recall(now time.Time) {
	n := h.n
	for _, l := range h.lost {
		if l.rec.lost() && nanos(l.at) >= l.rec.x.left {
			n++
		}
	}
	if n > h.n && (len(h.peaks) == 0 || h.peaks[0].n < n) {
		h.peaks = slices.Insert(h.peaks, 0, peak{now, n})
	}
}

func (h *herd) prune(now time.Time, window time.Duration) {
	k := 0
	for k < len(h.peaks)-1 && now.Sub(h.peaks[k].at) > window {
		k++
	}
	h.peaks = slices.Delete(h.peaks, 0, k)
	k = 0
	for k < len(h.lost) && now.Sub(h.lost[k].at) > window {
		k++
	}
	h.lost = slices.Delete(h.lost, 0, k)
}

// shrunk reports whether the herd is to be guarded: it is much smaller than its peak less those of it that had an excuse to go. It leaves in lost who of those that
// went is still away.
func (h *herd) shrunk(o GuardOptions, now time.Time) (peak int, trips bool) {
	h.prune(now, o.Window)
	if o.Off || len(h.peaks) == 0 {
		return 0, false
	}
	small := func(peak int) bool {
		return peak > 0 && h.n == 0 || peak >= o.MinimumSize && float64(h.n) < o.Shrink*float64(peak)
	}
	if peak = h.peaks[0].n; !small(peak) {
		return peak, false
	}
	h.lost = slices.DeleteFunc(h.lost, func(l loss) bool { return !l.rec.lost() || nanos(l.at) < l.rec.x.left })
	peak = min(peak, h.n+len(h.lost))
	return peak, small(peak)
}

// lost reports whether one who left is still away, and nothing excuses it but that it left slowly: where too many do, that is no excuse.
func (rec *record) lost() bool {
	return !rec.gone && len(rec.holds) == 0 && rec.x != nil && (rec.x.excuse == "" || rec.x.excuse == slowShrink)
}

// watch trips the guard of a herd if those who went are too many, and gives it those that it holds. It returns who came to be held.
func (r *Roster) watch(h *herd, s *heldSet, now time.Time) (held []*record) {
	since := now
	if len(h.peaks) > 0 {
		since = h.peaks[0].at
	}
	peak, trips := h.shrunk(r.opts.Guard, now)
	if !trips {
		return nil
	}
	if len(h.lost) > 0 {
		since = minTime(since, h.lost[0].at)
	}
	g := h.guard
	for _, l := range h.lost {
		if l.rec.x.guard == nil { // else the set's own guard has it
			g = r.guardOf(h, s, now)
			r.keep(l.rec, g)
			l.rec.x.excuse = ""
			held = append(held, l.rec)
		}
	}
	if g == nil {
		return nil
	}
	if !g.tripped {
		g.tripped, g.since, g.within = true, now, now.Sub(since)
	}
	g.peak, g.now = max(g.peak, peak), h.n
	return held
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (r *Roster) guardOf(h *herd, s *heldSet, now time.Time) *guard {
	if h.guard == nil {
		h.guard = &guard{herd: h, set: s, since: now, peak: h.n, now: h.n, members: map[*record]struct{}{}}
		r.guards[h.guard] = struct{}{}
	}
	return h.guard
}

// keep gives a record to a guard, free takes it from its guard. A guard that holds nobody is over.
func (r *Roster) keep(rec *record, g *guard) {
	x := rec.more()
	x.guard, x.answers = g, 0
	g.members[rec] = struct{}{}
	g.teller = cmp.Or(g.teller, teller(rec.inst))
	r.held.Add(1)
}

func (r *Roster) free(rec *record) {
	g := rec.x.guard
	rec.x.guard, rec.x.frozen = nil, nil
	delete(g.members, rec)
	r.held.Add(-1)
	if len(rec.holds) > 0 {
		g.back++
	}
	if len(g.members) > 0 {
		return
	}
	delete(r.guards, g)
	g.herd.guard = nil
	if g.set != nil {
		r.drop(g.set)
	}
}

// teller is what the members of an instance's format are known from, in words.
func teller(i *Instance) string {
	switch i.Format {
	case "serverset_file", "file_sd":
		return "the file"
	case "http_sd", "static":
		return "the list"
	}
	return "ZooKeeper"
}

func (g *guard) scope() string {
	if g.set == nil {
		return FleetScope
	}
	return g.set.path
}

// reason is that of one whom the guard holds.
func (g *guard) reason(rec *record) string {
	end := "; not seen in " + teller(rec.inst) + " since " + hms(clock(rec.x.verified))
	f := rec.x.frozen
	if f != nil && !g.tripped {
		return frozenBy(f) + end
	}
	what := "in a mass expiry of " + g.scope()
	switch {
	case g.set == nil:
		what = "in a mass expiry of the whole fleet"
	case g.peak < 5:
		what = "nobody is left in " + g.scope()
	}
	text := fmt.Sprintf("%s (%d → %d%s)%s", what, g.peak, g.now, span(g.within), end)
	if f != nil {
		text += "; " + frozenBy(f)
	}
	return text
}

func frozenBy(o *Order) string {
	text := o.Path + " is frozen"
	if o.By != "" {
		text += " by " + o.By
	}
	if !o.Until.IsZero() {
		text += " until " + hms(o.Until)
	}
	if o.Why != "" {
		text += " (" + o.Why + ")"
	}
	return text
}

// hms is a time of day, in UTC.
func hms(t time.Time) string { return t.UTC().Format("15:04:05") }

func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return ""
	case d < 2*time.Minute:
		return fmt.Sprintf(" within %d s", int(d.Round(time.Second).Seconds()))
	}
	return fmt.Sprintf(" within %d min", int(d.Round(time.Minute).Minutes()))
}

// state is the guard for others to see.
func (g *guard) state() Guard {
	out := Guard{Scope: g.scope(), Since: g.since, Peak: g.peak, Now: g.herd.n, Held: len(g.members), Frozen: g.frozen}
	if g.set != nil {
		out.Source = g.set.source
	}
	for rec := range g.members {
		switch {
		case rec.x.answers > 0:
			out.Answering++
		case rec.x.answers < 0:
			out.Silent++
		}
	}
	away, silent, unknown := out.Held+g.dead, out.Silent+g.dead, out.Held-out.Answering-out.Silent
	who := cmp.Or(g.teller, "ZooKeeper")
	switch {
	case !g.tripped && g.frozen != nil:
		out.Verdict = fmt.Sprintf("%s; %d left meanwhile", frozenBy(g.frozen), out.Held)
	case out.Answering > 0 && out.Answering >= silent:
		out.Verdict = fmt.Sprintf("%s, not you: %d of %d that vanished answer", who, out.Answering, away)
	case unknown > 0 || g.dead == 0:
		out.Verdict = fmt.Sprintf("%d of %d vanished from %s; asking them", away, g.peak, who)
		if silent > 0 {
			out.Verdict += fmt.Sprintf(": %d answer, %d do not yet", out.Answering, silent)
		}
	default:
		out.Verdict = fmt.Sprintf("hosts or applications, not %s: %d of %d that vanished do not answer", who, silent, away)
	}
	if g.back > 0 {
		out.Verdict += fmt.Sprintf(", %d are back", g.back)
	}
	return out
}

// Guards is every guard that holds somebody, the fleet's first, then by path and source.
func (r *Roster) Guards() []Guard {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Guard, 0, len(r.guards))
	for g := range r.guards {
		out = append(out, g.state())
	}
	slices.SortFunc(out, func(a, b Guard) int {
		rank := func(g Guard) int {
			if g.Scope == FleetScope {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Scope, b.Scope), strings.Compare(a.Source, b.Source))
	})
	return out
}

// Held is how many are held by guards. It costs one atomic load.
func (r *Roster) Held() int { return int(r.held.Load()) }

// Heard notes that a scrape of k was answered, with whatever status, or was not. While no guard holds anybody it costs one atomic load.
func (r *Roster) Heard(k Key, answered bool, now time.Time) {
	if r.held.Load() == 0 {
		return
	}
	r.mu.RLock() // most are held by nobody
	rec := r.lookup(&Instance{Key: k})
	held := rec != nil && rec.x != nil && rec.x.guard != nil
	r.mu.RUnlock()
	if !held {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec = r.lookup(&Instance{Key: k}); rec == nil || rec.x == nil || rec.x.guard == nil || nanos(now) < rec.x.left {
		return
	}
	switch x := rec.x; {
	case answered:
		x.answers = 1
	case x.answers > 0:
		x.answers = -1
	case x.answers > -100:
		x.answers--
	}
}
