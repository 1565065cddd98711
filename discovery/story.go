package discovery

import "time"

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

// Why tells the story of an entry, by its ID.
func (r *Roster) Why(id string) (Story, error) {
	e, err := r.Find(id)
	if err != nil {
		return Story{}, err
	}
	s := Story{Entry: e, Events: []Event{{At: e.Joined, What: "joined", Detail: e.Path, Zxid: e.Zxid}}}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, h := range r.holders[id] {
		v := r.judge(id, h)
		s.Sources = append(s.Sources, Holding{Source: h.source, Job: JobOf(h.source), Path: h.path, Member: v.Member.Member, Zxid: v.Zxid, Owner: v.Owner,
			Verified: h.verified, Live: r.views[h.source].Live, State: v.state, Reason: v.reason, Pulls: h.source == e.Source && h.path == e.Path && e.State.Scraped()})
	}
	for _, o := range r.orders {
		if o.Covers(e.Path) {
			s.Orders = append(s.Orders, o)
		}
	}
	return s, nil
}
