package register

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestParseCheck(t *testing.T) {
	for _, tc := range []struct {
		text       string
		kind, addr string // as connected to by a service at [::1]:8001; a ! before kind: a part of the error
		path, back string
	}{
		{"http:/health", "http", "[::1]:8001", "/health", "http:/health"},
		{"http:8002/health?deep=1", "http", "[::1]:8002", "/health?deep=1", "http:8002/health?deep=1"},
		{"http:", "http", "[::1]:8001", "/", "http:/"},
		{"http", "http", "[::1]:8001", "/", "http:/"},
		{"https://example.org/x", "https", "example.org:443", "/x", "https:example.org:443/x"},
		{"http://10.0.0.1:81", "http", "10.0.0.1:81", "/", "http:10.0.0.1:81/"},
		{"http://[::2]:81/x", "http", "[::2]:81", "/x", "http:[::2]:81/x"},
		{"http:http://h:81/x", "http", "h:81", "/x", "http:h:81/x"},
		{"tcp", "tcp", "[::1]:8001", "", "tcp"},
		{"tcp:8002", "tcp", "[::1]:8002", "", "tcp:8002"},
		{"tcp:h:8002", "tcp", "h:8002", "", "tcp:h:8002"},
		{"tcp:[::2]:8002", "tcp", "[::2]:8002", "", "tcp:[::2]:8002"},
		{"icmp:1", "!write it as http:/health", "", "", ""},
		{"", "!write it as http:/health", "", "", ""},
		{"tcp:0", "!port in 1..65535", "", "", ""},
		{"tcp:h", "!port in 1..65535", "", "", ""},
		{"http:h:x/", "!port in 1..65535", "", "", ""},
		{"http:/a b", "!is not a path", "", "", ""},
		{"http:/a#b", "!is not a path", "", "", ""},
	} {
		c, err := ParseCheck(tc.text)
		if part, bad := strings.CutPrefix(tc.kind, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: error %v, want one with %q", tc.text, err, part)
			}
			continue
		}
		if err != nil || c.Kind != tc.kind || c.address("[::1]:8001") != tc.addr || c.Path != tc.path || c.String() != tc.back {
			t.Errorf("%q: %+v (%s, %s), %v", tc.text, c, c.address("[::1]:8001"), c.String(), err)
		}
		if f := c.faults(); len(f) != 0 {
			t.Errorf("%q: taken, but faults %v", tc.text, f)
		}
		if again, err := ParseCheck(tc.back); err != nil || again != c {
			t.Errorf("%q: %q reads back as %+v, %v", tc.text, tc.back, again, err)
		}
	}
}

func TestProbe(t *testing.T) {
	status := http.StatusOK
	hang := make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		w.Write(make([]byte, 100_000))
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-hang:
		}
	})
	plain, secure := httptest.NewServer(mux), httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the client that does not like its certificate
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	defer close(hang)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	addr := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	for _, tc := range []struct {
		name   string
		check  Check
		at     string
		status int
		want   string // of the error, empty: well
	}{
		{"http", Check{Kind: "http", Path: "/health"}, addr(plain), 200, ""},
		{"a redirect is an answer", Check{Kind: "http", Path: "/health"}, addr(plain), 302, ""},
		{"a redirect where 200 is wanted", Check{Kind: "http", Path: "/health", ExpectTo: 299}, addr(plain), 302, "status 302, expected 200-299"},
		{"unwell", Check{Kind: "http", Path: "/health"}, addr(plain), 503, "status 503, expected 200-399"},
		{"a status that is wanted", Check{Kind: "http", Path: "/health", ExpectFrom: 503, ExpectTo: 503}, addr(plain), 503, ""},
		{"no answer", Check{Kind: "http", Path: "/hang", Timeout: 50 * time.Millisecond}, addr(plain), 200, "no answer within 50ms"},
		{"nobody there", Check{Kind: "http"}, closed.Addr().String(), 200, "connection refused"},
		{"tcp", Check{Kind: "tcp"}, addr(plain), 200, ""},
		{"tcp, nobody there", Check{Kind: "tcp"}, closed.Addr().String(), 200, "connection refused"},
		{"tcp elsewhere", Check{Kind: "tcp", Addr: closed.Addr().String()}, addr(plain), 200, "connection refused"},
		{"certificate of nobody", Check{Kind: "https", Path: "/health"}, addr(secure), 200, "certificate"},
		{"certificate not looked at", Check{Kind: "https", Path: "/health", SkipVerify: true}, addr(secure), 200, ""},
		{"http where https is", Check{Kind: "https", SkipVerify: true}, addr(plain), 200, "HTTPS"},
	} {
		status = tc.status
		c := tc.check.withDefaults()
		ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
		err := c.prober(tc.at)(ctx)
		cancel()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
