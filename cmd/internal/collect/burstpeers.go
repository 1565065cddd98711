package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	// maxSlice bounds an answer, in bytes: room for as many instances as a burst may be of.
	maxSlice = 32 << 20
)

// sliceWord is what a collector says of a burst's slice: how much of it it could take, and, where the burst is of so many, who these are, the first of them.
type sliceWord struct {
	covered
	Longest int64       `json:"longest_ms"` // the longest interval of those it has
	First   []candidate `json:"first,omitempty"`
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

// hasOf is what this collector says of a burst, were it in force beside those that are.
func (d *Daemon) hasOf(o discovery.Order) (out sliceWord) {
	now := time.Now()
	was := d.bursts.plan.Load()
	var all []slice
	for _, p := range was.orders {
		if p.ID != o.ID {
			all = append(all, d.slice(p, true, was, now))
		}
	}
	s := d.slice(o, false, was, now) // the others' part is theirs to tell
	all = append(all, s)
	next := makePlan(all, d.burstBudget())
	out.covered = next.covered[o.ID]
	for _, c := range s.all {
		out.Longest = max(out.Longest, c.usual.Milliseconds())
	}
	if o.Burst.Instances > 0 {
		for _, c := range s.chosen() {
			if at, ok := next.paces[c.Key]; c.usual <= o.Burst.Every() || ok && at.every <= o.Burst.Every() {
				out.First = append(out.First, c)
			}
		}
	}
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
			word, err := d.readSlice(ctx, p, text)
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

func (d *Daemon) readSlice(ctx context.Context, p share.Collector, order []byte) (w sliceWord, err error) {
	if p.Addr == "" {
		return w, fmt.Errorf("collector %s says no address", p.ID)
	}
	body, err := d.askPeer(ctx, p, slicePath+"?order="+url.QueryEscape(string(order)))
	if err != nil {
		return w, err
	}
	defer body.Close()
	return w, json.NewDecoder(io.LimitReader(body, maxSlice)).Decode(&w)
}

// othersOf is what the others have of a burst of so many instances; waits: they were not asked yet.
func (d *Daemon) othersOf(id string) (out []candidate, waits bool) {
	div := d.sharing.now.Load().Division()
	if div == nil || len(div.Members) < 2 {
		return nil, false
	}
	b := d.bursts
	b.mu.Lock()
	defer b.mu.Unlock()
	have, asked := b.others[id]
	for _, p := range div.Peers() {
		out = append(out, have[p.ID]...)
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
			if div := d.sharing.now.Load().Division(); o.Burst.Instances == 0 || div == nil || len(div.Members) < 2 {
				continue
			}
			words, _ := d.askSlices(ctx, o)
			b.mu.Lock()
			have := b.others[o.ID]
			if have == nil {
				have = map[string][]candidate{}
				b.others[o.ID] = have
			}
			for id, w := range words {
				have[id] = w.First
			}
			b.mu.Unlock()
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
