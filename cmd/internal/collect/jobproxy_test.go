package collect

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// aProxy is an HTTP proxy that wants a header, if it wants one, and remembers whom it was asked for.
type aProxy struct {
	wants string
	says  int // the status of every answer, where it is not 0

	mu    sync.Mutex
	asked []string
}

func (p *aProxy) has(what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.asked, what)
}

func (p *aProxy) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *aProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.note(r.Method + " " + r.RequestURI)
	if p.wants != "" && r.Header.Get("Proxy-Authorization") != p.wants {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if p.says != 0 {
		w.WriteHeader(p.says)
		return
	}
	if r.Method == http.MethodConnect {
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			to.Close()
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		join(conn, to)
		return
	}
	r.RequestURI = ""
	r.Header.Del("Proxy-Authorization")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	if to := res.Header.Get("Location"); to != "" {
		w.Header().Set("Location", to)
	}
	w.WriteHeader(res.StatusCode)
	io.Copy(w, res.Body)
}

// join has two connections speak with each other until one ends.
func join(a, b net.Conn) {
	go func() {
		io.Copy(a, b)
		a.Close()
	}()
	io.Copy(b, a)
	b.Close()
}

// listens serves connections until the test ends, and waits for them then.
func listens(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// socks serves SOCKS 5 (RFC 1928, 1929) to one user; each request is noted. code is the answer to each, 0: it connects.
func (p *aProxy) socks(user, password string, code byte) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		take := func(n int) string {
			b := make([]byte, n)
			if _, err := io.ReadFull(in, b); err != nil {
				return strings.Repeat("\x00", n)
			}
			return string(b)
		}
		head := take(2)
		take(int(head[1]))
		c.Write([]byte{5, 2})
		take(1)
		u := take(int(take(1)[0]))
		if w := take(int(take(1)[0])); u != user || w != password {
			c.Write([]byte{1, 1})
			return
		}
		c.Write([]byte{1, 0})
		host := ""
		switch head := take(4); head[3] {
		case 1:
			host = net.IP(take(4)).String()
		case 3:
			host = take(int(take(1)[0]))
		}
		to := host + ":" + strconv.Itoa(int(binary.BigEndian.Uint16([]byte(take(2)))))
		p.note(to)
		c.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
		if code != 0 {
			return
		}
		if out, err := net.Dial("tcp", to); err == nil {
			join(&buffered{c, in}, out)
		}
	}
}

type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

func TestJobProxy(t *testing.T) {
	ours := newAuthority(t, "ours")
	_, _, pair := ours.leaf("127.0.0.1", -time.Hour, time.Hour)
	ca := t.TempDir() + "/ca.pem"
	write(t, ca, ours.pem)
	var sent sync.Map
	secure, _ := anApp(t, &tls.Config{Certificates: []tls.Certificate{pair}}, nil)
	plain, _ := anApp(t, nil, func(w http.ResponseWriter, r *http.Request) {
		switch sent.Store(r.Header.Get("Proxy-Authorization"), true); r.URL.Path {
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		default:
			io.WriteString(w, oneCounter)
		}
	})
	port := plain[strings.LastIndexByte(plain, ':'):]
	open, closed, broken, named, away := &aProxy{}, &aProxy{wants: basic("ann", "right-hunter2")}, &aProxy{says: 503}, &aProxy{}, &aProxy{}
	openAt, _ := anApp(t, nil, open.ServeHTTP)
	closedAt, _ := anApp(t, nil, closed.ServeHTTP)
	brokenAt, _ := anApp(t, nil, broken.ServeHTTP)
	_, _, proxyPair := ours.leaf("127.0.0.1", -time.Hour, time.Hour)
	tlsAt, _ := anApp(t, &tls.Config{Certificates: []tls.Certificate{proxyPair}, NextProtos: []string{"http/1.1"}}, open.ServeHTTP)
	_, _, oldPair := ours.leaf("127.0.0.1", -time.Hour, -time.Minute)
	oldAt, _ := anApp(t, &tls.Config{Certificates: []tls.Certificate{oldPair}, NextProtos: []string{"http/1.1"}}, open.ServeHTTP)
	hangs := listens(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	drops := listens(t, func(net.Conn) {})
	socks, refuses := listens(t, named.socks("ann", "right-hunter2", 0)), listens(t, away.socks("ann", "right-hunter2", 2))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()

	var jobs strings.Builder
	var want [][3]string
	add := func(name, target, proxy, more, outcome, reason string) {
		jobs.WriteString(aJob(name, target, "proxy_url: '"+proxy+"'"+more))
		want = append(want, [3]string{name, outcome, reason})
	}
	https := ", scheme: https, tls_config: {ca_file: '" + ca + "'}"
	both := func(name, proxy, outcome, reason string) { // plain, and by CONNECT
		add(name, plain, proxy, "", outcome, reason)
		add(name+", https", secure, proxy, https, outcome, reason)
	}
	both("open", "http://"+openAt, "ok", "")
	add("open, HTTP/2", secure, "http://"+openAt, https+", enable_http2: true", "ok", "")
	add("open, unknown CA", secure, "http://"+openAt, ", scheme: https", "tls", "unknown authority|name the CA that signed it in tls_config.ca_file")
	both("user", "http://ann:right-hunter2@"+closedAt, "ok", "")
	both("no user", "http://"+closedAt, "status", "status 407 of the proxy "+closedAt+": it wants a user and a password in proxy_url")
	both("wrong user", "http://ann:wrong-hunter2@"+closedAt, "status", "status 407 of the proxy "+closedAt+": it does not take the user and the password")
	add("broken", plain, "http://"+brokenAt, "", "status", "status 503")
	add("broken, https", secure, "http://"+brokenAt, https, "status", "status 503 of the proxy "+brokenAt)
	both("nobody", "http://ann:right-hunter2@"+nobody, "refused", "the proxy "+nobody+": while connecting: connection refused")
	both("hangs", "http://ann:right-hunter2@"+hangs, "timeout", "by way of the proxy "+hangs)
	both("drops", "http://ann:right-hunter2@"+drops, "refused", "by way of the proxy "+drops)
	add("by TLS", plain, "https://"+tlsAt, ", tls_config: {ca_file: '"+ca+"'}", "ok", "")
	add("by TLS, https", secure, "https://"+tlsAt, https, "ok", "")
	add("by TLS, unknown", plain, "https://"+tlsAt, "", "tls", "the proxy "+tlsAt+"|unknown authority|tls_config.ca_file")
	add("by TLS, expired", secure, "https://"+oldAt, https, "tls", "the proxy "+oldAt+"|expired")
	both("socks", "socks5://ann:right-hunter2@"+socks, "ok", "")
	both("socks, names", "socks5h://ann:right-hunter2@"+socks, "ok", "")
	both("socks, wrong user", "socks5://ann:wrong-hunter2@"+socks, "refused", "the proxy "+socks)
	both("socks refuses", "socks5://ann:right-hunter2@"+refuses, "refused", "the proxy "+refuses+"|not allowed by ruleset")
	both("socks hangs", "socks5://ann:right-hunter2@"+hangs, "timeout", "by way of the proxy "+hangs)

	// The list holds behind a proxy.
	for _, proxy := range []string{"http://" + openAt, "socks5://ann:right-hunter2@" + socks} {
		scheme, _, _ := strings.Cut(proxy, ":")
		add(scheme+" to metadata", "169.254.169.254:80", proxy, "", "forbidden", "169.254.169.254|not on the allow-list")
		add(scheme+" to metadata, https", "169.254.169.254:443", proxy, https, "forbidden", "169.254.169.254|not on the allow-list")
		add(scheme+" to the internet", "192.0.2.1:80", proxy, ", allow: {proxy_names: true}", "forbidden", "192.0.2.1|in none of the job's networks")
		add(scheme+" to a port", plain, proxy, ", allow: {ports: ['1']}", "forbidden", "not on the allow-list")
		add(scheme+" to a name", "localhost"+port, proxy, "", "ok", "")
		add(scheme+" to a name elsewhere", "localhost"+port, proxy, ", allow: {networks: [10.0.0.0/8]}", "forbidden", "not on the allow-list")
		add(scheme+" redirects", plain, proxy, ", metrics_path: /metadata, follow_redirects: true", "forbidden", "169.254.169.254")
	}
	r := newJobRig(t, jobs.String())
	for _, w := range want {
		r.ends(t, w[0], w[1], w[2])
	}
	for _, what := range []string{"GET http://" + plain + "/stats.json", "CONNECT " + secure, "GET http://localhost" + port + "/stats.json"} {
		if !open.has(what) {
			t.Errorf("the proxy was not asked to %s, but %q", what, open.asked)
		}
	}
	if !named.has(plain) || !named.has(secure) || !named.has("localhost"+port) {
		t.Errorf("SOCKS was asked for %q", named.asked)
	}
	for _, p := range []*aProxy{open, named} {
		p.mu.Lock()
		for _, what := range p.asked {
			if strings.Contains(what, "169.254.") || strings.Contains(what, "192.0.2.") {
				t.Errorf("a proxy was asked for %s", what)
			}
		}
		p.mu.Unlock()
	}
	if _, has := sent.Load(closed.wants); has {
		t.Error("the proxy's password was sent to a target")
	}
	r.silent(t, "hunter2", strings.TrimPrefix(closed.wants, "Basic "), strings.TrimPrefix(basic("ann", "wrong-hunter2"), "Basic "))
}
