// Package trust says who sends a request, and of one that changes something whether it is taken: from operators who have signed in, or, where nobody can, from people
// on this machine; from no page of another site in a browser. What a request wants to change is not this package's business.
package trust

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// forwarded are the headers by which a proxy says that it is one: on this machine it makes everybody look like one who is on it.
var forwarded = [...]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-By", "X-Real-Ip", "X-Client-Ip", "Cf-Connecting-Ip",
	"True-Client-Ip"}

// Distrust is why a request is not taken, "" where it is; what is what the request brings, in the plural, such as orders.
func Distrust(r *http.Request, what string) string {
	if why := Forbid(r, what); why != "" || visitOf(r).By != "" {
		return why
	}
	if why := remote(r, what); why != "" {
		return why + "; give users in --web.config.file, or web.auth_header, and sign in"
	}
	return ""
}

// Forbid is Distrust for what anybody may do where nobody can sign in, from wherever they come: it is refused to pages of other sites, to viewers, and to those who
// could have signed in and have not.
func Forbid(r *http.Request, what string) string {
	v := visitOf(r)
	switch {
	case foreign(r, v):
		return "a page of another site cannot give " + what
	case v.By != "" && v.Role != Operator:
		return v.Name + " may look, and not give " + what + ": operators may, and web.operators names them"
	case v.By == "" && v.signIn:
		return what + " are taken from operators who have signed in, and nobody has here"
	}
	return ""
}

// foreign reports whether a page of another site sends the request by a browser.
func foreign(r *http.Request, v visit) bool {
	switch r.Header.Get("Sec-Fetch-Site") { // browsers set it, and let no page change it
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	host := r.Host
	if named := r.Header.Get("X-Forwarded-Host"); named != "" && v.By == ByProxy { // it speaks for the browser
		host = named
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, host)
}

// remote is why a request is not from this machine, "" where it is.
func remote(r *http.Request, what string) string {
	for _, name := range forwarded {
		if r.Header.Get(name) != "" || !r.ProtoAtLeast(1, 1) { // nginx speaks HTTP/1.0 to what is behind it, and says nothing else; our commands and browsers do not
			return what + " that come by way of a proxy are taken of users only"
		}
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return what + " are taken from this machine only"
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	// Else a page could reach us under a name of its own that it has pointed to 127.0.0.1.
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip == nil && host != "localhost" {
		return what + " are taken for an address or localhost, not for the name " + host
	}
	return ""
}
