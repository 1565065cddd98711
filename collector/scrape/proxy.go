package scrape

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Proxy is how requests get to where they are for. The zero Proxy is directly.
type Proxy struct {
	URL *url.URL // http, https, socks5 or socks5h, with user and password
	// Without are hosts that are reached without it, divided by commas: an address, a network, a name and all names below it, names below .name, each but a network with a port or
	// without, or * for everybody. Where it is given, loopback and localhost are always reached without, as Go and Prometheus have it.
	Without string
	// Environment takes both from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or the same in small letters, as they are when the job is first used.
	Environment   bool
	ConnectHeader http.Header // for the proxy, where it is asked to CONNECT
}

// any reports that some requests may go by a proxy.
func (p *Proxy) any() bool { return p.URL != nil || p.Environment }

func (p *Proxy) validate() error {
	if p.URL != nil && !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, p.URL.Scheme) {
		return fmt.Errorf("the scheme %q of the proxy is neither http, https nor socks5", p.URL.Scheme)
	}
	if p.URL != nil && p.Environment {
		return fmt.Errorf("a proxy is named, and another is taken from the environment")
	}
	return nil
}

// proxies is a Proxy that was looked through once.
type proxies struct {
	http, https *url.URL
	chosen      bool // some hosts are reached without
	all         bool // all are
	without     []unproxied
}

// unproxied is one entry of those that are reached without a proxy.
type unproxied struct {
	network netip.Prefix
	host    string // a name's begins with a dot
	itself  bool   // the name is meant, too
	port    string // "": every one
}

func (p *Proxy) look() (*proxies, error) {
	out := &proxies{http: p.URL, https: p.URL, chosen: p.Without != ""}
	without := p.Without
	if p.Environment {
		env := func(name string) string { return cmp.Or(os.Getenv(name), os.Getenv(strings.ToLower(name))) }
		var err error
		if out.http, err = proxyOf(env("HTTP_PROXY")); err != nil {
			return nil, fmt.Errorf("HTTP_PROXY of the environment: %w", err)
		}
		if out.https, err = proxyOf(env("HTTPS_PROXY")); err != nil {
			return nil, fmt.Errorf("HTTPS_PROXY of the environment: %w", err)
		}
		without, out.chosen = env("NO_PROXY"), true
	}
	for entry := range strings.SplitSeq(strings.ToLower(without), ",") {
		entry = strings.TrimSpace(entry)
		if n, err := netip.ParsePrefix(entry); err == nil {
			out.without = append(out.without, unproxied{network: n.Masked()})
			continue
		}
		host, port, err := net.SplitHostPort(entry)
		if err != nil {
			host, port = strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"), ""
		}
		a, notAddr := netip.ParseAddr(host)
		switch {
		case host == "":
		case host == "*":
			out.all = true
		case notAddr == nil:
			out.without = append(out.without, unproxied{network: netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), port: port})
		default:
			host = strings.TrimPrefix(host, "*")
			itself := !strings.HasPrefix(host, ".")
			out.without = append(out.without, unproxied{host: "." + strings.TrimPrefix(host, "."), itself: itself, port: port})
		}
	}
	return out, nil
}

// proxyOf is a proxy as the environment names it; the error does not tell its password.
func proxyOf(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme == "" {
		u, err = url.Parse("http://" + s)
	}
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("it is no URL such as http://proxy:3128")
	}
	return u, (&Proxy{URL: u}).validate()
}

// of is the proxy by which u is reached; nil: directly.
func (p *proxies) of(u *url.URL) *url.URL {
	by := p.http
	if u.Scheme == "https" {
		by = p.https
	}
	if by == nil || p.chosen && p.direct(u) {
		return nil
	}
	return by
}

// direct reports that u is for a host that is reached without a proxy.
func (p *proxies) direct(u *url.URL) bool {
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), portOf(u)
	a, notAddr := netip.ParseAddr(host)
	a = a.Unmap()
	if p.all || host == "localhost" || notAddr == nil && a.IsLoopback() {
		return true
	}
	for _, w := range p.without {
		if w.port != "" && w.port != port {
			continue
		}
		if notAddr == nil && w.network.IsValid() && w.network.Contains(a) {
			return true
		}
		if notAddr != nil && w.host != "" && (strings.HasSuffix(host, w.host) || w.itself && host == w.host[1:]) {
			return true
		}
	}
	return false
}

// at reports that one of the proxies is at host:port: the operator chose it, so it may be anywhere.
func (p *proxies) at(host string, port uint16) bool {
	for _, u := range [...]*url.URL{p.http, p.https} {
		if u == nil {
			continue
		}
		at := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme])
		if h, n, err := discovery.SplitAddr(net.JoinHostPort(u.Hostname(), at)); err == nil && strings.EqualFold(h, host) && n == port {
			return true
		}
	}
	return false
}
