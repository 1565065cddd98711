package serve

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	// peerPath is where a replica says who it is.
	peerPath   = "/api/v1/peer"
	askEvery   = 500 * time.Millisecond
	askWithin  = 2 * time.Second
	peerLapse  = 3 * time.Second  // who has not answered for so long is gone
	forwardFor = 30 * time.Second // one may wait for another to be read back from Kafka, and then for its own
	// forwardedBy marks a question that a replica passes on: whoever gets it answers, whoever the owner is by then.
	forwardedBy = "X-Rollcall-Peer"
)

// peers is the replicas of serve, which divide the partitions among those of them who answer, by rendezvous. There is no election: whoever hears the same answers
// comes to the same division, and what two own for a moment both judge, under the same names.
type peers struct {
	id     string // of this process
	urls   []*url.URL
	client *http.Client
	log    *slog.Logger
	count  func() int              // partitions
	tell   func() []detect.Trouble // what is in trouble here

	mu    sync.Mutex
	heard []time.Time  // when each answered last
	told  []said       // what it said
	self  atomic.Int64 // which of them this process is, 1 for the first; 0: not known
	alive atomic.Pointer[[]int]
}

func newPeers(urls []string, log *slog.Logger) (*peers, error) {
	p := &peers{id: rand.Text(), log: log, heard: make([]time.Time, len(urls)), told: make([]said, len(urls)), client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, u := range urls {
		at, err := url.Parse(u)
		if err != nil {
			return nil, fmt.Errorf("dashboards.peers: one of them is no URL")
		}
		p.urls = append(p.urls, at)
	}
	p.alive.Store(&[]int{})
	return p, nil
}

// said is what a replica says of itself.
type said struct {
	ID         string `json:"id"`
	Partitions []int  `json:"partitions"` // that it owns
	Of         int    `json:"of"`         // 0: not known yet
	// Troubles is what is wrong with its services at places that others may share.
	Troubles []detect.Trouble `json:"troubles,omitempty"`
}

// maxSaid bounds what is read of a replica's word.
const maxSaid = 4 << 20

// readSaid reads what a replica says of itself.
func readSaid(r io.Reader) (is said, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSaid+1))
	switch {
	case err != nil:
		return is, err
	case len(b) > maxSaid:
		return is, fmt.Errorf("more than %d bytes", maxSaid)
	}
	if err := json.Unmarshal(b, &is); err != nil {
		return is, err
	}
	if is.ID == "" || len(is.Troubles) > detect.MaxTroubles {
		return is, errors.New("that is no replica")
	}
	return is, nil
}

func (p *peers) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	is := said{ID: p.id, Partitions: []int{}, Of: p.count()}
	if p.tell != nil {
		is.Troubles = p.tell()
	}
	for i := range is.Of {
		if p.owns(i, is.Of) {
			is.Partitions = append(is.Partitions, i)
		}
	}
	json.NewEncoder(w).Encode(is) // whoever asked may have gone
}

// run asks everybody who they are until ctx ends.
func (p *peers) run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	defer p.client.CloseIdleConnections()
	var asking sync.WaitGroup
	defer asking.Wait()
	busy := make([]atomic.Bool, len(p.urls))
	began := time.Now()
	warned := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		for i := range p.urls {
			if busy[i].CompareAndSwap(false, true) {
				asking.Go(func() {
					defer busy[i].Store(false)
					p.ask(ctx, i)
				})
			}
		}
		p.divide(time.Now())
		if p.self.Load() == 0 && !warned && time.Since(began) > 10*time.Second {
			warned = true
			p.log.Error("none of dashboards.peers is this process: it owns nothing, and shows what the others tell; name the URL at which the others reach it")
		}
		t.Reset(askEvery)
	}
}

func (p *peers) ask(ctx context.Context, i int) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.at(i, peerPath), nil)
	if err != nil {
		return
	}
	p.sign(req, i)
	res, err := p.client.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return
	}
	is, err := readSaid(res.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.heard[i], p.told[i] = time.Now(), is
	p.mu.Unlock()
	if is.ID == p.id {
		p.self.Store(int64(i) + 1)
	}
	p.divide(time.Now())
}

// at is a page of a peer, without user and password.
func (p *peers) at(i int, path string) string {
	u := *p.urls[i]
	u.User = nil
	return u.JoinPath(path).String()
}

func (p *peers) sign(r *http.Request, i int) {
	if user := p.urls[i].User; user != nil {
		if pass, ok := user.Password(); ok {
			r.SetBasicAuth(user.Username(), pass)
		}
	}
}

// divide takes over who answers.
func (p *peers) divide(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var is []int
	self := int(p.self.Load()) - 1
	for i, t := range p.heard {
		if i == self || now.Sub(t) < peerLapse { // a busy machine is no reason to take oneself for gone
			is = append(is, i)
		}
	}
	was := *p.alive.Load()
	if fmt.Sprint(is) != fmt.Sprint(was) {
		p.alive.Store(&is)
		p.log.Info("replicas that answer", "now", len(is), "before", len(was), "of", len(p.urls))
	}
}

// ownerOf is which replica owns a partition; -1: nobody answers.
func (p *peers) ownerOf(partition int) int { return p.ownerOfName(strconv.Itoa(partition)) }

// ownerOfName is which replica owns what has a name, such as a group of rules; -1: nobody answers.
func (p *peers) ownerOfName(name string) int {
	best, most := -1, uint64(0)
	for _, i := range *p.alive.Load() {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s/%s", p.urls[i].Host+p.urls[i].Path, name)
		if w := mix(h.Sum64()); best < 0 || w > most {
			best, most = i, w
		}
	}
	return best
}

// mix spreads what differs in the last bytes only over all bits.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func (p *peers) owns(partition, _ int) bool {
	return p.self.Load() > 0 && p.ownerOf(partition) == int(p.self.Load())-1
}

// ownsGroup reports whether rules of a group are evaluated here.
func (p *peers) ownsGroup(key string) bool {
	return p.self.Load() > 0 && p.ownerOfName("rules/"+key) == int(p.self.Load())-1
}

// owner is which replica owns a service; -1: it is not known.
func (p *peers) owner(service, env string) int {
	n := p.count()
	if n == 0 {
		return -1
	}
	return p.ownerOf(int(wire.Partition(sink.Key(service, env), n)))
}

func (p *peers) ownsService(service, env string) bool {
	return p.self.Load() > 0 && p.owner(service, env) == int(p.self.Load())-1
}

// troubles is what the others who answer tell.
func (p *peers) troubles() (out []detect.Told) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range *p.alive.Load() {
		if i != int(p.self.Load())-1 && p.told[i].ID != "" {
			out = append(out, detect.Told{From: p.told[i].ID, Troubles: p.told[i].Troubles, Owns: func(service, env string) bool { return p.owner(service, env) == i }})
		}
	}
	return out
}

// forwarded are the questions that only the owner of a service can answer.
func forwarded(path string) bool {
	switch path {
	case "/api/v1/service", "/api/v1/series", "/api/v1/different", "/api/v1/canary", "/api/v1/convergence", "/api/v1/check":
		return true
	}
	return false
}

// forward passes questions about a service on to its owner.
func (p *peers) forward(next http.Handler) http.Handler {
	proxies := make([]*httputil.ReverseProxy, len(p.urls))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = forwardFor
	for i := range p.urls {
		base := *p.urls[i]
		base.User = nil
		proxies[i] = &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&base)
			r.Out.Header.Set(forwardedBy, p.id)
			p.sign(r.Out, i)
		}, ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.log.Warn("the owner of a service does not answer", "peer", base.Host, "path", r.URL.Path, "err", err)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, `{"error":"the replica that owns this service, %s, does not answer; another takes it over in a few seconds"}`, strings.NewReplacer(`"`, "", `\`, "").Replace(base.Host))
		}}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && forwarded(r.URL.Path) && r.Header.Get(forwardedBy) == "" {
			q := r.URL.Query()
			if q.Has("match[]") { // Prometheus' question, which is about no one service
				next.ServeHTTP(w, r)
				return
			}
			if i := p.owner(q.Get("service"), cmp.Or(q.Get("env"), "")); i >= 0 && i != int(p.self.Load())-1 {
				proxies[i].ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
