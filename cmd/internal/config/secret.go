package config

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Secret prints as <secret> everywhere; only Reveal gives it away.
type Secret string

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "<secret>"
}

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalYAML implements yaml.BytesMarshaler.
func (s Secret) MarshalYAML() ([]byte, error) { return []byte(strconv.Quote(s.String())), nil }

// MarshalJSON hides it from the API.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(s.String())), nil }

// URL is one that may hold a password or a token: it prints without them, and only Reveal gives it whole.
type URL string

// Reveal is the URL itself.
func (u URL) Reveal() string { return string(u) }

// leads reports whether it is an address that can be asked: of http or https, with a host.
func (u URL) leads() bool {
	at, err := url.Parse(string(u))
	return err == nil && at.Host != "" && (at.Scheme == "http" || at.Scheme == "https")
}

func (u URL) String() string { return RedactURL(string(u)) }

// GoString hides it from %#v.
func (u URL) GoString() string { return u.String() }

// MarshalYAML implements yaml.BytesMarshaler.
func (u URL) MarshalYAML() ([]byte, error) { return yaml.Marshal(u.String()) }

// MarshalJSON hides it from the API.
func (u URL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

const redacted = "xxxxx"

// RedactURL is a URL with everything in it hidden that may be a secret: passwords, users without one (tokens stand there), and the values of the query.
// The result is a URL again; what is none is hidden whole.
func RedactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return redacted
	}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword(u.User.Username(), redacted)
		} else {
			u.User = url.User(redacted)
		}
	}
	if u.RawQuery != "" {
		pairs := strings.Split(u.RawQuery, "&")
		for i, p := range pairs {
			if name, _, has := strings.Cut(p, "="); has {
				pairs[i] = name + "=" + redacted
			} else {
				pairs[i] = redacted
			}
		}
		u.RawQuery = strings.Join(pairs, "&")
	}
	return u.String()
}

// Params are query parameters. Their values print as <secret>: a token may stand among them.
type Params map[string][]string

func (p Params) hidden() map[string][]Secret {
	out := make(map[string][]Secret, len(p))
	for name, values := range p {
		for _, v := range values {
			out[name] = append(out[name], Secret(v))
		}
	}
	return out
}

// MarshalYAML implements yaml.InterfaceMarshaler.
func (p Params) MarshalYAML() (any, error) { return p.hidden(), nil }

// MarshalJSON hides the values from the API.
func (p Params) MarshalJSON() ([]byte, error) { return json.Marshal(p.hidden()) }

func (p Params) String() string {
	b, _ := p.MarshalJSON() // a map of strings: it cannot fail
	return string(b)
}

// GoString hides the values from %#v.
func (p Params) GoString() string { return p.String() }
