package ensemble

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// look reads the ensemble's own configuration and takes the servers that it names. What cannot be read changes nothing, and is to be tried again: false.
func (s *Source) look(ctx context.Context) bool {
	if s.cfg.Configuration == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	text, err := s.cfg.Configuration(ctx)
	if err != nil || len(text) == 0 {
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("the ensemble's own configuration cannot be read", "err", err)
		}
		return false
	}
	peers, err := peersOf(text, s.cfg.Secure)
	if err != nil {
		s.cfg.Log.Debug("the ensemble's own configuration cannot be read whole", "err", err)
	}
	s.mu.Lock()
	var port uint16 // that all servers of the configuration have
	known := map[string]*server{}
	var named []*server
	for i, n := range s.servers {
		if n.found {
			continue
		}
		if i == 0 {
			port = n.port
		} else if port != n.port {
			port = 0
		}
		named = append(named, n)
	}
	s.mu.Unlock()
	for _, n := range named { // one server may have a name here and an address there
		for _, ip := range s.addresses(ctx, n.host) {
			known[discovery.Key{Host: ip, Port: n.port}.Addr()] = n
		}
		known[n.addr()] = n
	}
	next := slices.Clone(named)
	by := map[string]*server{}
	for _, n := range named {
		by[n.addr()] = n
	}
	ids := map[*server]string{}
	for _, p := range peers {
		if p.port == 0 {
			p.port = port
		}
		if p.port == 0 {
			continue // it does not say where clients reach it
		}
		n := known[discovery.Key{Host: p.host, Port: p.port}.Addr()]
		for _, ip := range s.addresses(ctx, p.host) {
			if n != nil {
				break
			}
			n = known[discovery.Key{Host: ip, Port: p.port}.Addr()]
		}
		if n == nil {
			n = &server{host: p.host, port: p.port, found: true}
			s.mu.Lock()
			if old := s.by[n.addr()]; old != nil {
				n = old
			}
			s.mu.Unlock()
		}
		ids[n] = p.id
		if by[n.addr()] == nil {
			by[n.addr()] = n
			next = append(next, n)
		}
	}
	slices.SortFunc(next[len(named):], func(a, b *server) int { return strings.Compare(a.addr(), b.addr()) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, id := range ids {
		if n.id != id {
			n.id, n.member = id, nil
		}
	}
	s.servers, s.by = next, by
	return true
}

// addresses are those that a host has now, none if it does not resolve.
func (s *Source) addresses(ctx context.Context, host string) []string {
	if net.ParseIP(host) != nil {
		return []string{host}
	}
	found, err := s.cfg.Lookup(ctx, host)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range found {
		out = append(out, a.IP.String())
	}
	return out
}

// peer is one server of the ensemble's own configuration.
type peer struct {
	id   string
	host string
	port uint16 // for clients; 0: not said
}

// peersOf are the servers that an ensemble's own configuration names, at the address for clients with TLS where secure is set. What cannot be read of it is passed
// over, and returned as the error.
func peersOf(text []byte, secure bool) (out []peer, err error) {
	found, err := zk.ParseEnsemble(text)
	for _, p := range found {
		addr := p.Client
		if secure {
			addr = p.Secure
		}
		to := peer{id: strconv.FormatInt(p.ID, 10), host: p.Host}
		if addr != "" {
			var bad error
			if to.host, to.port, bad = discovery.SplitAddr(addr); bad != nil {
				err = errors.Join(err, bad)
				continue
			}
		}
		if len(out) < maxServers && !slices.ContainsFunc(out, func(o peer) bool { return o.id == to.id }) {
			out = append(out, to)
		}
	}
	return out, err
}
