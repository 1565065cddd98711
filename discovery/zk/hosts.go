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
	tier int
}

// server is a host:port to be resolved. Servers of a lower tier are tried first.
type server struct {
	name string
	tier int
}

// The tiers.
const (
	tierPreferred  = iota // named in Config.Prefer, or found to be observers
	tierConfigured        // Config.Servers
	tierLearned           // of the ensemble's own configuration
)

// serversOf is what a configuration names, each host:port once, in its best tier.
func serversOf(prefer, servers []string, learned []server) []server {
	var all []server
	for _, p := range prefer {
		all = append(all, server{p, tierPreferred})
	}
	for _, c := range servers {
		all = append(all, server{c, tierConfigured})
	}
	all = append(all, learned...)
	slices.SortStableFunc(all, func(a, b server) int { return a.tier - b.tier })
	out := all[:0]
	for _, a := range all {
		if !slices.ContainsFunc(out, func(b server) bool { return a.name == b.name }) {
			out = append(out, a)
		}
	}
	return out
}

// hosts is the library's HostProvider. Its own resolves names once, at the start, and fails whole if one does not resolve; a collector outlives many moves of
// an ensemble, so this one resolves again at each round of attempts and skips what fails.
type hosts struct {
	wanted []string // as configured
	named  []string
	lookup func(ctx context.Context, host string) ([]string, error)

	mu      sync.Mutex
	servers []server
	round   []endpoint // what is still to be tried in this round
	current endpoint
	first   bool       // current is the first of its round
	all     []endpoint // as last resolved
	prefer  string     // address to try first in the next round
	tried   bool       // a round has been tried without a connection
	stopped bool
}

func newHosts(prefer, servers []string, learned []server) *hosts {
	return &hosts{wanted: prefer, named: servers, servers: serversOf(prefer, servers, learned), lookup: net.DefaultResolver.LookupHost}
}

// setLearned takes the servers of the ensemble's configuration, from the next round on.
func (h *hosts) setLearned(learned []server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = serversOf(h.wanted, h.named, learned)
}

// prefers reports whether some servers are preferred to others.
func (h *hosts) prefers() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.servers[0].tier == tierPreferred && h.servers[len(h.servers)-1].tier > tierPreferred
}

// preferred are the addresses of the preferred servers, resolved anew.
func (h *hosts) preferred() []endpoint {
	all := h.resolve(context.Background())
	return slices.DeleteFunc(all, func(e endpoint) bool { return e.tier != tierPreferred })
}

// Init is part of the library's interface; the names are resolved when they are needed.
func (h *hosts) Init([]string) error { return nil }

// Len is the number of servers as configured.
func (h *hosts) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.servers)
}

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
			at := round[i]
			round = slices.Insert(slices.Delete(round, i, i+1), 0, at)
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

// resolve looks every name up, at once, and shuffles what was found, tier by tier: no server gets all clients.
func (h *hosts) resolve(ctx context.Context) []endpoint {
	h.mu.Lock()
	servers := h.servers
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found := make([][]endpoint, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			host, port, err := net.SplitHostPort(s.name)
			if err != nil {
				return
			}
			addrs := []string{host}
			if net.ParseIP(host) == nil {
				addrs, _ = h.lookup(ctx, host) // what fails is skipped: the others may answer, and the next round asks again
			}
			for _, a := range addrs {
				found[i] = append(found[i], endpoint{s.name, net.JoinHostPort(a, port), s.tier})
			}
		})
	}
	wg.Wait()
	out := slices.Concat(found...)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b endpoint) int { return a.tier - b.tier })
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
