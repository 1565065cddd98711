package discovery

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PathState is what is known of one path and how far it can be believed.
type PathState struct {
	Source     string    `json:"source"`
	Path       string    `json:"path"`
	Service    string    `json:"service,omitempty"` // of its members; empty if it has none
	Env        string    `json:"env,omitempty"`
	Members    int       `json:"members"` // those that do not parse included
	Unparsable int       `json:"unparsable"`
	Verified   time.Time `json:"verified"`        // when the source last knew this to be so
	Live       bool      `json:"live"`            // under watch: verified until the source's server was last heard of
	Stale      bool      `json:"stale"`           // from a server without a quorum
	Loaded     bool      `json:"loaded"`          // from the disk of the last run, not confirmed since
	Err        string    `json:"error,omitempty"` // what is wrong with the source
	Guard      string    `json:"guard,omitempty"` // the verdict of the guard that holds members of it
}

// Group is one service in one environment, in numbers.
type Group struct {
	Service      string `json:"service"`
	Env          string `json:"env"`
	Present      int    `json:"present"`
	Unconfirmed  int    `json:"unconfirmed"`
	Quarantined  int    `json:"quarantined"`
	Failing      int    `json:"failing"`
	Unparsable   int    `json:"unparsable"`
	Filtered     int    `json:"filtered"`
	Departed     int    `json:"departed"`
	Missing      int    `json:"missing"`       // departed without an excuse within MissedFor
	Expected     int    `json:"expected"`      // how many should answer
	ExpectedFrom string `json:"expected_from"` // who says so: ExpectedFromRoster, or Expected.From
}

// ExpectedFromRoster is Group.ExpectedFrom where nobody gave a number: scraped and missing.
const ExpectedFromRoster = "roster"

// Expected is how many instances of a service somebody says there should be.
type Expected struct {
	Count int    `json:"count"`
	From  string `json:"from"` // registration, file or http
}

// Expect sets how many should be there, by service and environment: the full list, the latest call wins.
func (r *Roster) Expect(want map[[2]string]Expected) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = want
}

// Groups is every service on the roster, in order.
func (r *Roster) Groups() []Group {
	now := time.Now()
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Group, 0, len(r.groups))
	for _, g := range r.groups {
		out = append(out, r.groupState(g, now))
	}
	for k, x := range r.expected { // of whom nobody is there, nor was lately
		if r.groups[k] == nil {
			out = append(out, Group{Service: k[0], Env: k[1], Expected: x.Count, ExpectedFrom: x.From})
		}
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Env, b.Env))
	})
	return out
}

// groupState looks at the service's instances only if a source of some is in doubt, or if they say how many they should be.
func (r *Roster) groupState(g *group, now time.Time) Group {
	out := Group{Service: g.service, Env: g.env, ExpectedFrom: ExpectedFromRoster}
	for i, s := range states7 {
		*out.of(s) = g.counts[i]
	}
	if out.Present > 0 && r.doubted() {
		for _, rec := range g.records {
			if rec.state == Present && r.sources[rec.inst.Source].away != "" {
				out.Present--
				out.Unconfirmed++
			}
		}
	}
	for rec := range g.missing {
		if rec.missing(now) {
			out.Missing++
		}
	}
	out.Expected = g.size() + out.Missing
	if x, ok := r.expected[[2]string{g.service, g.env}]; ok {
		out.Expected, out.ExpectedFrom = x.Count, x.From
	} else if g.saying > 0 {
		var newest *Instance
		for _, rec := range g.records {
			if n, ok := says(rec.inst); ok && rec.state.Scraped() && (newest == nil || rec.inst.Zxid > newest.Zxid || rec.inst.Zxid == newest.Zxid && rec.inst.Member > newest.Member) {
				newest, out.Expected, out.ExpectedFrom = rec.inst, n, "registration"
			}
		}
	}
	return out
}

// says is how many instances a member says there should be of its service.
func says(i *Instance) (int, bool) {
	if i.Meta.IsZero() {
		return 0, false
	}
	n, err := strconv.Atoi(i.Meta.Get(MetaExpected))
	return n, err == nil && n > 0
}

// doubted reports whether some source is away.
func (r *Roster) doubted() bool {
	for _, src := range r.sources {
		if src.away != "" {
			return true
		}
	}
	return false
}

func (g *Group) of(s State) *int {
	switch s {
	case Unconfirmed:
		return &g.Unconfirmed
	case Quarantined:
		return &g.Quarantined
	case Failing:
		return &g.Failing
	case Unparsable:
		return &g.Unparsable
	case Filtered:
		return &g.Filtered
	case Departed:
		return &g.Departed
	}
	return &g.Present
}

// Missing reports whether somebody should miss the one of the entry: it departed without an excuse, less than MissedFor ago.
func (e *Entry) Missing(now time.Time) bool {
	return e.State == Departed && e.Excuse == "" && now.Sub(e.Since) < MissedFor
}

// Paths is every path that a source has spoken of, by source and path.
func (r *Roster) Paths() []PathState {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []PathState
	for _, src := range r.sources {
		for _, h := range src.sets {
			p := PathState{Source: h.source, Path: h.path, Members: h.n + h.unparsable, Unparsable: h.unparsable, Verified: r.verified(h), Loaded: h.loaded,
				Live: src.Live && !h.loaded && !h.removed, Err: src.Err, Stale: h.stale || src.ReadOnly}
			if len(h.members) > 0 {
				p.Service, p.Env = h.members[0].Service, h.members[0].Env
			}
			if h.guard != nil {
				p.Guard = h.guard.state().Verdict
			}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b PathState) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Path, b.Path))
	})
	return out
}

// Counts is how many entries are in each state; it costs a look at each source.
func (r *Roster) Counts() map[State]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[State]int, stateCount)
	for i, s := range states7 {
		out[s] = r.counts[i]
	}
	for _, src := range r.sources {
		if src.away != "" {
			out[Present] -= src.present
			out[Unconfirmed] += src.present
		}
	}
	return out
}

// Of is the entries of one service in one environment, in order.
func (r *Roster) Of(service, env string) []Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	g := r.groups[[2]string{service, env}]
	if g == nil {
		return nil
	}
	out := make([]Entry, 0, len(g.records))
	for _, rec := range g.records {
		out = append(out, r.entry(rec))
	}
	sortEntries(out)
	return out
}

// Walk calls f with every entry, in no order, until f returns false. f must not call the roster, nor keep the entry.
func (r *Roster) Walk(f func(*Entry) bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, g := range r.groups {
		for _, rec := range g.records {
			if e := r.entry(rec); !f(&e) {
				return
			}
		}
	}
}

func sortEntries(out []Entry) {
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(a.Key.Compare(b.Key), strings.Compare(a.Path, b.Path), strings.Compare(a.Member, b.Member))
	})
}

// Entries is a copy of the roster, ordered by service, environment, host, port: for few, and for tests.
func (r *Roster) Entries() []Entry {
	r.mu.RLock()
	n := 0
	for _, c := range r.counts {
		n += c
	}
	r.mu.RUnlock()
	out := make([]Entry, 0, n)
	r.Walk(func(e *Entry) bool { out = append(out, *e); return true })
	sortEntries(out)
	return out
}

// Targets is every instance to pull from, in order.
func (r *Roster) Targets() []Instance {
	var out []Instance
	r.Walk(func(e *Entry) bool {
		if e.State.Scraped() {
			out = append(out, e.Instance)
		}
		return true
	})
	slices.SortFunc(out, func(a, b Instance) int { return a.Key.Compare(b.Key) })
	return out
}

// Views is the last word of every source, by name.
func (r *Roster) Views() []View {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []View
	for _, src := range r.sources {
		if src.configured && src.spoke {
			out = append(out, src.View)
		}
	}
	slices.SortFunc(out, func(a, b View) int { return strings.Compare(a.Source, b.Source) })
	return out
}
