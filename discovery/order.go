package discovery

import (
	"slices"
	"strings"
	"time"
)

// Order is what an operator has said of a path and everything below it, until it ends.
type Order struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"` // FreezeOrder, AcceptOrder; a roster leaves others alone
	Path  string    `json:"path"` // a serverset or any path above; "/" is everything
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
}

// The kinds of orders that a roster obeys.
const (
	FreezeOrder = "freeze" // nobody leaves below Path
	AcceptOrder = "accept" // who is held below Path by a guard departs
)

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
	if slices.Equal(r.orders, orders) {
		return nil
	}
	r.orders = slices.Clone(orders)
	r.ordered = true
	var out []Change
	for g := range r.guards {
		out = r.tend(g, now, out)
	}
	return r.done(out)
}

// order is the one that holds for a path, or nil.
func (r *Roster) order(path string, now time.Time) (found *Order) {
	for i := range r.orders {
		o := &r.orders[i]
		if o.Kind != FreezeOrder && o.Kind != AcceptOrder || !o.Covers(path) || !o.Until.IsZero() && !now.Before(o.Until) {
			continue
		}
		if found == nil || o.At.After(found.At) {
			found = o
		}
	}
	return found
}

// Orders is what the roster obeys.
func (r *Roster) Orders() []Order {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.orders)
}
