package zk

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestHosts(t *testing.T) {
	names := map[string][]string{"a": {"10.0.0.1", "10.0.0.2"}, "b": {"10.0.0.3"}}
	h := newHosts(nil, []string{"a:2181", "b:2182", "gone:2181", "192.0.2.9:2183"}, nil)
	lookups := 0
	h.lookup = func(_ context.Context, host string) ([]string, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		lookups++
		if names[host] == nil {
			return nil, errors.New("no such host")
		}
		return names[host], nil
	}
	round := func() (addrs []string, restart bool) {
		for i := range 4 {
			addr, again := h.Next()
			if at, first := h.now(); at.addr != addr || first != (i == 0) {
				t.Errorf("now is %v, first %v", at, first)
			}
			addrs, restart = append(addrs, addr), restart || again
			if again && i > 0 {
				t.Errorf("a round ended after %d", i)
			}
		}
		slices.Sort(addrs)
		return addrs, restart
	}
	want := []string{"10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2182", "192.0.2.9:2183"}
	if got, restart := round(); !slices.Equal(got, want) || restart {
		t.Errorf("first round %q, restart %v", got, restart)
	}
	names["b"] = []string{"10.0.0.4"} // it has moved
	want[2] = "10.0.0.4:2182"
	if got, restart := round(); !slices.Equal(got, want) || !restart || lookups != 6 {
		t.Errorf("second round %q, restart %v, %d look-ups", got, restart, lookups)
	}
	h.Connected()
	h.setPrefer("10.0.0.4:2182")
	if addr, restart := h.Next(); addr != "10.0.0.4:2182" || restart {
		t.Errorf("preferred: %q, restart %v", addr, restart)
	}
	if n := len(h.others("10.0.0.4:2182")); n != 3 || h.Len() != 4 {
		t.Errorf("%d others of %d", n, h.Len())
	}
	at, _ := h.now()
	if at.name != "b:2182" {
		t.Errorf("the name is lost: %+v", at)
	}
	h.stop()
	if addr, restart := h.Next(); addr != "" || !restart {
		t.Errorf("stopped: %q, restart %v", addr, restart)
	}
}

func TestNothingResolves(t *testing.T) {
	t.Parallel()
	s, _ := runSession(t, Config{Servers: []string{"nowhere.invalid:2181"}, SessionTimeout: 2 * time.Second})
	eventually(t, "the status to say so", func() bool { return strings.Contains(s.Status().Err, "none of") })
}

func TestBackoff(t *testing.T) {
	now := time.Now()
	b := &backoff{limit: 4 * time.Second}
	if d := b.next(true); d != 0 {
		t.Errorf("the first attempt waits %v", d)
	}
	longest := time.Duration(0)
	for i := range 1000 {
		d := b.next(true)
		if i == 0 && d > time.Second || d < 0 || d > b.limit {
			t.Fatalf("attempt %d waits %v", i, d)
		}
		longest = max(longest, d)
		if d := b.next(false); d > 100*time.Millisecond {
			t.Fatalf("within a round: %v", d)
		}
	}
	if longest < 2*time.Second {
		t.Errorf("it never grew beyond %v", longest)
	}
	b.opened(now)
	b.lost(now.Add(settled))
	if d := b.next(true); d > time.Second {
		t.Errorf("after a connection: %v", d)
	}
	b.hurry()
	if d := b.next(true); d != 0 {
		t.Errorf("in a hurry: %v", d)
	}
}

// certificate is a self-signed one for a name.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The certificate has to be made out to the name in the list of servers, whatever address that has.
func TestTLS(t *testing.T) {
	t.Parallel()
	srv, _ := testenv.SharedZooKeeper(t)
	cert, pool := certificate(t, "localhost")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s, err := net.Dial("tcp", srv.Addr)
				if err != nil {
					return
				}
				defer s.Close()
				go io.Copy(s, c)
				io.Copy(c, s)
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := connected(t, Config{Servers: []string{"localhost:" + port}, TLS: &tls.Config{RootCAs: pool}})
	if _, _, err := s.Children(deadline(t), "/"); err != nil {
		t.Error(err)
	}
	bad, _ := runSession(t, Config{Servers: []string{"127.0.0.1:" + port}, TLS: &tls.Config{RootCAs: pool}, SessionTimeout: 2 * time.Second})
	eventually(t, "the wrong name to be refused", func() bool { return strings.Contains(bad.Status().Err, "certificate") })
}

// Servers that drop everybody right after the handshake see fewer and fewer attempts, as do servers that are away when there is no session to keep any more.
func TestBackoffFromShedding(t *testing.T) {
	now := time.Now()
	most := func(d time.Duration) time.Duration { return d - 1 }
	for _, tc := range []struct {
		name string
		each func(*backoff)
		want time.Duration
	}{
		{"dropped after the handshake", func(b *backoff) { b.opened(now); b.lost(now.Add(time.Second)) }, 4 * time.Second},
		{"refused", func(*backoff) {}, 4 * time.Second},
		{"refused, and the session is gone", func(b *backoff) { b.sessionGone() }, maxBackoff},
		{"lost in its prime", func(b *backoff) { b.opened(now); b.lost(now.Add(time.Minute)) }, time.Second},
	} {
		b := &backoff{limit: 4 * time.Second, rand: most}
		b.next(true)
		var d time.Duration
		for range 10 {
			tc.each(b)
			d = b.next(true)
		}
		if d > tc.want || d < tc.want-time.Microsecond {
			t.Errorf("%s: at the tenth attempt it waits up to %v, want %v", tc.name, d, tc.want)
		}
	}
}

// Clients that lose their connections together come back spread over a second: no tenth of it has much more than its share.
func TestBackoffSpread(t *testing.T) {
	var tenths [10]int
	for range 1000 {
		b := &backoff{limit: 4 * time.Second}
		b.next(true)
		b.opened(time.Now().Add(-time.Minute))
		b.lost(time.Now())
		tenths[b.next(true)/(100*time.Millisecond)]++
	}
	for i, n := range tenths {
		if n < 50 || n > 160 {
			t.Errorf("%d of 1000 come in tenth %d: %v", n, i, tenths)
		}
	}
}

func TestHostTiers(t *testing.T) {
	h := newHosts([]string{"192.0.2.1:1"}, []string{"192.0.2.2:1", "192.0.2.1:1"}, []server{{"192.0.2.3:1", tierLearned}, {"192.0.2.2:1", tierPreferred}})
	next := func(n int) (out []string) {
		for range n {
			addr, _ := h.Next()
			out = append(out, addr[8:9])
		}
		return out
	}
	for range 20 {
		got := next(3)
		if slices.Sort(got[:2]); strings.Join(got, "") != "123" {
			t.Fatalf("%q", got)
		}
	}
	h.setLearned([]server{{"192.0.2.3:1", tierLearned}})
	if got := strings.Join(next(3), ""); got != "123" || !h.prefers() || len(h.preferred()) != 1 {
		t.Errorf("%q", got)
	}
	h.setPrefer("192.0.2.3:1")
	if got := strings.Join(next(3), ""); got != "312" {
		t.Errorf("%q", got)
	}
	if newHosts(nil, []string{"192.0.2.2:1"}, nil).prefers() {
		t.Error("one server is preferred to none")
	}
}
