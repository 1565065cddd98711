package collect

import (
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// orderLog is what the roster's topic was told of orders: the audit file holds what this collector saw, the topic what happened to the group. Each end is told once: by
// the collector where somebody ended the order, which knows who, or, of one whose time is over, by the collector that speaks for the group. Where that one goes soon
// after, its successor tells it, perhaps once more; where the one that was asked goes before it has told, nobody does.
type orderLog struct {
	mu     sync.Mutex
	known  map[string]knownOrder
	over   map[string]overOrder // that ended by themselves, and of which another may have to tell
	looked bool
}

// heirFor is for how long after an end whoever comes to speak for the group tells it: longer than it takes until one that is gone is missed.
const heirFor = time.Minute

type overOrder struct {
	share.Placed
	at   time.Time
	told bool // by us
}

type knownOrder struct {
	share.Placed
	told time.Time // that it stands
}

func newOrderLog() orderLog {
	return orderLog{known: map[string]knownOrder{}, over: map[string]overOrder{}}
}

// logOrders tells the topic which orders have ended, and, now and then, which stand, for readers who came later.
func (d *Daemon) logOrders(orders []share.Placed, now time.Time) {
	for _, w := range d.bursts.told.look(orders, now, d.speaks) {
		d.tellOrder(w, now)
	}
}

// look says what is to be told of orders that are in force now. speaks is whether an order is for this collector to tell of.
func (l *orderLog) look(orders []share.Placed, now time.Time, speaks func(*share.Placed) bool) (words []wire.OrderWord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	force := map[string]bool{}
	for _, o := range orders {
		force[o.ID] = o.Until.After(now)
		k, ok := l.known[o.ID]
		if !ok {
			k = knownOrder{o, now}
			if !l.looked {
				k.told = time.Time{} // of the last run: what was told then may be too old for whoever reads now
			}
		}
		if k.Placed = o; now.Sub(k.told) >= fullEvery && force[o.ID] && speaks(&o) {
			k.told = now
			words = append(words, wire.OrderWord{Event: wire.OrderStands, Order: o.Order, Scope: o.Scope})
		}
		l.known[o.ID] = k
	}
	l.looked = true
	for id, o := range l.known {
		if force[id] {
			continue
		}
		delete(l.known, id)
		if !o.Until.After(now) { // else somebody ended it, and it is told where that was
			l.over[id] = overOrder{o.Placed, now, false}
		}
	}
	for id, o := range l.over {
		if !o.told && speaks(&o.Placed) {
			o.told = true
			l.over[id] = o
			words = append(words, wire.OrderWord{Event: wire.OrderEnded, Order: o.Order, Scope: o.Scope})
		}
		if now.Sub(o.at) > heirFor {
			delete(l.over, id)
		}
	}
	return words
}

// withdrawn notes that somebody ended an order here, of which is told here.
func (l *orderLog) withdrawn(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, id)
}

// speaks reports whether it is this collector that tells the topic of an order what all of those who obey it see.
func (d *Daemon) speaks(o *share.Placed) bool {
	div := d.sharing.now.Load().Division()
	return o.Scope == share.ScopeHere || div == nil || len(div.Members) == 0 || div.Members[0].ID == d.id()
}

// begun tells the topic of an order that was given here.
func (d *Daemon) begun(p share.Placed, c *covered) {
	w := wire.OrderWord{Event: wire.OrderBegun, Order: p.Order, Scope: p.Scope}
	if c != nil {
		w.Taken, w.Of = c.Taken, c.Of
	}
	d.tellOrder(w, time.Now())
	d.bursts.look()
}

// ended tells the topic of an order that somebody ended here.
func (d *Daemon) ended(o share.Placed, by string) {
	d.bursts.told.withdrawn(o.ID)
	d.tellOrder(wire.OrderWord{Event: wire.OrderEnded, Order: o.Order, Scope: o.Scope, By: by}, time.Now())
	d.bursts.look()
}

func (d *Daemon) tellOrder(w wire.OrderWord, now time.Time) {
	p := d.published
	r := wire.RosterRecord{Collector: p.ident.Collector, Start: p.ident.Start, TS: now.UnixMilli(), Term: p.term(), Order: &w}
	p.sink.Publish(p.topic, r.Key(), r.Append(nil), now)
}

// placedOrder is an order in force, by its ID.
func (d *Daemon) placedOrder(id string) (share.Placed, bool) {
	for _, o := range d.sharing.now.Load().Orders() {
		if o.ID == id {
			return o, true
		}
	}
	return share.Placed{Order: discovery.Order{ID: id}}, false
}
