package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Event is something that happened to one entry.
type Event struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Detail string    `json:"detail,omitempty"`
	Zxid   int64     `json:"zxid,omitempty"` // the newest transaction known then; 0 outside ZooKeeper
}

// Holding is what one set says of an entry, and what our rules make of it.
type Holding struct {
	Source   string    `json:"source"`
	Job      string    `json:"job"`
	Path     string    `json:"path"`
	Member   string    `json:"member,omitempty"`
	Zxid     int64     `json:"zxid,omitempty"`
	Owner    int64     `json:"owner,omitempty"`
	Verified time.Time `json:"verified"`
	Live     bool      `json:"live"`
	State    State     `json:"state"`            // by this set alone
	Reason   string    `json:"reason,omitempty"` // of the state: the rule that drops it, its error
	Pulls    bool      `json:"pulls"`            // it is this set's word that counts
}

// Story is all that made an entry what it is.
type Story struct {
	Entry   Entry     `json:"entry"`
	Sources []Holding `json:"sources"`          // the sets that hold it now
	Guard   *Guard    `json:"guard,omitempty"`  // that holds it
	Orders  []Order   `json:"orders,omitempty"` // that cover its path
	Events  []Event   `json:"events,omitempty"` // oldest first, bounded; of one that only joined: that
}

// Find looks an entry up by its ID.
func (r *Roster) Find(id string) (Entry, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rec := r.find(id)
	if rec == nil {
		return Entry{}, fmt.Errorf("find %q on the roster: no such instance; give service/env/host:port", id)
	}
	return r.entry(rec), nil
}

// find takes an ID apart. Names of services may have slashes in them.
func (r *Roster) find(id string) *record {
	at := strings.LastIndexByte(id, '/')
	if at > 0 {
		if host, port, err := SplitAddr(id[at+1:]); err == nil {
			for cut := at - 1; cut > 0; cut-- {
				if id[cut] != '/' {
					continue
				}
				if g := r.groups[[2]string{id[:cut], id[cut+1 : at]}]; g != nil && g.records[endpoint{host, port}] != nil {
					return g.records[endpoint{host, port}]
				}
			}
		}
	}
	return r.broken[id]
}

// Why tells the story of an entry, by its ID.
func (r *Roster) Why(id string) (Story, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rec := r.find(id)
	if rec == nil {
		return Story{}, fmt.Errorf("find %q on the roster: no such instance; give service/env/host:port", id)
	}
	s := Story{Entry: r.entry(rec)}
	var made Instance
	for i, h := range rec.holds {
		v := r.judge(h, rec.inst, &made)
		pulls := s.Entry.State.Scraped() && h.set == rec.own() && (i == 0 || rec.holds[i-1].set != h.set)
		s.Sources = append(s.Sources, Holding{Source: h.set.source, Job: JobOf(h.set.source), Path: h.set.path, Member: h.m.Member, Zxid: h.m.Zxid, Owner: h.m.Owner,
			Verified: r.verified(h.set), Live: r.source(h.set.source).Live && !h.set.loaded, State: v.state, Reason: v.reason, Pulls: pulls})
	}
	for _, o := range r.orders {
		if o.Covers(rec.inst.Path) {
			s.Orders = append(s.Orders, o)
		}
	}
	s.Events = []Event{rec.joining()}
	if x := rec.x; x != nil {
		if len(x.events) > 0 {
			s.Events = slices.Clone(x.events)
		}
		if x.guard != nil {
			g := x.guard.state()
			s.Guard = &g
		}
	}
	return s, nil
}
