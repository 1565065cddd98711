package config

import (
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Proxy is how requests get to where they are for, as Prometheus has it.
type Proxy struct {
	ProxyURL             URL                 `yaml:"proxy_url"`
	NoProxy              string              `yaml:"no_proxy"`               // hosts, domains, addresses and networks that are reached without it
	ProxyFromEnvironment bool                `yaml:"proxy_from_environment"` // HTTP_PROXY, HTTPS_PROXY, NO_PROXY
	ProxyConnectHeader   map[string][]Secret `yaml:"proxy_connect_header"`   // sent to the proxy where it is asked to CONNECT
}

// OAuth2 has a token fetched for a client's secret (RFC 6749, section 4.4), and fetched anew before it ends.
type OAuth2 struct {
	ClientID         string            `yaml:"client_id"`
	ClientSecret     Secret            `yaml:"client_secret"`
	ClientSecretFile string            `yaml:"client_secret_file"`
	Scopes           []string          `yaml:"scopes"`
	TokenURL         URL               `yaml:"token_url"`
	EndpointParams   map[string]Secret `yaml:"endpoint_params"`
	TLS              *TLS              `yaml:"tls_config"` // of the token's URL
	Proxy            `yaml:",inline"`  // to it
}

// Headers are headers by their names.
type Headers map[string]Header

// Header is what one header is sent with: all of them, each as a line of its own.
type Header struct {
	Values  []string `yaml:"values"`
	Secrets []Secret `yaml:"secrets"`
	Files   []string `yaml:"files"`
}

func (p *Proxy) validate(k checker) {
	if p.ProxyURL != "" {
		if u, err := url.Parse(p.ProxyURL.Reveal()); err != nil || u.Host == "" {
			k.in(".proxy_url").fail("%q is not a URL such as http://proxy:3128", p.ProxyURL)
		}
	}
	if p.ProxyFromEnvironment && p.ProxyURL != "" {
		k.in(".proxy_from_environment").fail("proxy_url is given, too; keep one")
	}
	if p.NoProxy != "" && p.ProxyFromEnvironment {
		k.in(".no_proxy").fail("proxy_from_environment takes it from NO_PROXY; keep one")
	} else if p.NoProxy != "" && p.ProxyURL == "" {
		k.in(".no_proxy").fail("there is no proxy; give proxy_url, or remove it")
	}
	if len(p.ProxyConnectHeader) > 0 && !p.ProxyFromEnvironment && p.ProxyURL == "" {
		k.in(".proxy_connect_header").fail("there is no proxy; give proxy_url or proxy_from_environment, or remove it")
	}
	for _, name := range slices.Sorted(maps.Keys(p.ProxyConnectHeader)) {
		kh := k.in(".proxy_connect_header.%s", name)
		checkHeaderName(kh, name)
		for _, v := range p.ProxyConnectHeader[name] {
			checkHeaderValue(kh, v.Reveal())
		}
	}
}

// reservedHeaders are those that other keys set, or that frame a request.
var reservedHeaders = map[string]string{
	"Authorization": "use basic_auth, authorization or oauth2", "Proxy-Authorization": "write user and password in proxy_url", "User-Agent": "it is rollcall's own",
	"Host": "it is the target's", "Accept-Encoding": "use enable_compression", "X-Prometheus-Scrape-Timeout-Seconds": "use scrape_timeout",
	"Content-Encoding": "", "Content-Length": "", "Content-Type": "", "Connection": "", "Keep-Alive": "", "Proxy-Authenticate": "", "Proxy-Connection": "", "Www-Authenticate": "", "Te": "", "Trailer": "",
	"Transfer-Encoding": "", "Upgrade": "", "X-Prometheus-Remote-Write-Version": "", "X-Prometheus-Remote-Read-Version": "", "X-Amz-Date": "", "X-Amz-Security-Token": "", "X-Amz-Content-Sha256": "",
}

func (h Headers) validate(k checker) {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		kh, one := k.in(".%s", name), h[name]
		plain := textproto.CanonicalMIMEHeaderKey(name)
		if what, is := reservedHeaders[plain]; is && what != "" {
			kh.fail("this header is set elsewhere: %s", what)
		} else if is {
			kh.fail("this header frames the request, and cannot be set; remove it")
		} else {
			checkHeaderName(kh, name)
		}
		if seen[plain] {
			kh.fail("%s is there twice, in other letters; keep one", plain)
		}
		if seen[plain] = true; len(one.Values)+len(one.Secrets)+len(one.Files) == 0 {
			kh.fail("it has no value; give values, secrets or files")
		}
		for _, v := range one.Values {
			checkHeaderValue(kh.in(".values"), v)
		}
		for _, v := range one.Secrets {
			checkHeaderValue(kh.in(".secrets"), v.Reveal())
		}
	}
}

func checkHeaderName(k checker, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
		k.fail("%q is no name of a header", name)
	}
}

func checkHeaderValue(k checker, v string) {
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		k.fail("a value has a control character, which cannot stand in a header")
	}
}

func (o *OAuth2) validate(k checker) {
	if o.ClientID == "" {
		k.in(".client_id").fail("it is missing")
	}
	if o.ClientSecret == "" && o.ClientSecretFile == "" {
		k.in(".client_secret").fail("there is none; give client_secret or client_secret_file")
	}
	secretOnce(k, "client_secret", o.ClientSecret, o.ClientSecretFile)
	if !o.TokenURL.leads() {
		k.in(".token_url").fail("%q is not an http or https URL", o.TokenURL)
	}
	o.TLS.validate(k.in(".tls_config"))
	o.Proxy.validate(k)
}
