package scrape

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"testing"
)

// A number may be an address for a proxy though it is none for us: it is not sent there, whoever may choose names.
func TestNumbersBehindProxies(t *testing.T) {
	d := newDialer(&Config{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "10.1" { // some resolvers read it
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}})
	for host, want := range map[string]bool{
		"2852039166": false, "0xa9fea9fe": false, "0XA9FEA9FE": false, "0xa9.0xfe.0xa9.0xfe": false, "169.254.43518": false, "169.254.169.254.": false, "0251.0376.0251.0376": false, "0x": false, "1.": false,
		"10.1": true, "app-1": true, "app.example": true, "1.example": true, "app.0xg": true, "app.1x": true,
	} {
		err := d.viaProxy(t.Context(), host, 80, Allow{ProxyNames: true}.list())
		if (err == nil) != want || err != nil && !errors.Is(err, errForbidden) {
			t.Errorf("%q: %v, want %t", host, err, want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"http://a:80/x", "http://a/y?z", true},
		{"https://A/", "https://a:443/", true},
		{"http://a/", "https://a/", false},
		{"http://a/", "http://a:8080/", false},
		{"http://a/", "http://b.a/", false},
		{"http://a/", "http://a./", false},
		{"http://[::1]:80/", "http://[::1]/", true},
	} {
		a, err := url.Parse(tc.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := url.Parse(tc.b)
		if err != nil {
			t.Fatal(err)
		}
		if sameOrigin(a, b) != tc.want || sameOrigin(b, a) != tc.want {
			t.Errorf("%s and %s: want %t", tc.a, tc.b, tc.want)
		}
	}
}

func TestIsAuthType(t *testing.T) {
	for s, want := range map[string]bool{"": true, "Bearer": true, "AWS4-HMAC-SHA256": true, "Basic": false, "bASIC": false, "a b": false, "a\r\n": false, "a:b": false, "ä": false} {
		if isAuthType(s) != want {
			t.Errorf("%q: want %t", s, want)
		}
	}
}
