package collect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

const (
	// burstEvery is how often the targets of bursts are looked at: whether they can bear it, and who is new.
	burstEvery = time.Second
	// burstAnew is how often all of a slice are looked at though nothing seems to have changed: tags of an instance come with its scrapes, and who was let go may return.
	burstAnew = 5 * time.Second
	// restFor is how long one who was let go is left alone. It is taken back once.
	restFor = 30 * time.Second
)

// bursts turn orders of that kind into the intervals of this collector's own targets.
type bursts struct {
	plan atomic.Pointer[plan]
	wake chan struct{} // has a value when the orders are others, or what others have
	ask  chan struct{} // has a value when the others are to be asked
	seen lookedAt      // followBursts'

	mu     sync.Mutex
	let    map[string]map[discovery.Key]letGo // by order
	others map[string]map[string]offer        // what other collectors have of a burst of so many: by order and collector
	told   orderLog
}

// letGo is one who did not bear a burst.
type letGo struct {
	at    time.Time
	times int
	why   string
}

func newBursts() *bursts {
	b := &bursts{wake: make(chan struct{}, 1), ask: make(chan struct{}, 1), let: map[string]map[discovery.Key]letGo{}, others: map[string]map[string]offer{}, told: newOrderLog()}
	b.plan.Store(makePlan(nil, 0))
	return b
}

func (b *bursts) look() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// every is a target's interval while a burst has it, 0 otherwise.
func (d *Daemon) every(j *scrape.Job, k discovery.Key) time.Duration {
	if p, ok := d.bursts.plan.Load().paces[k]; ok && p.every < j.Interval {
		return p.every
	}
	return 0
}

// followBursts keeps targets at the pace of the orders until ctx ends. A burst ends on time, whoever can be reached then.
func (d *Daemon) followBursts(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.bursts.wake:
			d.bursts.seen = lookedAt{}
		case <-t.C:
		}
		now := time.Now()
		orders := d.sharing.now.Load().Orders()
		d.logOrders(orders, now)
		if !d.calm(orders, now) {
			d.burst(orders, now)
		}
		wait := burstEvery
		for _, o := range orders {
			if left := time.Until(o.Until); left < wait {
				wait = max(left, time.Millisecond)
			}
		}
		t.Reset(wait)
	}
}

// lookedAt is what the last look at everybody was made of.
type lookedAt struct {
	roster uint64
	div    *share.Division
	orders string
	at     time.Time
}

// calm reports that nothing has come since the last look at everybody for which there would have to be another, but for those who
// are let go for that.
func (d *Daemon) calm(orders []share.Placed, now time.Time) bool {
	b := d.bursts
	is := lookedAt{roster: d.roster.Version(), div: d.sharing.now.Load().Division(), at: b.seen.at}
	var ids strings.Builder
	for i := range orders {
		if o := &orders[i]; o.Kind == discovery.BurstOrder && o.Until.After(now) {
			ids.WriteString(o.ID)
			ids.WriteByte(' ')
		}
	}
	is.orders = ids.String()
	if is != b.seen || now.Sub(is.at) >= burstAnew {
		is.at = now
		b.seen = is
		return false
	}
	for k, p := range b.plan.Load().paces {
		if last, ok := d.pool.Last(scrape.TargetKey{Key: k, Job: p.job}); ok && strained(&last, p.every) != "" {
			return false
		}
	}
	return true
}

// burst has the pool pull everybody as often as the orders that are in force say.
func (d *Daemon) burst(orders []share.Placed, now time.Time) {
	b := d.bursts
	was := b.plan.Load()
	var all []slice
	look := d.lookAtBursts(was, now)
	for _, o := range orders {
		if o.Kind == discovery.BurstOrder && o.Until.After(now) {
			all = append(all, look.slice(o))
		}
	}
	if len(all)+len(was.orders) == 0 {
		return
	}
	next := makePlan(all, d.burstBudget())
	b.plan.Store(next)
	b.forget(next)
	if slices.ContainsFunc(all, func(s slice) bool { return s.waits }) {
		select {
		case b.ask <- struct{}{}:
		default:
		}
	}
	var changes []discovery.Change
	was.differ(next, func(k discovery.Key) {
		if e, err := d.roster.Find(k.String()); err == nil {
			changes = append(changes, discovery.Change{Entry: e, Was: e.State, At: now})
		}
	})
	if len(changes) > 0 {
		d.moved.add(changes)
		d.applyTargets()
	}
}

func (d *Daemon) burstBudget() float64 { return d.Config().Burst.Budget() }

// asked is how many requests a scrape of a job's target is at most: an Ostrich with a period of its own is asked twice.
func asked(j *scrape.Job) float64 {
	if j.OstrichPeriod > 0 {
		return 2
	}
	return 1
}

// tagsOf are an instance's tags as its snapshots carry them, where it was scraped already.
func (d *Daemon) tagsOf(e *discovery.Entry) discovery.Tags {
	if t, ok := d.enrich.Tags(e.Key); ok {
		return t
	}
	return e.Tags
}

// tooSlow says why one cannot be pulled as often as a burst says; empty: it can. Who slows down, times out or says that it is too much while it is pulled so often is
// let go, and taken back once.
func (d *Daemon) tooSlow(o *discovery.Order, j *scrape.Job, k discovery.Key, last lastSeen, was *plan, now time.Time) string {
	every := o.Burst.Every()
	if every >= j.Interval {
		return "" // its job asks as much of it
	}
	why := ""
	if last.ok {
		why = strained(&last.LastPull, every)
	}
	b := d.bursts
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.let[o.ID][k]
	if why != "" && was.paces[k].order == o.ID && (l.at.IsZero() || l.times < 2 && now.Sub(l.at) >= restFor) {
		l = letGo{now, l.times + 1, why}
		if b.let[o.ID] == nil {
			b.let[o.ID] = map[discovery.Key]letGo{}
		}
		b.let[o.ID][k] = l
		d.log.Info("a target is let go from a burst", "order", o.ID, "instance", k.String(), "why", why, "times", l.times)
	}
	switch {
	case l.times >= 2:
		return "twice " + l.why
	case l.times == 1 && now.Sub(l.at) < restFor:
		return l.why
	}
	return why
}

// strained says what in the last scrape of a target speaks against pulling it so often.
func strained(last *scrape.LastPull, every time.Duration) string {
	switch {
	case last.Outcome == collector.Timeout:
		return "it did not answer in time"
	case last.Outcome == collector.Status && (strings.HasPrefix(last.Reason, "status 429") || strings.HasPrefix(last.Reason, "status 503")):
		return "it said that it is too much"
	case last.Took > every/2:
		return fmt.Sprintf("its answer took %s", config.Duration(last.Took.Round(time.Millisecond)))
	}
	return ""
}

// forget drops what is known of orders that are over.
func (b *bursts) forget(p *plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.let {
		if !p.has(id) {
			delete(b.let, id)
		}
	}
	for id := range b.others {
		if !p.has(id) {
			delete(b.others, id)
		}
	}
}

// burstOf is the order by which a target is pulled more often, or keeps it from being so, for people.
func (d *Daemon) burstOf(e *discovery.Entry) *WhyBurst {
	p := d.bursts.plan.Load()
	j := (*d.jobs.Load())[discovery.JobOf(e.Source)].Job
	if j == nil || !d.pulls(e) {
		return nil
	}
	now := time.Now()
	var out *WhyBurst
	for i := range p.orders {
		o := &p.orders[i].Order
		if !o.Burst.Holds(e.Key, d.tagsOf(e)) {
			continue
		}
		switch at, ok := p.paces[e.Key]; {
		case ok && at.order == o.ID:
			return &WhyBurst{Order: *o}
		case ok || out != nil || o.Burst.Every() >= j.Interval:
		default:
			last := lastSeen{asked: true}
			last.LastPull, last.ok = d.pool.Last(scrape.TargetKey{Key: e.Key, Job: j.Name})
			out = &WhyBurst{Order: *o, Not: d.tooSlow(o, j, e.Key, last, p, now)}
			if out.Not == "" && o.Burst.Instances > 0 {
				out.Not = "others were chosen"
			} else if out.Not == "" {
				out.Not = "the budget for bursts has no room"
			}
		}
	}
	return out
}
