package zk

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// endpoint is one address to try, and the name it came from: TLS certificates are made out to names.
type endpoint struct {
	name string // host:port as configured
	addr string // ip:port
}

// hosts is the library's HostProvider. Its own resolves names once, at the start, and fails whole if one does not resolve; a collector outlives many moves of
// an ensemble, so this one resolves again at each round of attempts and skips what fails.
type hosts struct {
	servers []string
	lookup  func(ctx context.Context, host string) ([]string, error)

	mu      sync.Mutex
	round   []endpoint // what is still to be tried in this round
	current endpoint
	first   bool       // current is the first of its round
	all     []endpoint // as last resolved
	prefer  string     // address to try first in the next round
	tried   bool       // a round has been tried without a connection
	stopped bool
}

func newHosts(servers []string) *hosts {
	return &hosts{servers: servers, lookup: net.DefaultResolver.LookupHost}
}

// Init is part of the library's interface; the names are resolved when they are needed.
func (h *hosts) Init([]string) error { return nil }

// Len is the number of servers as configured.
func (h *hosts) Len() int { return len(h.servers) }

// Next is the next address to try. retryStart makes the library pause, fail what is unsent, and look whether it was closed.
func (h *hosts) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		h.current = endpoint{}
		return "", true
	}
	h.first = len(h.round) == 0
	if h.first {
		retryStart, h.tried = h.tried, true
		h.mu.Unlock()
		round := h.resolve(context.Background())
		h.mu.Lock()
		if i := slices.IndexFunc(round, func(e endpoint) bool { return e.addr == h.prefer }); i > 0 {
			round[0], round[i] = round[i], round[0]
		}
		h.all, h.round, h.prefer = slices.Clone(round), round, ""
	}
	h.current = endpoint{}
	if len(h.round) > 0 {
		h.current, h.round = h.round[0], h.round[1:]
	}
	return h.current.addr, retryStart
}

// Connected tells that the current address answers.
func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.round, h.tried = nil, false
}

// resolve looks every name up, at once, and shuffles what was found: no server gets all clients.
func (h *hosts) resolve(ctx context.Context) []endpoint {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found := make([][]endpoint, len(h.servers))
	var wg sync.WaitGroup
	for i, s := range h.servers {
		wg.Go(func() {
			host, port, err := net.SplitHostPort(s)
			if err != nil {
				return
			}
			addrs := []string{host}
			if net.ParseIP(host) == nil {
				addrs, _ = h.lookup(ctx, host) // what fails is skipped: the others may answer, and the next round asks again
			}
			for _, a := range addrs {
				found[i] = append(found[i], endpoint{s, net.JoinHostPort(a, port)})
			}
		})
	}
	wg.Wait()
	out := slices.Concat(found...)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// now is the address being tried, and whether it is the first of its round.
func (h *hosts) now() (at endpoint, first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current, h.first
}

// others is every address but the one given, as last resolved.
func (h *hosts) others(than string) []endpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.all), func(e endpoint) bool { return e.addr == than })
}

// setPrefer names the address that the next round begins with.
func (h *hosts) setPrefer(addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prefer, h.round = addr, nil
}

// stop makes every further attempt fail at once, so that the library sees that it was closed.
func (h *hosts) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
}
