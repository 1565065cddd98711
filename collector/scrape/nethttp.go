package scrape

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// newClient makes the client of a job that needs net/http. Every connection it makes to a target passes the job's allow-list.
func (p *Pool) newClient(r *jobRun) *http.Client {
	j := r.job
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(j.EnableHTTP2)
	secured := j.TLS.Clone()
	if secured == nil {
		secured = &tls.Config{}
	}
	tr := &http.Transport{
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        2*j.interval() + time.Second,
		DisableCompression:     true, // so that the limit is on what is unzipped, by us
		MaxResponseHeaderBytes: headerLimit,
		ForceAttemptHTTP2:      j.EnableHTTP2,
		Protocols:              protocols,
		TLSClientConfig:        noting(secured),
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := discovery.SplitAddr(addr)
			if err != nil {
				return nil, err
			}
			allow := r.allow
			if r.proxies != nil && r.proxies.at(host, port) { // the operator chose it; whom it connects to is checked before
				allow = allowList{networks: everywhere}
			}
			conn, err := p.dial.open(ctx, host, port, allow)
			if err == nil {
				r.m.connections.Inc()
			}
			return conn, err
		},
	}
	if r.proxies != nil {
		tr.Proxy = func(req *http.Request) (*url.URL, error) { return r.proxies.of(req.URL), nil }
		tr.ProxyConnectHeader = j.Proxy.ConnectHeader
		tr.MaxIdleConnsPerHost = idleByProxy
		tr.OnProxyConnectResponse = func(_ context.Context, by *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return proxyStatus(by, resp.StatusCode)
			}
			return nil
		}
	}
	return &http.Client{Transport: tr, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case !j.FollowRedirects:
			return http.ErrUseLastResponse
		case len(via) >= 10:
			return errors.New("stopped after 10 redirects")
		case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
			return errors.New("redirect from https to http: what was to be kept from others, credentials too, would go in clear")
		case namesReader(req.URL.RawQuery):
			return fmt.Errorf("redirect to a path with namespace: %w", errNamespace)
		}
		req.Header.Del("Referer") // the path before, with params in which a token may stand
		if slices.ContainsFunc(append(via[1:len(via):len(via)], req), func(r *http.Request) bool { return !sameOrigin(r.URL, via[0].URL) }) {
			req.Header.Del("Authorization") // net/http would send it to every port of the host, and to hosts below its name
			for i := range j.Headers {
				req.Header.Del(j.Headers[i].Name)
			}
		}
		return p.allowed(req.Context(), req.URL, r)
	}}
}

// idleByProxy is how many connections to a proxy are kept: net/http counts those of all targets over plain HTTP together.
const idleByProxy = 64

// sameOrigin reports whether two URLs lead to the same program, by the same way.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// allowed asks the job's list about u where a proxy is asked, or where it is a proxy itself that is asked for: else the connection is held against the list when it is made.
func (p *Pool) allowed(ctx context.Context, u *url.URL, r *jobRun) error {
	if r.proxies == nil {
		return nil
	}
	if r.proxies.of(u) == nil {
		if host, port, err := discovery.SplitAddr(net.JoinHostPort(u.Hostname(), portOf(u))); err != nil || !r.proxies.at(host, port) {
			return err
		}
	}
	return p.behindProxy(ctx, u, r.allow)
}

// behindProxy asks the list about the host that a proxy is to connect to.
func (p *Pool) behindProxy(ctx context.Context, u *url.URL, allow allowList) error {
	host, n, err := discovery.SplitAddr(net.JoinHostPort(u.Hostname(), portOf(u)))
	if err != nil {
		return err
	}
	return p.dial.viaProxy(ctx, host, n, allow)
}

// viaClient asks for a path by net/http.
func (e *exchange) viaClient(path string, limit int, s *scale) (body []byte, contentType string, err error) {
	ctx, cancel := context.WithDeadline(e.p.ctx, e.deadline)
	defer cancel()
	if !e.t.begin(cancel) {
		return nil, "", net.ErrClosed
	}
	defer e.t.begin(nil)
	e.at = connecting
	u, err := url.Parse(e.s.scheme + "://" + e.s.ScrapeAddr() + path)
	if err != nil {
		return nil, "", err
	}
	run := e.s.run
	if run.broken != nil {
		return nil, "", fail(collector.Forbidden, "%v", run.broken)
	}
	c, err := run.credentials(ctx, &e.p.secrets)
	if err != nil {
		return nil, "", err
	}
	if err := e.p.allowed(ctx, u, run); err != nil {
		return nil, "", err
	}
	var by *url.URL
	if run.proxies != nil {
		by = run.proxies.of(u)
	}
	got := false // a connection; those of redirects come later
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if !got {
			e.reach(connected, time.Now())
			got, e.at = true, inHeader
		}
	}})
	cert := &certAsked{}
	ctx = context.WithValue(ctx, certKey{}, cert)
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: e.s.hostHeader(), Header: http.Header{}}).WithContext(ctx)
	req.Header.Set("User-Agent", e.p.c.UserAgent)
	req.Header.Set("Accept", e.s.job.accept())
	if !e.s.job.DisableCompression {
		req.Header.Set("Accept-Encoding", acceptEncoding)
		if s.suspects(limit) {
			req.Header.Set("Accept-Encoding", weighEncoding)
		}
	}
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", fmt.Sprint(e.s.timeout.Seconds()))
	c.set(req.Header)
	e.sent = time.Now()
	resp, err := e.s.run.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address: the snapshot says whose it is
		}
		return nil, "", clientError(byProxy(by, err, cert, e.at), cert)
	}
	defer resp.Body.Close()
	e.reach(firstByte, time.Now())
	e.clock([]byte(resp.Header.Get("Date")))
	if resp.StatusCode < 100 || resp.ProtoMajor != 1 && !e.s.job.EnableHTTP2 {
		return nil, "", fail(collector.Parse, "the answer is not HTTP/1: it starts with %q", resp.Proto+" "+resp.Status)
	}
	if resp.StatusCode == http.StatusProxyAuthRequired && by != nil {
		return nil, "", proxyStatus(by, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", e.s.job.statusError(resp.StatusCode, resp.Header.Get("Location"))
	}
	e.at = inBody
	body, err = e.take(incoming{&bodyOf{Reader: resp.Body}, []byte(resp.Header.Get("Content-Encoding")), int(resp.ContentLength), limit}, s)
	return body, resp.Header.Get("Content-Type"), err
}

// proxyStatus is an answer of the proxy itself.
func proxyStatus(by *url.URL, status int) error {
	if status == http.StatusProxyAuthRequired {
		if by.User == nil {
			return fail(collector.Status, "status 407 of the proxy %s: it wants a user and a password in proxy_url", by.Host)
		}
		return fail(collector.Status, "status 407 of the proxy %s: it does not take the user and the password of proxy_url", by.Host)
	}
	return fail(collector.Status, "status %d of the proxy %s", status, by.Host)
}

// byProxy says of an error that it is the proxy's, or came by way of it.
func byProxy(by *url.URL, err error, cert *certAsked, at stage) error {
	var op *net.OpError
	var known *failure
	switch {
	case by == nil, errors.As(err, &known), errors.Is(err, errForbidden):
		return err
	case errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect"):
		if err = op.Err; isTLS(err) {
			err = tlsFault(err, &certAsked{})
		}
		o, why := outcomeOf(err, connecting)
		return fail(o, "the proxy %s: %s", by.Host, why)
	case isTimeout(err):
		return fail(collector.Timeout, "timed out while %s, by way of the proxy %s", stageNames[at], by.Host)
	case isTLS(err), cert.asked.Load(): // the target's
		return err
	case errors.Is(err, io.EOF), errors.As(err, &op):
		o, why := outcomeOf(err, at)
		return fail(o, "%s, by way of the proxy %s", why, by.Host)
	}
	return err
}

// clientError gives net/http's unnamed errors the names that classify knows.
func clientError(err error, cert *certAsked) error {
	var known *failure
	text := strings.TrimPrefix(err.Error(), "net/http: HTTP/1.x transport connection broken: ")
	says := func(what ...string) bool {
		return slices.ContainsFunc(what, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case errors.As(err, &known), isTimeout(err):
		return err
	case says("server response headers exceeded"):
		return fail(collector.BodyLimit, "the header of the answer is longer than %d bytes", headerLimit)
	case says("readLoopPeekFailLocked", "Unsolicited response"):
		return fail(collector.Parse, "the answer is not HTTP/1: it came before it was asked for")
	case says("malformed HTTP", "malformed MIME", "bad Content-Length", "multiple Content-Length", "unsupported transfer encoding"):
		return fail(collector.Parse, "the answer is not HTTP/1: %s", text)
	case isTLS(err), cert.asked.Load() && !cert.given.Load() && (errors.Is(err, io.EOF) || errors.As(err, new(*net.OpError))):
		return tlsFault(err, cert)
	}
	return err
}

// bodyOf is the body of an answer by net/http: what breaks the rules of HTTP is another thing than what broke on the way, and net/http gives neither a name.
type bodyOf struct {
	io.Reader
	got int
}

func (b *bodyOf) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.got += n
	if err == nil || err == io.EOF || errors.As(err, new(net.Error)) || isTimeout(err) {
		return n, err
	}
	for _, what := range []string{"chunk", "header line too long", "trailer"} {
		if strings.Contains(err.Error(), what) {
			return n, fail(collector.Parse, "the chunks of the body are not as HTTP has them, after %d bytes: %v", b.got, err)
		}
	}
	return n, err
}

// everywhere is every network, for the one connection that the operator names himself.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
