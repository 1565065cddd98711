package trust

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// through sends a request through a gate, and gives what stands behind it: the request as it arrives, nil where it does not.
func through(g *Gate, r *http.Request) (got *http.Request, w *httptest.ResponseRecorder) {
	w = httptest.NewRecorder()
	g.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(w, r)
	return got, w
}

// passwords knows every user whose password is right.
func passwords(r *http.Request) (bool, string, bool) {
	name, pass, _ := r.BasicAuth()
	return true, name, pass == "right"
}

func TestDistrust(t *testing.T) {
	for _, tc := range []struct {
		name, host, from string
		header           []string
		users            bool
		want             string // "" is taken
	}{
		{name: "this machine", host: "127.0.0.1:7150", from: "127.0.0.1:5000"},
		{name: "localhost", host: "localhost:7150", from: "[::1]:5000"},
		{name: "its own page", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "http://127.0.0.1:7150"}},
		{name: "its own page, by what the browser says", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Sec-Fetch-Site", "same-origin"}},
		{name: "another's page", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "http://evil.example"}, want: "another site"},
		{name: "another's page, by what the browser says", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Sec-Fetch-Site", "cross-site"}, want: "another site"},
		{name: "another port's page", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Sec-Fetch-Site", "same-site"}, want: "another site"},
		{name: "no origin at all", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "null"}, want: "another site"},
		{name: "another's page by a host of its own", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"Origin", "http://evil.example", "X-Forwarded-Host", "evil.example"}, want: "another site"},
		{name: "a name", host: "evil.example:7150", from: "127.0.0.1:5000", want: "not for the name"},
		{name: "elsewhere", host: "10.0.0.1:7150", from: "10.0.0.9:5000", want: "this machine only"},
		{name: "a proxy", host: "127.0.0.1:7150", from: "127.0.0.1:5000", header: []string{"X-Forwarded-For", "1.2.3.4"}, want: "by way of a proxy"},
		{name: "a user from elsewhere", host: "page.example", from: "10.0.0.9:5000", users: true},
		{name: "a user by way of a proxy", host: "page.example", from: "127.0.0.1:5000", header: []string{"Via", "x"}, users: true},
		{name: "a user's other page", host: "page.example", from: "10.0.0.9:5000", header: []string{"Origin", "http://evil.example"}, users: true, want: "another site"},
	} {
		r := httptest.NewRequest("POST", "/x", nil)
		r.Host, r.RemoteAddr = tc.host, tc.from
		for i := 0; i < len(tc.header); i += 2 {
			r.Header.Set(tc.header[i], tc.header[i+1])
		}
		r.SetBasicAuth("ann", "right") // which counts where it is checked only
		g := &Gate{}
		if tc.users {
			g.Password = passwords
		}
		r, w := through(g, r)
		if r == nil {
			t.Errorf("%s: not let through: %s", tc.name, w.Body)
			continue
		}
		got := Distrust(r, "orders")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if who := Who(r, "bob"); who != map[bool]string{true: "ann", false: "bob"}[tc.users] {
			t.Errorf("%s: it is %s", tc.name, who)
		}
	}
}

func TestGate(t *testing.T) {
	proxy, err := ParseAddresses([]string{"10.0.0.7", "10.2.0.0/16", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	const name = "X-Forwarded-User"
	headed := Policy{Header: name, From: proxy, Operators: []string{"ann"}}
	anonymous := headed
	anonymous.Anonymous = true
	for _, tc := range []struct {
		name, from string
		header     []string
		policy     Policy
		users      bool
		code       int
		me         Me // without Why
		why        string
	}{
		{"nobody can sign in", "127.0.0.1:5", nil, Policy{}, false, 200, Me{Role: Operator}, ""},
		{"nobody can sign in, from elsewhere", "10.0.0.9:5", nil, Policy{}, false, 200, Me{Role: Viewer}, "this machine only"},
		{"a header that nobody asked for", "127.0.0.1:5", []string{name, "ann"}, Policy{}, false, 200, Me{Role: Operator}, ""},
		{"an operator by the proxy", "10.0.0.7:5", []string{name, "ann"}, headed, false, 200, Me{"ann", Operator, true, ByProxy, ""}, ""},
		{"by one of several proxies", "10.2.3.4:5", []string{name, "ann"}, headed, false, 200, Me{"ann", Operator, true, ByProxy, ""}, ""},
		{"by the proxy, as IPv6 has it", "[::ffff:10.0.0.7]:5", []string{name, "ann"}, headed, false, 200, Me{"ann", Operator, true, ByProxy, ""}, ""},
		{"a viewer by the proxy", "10.0.0.7:5", []string{name, "bob"}, headed, false, 200, Me{"bob", Viewer, true, ByProxy, ""}, "bob may look, and not give orders: operators may, and web.operators names them"},
		{"names have case", "10.0.0.7:5", []string{name, "Ann"}, headed, false, 200, Me{"Ann", Viewer, true, ByProxy, ""}, "may look"},
		{"forged from elsewhere", "10.0.0.9:5", []string{name, "ann"}, headed, false, 403, Me{}, "from none of them"},
		{"forged, and empty", "10.0.0.9:5", []string{name, ""}, headed, false, 403, Me{}, "from none of them"},
		{"forged with what proxies say", "10.0.0.9:5", []string{name, "ann", "X-Forwarded-For", "10.0.0.7", "X-Real-Ip", "10.0.0.7"}, headed, false, 403, Me{}, "from none of them"},
		{"forged in other letters", "10.0.0.9:5", []string{"x-forwarded-USER", "ann"}, headed, false, 403, Me{}, "from none of them"},
		{"forged beside a right password", "10.0.0.9:5", []string{name, "ann", "password", "right"}, headed, true, 403, Me{}, "from none of them"},
		{"twice", "10.0.0.7:5", []string{name, "ann", name, "bob"}, headed, false, 400, Me{}, "no name"},
		{"twice, once empty", "10.0.0.7:5", []string{name, "", name, "ann"}, headed, false, 400, Me{}, "no name"},
		{"control characters", "10.0.0.7:5", []string{name, "a\x1b[31mnn"}, headed, false, 400, Me{}, "no name"},
		{"of the other direction", "10.0.0.7:5", []string{name, "a\u202enn"}, headed, false, 400, Me{}, "no name"},
		{"long", "10.0.0.7:5", []string{name, strings.Repeat("x", 201)}, headed, false, 400, Me{}, "no name"},
		{"the proxy names nobody", "10.0.0.7:5", []string{name, " "}, headed, false, 403, Me{}, "sign in"},
		{"nobody, from elsewhere", "10.0.0.9:5", nil, headed, false, 403, Me{}, "sign in"},
		{"nobody, from elsewhere, where they may look", "10.0.0.9:5", nil, anonymous, false, 200, Me{Role: Viewer}, "nobody has here"},
		{"nobody, on this machine", "127.0.0.1:5", nil, headed, false, 200, Me{Role: Viewer}, "nobody has here"},
		{"nobody, by a proxy on this machine", "127.0.0.1:5", []string{"X-Forwarded-For", "10.0.0.9"}, headed, false, 403, Me{}, "sign in"},
		{"by a password", "10.0.0.9:5", []string{"password", "right"}, headed, true, 200, Me{"ann", Operator, true, ByPassword, ""}, ""},
		{"by a wrong password", "127.0.0.1:5", []string{"password", "wrong"}, anonymous, true, 401, Me{}, "sign in"},
		{"by the proxy, where there are passwords", "10.0.0.7:5", []string{name, "bob"}, headed, true, 200, Me{"bob", Viewer, true, ByProxy, ""}, "may look"},
	} {
		g := &Gate{}
		if tc.users {
			g.Password = passwords
		}
		g.Set(tc.policy)
		r := httptest.NewRequest("GET", "http://127.0.0.1:7150/x", nil)
		r.RemoteAddr = tc.from
		for i := 0; i < len(tc.header); i += 2 {
			if tc.header[i] == "password" {
				r.SetBasicAuth("ann", tc.header[i+1])
				continue
			}
			r.Header.Add(tc.header[i], tc.header[i+1])
		}
		r, w := through(g, r)
		if w.Code != tc.code || (r != nil) != (tc.code == 200) {
			t.Errorf("%s: %d, want %d: %s", tc.name, w.Code, tc.code, w.Body)
			continue
		}
		if r == nil {
			if !strings.Contains(w.Body.String(), tc.why) {
				t.Errorf("%s: %q does not say %q", tc.name, w.Body, tc.why)
			}
			continue
		}
		me := MeOf(r)
		why := me.Why
		me.Why = ""
		if me != tc.me || (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
			t.Errorf("%s: %+v %q, want %+v %q", tc.name, me, why, tc.me, tc.why)
		}
	}
}

// The proxy speaks for the browser: what it calls us is where the page is from.
func TestOriginByProxy(t *testing.T) {
	g := &Gate{}
	from, _ := ParseAddresses([]string{"127.0.0.1"})
	g.Set(Policy{Header: "X-Forwarded-User", From: from})
	for origin, taken := range map[string]bool{"https://rollcall.example": true, "https://ROLLCALL.example": true, "https://evil.example": false, "null": false} {
		r := httptest.NewRequest("POST", "http://127.0.0.1:7150/x", nil)
		r.RemoteAddr = "127.0.0.1:5"
		for _, h := range [][2]string{{"X-Forwarded-User", "ann"}, {"X-Forwarded-Host", "rollcall.example"}, {"Origin", origin}} {
			r.Header.Set(h[0], h[1])
		}
		r, _ = through(g, r)
		if why := Distrust(r, "orders"); (why == "") != taken {
			t.Errorf("from %s: %q", origin, why)
		}
	}
}

func TestParseAddresses(t *testing.T) {
	for text, good := range map[string]bool{"127.0.0.1": true, "::1": true, "10.0.0.0/8": true, "fd00::/8": true, "proxy.example": false, "10.0.0.0/40": false, "": false, "127.0.0.1:80": false} {
		if _, err := ParseAddresses([]string{text}); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
