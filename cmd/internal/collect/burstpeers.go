package collect

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

const (
	// slicePath is where a collector tells whom it has of a burst's slice.
	slicePath = "/api/v1/share/slice"
	// sliceEvery is how often the others are asked, while a burst is of so many instances of all.
	sliceEvery = 2 * time.Second
	// sliceWithin bounds how long one waits for the others' answers.
	sliceWithin = 2 * time.Second
)

// sliceWord is what a collector says of a burst's slice: how much of it it could take, and, where the burst is of so many, whom.
type sliceWord struct {
	covered
	Longest int64 `json:"longest_ms"` // the longest interval of those it has
	offer
}

// serveSlice answers another collector.
func (d *Daemon) serveSlice(w http.ResponseWriter, r *http.Request) {
	var o discovery.Order
	if text := r.URL.Query().Get("order"); len(text) > 64<<10 || json.Unmarshal([]byte(text), &o) != nil || o.Kind != discovery.BurstOrder || o.Burst.Validate() != nil {
		refuse(w, http.StatusBadRequest, "order is no burst")
		return
	}
	answer(w, d.hasOf(o))
}

// hasOf is what this collector says of a burst, were it in force beside those that are. Of one that is, that is known: the plan is made anew whenever something changes.
func (d *Daemon) hasOf(o discovery.Order) (out sliceWord) {
	was := d.bursts.plan.Load()
	p := was
	if !was.is(&o) {
		look := d.lookAtBursts(was, time.Now())
		var all []slice
		for _, older := range was.orders {
			if older.ID == o.ID {
				break // younger ones have what it leaves
			}
			all = append(all, look.slice(older))
		}
		p = makePlan(append(all, look.slice(share.Placed{Order: o, Scope: share.ScopeHere})), d.burstBudget()) // the others' part is theirs to tell
	}
	out.covered, out.offer, out.Longest = p.mine[o.ID], p.offers[o.ID], p.longest[o.ID].Milliseconds()
	return out
}

// askSlices asks the other collectors of the group of a burst. silent are those who do not say.
func (d *Daemon) askSlices(ctx context.Context, o discovery.Order) (words map[string]sliceWord, silent []string) {
	words = map[string]sliceWord{}
	div := d.sharing.now.Load().Division()
	text, err := json.Marshal(o)
	if div == nil || err != nil {
		return words, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sliceWithin)
	defer cancel()
	room := make(chan struct{}, askedAtOnce)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range div.Peers() {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			word, err := d.readSlice(ctx, p, &o.Burst, text)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				d.log.Debug("a collector does not tell whom it has of a slice", "peer", p.ID, "address", p.Addr, "err", err)
				silent = append(silent, p.ID)
				return
			}
			words[p.ID] = word
		})
	}
	wg.Wait()
	slices.Sort(silent)
	return words, silent
}

// othersOf is what the others have of a burst of so many instances; waits: they were not asked yet.
func (d *Daemon) othersOf(id string) (out []offer, waits bool) {
	div := d.sharing.now.Load().Division()
	if div == nil || len(div.Members) < 2 {
		return nil, false
	}
	b := d.bursts
	b.mu.Lock()
	defer b.mu.Unlock()
	have, asked := b.others[id]
	for _, p := range div.Peers() {
		if o, ok := have[p.ID]; ok {
			out = append(out, o)
		}
	}
	return out, !asked
}

// followSlices asks the others whom they have, while there are bursts of so many instances. Who does not answer has what it had.
func (d *Daemon) followSlices(ctx context.Context) {
	tick := time.NewTicker(sliceEvery)
	defer tick.Stop()
	b := d.bursts
	for {
		for _, o := range b.plan.Load().orders {
			if div := d.sharing.now.Load().Division(); o.Burst.Instances == 0 || o.Scope != share.ScopeGroup || div == nil || len(div.Members) < 2 {
				continue
			}
			words, _ := d.askSlices(ctx, o.Order)
			b.heard(o.ID, words)
			b.look()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.ask:
		}
	}
}

// heard keeps what the others have of a burst, unless it has ended while they were asked.
func (b *bursts) heard(id string, words map[string]sliceWord) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.plan.Load().has(id) {
		return
	}
	have := b.others[id]
	if have == nil {
		have = map[string]offer{}
		b.others[id] = have
	}
	for from, w := range words {
		have[from] = w.offer
	}
}
