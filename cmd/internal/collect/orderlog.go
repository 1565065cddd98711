package collect

import (
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// orderLog is what the roster's topic was told of orders: the audit file holds what this collector saw, the topic what happened to the group, once.
type orderLog struct {
	mu     sync.Mutex
	known  map[string]knownOrder
	ended  map[string]time.Time // orders of which we have said here that somebody ended them
	looked bool
}

type knownOrder struct {
	share.Placed
	told time.Time // that it stands
}

func newOrderLog() orderLog {
	return orderLog{known: map[string]knownOrder{}, ended: map[string]time.Time{}}
}

// logOrders tells the topic which orders have ended, and, now and then, which stand, for readers who came later.
func (d *Daemon) logOrders(orders []share.Placed, now time.Time) {
	l := &d.bursts.told
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
		if k.Placed = o; now.Sub(k.told) >= fullEvery && force[o.ID] && d.speaks(&o) {
			k.told = now
			d.tellOrder(wire.OrderWord{Event: wire.OrderStands, Order: o.Order, Scope: o.Scope}, now)
		}
		l.known[o.ID] = k
	}
	l.looked = true
	for id, o := range l.known {
		if force[id] {
			continue
		}
		delete(l.known, id)
		if _, said := l.ended[id]; !said && d.speaks(&o.Placed) {
			d.tellOrder(wire.OrderWord{Event: wire.OrderEnded, Order: o.Order, Scope: o.Scope}, now)
		}
	}
	for id, at := range l.ended {
		if now.Sub(at) > time.Hour {
			delete(l.ended, id)
		}
	}
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
	now := time.Now()
	l := &d.bursts.told
	l.mu.Lock()
	l.ended[o.ID] = now
	l.mu.Unlock()
	d.tellOrder(wire.OrderWord{Event: wire.OrderEnded, Order: o.Order, Scope: o.Scope, By: by}, now)
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
