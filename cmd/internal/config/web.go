package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// Web says who the people are who use the page and the API, beside the users and certificates of --web.config.file, and what they may.
type Web struct {
	AuthHeader *AuthHeader `yaml:"auth_header"`
	Operators  []string    `yaml:"operators"` // names, as they sign in; default: everybody who has signed in
	Anonymous  bool        `yaml:"anonymous"` // with auth_header: who has not signed in may look
}

// AuthHeader is a header in which a reverse proxy says who it has signed in.
type AuthHeader struct {
	Name string   `yaml:"name"`
	From []string `yaml:"from"` // addresses and networks of the proxies
}

// ownHeaders mean something else already, or are every client's own.
var ownHeaders = []string{"Authorization", "Cookie", "Host", "Origin", "User-Agent", "Content-Type", "Content-Length", "Accept", "Connection", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "Forwarded", "Via", "X-Real-Ip"}

var headerName = regexp.MustCompile(`^[0-9A-Za-z-]{1,100}$`)

func (w *Web) validate(k checker) {
	for i, name := range w.Operators {
		if strings.TrimSpace(name) != name || name == "" {
			k.in(".operators[%d]", i).fail("%q is no name; give it as people sign in", name)
		}
	}
	h := w.AuthHeader
	switch {
	case h == nil && w.Anonymous:
		k.in(".anonymous").fail("there is no auth_header beside it; without one, who may look is what --web.config.file says")
	case h == nil:
	default:
		k := k.in(".auth_header")
		if !headerName.MatchString(h.Name) || slices.ContainsFunc(ownHeaders, func(own string) bool { return strings.EqualFold(own, h.Name) }) {
			k.in(".name").fail("%q is no header in which a proxy names people, such as X-Forwarded-User", h.Name)
		}
		if _, err := trust.ParseAddresses(h.From); err != nil {
			k.in(".from").fail("%s", err)
		} else if len(h.From) == 0 {
			k.in(".from").fail("say which proxies are believed, such as [127.0.0.1]: anybody can send a header")
		}
	}
}

// Policy is what it says, of a configuration without faults.
func (w *Web) Policy() trust.Policy {
	p := trust.Policy{Operators: w.Operators, Anonymous: w.Anonymous}
	if h := w.AuthHeader; h != nil {
		p.Header = h.Name
		p.From, _ = trust.ParseAddresses(h.From) // validated
	}
	return p
}
