package trust

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Addresses are networks, such as those of proxies.
type Addresses []netip.Prefix

// ParseAddresses reads addresses and networks such as 127.0.0.1 and 10.1.0.0/24.
func ParseAddresses(texts []string) (out Addresses, err error) {
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network; give 127.0.0.1 or 10.1.0.0/24", t)
		}
		out = append(out, p)
	}
	return out, nil
}

// hold reports whether a request came from one of them: from whom the connection is, whatever its headers say.
func (a Addresses) hold(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	for _, p := range a {
		if p.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// Gate stands before a listener's handler: it finds out who sends each request, and lets nobody pass who would have to sign in and has not.
type Gate struct {
	// Password says whether there are users with passwords, and, where the request brings one, whether it is right. nil: there are none.
	Password func(r *http.Request) (users bool, name string, right bool)
	// Certificates says whether the listener verifies clients' certificates. nil: it does not.
	Certificates func() bool

	policy atomic.Pointer[Policy]
}

// Set puts a policy in force.
func (g *Gate) Set(p Policy) { g.policy.Store(&p) }

// maxName bounds a name in a header.
const maxName = 200

// Protect is next behind the gate.
func (g *Gate) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := g.policy.Load()
		if p == nil {
			p = &Policy{}
		}
		v := visit{signIn: p.Header != "" || g.Certificates != nil && g.Certificates()}
		var users, right bool
		name := ""
		if g.Password != nil {
			users, name, right = g.Password(r)
		}
		v.signIn = v.signIn || users
		said := r.Header.Values(p.Header)
		switch {
		case p.Header != "" && len(said) > 0 && !p.From.hold(r):
			http.Error(w, "the header "+p.Header+" is taken from the proxies that web.auth_header names, and this request is from none of them", http.StatusForbidden)
			return
		case p.Header != "" && len(said) > 0 && (len(said) > 1 || strings.TrimSpace(said[0]) != ""):
			if v.Name = strings.TrimSpace(said[0]); len(said) > 1 || !namely(v.Name) {
				http.Error(w, "the header "+p.Header+" is no name: the proxy has to send it once, in at most 200 bytes without control characters", http.StatusBadRequest)
				return
			}
			v.By = ByProxy
		case users && right:
			v.Name, v.By = name, ByPassword
		case users:
			w.Header().Set("WWW-Authenticate", `Basic realm="rollcall", charset="UTF-8"`)
			http.Error(w, "sign in with a user of the web configuration", http.StatusUnauthorized)
			return
		default:
			if v.Name = certified(r); v.Name != "" {
				v.By = ByCertificate
			} else if p.Header != "" && !p.Anonymous && remote(r, "questions") != "" {
				http.Error(w, "sign in: come by way of the proxy that says who you are, in the header "+p.Header, http.StatusForbidden)
				return
			}
		}
		if v.By != "" {
			v.Role = p.role(v.Name)
		}
		next.ServeHTTP(w, v.put(r))
	})
}

// namely reports whether a header's value can be somebody's name.
func namely(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
}

// certified is the name on the certificate that the listener has verified; "": there is none.
func certified(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return ""
	}
	if name := nameOn(r.TLS.VerifiedChains[0][0]); namely(name) {
		return name
	}
	return "unnamed"
}

func nameOn(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return ""
}
