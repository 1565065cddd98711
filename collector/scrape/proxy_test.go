package scrape

import (
	"net/url"
	"testing"
)

// Who is reached without a proxy, as Go's own httpproxy has it for NO_PROXY.
func TestWithoutProxy(t *testing.T) {
	by := &url.URL{Scheme: "http", Host: "proxy:3128"}
	for _, tc := range []struct {
		without, target string
		direct          bool
	}{
		{"", "http://127.0.0.1/", false}, // nothing is said of anybody
		{"a.test", "http://127.0.0.1/", true},
		{"a.test", "http://[::1]/", true},
		{"a.test", "http://localhost:80/", true},
		{"a.test", "http://a.test/", true},
		{"a.test", "http://b.a.test:8080/", true},
		{"a.test", "http://ba.test/", false},
		{" A.test. , b.test", "http://B.test./", true},
		{".a.test", "http://a.test/", false},
		{".a.test", "http://b.a.test/", true},
		{"*.a.test", "http://b.a.test/", true},
		{"*.a.test", "http://a.test/", false},
		{"a.test:80", "http://a.test/", true},
		{"a.test:80", "https://a.test/", false},
		{"*", "https://a.test/", true},
		{"10.0.0.1", "http://10.0.0.1:99/", true},
		{"10.0.0.1:98", "http://10.0.0.1:99/", false},
		{"10.0.0.0/8", "http://10.9.9.9/", true},
		{"10.0.0.0/8", "http://[::ffff:10.9.9.9]/", true},
		{"10.0.0.0/8", "http://10.test/", false},
		{"fd00::/8", "http://[fd00::1]/", true},
		{"[fd00::1]", "http://[fd00::1]/", true},
		{"[fd00::1]:80", "http://[fd00::1]/", true},
		{"[fd00::1]:81", "http://[fd00::1]/", false},
		{",,", "http://a.test/", false},
	} {
		p := Proxy{URL: by, Without: tc.without}
		look, err := p.look()
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(tc.target)
		if err != nil {
			t.Fatal(err)
		}
		if direct := look.of(u) == nil; direct != tc.direct {
			t.Errorf("without %q: %s is reached directly: %t", tc.without, tc.target, direct)
		}
	}
	t.Setenv("HTTP_PROXY", "ftp://ann:hunter2@proxy")
	if _, err := (&Proxy{Environment: true}).look(); err == nil || len(err.Error()) > 120 {
		t.Errorf("a proxy by FTP: %v", err)
	}
}
