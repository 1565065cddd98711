package discovery

import "time"

// GuardOptions say when a set that shrank is not believed. The zero value is the contract that KingPin advertises.
type GuardOptions struct {
	Off         bool
	Shrink      float64       // a set below this part of its peak is not believed; default 0.5
	MinimumSize int           // of the peak, for Shrink to count; default 5. A set that became empty is never believed at once
	Window      time.Duration // how long a peak is remembered; default 10m
	HoldFor     time.Duration // how long those who vanished are held at most; default 1h
	Silent      int           // unanswered scrapes in a row after which one who vanished is believed to be dead; default 3
}

// FlapOptions shape the damping of those who join and leave fast. The zero value is the default.
type FlapOptions struct {
	Penalty    float64       // of a leave and the join after it; default 1000
	HalfLife   time.Duration // of the penalty; default 5m
	Quarantine float64       // above it one is quarantined; default 3000
	Release    float64       // below it one is released; default 1000
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

// Guards is every guard that holds somebody, the fleet's first, then by path and source.
func (r *Roster) Guards() []Guard { return nil }

// Heard notes that a scrape of k was answered, with whatever status, or was not.
func (r *Roster) Heard(k Key, answered bool, now time.Time) {}
