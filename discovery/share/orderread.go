package share

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

const (
	// maxOrderReads bounds how many znodes one look at the orders reads: those that cannot be read do not count among the orders that a group may have.
	maxOrderReads = 2 * maxOrders
	// clocksDiffer is how far ZooKeeper's clock may be from that of whoever gives an order.
	clocksDiffer = 10 * time.Minute
)

// unreadable is a znode among the orders that is none.
type unreadable struct {
	since time.Time // it is there, or is as it is
	zxid  int64     // of its last change
	why   string
}

// givenName is the form of the names that Place makes.
var givenName = regexp.MustCompile(`^[0-9]{13}-[a-z2-7]{8}$`)

// decodeOrder reads an order's znode, which was made at a time. An order that somebody wrote by hand is held to what one that was asked for is: it can be given for no
// time but its own, and for no longer than its kind may stand.
func decodeOrder(name string, data []byte, made time.Time) (o discovery.Order, err error) {
	if len(data) > maxOrder {
		err = fmt.Errorf("longer than %d bytes", maxOrder)
	} else if err = json.Unmarshal(data, &o); err == nil && o.ID != name {
		err = fmt.Errorf("its data is of %.80q", o.ID)
	} else if err == nil {
		err = checkOrder(&o, time.Time{})
	}
	if last := made.Add(clocksDiffer); err == nil && (o.At.After(last) || o.Until.After(last.Add(longest(o.Kind)))) {
		err = fmt.Errorf("at %s, until %s: it was made at %s, and may stand for %v", o.At.Format(time.RFC3339), o.Until.Format(time.RFC3339), made.UTC().Format(time.RFC3339), longest(o.Kind))
	}
	if err != nil {
		return discovery.Order{}, fmt.Errorf("read order %.80q: %w", name, err)
	}
	o.At, o.Until = o.At.Round(0).UTC(), o.Until.Round(0).UTC() // so that one order is the same at every read
	return o, nil
}

// orderNames puts the names below the group's orders in the turn in which they are read: those in force, then what looks like an order, the newest first, then other
// names that one may have been given, and last what could not be read before. So whoever fills the folder with rubbish ends no order, and hides none that is given
// later.
func (m *Membership) orderNames(names []string, junk map[string]unreadable) []string {
	m.mu.Lock()
	known := make(map[string]bool, len(m.orders)+len(m.local))
	for id := range m.orders {
		known[id] = true
	}
	for id := range m.local {
		known[id] = true
	}
	m.mu.Unlock()
	rank := func(name string) int {
		switch _, bad := junk[name]; {
		case known[name]:
			return 0
		case bad:
			return 3
		case givenName.MatchString(name):
			return 1
		}
		return 2
	}
	ranks := make(map[string]int, len(names))
	for _, n := range names {
		ranks[n] = rank(n)
	}
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(ranks[a]-ranks[b], strings.Compare(b, a)) })
	return names
}

// readOrders reads what the group is told to do; what is past its end too.
func (m *Membership) readOrders(ctx context.Context, f *zk.Follower) (out map[string]placed, err error) {
	names, _, err := f.Children(ctx, m.dir()+"/orders")
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	was, had := m.junk, m.orders // neither is changed once it is there
	m.mu.Unlock()
	began := time.Now()
	out = map[string]placed{}
	junk := map[string]unreadable{}
	reads, left, fresh := 0, 0, 0
	var first error
	for _, name := range m.orderNames(names, was) {
		old, bad := was[name]
		if reads >= maxOrderReads || len(out) >= maxOrders || time.Since(began) > m.patience()/2 {
			if o, known := had[name]; known {
				out[name] = o
			} else if bad {
				junk[name] = old
			} else {
				left++
			}
			continue
		}
		reads++
		data, st, ok, err := f.Get(ctx, m.orderPath(name))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		o, err := decodeOrder(name, data, time.UnixMilli(st.Ctime))
		if err == nil {
			out[name] = placed{Order: o, zxid: st.Mzxid}
			continue
		}
		junk[name] = unreadable{time.UnixMilli(st.Mtime), st.Mzxid, err.Error()}
		if old.zxid != st.Mzxid { // said once
			m.m.unreadable.Inc()
			fresh++
			if first == nil {
				first = err
			}
		}
	}
	if fresh > 0 {
		m.log.Warn("what cannot be read among the orders is not obeyed", "orders", fresh, "one", first)
	}
	m.mu.Lock()
	m.junk, m.unread = junk, left
	m.mu.Unlock()
	if left > 0 && fresh > 0 { // what is known to be none is read last, so the next look comes further
		m.touch()
	}
	return out, nil
}

// orderTrouble says what stands among the orders and is not obeyed; it needs m.mu.
func (m *Membership) orderTrouble() string {
	var out []string
	if n := len(m.junk); n > 0 {
		name := ""
		for id := range m.junk {
			if name == "" || id < name {
				name = id
			}
		}
		out = append(out, fmt.Sprintf("%d znodes below %s/orders are no orders that could be obeyed, such as: %s", n, m.dir(), m.junk[name].why))
	}
	if m.unread > 0 {
		out = append(out, fmt.Sprintf("there are more znodes below %s/orders than are read: %d are not looked at", m.dir(), m.unread))
	}
	return strings.Join(out, "; ")
}
