package scrape

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// dialer makes connections to addresses that a list allows.
type dialer struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

func newDialer(c *Config) *dialer {
	d := &dialer{dial: c.Dial, lookup: c.Lookup}
	if d.dial == nil {
		d.dial = (&net.Dialer{}).DialContext
	}
	if d.lookup == nil {
		d.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return d
}

// tries is how many addresses of one name are tried before giving up.
const tries = 3

// open resolves host, asks the list about each address and connects to the first that answers. The address that was checked is the one that is dialled: a name
// cannot change its mind in between.
func (d *dialer) open(ctx context.Context, host string, port uint16, allow allowList) (net.Conn, error) {
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var refused error
	ok := addrs[:0]
	for _, a := range addrs {
		if err := allow.check(netip.AddrPortFrom(a, port)); err != nil {
			refused = err
			continue
		}
		ok = append(ok, a)
	}
	if len(ok) == 0 {
		return nil, refused
	}
	ok = ok[:min(len(ok), tries)]
	for i, a := range ok {
		one, cancel := ctx, context.CancelFunc(func() {})
		if end, has := ctx.Deadline(); has && i < len(ok)-1 { // leave some of the time to the others
			one, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(ok)-i))
		}
		var conn net.Conn
		conn, err = d.dial(one, "tcp", netip.AddrPortFrom(a.Unmap(), port).String())
		cancel()
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// resolve is the addresses of host, at least one.
func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		if isTimeout(err) && ctx.Err() != nil {
			return nil, &net.DNSError{Err: "no answer within the scrape timeout", Name: host, IsTimeout: true}
		}
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// viaProxy checks a target that only a proxy connects to: all its addresses. A name that does not resolve here is refused, as nobody could say where the proxy
// goes, unless the list leaves such names to it. The proxy looks the name up once more: against names that change their mind in between, it needs a list of its own.
func (d *dialer) viaProxy(ctx context.Context, host string, port uint16, allow allowList) error {
	addrs, err := d.resolve(ctx, host)
	if err != nil && isNumber(host) {
		return fmt.Errorf("host %.60q is %w: it is a number, which the proxy could take for any address", host, errForbidden)
	}
	if err != nil {
		if allow.unknown && ctx.Err() == nil {
			return nil
		}
		return fmt.Errorf("behind the proxy, the name must resolve here to be checked: %w", err)
	}
	for _, a := range addrs {
		if err := allow.check(netip.AddrPortFrom(a, port)); err != nil {
			return fmt.Errorf("behind the proxy: %w", err)
		}
	}
	return nil
}

// isNumber reports a host that is no address as it is written here, and that others read as one: 2852039166, 0xa9fea9fe and 169.254.43518 are 169.254.169.254.
func isNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	digits := "0123456789"
	if hex, is := strings.CutPrefix(last, "0x"); is {
		last, digits = hex, digits+"abcdef"
	}
	return strings.Trim(last, digits) == ""
}
