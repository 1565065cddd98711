package discovery

import (
	"slices"
	"strings"
	"time"
)

// Order is what an operator has said of a path and everything below it, or of a part of a service, until it ends.
type Order struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"` // FreezeOrder, AcceptOrder; a roster leaves others alone
	Path  string    `json:"path"` // a serverset or any path above; "/" is everything, and what a BurstOrder has, for those who know no bursts
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	Burst Burst     `json:"burst,omitzero"` // of a BurstOrder
}

// The kinds of orders that a roster obeys.
const (
	FreezeOrder = "freeze" // nobody leaves below Path
	AcceptOrder = "accept" // who is held below Path by a guard departs
)

// BurstOrder is one that concerns scraping only: those whom Burst names are pulled more often.
const BurstOrder = "burst"

// Covers reports whether the order speaks of path.
func (o *Order) Covers(path string) bool { return below(path, o.Path) }

// below reports whether path is at or below root.
func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}

// Obey takes the full list of orders that are in force: the latest call wins, and one that is not named any more is over. Of two that cover a path the later holds.
func (r *Roster) Obey(orders []Order, now time.Time) []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	orders = slices.Clone(orders)
	for i := range orders {
		orders[i].plain()
	}
	if slices.Equal(r.orders, orders) {
		return nil
	}
	r.orders, r.ordered = orders, true
	var out []Change
	for g := range r.guards {
		out = r.tend(g, now, out)
	}
	return r.done(out)
}

// plain makes orders that say the same equal: their times are in UTC.
func (o *Order) plain() { o.At, o.Until = o.At.Round(0).UTC(), o.Until.Round(0).UTC() }

// over reports whether the order has ended.
func (o *Order) over(now time.Time) bool { return !o.Until.IsZero() && !now.Before(o.Until) }

// endOrders drops those that have ended, wherever they came from. Records point into the old list, which stays as it was.
func (r *Roster) endOrders(now time.Time) {
	over := func(o Order) bool { return o.over(now) }
	if slices.ContainsFunc(r.orders, over) {
		r.orders, r.ordered = slices.DeleteFunc(slices.Clone(r.orders), over), true
	}
}

// order is the one that holds for a path, or nil.
func (r *Roster) order(path string, now time.Time) (found *Order) {
	for i := range r.orders {
		o := &r.orders[i]
		if o.Kind != FreezeOrder && o.Kind != AcceptOrder || !o.Covers(path) || o.over(now) {
			continue
		}
		if found == nil || o.At.After(found.At) {
			found = o
		}
	}
	return found
}

// Orders is what the roster obeys: those that were saved, until Obey is called; never one that is over, but for a second.
func (r *Roster) Orders() []Order {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.orders)
}
