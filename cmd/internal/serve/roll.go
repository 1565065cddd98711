package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/rollcall-metrics/rollcall/dashboards/web"
)

// maxTold bounds what is read of a collector's answer: 20,000 paths fit.
const maxTold = 16 << 20

// collectors are those that can be asked about their rosters: the one in this process, or those that the configuration names.
type collectors struct {
	here http.Handler // its API; nil: none runs here
	urls []string
}

func (c *collectors) none() bool { return c.here == nil && len(c.urls) == 0 }

// ask asks all at once, and answers in their order.
func (c *collectors) ask(ctx context.Context, path string, q url.Values) []web.Told {
	if c.here != nil {
		return []web.Told{askHere(ctx, c.here, path, q)}
	}
	out := make([]web.Told, len(c.urls))
	var all sync.WaitGroup
	for i, base := range c.urls {
		all.Go(func() { out[i] = askThere(ctx, base, path, q) })
	}
	all.Wait()
	return out
}

// page takes an answer in memory.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *page) Header() http.Header { return p.header }
func (p *page) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	if p.body.Len()+len(b) > maxTold {
		return 0, errors.New("the answer is too long")
	}
	return p.body.Write(b)
}

func askHere(ctx context.Context, h http.Handler, path string, q url.Values) web.Told {
	t := web.Told{Collector: "this process"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?"+q.Encode(), nil)
	if err != nil {
		t.Err = err.Error()
		return t
	}
	p := &page{header: http.Header{}}
	h.ServeHTTP(p, req)
	t.Status, t.Body = max(p.status, http.StatusOK), p.body.Bytes()
	return t
}

func askThere(ctx context.Context, base, path string, q url.Values) web.Told {
	at, err := url.Parse(base)
	if err != nil {
		return web.Told{Collector: "one whose address is none", Err: "its address is no URL"}
	}
	t := web.Told{Collector: at.Host}
	user := at.User
	at.User = nil
	at = at.JoinPath(path)
	at.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		t.Err = err.Error()
		return t
	}
	if pass, ok := user.Password(); ok {
		req.SetBasicAuth(user.Username(), pass)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		t.Err = strings.TrimPrefix(err.Error(), "dial tcp ")
		return t
	}
	defer res.Body.Close()
	t.Status = res.StatusCode
	if t.Body, err = io.ReadAll(io.LimitReader(res.Body, maxTold)); err != nil {
		t.Status, t.Err = 0, fmt.Sprintf("its answer broke off: %v", err)
	}
	return t
}
