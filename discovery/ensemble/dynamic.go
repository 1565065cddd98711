package ensemble

import (
	"bytes"
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
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
	peers := parseConfiguration(text)
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

// parseConfiguration reads the lines of /zookeeper/config that name servers, in the order of their numbers:
//
//	server.1=zk-1:2888:3888:participant;10.0.0.1:2181
//
// Of several addresses of one server (zk-1:2888:3888|zk-1b:2888:3888) the first counts. A client address of all interfaces, or none, is the server's host.
func parseConfiguration(text []byte) []peer {
	found := map[int]peer{}
	for line := range bytes.Lines(text[:min(len(text), 1<<20)]) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		id, isServer := strings.CutPrefix(strings.TrimSpace(name), "server.")
		n, err := strconv.Atoi(id)
		if !isServer || err != nil || n < 0 || len(found) >= maxServers {
			continue
		}
		quorum, client, _ := strings.Cut(strings.TrimSpace(value), ";")
		first, _, _ := strings.Cut(quorum, "|")
		host := hostOf(first)
		p := peer{id: id, host: host}
		if at, port, ok := lastColon(client); ok {
			if v, err := strconv.ParseUint(port, 10, 16); err == nil {
				p.port = uint16(v)
			}
			if at = strings.Trim(at, "[]"); at != "" && !unspecified(at) {
				p.host = at
			}
		} else if v, err := strconv.ParseUint(strings.TrimSpace(client), 10, 16); err == nil {
			p.port = uint16(v)
		}
		if _, _, err := discovery.SplitAddr(discovery.Key{Host: p.host, Port: max(p.port, 1)}.Addr()); err != nil || strings.ContainsAny(p.host, "/@ \t") {
			continue
		}
		found[n] = p
	}
	var out []peer
	for _, n := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[n])
	}
	return out
}

// hostOf is the host of host:2888:3888, or of [v6]:2888:3888.
func hostOf(s string) string {
	if rest, v6 := strings.CutPrefix(s, "["); v6 {
		host, _, _ := strings.Cut(rest, "]")
		return host
	}
	host, _, _ := strings.Cut(s, ":")
	return host
}

func lastColon(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}
