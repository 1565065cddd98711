package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// Those whom a guard holds are told from the dead by whether they answer, and each of them answers one collector only: the one that pulls it. So while guards hold
// anybody, collectors of a group tell each other.

const (
	heardPath  = share.SharePath + "/heard"
	hearEvery  = 5 * time.Second
	maxHeard   = 200_000  // of one peer
	maxHearing = 64 << 20 // bytes of its answer
)

// heardOf is how the last pull of one who is held ended.
type heardOf struct {
	discovery.Key
	Answered bool      `json:"answered"`
	At       time.Time `json:"at"`
}

// serveHeard answers with those who are held and whom this collector pulls.
func (d *Daemon) serveHeard(w http.ResponseWriter, r *http.Request) {
	p := newReply(w, r)
	defer p.close()
	p.raw(`{"heard":`)
	p.open()
	if len(d.roster.Guards()) > 0 {
		n := 0
		d.roster.Walk(func(e *discovery.Entry) bool {
			if e.State != discovery.Unconfirmed {
				return true
			}
			t, ok := d.pool.Find(scrape.TargetKey{Key: e.Key, Job: jobOf(e.Source)})
			if ok && !t.LastScrape.IsZero() && t.Outcome.Asked() {
				p.item(heardOf{e.Key, t.Outcome.Answered(), t.LastScrape})
				n++
			}
			return n < maxHeard
		})
	}
	p.shut()
	p.raw("}")
}

// hear asks the peers about those who are held, for as long as somebody is.
func (d *Daemon) hear(ctx context.Context) {
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	last := map[discovery.Key]time.Time{} // of what was told already: each pull counts once
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		div := d.sharing.now.Load().Division()
		if div == nil || len(div.Members) < 2 || len(d.roster.Guards()) == 0 {
			clear(last)
			continue
		}
		d.hearPeers(ctx, div.Peers(), last)
	}
}

func (d *Daemon) hearPeers(ctx context.Context, peers []share.Collector, last map[discovery.Key]time.Time) {
	ctx, cancel := context.WithTimeout(ctx, hearEvery)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, 8)
	for _, p := range peers {
		if p.Addr == "" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			heard, err := d.askHeard(ctx, p)
			if err != nil {
				d.log.Debug("a peer does not tell whom it heard", "peer", p.ID, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, h := range heard {
				if h.At.After(last[h.Key]) {
					last[h.Key] = h.At
					d.roster.Heard(h.Key, h.Answered, h.At)
				}
			}
		})
	}
	wg.Wait()
}

func (d *Daemon) askHeard(ctx context.Context, p share.Collector) ([]heardOf, error) {
	body, err := d.askPeer(ctx, p, heardPath)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var a struct {
		Heard []heardOf `json:"heard"`
	}
	err = json.NewDecoder(io.LimitReader(body, maxHearing)).Decode(&a)
	return a.Heard[:min(len(a.Heard), maxHeard)], err
}

// askPeer asks another collector's API; the caller closes the body.
func (d *Daemon) askPeer(ctx context.Context, p share.Collector, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL(path), nil)
	if err != nil {
		return nil, err
	}
	res, err := d.peers.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("ask %s: status %d", p.Addr, res.StatusCode)
	}
	return res.Body, nil
}
