package discovery

import (
	"cmp"
	"slices"
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
	var out []Group
	r.mu.RLock()
	defer r.mu.RUnlock()
	at := map[[2]string]int{}
	for _, e := range r.entries {
		k := [2]string{e.Service, e.Env}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Group{Service: e.Service, Env: e.Env, ExpectedFrom: ExpectedFromRoster})
		}
		g := &out[i]
		*g.of(e.State)++
		if e.State.Scraped() {
			g.Expected++
		} else if e.Missing(now) {
			g.Missing++
			g.Expected++
		}
	}
	for i := range out {
		g := &out[i]
		if x, ok := r.expected[[2]string{g.Service, g.Env}]; ok {
			g.Expected, g.ExpectedFrom = x.Count, x.From
		}
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Env, b.Env))
	})
	return out
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
	for k, h := range r.sets {
		v := r.views[k.source]
		p := PathState{Source: k.source, Path: k.path, Members: len(h.members), Verified: h.verified, Loaded: h.loaded, Live: v.Live && !h.loaded, Err: v.Err, Stale: v.ReadOnly}
		if p.Live && v.LastHeard.After(p.Verified) {
			p.Verified = v.LastHeard
		}
		for _, m := range h.members {
			p.Service, p.Env = m.Service, m.Env
			if m.Err != nil {
				p.Unparsable++
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b PathState) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Path, b.Path))
	})
	return out
}

// Counts is how many entries are in each state.
func (r *Roster) Counts() map[State]int {
	out := map[State]int{}
	for _, e := range r.Entries() {
		out[e.State]++
	}
	return out
}

// Of is the entries of one service in one environment, in order.
func (r *Roster) Of(service, env string) []Entry {
	var out []Entry
	for _, e := range r.Entries() {
		if e.Service == service && e.Env == env {
			out = append(out, e)
		}
	}
	return out
}

// Walk calls f with every entry, in no order, until f returns false. f must not call the roster, nor keep the entry.
func (r *Roster) Walk(f func(*Entry) bool) {
	for _, e := range r.Entries() {
		if !f(&e) {
			return
		}
	}
}
