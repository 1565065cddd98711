package scrape

import (
	"errors"
	"fmt"
	"net/netip"
)

// PortRange is a range of ports, both ends included.
type PortRange struct{ From, To uint16 }

// Allow says which addresses a job may connect to. Whoever can write to a serverset chooses where the collector connects, so the list is asked about the
// resolved address, just before each connection is made. The zero Allow is the private networks and loopback, on every port.
type Allow struct {
	// Networks are the networks allowed; empty means DefaultNetworks. Link-local addresses and those where clouds serve credentials are refused unless a
	// network within their own range is listed: 0.0.0.0/0 does not list them.
	Networks []netip.Prefix
	Ports    []PortRange // empty means every port
	// ProxyNames leaves names that do not resolve here to the job's proxy, which then connects wherever it finds them: nobody asks the list.
	ProxyNames bool
}

// DefaultNetworks are loopback, the private networks of RFC 1918, the shared address space of RFC 6598 and unique local IPv6 addresses.
func DefaultNetworks() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range [...]string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"} {
		out = append(out, netip.MustParsePrefix(n))
	}
	return out
}

// guarded are ranges that a wider network does not include: link-local, and the metadata addresses that lie elsewhere.
var guarded = [...]netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), // AWS, Azure, Google, Oracle and others: 169.254.169.254
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS over IPv6
	netip.MustParsePrefix("fd20:ce::/32"),       // Google over IPv6
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
}

// errForbidden is in the chain of every refusal by an Allow.
var errForbidden = errors.New("not on the allow-list")

// allowList is an Allow that was looked through once.
type allowList struct {
	networks []netip.Prefix
	ports    []PortRange
	unknown  bool // names that only a proxy knows
}

func (a Allow) list() allowList {
	l := allowList{networks: a.Networks, ports: a.Ports, unknown: a.ProxyNames}
	if len(l.networks) == 0 {
		l.networks = DefaultNetworks()
	}
	return l
}

// check returns an error, with errForbidden in its chain, unless the list has addr.
// Check says why an address must not be dialled, nil if it may.
func (a Allow) Check(addr netip.AddrPort) error { return a.list().check(addr) }

func (l allowList) check(addr netip.AddrPort) error {
	ip := addr.Addr().Unmap().WithZone("") // an IPv4 address in IPv6's clothes is the IPv4 address; a zone changes nothing
	in := func(within netip.Prefix) bool {
		for _, n := range l.networks {
			if n.Contains(ip) && (!within.IsValid() || within.Overlaps(n) && n.Bits() >= within.Bits()) {
				return true
			}
		}
		return false
	}
	for _, g := range guarded {
		if g.Contains(ip) && !in(g) {
			return fmt.Errorf("address %s is %w: it is link-local or serves credentials; list its network itself to allow it", ip, errForbidden)
		}
	}
	if !in(netip.Prefix{}) {
		return fmt.Errorf("address %s is %w: it is in none of the job's networks", ip, errForbidden)
	}
	if len(l.ports) == 0 {
		return nil
	}
	for _, r := range l.ports {
		if r.From <= addr.Port() && addr.Port() <= r.To {
			return nil
		}
	}
	return fmt.Errorf("port %d is %w", addr.Port(), errForbidden)
}

func (a Allow) validate() error {
	var errs []error
	for _, n := range a.Networks {
		if !n.IsValid() {
			errs = append(errs, errors.New("allow: a network is not valid; write it as 10.0.0.0/8"))
		}
	}
	for _, r := range a.Ports {
		if r.From > r.To || r.To == 0 {
			errs = append(errs, fmt.Errorf("allow: ports %d-%d are no range", r.From, r.To))
		}
	}
	return errors.Join(errs...)
}
