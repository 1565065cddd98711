package register

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Check asks whether a service is well: over HTTP it must answer with an expected status, over TCP it must accept.
type Check struct {
	Kind string // http, https or tcp
	Addr string // host:port; empty: the service's own endpoint; :port: that port at the service's host
	Path string // of http and https, with the query; default /
	// Expect is the range of statuses that are well, both ends included; default 200 to 399: a redirect is an answer, and is not followed.
	ExpectFrom, ExpectTo int
	Interval             time.Duration // default 5 s
	Timeout              time.Duration // default 2 s, at most the interval
	Rise                 int           // so many passes in a row and it is well, default 2
	Fall                 int           // so many failures in a row and it is not, default 3
	SkipVerify           bool          // https: take any certificate
}

// String is the check as the command line writes it.
func (c *Check) String() string {
	addr := strings.TrimPrefix(c.Addr, ":")
	if c.Kind == "tcp" {
		return strings.TrimSuffix("tcp:"+addr, ":")
	}
	return c.Kind + ":" + addr + c.Path
}

// ParseCheck reads KIND:TARGET, such as http:/health (a path of the service itself), http:8002/health (another port), https://host:8443/health (anywhere), tcp or
// tcp:8002 or tcp:host:8002.
func ParseCheck(s string) (Check, error) {
	kind, target, _ := strings.Cut(s, ":")
	return parseTarget(kind, target)
}

func parseTarget(kind, target string) (c Check, err error) {
	c.Kind = kind
	addr := target
	switch kind {
	case "http", "https":
		if u, isURL := strings.CutPrefix(target, kind+"://"); isURL { // as YAML writes it: http: http://host:port/path
			target = "//" + u
		}
		target = strings.TrimPrefix(target, "//")
		i := strings.IndexByte(target, '/')
		if i < 0 {
			i = len(target)
		}
		addr, c.Path = target[:i], cmp.Or(target[i:], "/")
		if _, err := url.ParseRequestURI(c.Path); err != nil || strings.ContainsAny(c.Path, " #") {
			return c, fmt.Errorf("check %.100q: %.100q is not a path such as /health", kind+":"+target, c.Path)
		}
	case "tcp":
	default:
		return c, fmt.Errorf("check %.100q: write it as http:/health, http:8002/health, https:/health, tcp or tcp:8002", strings.TrimSuffix(kind+":"+target, ":"))
	}
	switch {
	case addr == "":
	case !strings.Contains(addr, ":") && kind != "tcp" && !allDigits(addr):
		c.Addr = net.JoinHostPort(addr, map[string]string{"http": "80", "https": "443"}[kind])
	case !strings.Contains(addr, ":"):
		c.Addr = ":" + addr
	default:
		c.Addr = addr
	}
	if c.Addr != "" {
		_, port, err := net.SplitHostPort(c.Addr)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
			return c, fmt.Errorf("check %.100q: %.100q is not a port, or host:port with a port in 1..65535", kind+":"+target, addr)
		}
	}
	return c, nil
}

func allDigits(s string) bool {
	return strings.TrimLeft(s, "0123456789") == ""
}

func (c Check) withDefaults() Check {
	c.Interval = cmp.Or(c.Interval, 5*time.Second)
	c.Timeout = cmp.Or(c.Timeout, min(2*time.Second, c.Interval))
	c.Rise = cmp.Or(c.Rise, 2)
	c.Fall = cmp.Or(c.Fall, 3)
	if c.Kind != "tcp" {
		c.Path = cmp.Or(c.Path, "/")
		c.ExpectFrom = cmp.Or(c.ExpectFrom, 200)
		c.ExpectTo = cmp.Or(c.ExpectTo, 399)
	}
	return c
}

func (c *Check) faults() (out []fault) {
	d := c.withDefaults()
	fail := func(field, format string, args ...any) { out = append(out, fault{field, fmt.Sprintf(format, args...)}) }
	if _, err := ParseCheck(d.String()); err != nil {
		fail("", "%v", err)
	}
	if d.Interval < 100*time.Millisecond || d.Interval > time.Hour {
		fail("interval", "%v is not within 100ms..1h", d.Interval)
	}
	if d.Timeout < 10*time.Millisecond || d.Timeout > d.Interval {
		fail("timeout", "%v is not within 10ms and the interval, %v", d.Timeout, d.Interval)
	}
	if d.Rise < 1 || d.Rise > 100 {
		fail("rise", "%d is not within 1..100", d.Rise)
	}
	if d.Fall < 1 || d.Fall > 100 {
		fail("fall", "%d is not within 1..100", d.Fall)
	}
	if c.Kind == "tcp" && (c.ExpectFrom != 0 || c.ExpectTo != 0) {
		fail("status", "a tcp check has no status; remove it, or make it an http check")
	} else if c.Kind != "tcp" && (d.ExpectFrom < 100 || d.ExpectTo > 599 || d.ExpectFrom > d.ExpectTo) {
		fail("status", "%d-%d is not a range of HTTP statuses such as 200-399", d.ExpectFrom, d.ExpectTo)
	}
	if c.SkipVerify && c.Kind != "https" {
		fail("insecure_skip_verify", "only an https check has certificates; remove it")
	}
	return out
}

// address is where the check connects, for a service at host:port.
func (c *Check) address(endpoint string) string {
	if c.Addr == "" {
		return endpoint
	}
	if port, ok := strings.CutPrefix(c.Addr, ":"); ok {
		host, _, _ := net.SplitHostPort(endpoint)
		return net.JoinHostPort(host, port)
	}
	return c.Addr
}

// prober runs a check once; an error says why the service is not well.
type prober func(ctx context.Context) error

// prober makes what the check needs for its whole life. Each probe is a new connection: a service that lives on open ones only is not well.
func (c *Check) prober(endpoint string) prober {
	addr := c.address(endpoint)
	dialer := &net.Dialer{}
	if c.Kind == "tcp" {
		return func(ctx context.Context) error {
			conn, err := dialer.DialContext(ctx, "tcp", addr)
			if err != nil {
				return explain(ctx, c, err)
			}
			return conn.Close()
		}
	}
	client := &http.Client{
		Transport: &http.Transport{ // without a proxy: the environment must not decide who is asked
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: c.SkipVerify},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	target := c.Kind + "://" + addr + c.Path
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", "rollcall-agent")
		res, err := client.Do(req)
		if err != nil {
			return explain(ctx, c, err)
		}
		defer res.Body.Close()
		io.CopyN(io.Discard, res.Body, 4<<10) // so that the service need not see a broken pipe; what it says does not matter
		if res.StatusCode < c.ExpectFrom || res.StatusCode > c.ExpectTo {
			return fmt.Errorf("status %d, expected %d-%d", res.StatusCode, c.ExpectFrom, c.ExpectTo)
		}
		return nil
	}
}

// explain shortens what net and http wrap around a failure.
func explain(ctx context.Context, c *Check, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return fmt.Errorf("no answer within %v", c.Timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
