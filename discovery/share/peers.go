package share

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/jsonread"
)

// SharePath is where a collector's API tells its Status.
const SharePath = "/api/v1/share"

// maxAnswer bounds what is read of a peer's answer.
const maxAnswer = 16 << 20

// NewClient makes the HTTP client for talk between collectors. Where they are, ZooKeeper says, and whoever can write there can write anything: so it follows no
// redirects, uses no proxy, and does not dial what no collector has: link-local addresses (where clouds keep their metadata), multicast, none. The last is
// checked on the address that a name resolved to.
func NewClient() *http.Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second, Control: func(_, addr string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(addr)
		if err != nil {
			return fmt.Errorf("dial %q: %w", addr, err)
		}
		if a := at.Addr().Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
			return fmt.Errorf("dial %q: no collector is at such an address", addr)
		}
		return nil
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 2 * time.Second, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NewAsker makes Config.Ask over HTTP.
func NewAsker(client *http.Client) func(context.Context, Collector) (*Division, error) {
	return func(ctx context.Context, c Collector) (*Division, error) {
		d, err := askHTTP(ctx, client, c)
		if err != nil {
			return nil, fmt.Errorf("ask collector %s at %q: %w", c.ID, c.Addr, err)
		}
		return d, nil
	}
}

// URL is where a path of the collector's API is.
func (c *Collector) URL(path string) string {
	scheme := "http"
	if c.Scheme == "https" {
		scheme = "https"
	}
	return scheme + "://" + c.Addr + path
}

func askHTTP(ctx context.Context, client *http.Client, c Collector) (*Division, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL(SharePath), nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	return decodeDivision(c.ID, b)
}

var (
	errAnswerSize = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	errNothing    = errors.New("it knows of no division yet")
)

// decodeDivision reads the Status of the collector id.
func decodeDivision(id string, b []byte) (*Division, error) {
	if len(b) > maxAnswer {
		return nil, errAnswerSize
	}
	var d Division
	r := jsonread.New(context.Background(), bytes.NewReader(b), maxAnswer, maxMember)
	fields := map[string]any{"id": &d.Self, "term": &d.Term, "from": &d.From, "as_of": &d.AsOf}
	err := r.Object(func(name string) error {
		if v, ok := fields[name]; ok {
			return r.Value(v)
		} else if name != "members" {
			return r.Skip()
		}
		return r.Array(maxMembers-len(d.Members), func() error {
			var c Collector
			err := r.Value(&c)
			d.Members = append(d.Members, c)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read its JSON: %w", err)
	}
	switch {
	case d.Self == "":
		return nil, errNothing
	case d.Self != id:
		return nil, fmt.Errorf("%.80q answers there", d.Self)
	case d.Term >= maxTerm:
		return nil, fmt.Errorf("its term %s is larger than any can be", d.Term)
	}
	for i := range d.Members { // the same checks as for a znode
		m, err := json.Marshal(d.Members[i])
		if err != nil {
			return nil, err
		}
		if d.Members[i], err = DecodeCollector(d.Members[i].ID, m); err != nil {
			return nil, err
		}
	}
	return &d, nil
}
