package dashboards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// OrderNews is what became of an operator's order. The same may be told several times.
type OrderNews struct {
	Order     discovery.Order
	Ended     bool      // else it stands
	At        time.Time // of the news
	By        string    // who ended it; empty: it ended by itself, or nobody knows
	Taken, Of int       // of a burst that begins: how many instances of how many are pulled so often; 0 of 0: not known
}

// Burst is a closer look at a service that is on, as pages show it.
type Burst struct {
	ID      string `json:"id"`
	Slice   string `json:"slice"` // who is meant, in words
	EveryMS int64  `json:"every_ms"`
	At      int64  `json:"at"`    // Unix ms
	Until   int64  `json:"until"` // Unix ms
	By      string `json:"by"`
	Why     string `json:"why,omitempty"`
	Taken   int    `json:"taken,omitempty"` // how many are pulled so often, as it began
	Of      int    `json:"of,omitempty"`    // of how many
}

const (
	maxHeldOrders = 2000
	// coverEvery is how often it is looked whom an order of a path concerns: the roster may be read after it.
	coverEvery = 10 * time.Second
	// endsBy is how long after its end an order is believed to have ended, though nobody says so.
	endsBy = 3 * time.Second
)

// orders is what the Board knows of operators' orders.
type orders struct {
	mu   sync.Mutex
	held map[string]*heldOrder
}

type heldOrder struct {
	OrderNews
	said   map[*service]bool // whose events tell of it
	looked time.Time         // at whom it concerns
	ending string            // what was said of its end
}

// Order tells the Board what became of an order.
func (b *Board) Order(n OrderNews) {
	o := &b.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil {
		o.held = map[string]*heldOrder{}
	}
	h := o.held[n.Order.ID]
	switch {
	case h == nil && len(o.held) >= maxHeldOrders:
		return
	case h == nil:
		h = &heldOrder{OrderNews: n, said: map[*service]bool{}}
		o.held[n.Order.ID] = h
		h.Ended = false
		b.cover(h, time.Time{})
	case h.Of == 0:
		h.Taken, h.Of = n.Taken, n.Of
	}
	if n.Ended {
		h.end(n.At, n.By)
	}
}

// tickOrders ends orders whose time is over, and forgets those that are no news any more.
func (b *Board) tickOrders(now time.Time) {
	o := &b.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, h := range o.held {
		switch {
		case now.Sub(h.Order.Until) > eventsFor:
			delete(o.held, id)
		case !h.Ended && now.Sub(h.Order.Until) > endsBy:
			h.end(h.Order.Until, "")
		case !h.Ended && now.Sub(h.looked) >= coverEvery:
			b.cover(h, now)
		}
	}
}

// cover tells those services of an order whom it concerns and who do not know it yet.
func (b *Board) cover(h *heldOrder, now time.Time) {
	h.looked = now
	var of []*service
	if burst := &h.Order.Burst; h.Order.Kind == discovery.BurstOrder {
		if s := b.find(burst.Service, burst.Env); s != nil {
			of = append(of, s)
		}
	} else {
		of = slices.DeleteFunc(slices.Clone(b.all()), func(s *service) bool { return h.said[s] || !s.below(&h.Order) })
	}
	for _, s := range of {
		if !h.said[s] {
			h.said[s] = true
			s.order(happening{ms(h.Order.At), EventOrder, h.begins(), h.Order.By}, "")
		}
	}
}

// below reports whether an order's path covers anybody of the service.
func (s *service) below(o *discovery.Order) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, in := range s.instances {
		if in.roster != nil && o.Covers(in.roster.Path) {
			return true
		}
	}
	return false
}

// order adds an event to the service's, in place of one with that text.
func (s *service) order(e happening, instead string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if instead != "" {
		s.events = slices.DeleteFunc(s.events, func(h happening) bool { return h.kind == e.kind && h.t == e.t && h.detail == instead })
	}
	s.events.add(e)
}

// end says that an order has ended. Whoever knows who ended it has the last word.
func (h *heldOrder) end(at time.Time, by string) {
	if h.Ended && (by == "" || h.By != "") {
		return
	}
	if !h.Ended {
		h.At = at
		if at.After(h.Order.Until) {
			h.At = h.Order.Until
		}
	}
	was := h.ending
	h.Ended, h.By = true, by
	h.ending = h.ends()
	for s := range h.said {
		s.order(happening{ms(h.At), EventOrder, h.ending, h.Order.By}, was)
	}
}

func (h *heldOrder) begins() string {
	o := &h.Order
	until, why := o.Until.UTC().Format("15:04:05 UTC"), ""
	if o.Why != "" {
		why = ": " + o.Why
	}
	switch o.Kind {
	case discovery.BurstOrder:
		who := strings.TrimPrefix(o.Burst.Slice(), o.Burst.Service+"/"+o.Burst.Env)
		if who = strings.TrimPrefix(who, ", "); h.Of > 0 {
			who = strings.TrimSuffix(fmt.Sprintf("%d of %d instances, %s", h.Taken, h.Of, who), ", ")
		}
		return fmt.Sprintf("%s pulled every %s until %s, by %s%s", cmp.Or(who, "instances"), everyWord(o.Burst.Every()), until, o.By, why)
	case discovery.FreezeOrder:
		return fmt.Sprintf("%s froze %s until %s%s", o.By, o.Path, until, why)
	case discovery.AcceptOrder:
		return fmt.Sprintf("%s accepted who is gone below %s%s", o.By, o.Path, why)
	}
	return fmt.Sprintf("%s gave the order %s until %s%s", o.By, o.Kind, until, why)
}

func (h *heldOrder) ends() string {
	what := map[string]string{discovery.BurstOrder: "the closer look of ", discovery.FreezeOrder: "the freeze of ", discovery.AcceptOrder: "the acceptance of "}[h.Order.Kind]
	o := &h.Order
	what = cmp.Or(what, "the order of ") + o.By
	if o.Kind == discovery.BurstOrder { // there may be several of one hand
		what += " at " + o.Burst.Slice() + ", every " + everyWord(o.Burst.Every())
	} else {
		what += " below " + o.Path
	}
	if h.By != "" {
		return h.By + " ended " + what
	}
	return what + " ended"
}

// everyWord is an interval as people write it.
func everyWord(d time.Duration) string {
	return strings.TrimSuffix(d.String(), "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(d.String(), "m0s")]
}

// Bursts are the closer looks at a service that are on, the oldest first.
func (b *Board) Bursts(name, env string, now time.Time) []Burst {
	o := &b.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	out := []Burst{}
	for _, h := range o.held {
		if r := &h.Order; r.Kind == discovery.BurstOrder && r.Burst.Service == name && r.Burst.Env == env && !h.Ended && now.Before(r.Until) {
			out = append(out, Burst{r.ID, r.Burst.Slice(), r.Burst.EveryMS, ms(r.At), ms(r.Until), r.By, r.Why, h.Taken, h.Of})
		}
	}
	slices.SortFunc(out, func(a, b Burst) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.ID, b.ID)) })
	return out
}
