package share

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// Bounds of orders.
const (
	maxOrders   = 1000
	maxOrder    = 16 << 10 // bytes of one
	maxOrderFor = 7 * 24 * time.Hour
	sweepAfter  = time.Minute // past its end an order is taken away: the clocks of others may be behind ours
)

// Scopes of an order.
const (
	ScopeGroup = "group"     // all collectors of the group obey
	ScopeHere  = "collector" // this one only: ZooKeeper could not be asked, or there is no group
)

// placed is an order and where it stands.
type placed struct {
	discovery.Order
	zxid  int64 // of its znode's last change; 0: it binds this collector only
	doubt bool  // it binds this collector, and may be the group's too: ZooKeeper was told, and did not answer
}

// Placed is an order in force and whom it binds.
type Placed struct {
	discovery.Order
	Scope string `json:"scope"`
}

func (p placed) show() Placed {
	if p.zxid == 0 {
		return Placed{p.Order, ScopeHere}
	}
	return Placed{p.Order, ScopeGroup}
}

// ErrNoOrder says that there is no order of that id.
var ErrNoOrder = errors.New("no such order")

// ErrOrder says that an order cannot be given as it is.
var ErrOrder = errors.New("bad order")

// checkOrder says what is wrong with an order; its end is not looked at where now is zero.
func checkOrder(o *discovery.Order, now time.Time) error {
	var errs []error
	if !cleanName(o.ID) {
		errs = append(errs, fmt.Errorf("id %.80q: use letters, digits, _ . or -", o.ID))
	}
	if o.Kind == "" || len(o.Kind) > 40 {
		errs = append(errs, errors.New("kind is missing, or longer than 40 bytes"))
	}
	if !strings.HasPrefix(o.Path, "/") || len(o.Path) > 1000 {
		errs = append(errs, fmt.Errorf("path %.80q does not begin with /, or is longer than 1000 bytes", o.Path))
	}
	if o.By == "" || len(o.By) > 200 || len(o.Why) > 2000 {
		errs = append(errs, errors.New("by is missing, or by or why are longer than 200 and 2000 bytes"))
	}
	if o.Kind == discovery.BurstOrder {
		if o.Path != "/" {
			errs = append(errs, fmt.Errorf("path %.80q: a burst has none, which is written as /", o.Path))
		}
		errs = append(errs, o.Burst.Validate())
	}
	if !o.Until.After(o.At) || o.Until.Sub(o.At) > longest(o.Kind) {
		errs = append(errs, fmt.Errorf("at %s, until %s: it must end later than it begins, and within %v", o.At.Format(time.RFC3339), o.Until.Format(time.RFC3339), longest(o.Kind)))
	}
	if !now.IsZero() && (!o.Until.After(now) || o.Until.Sub(now) > maxOrderFor) {
		errs = append(errs, fmt.Errorf("until %s is not within the next %v", o.Until.Format(time.RFC3339), maxOrderFor))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrOrder, err)
	}
	return nil
}

// Place gives an order: to the group, or, where ZooKeeper does not take it within ctx, to this collector only, which the result says. An order without an
// id or a time gets one. The error is ErrOrder where it cannot be given as it is.
func (m *Membership) Place(ctx context.Context, o discovery.Order) (Placed, error) {
	now := time.Now()
	if o.ID == "" {
		o.ID = fmt.Sprintf("%d-%s", now.UnixMilli(), strings.ToLower(rand.Text()[:8]))
	}
	o.At = now.Round(0).UTC()
	o.Until = o.Until.Round(0).UTC()
	if err := checkOrder(&o, now); err != nil {
		return Placed{}, err
	}
	m.mu.Lock()
	full := len(m.orders)+len(m.local) >= maxOrders
	m.mu.Unlock()
	if full {
		return Placed{}, fmt.Errorf("%w: %d orders are in force already", ErrOrder, maxOrders)
	}
	err, doubt := errors.New("there is no group"), false
	if m.cfg.Session != nil {
		var data []byte
		if data, err = json.Marshal(o); err == nil {
			_, err = m.cfg.Session.Create(ctx, m.orderPath(o.ID), data, zk.Persistent)
		}
		if errors.Is(err, zk.ErrNodeExists) {
			return Placed{}, fmt.Errorf("%w: there is one of id %q", ErrOrder, o.ID)
		}
		if doubt = uncertain(err); doubt {
			if there, known := m.standsThere(ctx, o.ID); known {
				if doubt = false; there {
					err = nil
				}
			}
		}
	}
	if err == nil {
		m.audit.note("placed", o, ScopeGroup, "")
		m.touch() // in case the watch is slow
		return Placed{o, ScopeGroup}, nil
	}
	why := err.Error()
	m.audit.note("placed", o, ScopeHere, why)
	m.mu.Lock()
	delete(m.ended, o.ID)
	m.local[o.ID] = placed{o, 0, doubt}
	m.mu.Unlock()
	m.save()
	m.obey(nil, false)
	return Placed{o, ScopeHere}, nil
}

// uncertain reports that a request may have been carried out although its answer is an error.
func uncertain(err error) bool {
	if err == nil {
		return false
	}
	for _, sure := range []error{zk.ErrNotConnected, zk.ErrNoNode, zk.ErrNodeExists, zk.ErrNoAuth, zk.ErrThrottled} {
		if errors.Is(err, sure) {
			return false
		}
	}
	return true
}

// lookAgain is how long one looks, after a request whose answer did not come, whether it was carried out.
const lookAgain = time.Second

// standsThere looks whether the group has an order; known is false where ZooKeeper does not say.
func (m *Membership) standsThere(ctx context.Context, id string) (there, known bool) {
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAgain)
	defer cancel()
	there, _, err := m.cfg.Session.Exists(c, m.orderPath(id))
	return there, err == nil
}

// Withdraw ends an order. The error is ErrNoOrder where there is none of that id, or why ZooKeeper could not be told: then the group may go on obeying it.
func (m *Membership) Withdraw(ctx context.Context, id, by string) error {
	if !cleanName(id) {
		return fmt.Errorf("withdraw order %.80q: %w", id, ErrNoOrder)
	}
	m.mu.Lock()
	o, here := m.local[id]
	delete(m.local, id)
	known := m.orders[id]
	if here && o.doubt {
		m.ended[id] = o.Order // should it turn up, it is taken away
	}
	m.mu.Unlock()
	if here {
		m.audit.note("withdrawn", o.Order, ScopeHere, by)
		m.save()
		m.obey(nil, false)
	}
	if m.cfg.Session == nil || here && !o.doubt {
		if here {
			return nil
		}
		return fmt.Errorf("withdraw order %q: %w", id, ErrNoOrder)
	}
	err := m.cfg.Session.Delete(ctx, m.orderPath(id), zk.AnyVersion)
	switch {
	case errors.Is(err, zk.ErrNoNode) && here:
		return nil
	case errors.Is(err, zk.ErrNoNode):
		return fmt.Errorf("withdraw order %q: %w", id, ErrNoOrder)
	case err != nil && here:
		return fmt.Errorf("withdraw order %q: it is over here, and ZooKeeper, which may have it for the others, is told when it answers: %w", id, err)
	case err != nil:
		return fmt.Errorf("withdraw order %q: %w", id, err)
	}
	if known.ID = id; here {
		known = o
	}
	m.audit.note("withdrawn", known.Order, ScopeGroup, by)
	m.touch()
	return nil
}

// Orders are those in force, the oldest first.
func (m *Membership) Orders() []Placed {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Placed
	for _, o := range m.inForce(time.Now()) {
		out = append(out, o.show())
	}
	return out
}

// inForce needs m.mu.
func (m *Membership) inForce(now time.Time) (out []placed) {
	for id, o := range m.orders {
		if _, over := m.ended[id]; o.Until.After(now) && !over {
			out = append(out, o)
		}
	}
	for id, o := range m.local {
		if _, group := m.orders[id]; o.Until.After(now) && !group {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b placed) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// longest is how long an order of a kind may stand.
func longest(kind string) time.Duration {
	if kind == discovery.BurstOrder {
		return discovery.MaxBurstFor
	}
	return maxOrderFor
}

func (m *Membership) orderPath(id string) string { return m.dir() + "/orders/" + id }

// obey puts the group's orders in force, as they were read, beside our own, and says which came and went. Without fresh, those of the group stay as they are, and
// only time ends them.
func (m *Membership) obey(group map[string]placed, fresh bool) {
	m.tell.Lock()
	defer m.tell.Unlock()
	now := time.Now()
	m.mu.Lock()
	changed := false
	if fresh {
		changed = !maps.Equal(m.orders, group)
		m.orders = group
		for id := range group { // it was the group's all along
			if _, both := m.local[id]; both {
				delete(m.local, id)
				changed = true
			}
		}
	}
	before := len(m.local)
	maps.DeleteFunc(m.local, func(_ string, o placed) bool { return !o.Until.After(now) })
	maps.DeleteFunc(m.ended, func(_ string, o discovery.Order) bool { return now.Sub(o.Until) > sweepAfter })
	changed = changed || len(m.local) < before
	force := m.inForce(now)
	was := m.obeyed
	m.obeyed = force
	// Whoever obeys may remember orders of another run, or of another group, that were withdrawn meanwhile: so the first word always comes.
	first := !m.told && (fresh || m.cfg.Session == nil)
	m.told = m.told || first
	m.mu.Unlock()
	if changed {
		m.save()
	}
	if slices.Equal(was, force) && !first {
		return
	}
	for _, o := range was {
		if !slices.ContainsFunc(force, func(p placed) bool { return p.ID == o.ID }) {
			m.audit.note("over", o.Order, o.show().Scope, "")
		}
	}
	orders := make([]discovery.Order, len(force))
	for i, o := range force {
		orders[i] = o.Order
		if !slices.Contains(was, o) {
			m.audit.note("in force", o.Order, o.show().Scope, "")
		}
	}
	m.cfg.OnOrders(orders)
}

// sweep ends what is past its time, and takes the znodes of the group's past orders away, those that were withdrawn while ZooKeeper was silent, and those that
// nobody could read for as long as an order may last.
func (m *Membership) sweep(ctx context.Context, live bool) {
	m.obey(nil, false)
	if !live {
		return
	}
	m.mu.Lock()
	var past []string
	for id, o := range m.orders {
		if _, over := m.ended[id]; over || time.Since(o.Until) > sweepAfter {
			past = append(past, id)
		}
	}
	for id, j := range m.junk {
		if time.Since(j.since) > maxOrderFor {
			past = append(past, id)
		}
	}
	m.mu.Unlock()
	for _, id := range past {
		c, cancel := context.WithTimeout(ctx, m.patience())
		err := m.cfg.Session.Delete(c, m.orderPath(id), zk.AnyVersion)
		cancel()
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			m.log.Warn("an order that is over stays in ZooKeeper", "order", id, "err", err)
			return
		}
	}
}
