package trust

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDistrust(t *testing.T) {
	for _, tc := range []struct {
		name, host, from string
		header           []string
		users, signed    bool
		want             string // "" is taken
	}{
		{name: "this machine", host: "127.0.0.1:7150", from: "127.0.0.1:5000"},
		{name: "localhost", host: "localhost:7150", from: "[::1]:5000"},
		{name: "its own page", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "http://127.0.0.1:7150"}},
		{name: "another's page", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "http://evil.example"}, want: "another site"},
		{name: "no origin at all", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "null"}, want: "another site"},
		{name: "a name", host: "evil.example:7150", from: "127.0.0.1:5000", want: "not for the name"},
		{name: "elsewhere", host: "10.0.0.1:7150", from: "10.0.0.9:5000", want: "this machine only"},
		{name: "a proxy", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"X-Forwarded-For", "1.2.3.4"}, want: "by way of a proxy"},
		{name: "a user from elsewhere", host: "page.example", from: "10.0.0.9:5000", users: true, signed: true},
		{name: "a user by way of a proxy", host: "page.example", from: "127.0.0.1:5000", header: []string{"Via", "x"}, users: true, signed: true},
		{name: "a user's other page", host: "page.example", from: "10.0.0.9:5000", header: []string{"Origin", "http://evil.example"}, users: true, signed: true, want: "another site"},
		{name: "a password nobody checks", host: "10.0.0.1:7150", from: "10.0.0.9:5000", signed: true, want: "this machine only"},
	} {
		r := httptest.NewRequest("POST", "/x", nil)
		r.Host, r.RemoteAddr = tc.host, tc.from
		for i := 0; i < len(tc.header); i += 2 {
			r.Header.Set(tc.header[i], tc.header[i+1])
		}
		if tc.signed {
			r.SetBasicAuth("ann", "x")
		}
		got := Distrust(r, tc.users, "orders")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if who := Who(r, tc.users, "bob"); who != map[bool]string{true: "ann", false: "bob"}[tc.users && tc.signed] {
			t.Errorf("%s: it is %s", tc.name, who)
		}
	}
}
