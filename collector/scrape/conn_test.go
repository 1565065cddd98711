package scrape

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// A connection that the other side closed while it was idle is no failure; one that it closes before every answer is.
func TestIdleConnectionClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		answers := 0
		f.serve["10.0.0.1:8001"] = func(c net.Conn) {
			br := bufio.NewReader(c)
			for range 2 { // two answers a connection, and no word of closing it
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				answers++
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(someStats), someStats)
			}
		}
		p, got, stop := f.running(t, Config{})
		set(t, p, targets(&Job{Name: "apps", Interval: time.Second, NoServerInfo: true}, "10.0.0.1:8001"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		all := got.take()
		for _, s := range all {
			if s.Outcome != collector.OK {
				t.Errorf("%s %s", s.Outcome, s.Reason)
			}
		}
		if len(all) != 20 || answers != 20 || f.dialled("10.0.0.1:8001") != 10 {
			t.Errorf("%d pulls, %d answers, %d connections", len(all), answers, f.dialled("10.0.0.1:8001"))
		}
		stop()
	})
}

// A name may move: its connections are not kept for ever.
func TestNamesAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.names["app.example"] = []string{"10.0.0.1"}
		f.stats("10.0.0.1:8001", someStats)
		f.stats("10.0.0.2:8001", someStats)
		p, _, stop := f.running(t, Config{})
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true}, "app.example:8001", "10.0.0.2:8001"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := f.dialled("10.0.0.1:8001"); n < 11 || n > 13 {
			t.Errorf("%d connections by name in an hour", n)
		}
		if n := f.dialled("10.0.0.2:8001"); n != 1 {
			t.Errorf("%d connections by address in an hour", n)
		}
		stop()
	})
}

// pullOnce pulls a real server once, over loopback.
func pullOnce(t *testing.T, srv *httptest.Server, j *Job, c Config) (out collector.Snapshot) {
	t.Helper()
	got := make(chan collector.Snapshot, 100)
	c.Handle = func(s *collector.Snapshot) {
		cp := *s
		cp.Samples = nil
		cp.BodyBytes = len(s.Samples)
		s.Release()
		select {
		case got <- cp:
		default:
		}
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	j.Name, j.NoServerInfo = "apps", true
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	set(t, p, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	started := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.applied
	}
	for !started() { // who joins later is pulled at once
		runtime.Gosched()
	}
	set(t, p, targets(j, u.Host))
	out = <-got
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return out
}

func TestTLSProxiesRedirectsAndHTTP2(t *testing.T) {
	var asked *http.Request
	plainURL := ""
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		case "/down":
			http.Redirect(w, r, plainURL+"/stats.json", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/reset":
			http.Redirect(w, r, "/stats.json?namespace=x", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/stats.json", http.StatusMovedPermanently)
		case "/zipped":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, zipped(someStats))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, zipped(strings.Repeat(" ", 1<<20)))
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20))
		case "/gone":
			http.NotFound(w, r)
		default:
			_, _ = io.WriteString(w, someStats)
		}
	})
	plain := httptest.NewServer(h)
	defer plain.Close()
	plainURL = plain.URL
	secure := httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	proxied := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied++
		(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	trusted := &tls.Config{RootCAs: pool}
	away := Allow{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tc := range []struct {
		name   string
		srv    *httptest.Server
		job    Job
		want   collector.Outcome
		reason string
		proto  string
	}{
		{"plain", plain, Job{}, collector.OK, "", "HTTP/1.1"},
		{"tls", secure, Job{Scheme: "https", TLS: trusted}, collector.OK, "", "HTTP/1.1"},
		{"unknown authority", secure, Job{Scheme: "https"}, collector.TLS, "certificate", ""},
		{"wrong name", secure, Job{Scheme: "https", TLS: &tls.Config{RootCAs: pool, ServerName: "other.example"}}, collector.TLS, "other.example", ""},
		{"tls to a plain port", plain, Job{Scheme: "https"}, collector.TLS, "", ""},
		{"plain to a tls port", secure, Job{}, collector.Status, "status 400", ""},
		{"http2", secure, Job{Scheme: "https", TLS: trusted, EnableHTTP2: true}, collector.OK, "", "HTTP/2.0"},
		{"http2, unknown authority", secure, Job{Scheme: "https", EnableHTTP2: true}, collector.TLS, "certificate", ""},
		{"http2, tls to a plain port", plain, Job{Scheme: "https", EnableHTTP2: true}, collector.TLS, "", ""},
		{"redirect not followed", plain, Job{MetricsPath: "/here"}, collector.Status, "redirects are not followed", "HTTP/1.1"},
		{"redirect not followed, http2", plain, Job{MetricsPath: "/here", EnableHTTP2: true}, collector.Status, "status 301", "HTTP/1.1"},
		{"redirect followed", plain, Job{MetricsPath: "/here", FollowRedirects: true}, collector.OK, "", "HTTP/1.1"},
		{"redirect to a metadata address", plain, Job{MetricsPath: "/away", FollowRedirects: true}, collector.Forbidden, "169.254.169.254", "HTTP/1.1"},
		{"redirect from https to http", secure, Job{MetricsPath: "/down", Scheme: "https", TLS: trusted, FollowRedirects: true}, collector.Refused, "redirect from https to http", "HTTP/1.1"},
		{"redirect in circles", plain, Job{MetricsPath: "/loop", FollowRedirects: true}, collector.Refused, "stopped after 10 redirects", "HTTP/1.1"},
		{"redirect that resets", plain, Job{MetricsPath: "/reset", FollowRedirects: true}, collector.Refused, "namespace", "HTTP/1.1"},
		{"proxy", plain, Job{Proxy: Proxy{URL: proxyURL}}, collector.OK, "", "HTTP/1.1"},
		{"proxy to a forbidden address", plain, Job{Proxy: Proxy{URL: proxyURL}, Allow: away}, collector.Forbidden, "address 127.0.0.1 is not on the allow-list", ""},
		{"proxy, redirect to a metadata address", plain, Job{MetricsPath: "/away", Proxy: Proxy{URL: proxyURL}, FollowRedirects: true}, collector.Forbidden, "169.254.169.254", "HTTP/1.1"},
		{"zipped by net/http", plain, Job{MetricsPath: "/zipped", FollowRedirects: true}, collector.OK, "", "HTTP/1.1"},
		{"bomb by net/http", plain, Job{MetricsPath: "/bomb", FollowRedirects: true, BodyLimit: 1000_0}, collector.BodyLimit, "when unzipped", "HTTP/1.1"},
		{"long by net/http", plain, Job{MetricsPath: "/long", FollowRedirects: true, BodyLimit: 10_000}, collector.BodyLimit, "longer than 10000 bytes", "HTTP/1.1"},
		{"not found by net/http", plain, Job{MetricsPath: "/gone", FollowRedirects: true}, collector.Status, "status 404", "HTTP/1.1"},
	} {
		asked = nil
		s := pullOnce(t, tc.srv, &tc.job, Config{})
		if s.Outcome != tc.want || !strings.Contains(s.Reason, tc.reason) || tc.want == collector.OK && s.BodyBytes != 2 {
			t.Errorf("%s: %s %q, %d samples", tc.name, s.Outcome, s.Reason, s.BodyBytes)
		}
		if (asked == nil) != (tc.proto == "") || asked != nil && asked.Proto != tc.proto {
			t.Errorf("%s: request %+v", tc.name, asked)
		}
	}
	if proxied != 2 {
		t.Errorf("%d requests by the proxy", proxied)
	}
}

// The list is asked about every address that a proxy is to connect to: who cannot be asked about is not sent there.
func TestNamesBehindProxies(t *testing.T) {
	lost := errors.New("server misbehaving")
	for _, tc := range []struct {
		addrs   string
		err     error
		unknown bool
		want    collector.Outcome // OK: the proxy may have it
	}{
		{"10.0.0.1", nil, false, collector.OK},
		{"169.254.169.254", nil, false, collector.Forbidden},
		{"169.254.169.254", nil, true, collector.Forbidden},
		{"", &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, false, collector.DNS},
		{"", &net.DNSError{Err: lost.Error(), Name: "x", IsTemporary: true}, false, collector.DNS},
		{"", &net.DNSError{Err: lost.Error(), Name: "x", IsTemporary: true}, true, collector.OK},
	} {
		d := newDialer(&Config{Lookup: func(context.Context, string) ([]netip.Addr, error) {
			if tc.err != nil {
				return nil, tc.err
			}
			return []netip.Addr{netip.MustParseAddr(tc.addrs)}, nil
		}})
		err := d.viaProxy(t.Context(), "app.example", 80, Allow{ProxyNames: tc.unknown}.list())
		got := collector.OK
		if err != nil {
			got, _ = classify(err, connecting)
		}
		if got != tc.want {
			t.Errorf("%q %v %t: %v, want %v: %v", tc.addrs, tc.err, tc.unknown, got, tc.want, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	auth := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth <- r.Header.Get("Authorization")
		_, _ = io.WriteString(w, someStats)
	}))
	defer srv.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(" s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("a\r\nX: y"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		job    Job
		want   string
		reason string
	}{
		{Job{}, "", ""},
		{Job{BasicAuth: &BasicAuth{Username: "u", Password: "p"}}, "Basic dTpw", ""},
		{Job{BasicAuth: &BasicAuth{Username: "u", PasswordFile: file}}, "Basic dTpzM2NyZXQ=", ""},
		{Job{Bearer: "t"}, "Bearer t", ""},
		{Job{Bearer: "t", BearerFile: file}, "Bearer s3cret", ""},
		{Job{Bearer: "t", FollowRedirects: true}, "Bearer t", ""},
		{Job{BearerFile: filepath.Join(dir, "none")}, "", "read credentials"},
		{Job{BearerFile: bad}, "", "control character"},
	} {
		s := pullOnce(t, srv, &tc.job, Config{})
		got := ""
		if s.Outcome == collector.OK {
			got = <-auth
		}
		for len(auth) > 0 {
			<-auth
		}
		if got != tc.want || !strings.Contains(s.Reason, tc.reason) || (tc.reason == "") != (s.Outcome == collector.OK) || strings.Contains(s.Reason, "s3cret") {
			t.Errorf("%+v: %q, %s %q", tc.job, got, s.Outcome, s.Reason)
		}
	}
}

// A file of credentials that changes is read again, a second later at most.
func TestSecretFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var s secrets
		for i, tc := range []struct {
			text string
			wait time.Duration
			want string
		}{{"one", 0, "one"}, {"second", 0, "one"}, {"", time.Second, "second"}, {"third!!", 2 * time.Second, "third!!"}} {
			if tc.text != "" {
				write(tc.text)
			}
			time.Sleep(tc.wait)
			if got, err := s.read(file, "x"); err != nil || got != tc.want {
				t.Errorf("%d: %q, %v", i, got, err)
			}
		}
	})
}

// A file that takes long to be read holds up nobody who needs another.
func TestSecretFileThatHangs(t *testing.T) {
	dir := t.TempDir()
	far, near := filepath.Join(dir, "far"), filepath.Join(dir, "near")
	if err := syscall.Mkfifo(far, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(near, []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	var s secrets
	begun, said := make(chan struct{}), make(chan string)
	go func() {
		close(begun)
		got, err := s.read(far, "") // until somebody writes into it
		if err != nil {
			got = err.Error()
		}
		said <- got
	}()
	<-begun
	testenv.Eventually(t, "the other one is being read", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.files[far] != nil })
	got := make(chan string, 1)
	go func() {
		text, _ := s.read(near, "")
		got <- text
	}()
	select {
	case text := <-got:
		if text != "here" {
			t.Errorf("%q", text)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the other file")
	}
	w, err := os.OpenFile(far, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("there"); err != nil {
		t.Error(err)
	}
	w.Close()
	if text := <-said; text != "there" {
		t.Errorf("%q", text)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		job  Job
		want string
	}{
		{Job{Name: "a"}, ""},
		{Job{Name: "a", MetricsPath: "/x?y=z", Params: url.Values{"period": {"10"}}, Timeout: time.Second}, ""},
		{Job{}, "needs a name"},
		{Job{Name: "a", Interval: time.Millisecond}, "below 100ms"},
		{Job{Name: "a", Timeout: time.Minute}, "not within the interval of 10s"},
		{Job{Name: "a", Scheme: "ftp"}, "neither http nor https"},
		{Job{Name: "a", MetricsPath: "x"}, "must begin with /"},
		{Job{Name: "a", MetricsPath: "/x?namespace=y"}, "makes Ostrich reset its counters"},
		{Job{Name: "a", MetricsPath: "/x?a=b;name%73pace=y"}, "makes Ostrich reset its counters"},
		{Job{Name: "a", MetricsPath: "/x?%zz=y"}, "makes Ostrich reset its counters"},
		{Job{Name: "a", Params: url.Values{"namespace": {"y"}}}, "makes Ostrich reset its counters"},
		{Job{Name: "a", BodyLimit: -1}, "body limit"},
		{Job{Name: "a", Proxy: Proxy{URL: &url.URL{Scheme: "ftp", User: url.UserPassword("u", "s3cret")}}}, "neither http, https nor socks5"},
		{Job{Name: "a", BasicAuth: &BasicAuth{}, Bearer: "x"}, "carries one"},
		{Job{Name: "a", BasicAuth: &BasicAuth{Username: "a:b"}}, "cannot hold a colon"},
		{Job{Name: "a", Bearer: "x\r\ny"}, "cannot stand in a header"},
		{Job{Name: "a", Allow: Allow{Ports: []PortRange{{9, 8}}}}, "are no range"},
		{Job{Name: "a", Allow: Allow{Networks: make([]netip.Prefix, 1)}}, "not valid"},
	} {
		err := tc.job.Validate()
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%+v: %v, want %q", tc.job, err, tc.want)
		}
	}
	both := Job{Interval: -1, Scheme: "x"}
	if err := both.Validate(); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every fault is told: %v", err)
	}
	for _, c := range []Config{{}, {Handle: func(*collector.Snapshot) {}, MaxInFlight: -1}, {Handle: func(*collector.Snapshot) {}, UserAgent: "a\nb"}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	p, err := New(Config{Handle: func(*collector.Snapshot) {}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Set([]Target{{}}) == nil || p.Set([]Target{{Job: &Job{}}}) == nil {
		t.Error("a target without a job, or with a broken one, was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil || p.Run(ctx) == nil {
		t.Errorf("runs: %v, and then again", err)
	}
}
