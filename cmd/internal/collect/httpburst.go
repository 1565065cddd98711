package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/internal/near"
)

// BurstRequest asks for a burst: what POST /api/v1/burst takes.
type BurstRequest struct {
	Service   string            `json:"service"`
	Env       string            `json:"env"` // may be left out where the service has one only
	Tags      map[string]string `json:"tags,omitempty"`
	Instances int               `json:"instances,omitempty"`
	Interval  string            `json:"interval,omitempty"` // default 1s
	For       string            `json:"for,omitempty"`      // default 5m
	By        string            `json:"by"`
	Why       string            `json:"why,omitempty"`
}

// BurstAnswer is a burst that was taken, and what it comes to over the whole group.
type BurstAnswer struct {
	share.Placed
	Slice   string   `json:"slice"`
	Covers  covered  `json:"covers"`
	Unheard []string `json:"unheard,omitempty"` // collectors that did not say; theirs are not counted
}

// ShownOrder is an order in force, and, of a burst, what it comes to on this collector.
type ShownOrder struct {
	share.Placed
	Here *covered `json:"here,omitempty"`
}

func (d *Daemon) shownOrders() []ShownOrder {
	out := []ShownOrder{}
	p := d.bursts.plan.Load()
	for _, o := range d.sharing.now.Load().Orders() {
		s := ShownOrder{Placed: o}
		if c, ok := p.covered[o.ID]; ok {
			s.Here = &c
		}
		out = append(out, s)
	}
	return out
}

// serveBurst takes a burst as people ask for it.
func (d *Daemon) serveBurst(w http.ResponseWriter, r *http.Request) {
	var q BurstRequest
	if !readOrder(w, r, &q) {
		return
	}
	every, err := config.ParseDuration(cmp.Or(q.Interval, "1s"))
	last, bad := config.ParseDuration(cmp.Or(q.For, "5m"))
	tags, empty := discovery.SliceTags(q.Tags)
	if err := errors.Join(err, bad, empty); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if last <= 0 || last > discovery.MaxBurstFor {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("for %s: a burst lasts 1h at most; give 5m or so", config.Duration(last)))
		return
	}
	d.placeBurst(w, r, discovery.Order{Kind: discovery.BurstOrder, Path: "/", By: q.By, Why: q.Why, Until: time.Now().Add(last),
		Burst: discovery.Burst{Service: q.Service, Env: q.Env, Tags: tags, Instances: q.Instances, EveryMS: every.Milliseconds()}})
}

// placeBurst gives a burst as an order, if it would have anybody pulled more often.
func (d *Daemon) placeBurst(w http.ResponseWriter, r *http.Request, o discovery.Order) {
	o.Path = cmp.Or(o.Path, "/")
	o.By = d.giver(r, o.By)
	c, silent, err := d.checkBurst(r.Context(), &o)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	placed, ok := d.place(w, r, o)
	if !ok {
		return
	}
	if placed.Scope == share.ScopeHere { // the others do not obey it
		c, silent = d.hasOf(placed.Order).covered, nil
	}
	d.begun(placed, &c)
	answer(w, BurstAnswer{placed, placed.Burst.Slice(), c, silent})
}

// checkBurst completes a burst, and says what is wrong with it, or how much of its slice it would cover.
func (d *Daemon) checkBurst(ctx context.Context, o *discovery.Order) (c covered, silent []string, err error) {
	b := &o.Burst
	if d.burstBudget() == 0 {
		return c, nil, errors.New("bursts are off here: burst.max_scrapes_per_second is 0")
	}
	if err := d.nameService(b); err != nil {
		return c, nil, err
	}
	if err := b.Validate(); err != nil {
		return c, nil, err
	}
	own := d.hasOf(*o)
	c = own.covered
	longest := own.Longest
	first := len(own.First)
	words, silent := d.askSlices(ctx, *o)
	for _, w := range words {
		c.add(w.covered)
		longest = max(longest, w.Longest)
		first += len(w.First)
	}
	if b.Instances > 0 {
		c.Taken = min(first, b.Instances)
		c.Full = min(c.Full, b.Instances-c.Taken)
	}
	switch {
	case c.Of == 0 && len(silent) > 0:
		err = fmt.Errorf("nobody is known to be %s; collectors that did not say: %s", b.Slice(), strings.Join(silent, ", "))
	case c.Of == 0:
		err = fmt.Errorf("nobody who is scraped is %s%s", b.Slice(), d.instead(b))
	case longest > 0 && b.EveryMS >= longest:
		err = tooLong(b, time.Duration(longest)*time.Millisecond)
	case c.Taken == 0 && c.Full > 0:
		err = fmt.Errorf("the bursts that are in force leave no room: burst.max_scrapes_per_second is %v; end one of them (`rollcall orders`)", d.burstBudget())
	case c.Taken == 0 && len(silent) == 0:
		err = fmt.Errorf("none of %s can be pulled every %s: the last scrape of %s took longer than half of that, or timed out; give a longer interval",
			b.Slice(), config.Duration(b.Every()), map[bool]string{true: "each", false: "it"}[c.Of > 1])
	}
	return c, silent, err
}

// tooLong says that an interval is no closer look, and which would be one.
func tooLong(b *discovery.Burst, usual time.Duration) error {
	remedy := "there is no shorter one for a burst"
	if usual > discovery.LeastBurst {
		half := max(usual/2, discovery.LeastBurst)
		if half > time.Second {
			half = half.Truncate(time.Second)
		}
		remedy = fmt.Sprintf("give a shorter one, such as --interval=%s", config.Duration(half))
	}
	return fmt.Errorf("interval %s is not shorter than the job's, which is %s; %s", config.Duration(b.Every()), config.Duration(usual), remedy)
}

// nameService sees that the service is there, and completes its environment.
func (d *Daemon) nameService(b *discovery.Burst) error {
	if b.Service == "" {
		return errors.New("service: say whose instances are to be pulled more often")
	}
	envs, names := map[string]bool{}, map[string]bool{}
	for _, g := range d.roster.Groups() {
		names[g.Service] = true
		if g.Service == b.Service && g.Present+g.Unconfirmed+g.Quarantined+g.Failing > 0 {
			envs[g.Env] = true
		}
	}
	list := strings.Join(slices.Sorted(maps.Keys(envs)), ", ")
	switch {
	case !names[b.Service]:
		return fmt.Errorf("no service is called %s%s", clip(b.Service, 100), near.There(b.Service, slices.Sorted(maps.Keys(names)), "`rollcall ls` lists everyone"))
	case len(envs) == 0:
		return fmt.Errorf("nobody of %s is scraped now", clip(b.Service, 100))
	case b.Env == "" && len(envs) == 1:
		b.Env = list
	case b.Env == "":
		return fmt.Errorf("%s is in several environments; name one of them: %s", clip(b.Service, 100), list)
	case !envs[b.Env]:
		return fmt.Errorf("%s has nobody in %s; it is in: %s", clip(b.Service, 100), clip(b.Env, 100), list)
	}
	return nil
}

// instead names what could have been said in place of a tag that nobody has.
func (d *Daemon) instead(b *discovery.Burst) string {
	text := ""
	for name, value := range b.Tags.All() {
		has := map[string]bool{}
		for _, e := range d.roster.Of(b.Service, b.Env) {
			if v := d.tagsOf(&e).Get(name); v != "" && e.State.Scraped() {
				has[v] = true
			}
		}
		if has[value] {
			continue
		}
		values := slices.Sorted(maps.Keys(has))
		if n := len(values); n > near.Most {
			values = append(values[:near.Most], fmt.Sprintf("… and %d more", n-near.Most))
		}
		text += fmt.Sprintf("; %s is there: %s", name, cmp.Or(strings.Join(values, ", "), "nothing"))
	}
	return text
}
