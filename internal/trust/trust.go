// Package trust says of a request that changes something whether it is taken: from users who have signed in, and from people on this machine, but from no page of
// another site in a browser on it. The daemons' own listeners check passwords; what a request wants to change is not this package's business.
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

// Distrust is why a request is not taken, "" where it is. users says that there are users, of whom the listener lets nobody else pass; what is what the request
// brings, in the plural, such as orders.
func Distrust(r *http.Request, users bool, what string) string {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return "a page of another site cannot give " + what
		}
	}
	if _, _, signed := r.BasicAuth(); signed && users {
		return "" // the listener has checked it
	}
	for _, name := range forwarded {
		if r.Header.Get(name) != "" || !r.ProtoAtLeast(1, 1) { // nginx speaks HTTP/1.0 to what is behind it, and says nothing else; our commands and browsers do not
			return what + " that come by way of a proxy are taken of users only; give users in --web.config.file, and sign in as one"
		}
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return what + " are taken from this machine only; give users in --web.config.file, and sign in as one, to give them from elsewhere"
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

// Who is the user who has signed in, whatever a request says of itself; else what it says.
func Who(r *http.Request, users bool, says string) string {
	if user, _, signed := r.BasicAuth(); signed && users {
		return user
	}
	return says
}
