package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

// certificate makes a server's certificate for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestLogin(t *testing.T) {
	cert, pool := certificate(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c := fake(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "rollcall", "right"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
			file := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(file, []byte("right\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := subject(t, c.ListenAddrs()[0], func(c *Config) {
				c.SASL = login.SASL{Mechanism: mechanism, Username: "rollcall", PasswordFile: file}
				c.TLS = &tls.Config{RootCAs: pool}
			})
			end := s.Go(t)
			s.Sink.Put(sinktest.Snapshot("checkout", 1))
			end()
			if r := s.Ledger.Report(time.Now()); r.Total.Acknowledged != 1 {
				t.Errorf("ledger %+v, trouble %s", r.Total, s.Sink.(*Sink).Status().Trouble)
			}
		})
	}
}

func TestLoginFails(t *testing.T) {
	cert, pool := certificate(t)
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"wrong password", func(c *Config) { c.SASL.Password = "wrong" }, "auth"},
		{"no such file", func(c *Config) { c.SASL.Password, c.SASL.PasswordFile = "", "/does/not/exist" }, "auth"},
		{"untrusted", func(c *Config) { c.TLS = &tls.Config{RootCAs: x509.NewCertPool()} }, "tls"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "rollcall", "right"), kfake.TLS(tlsConfig))
			c.ControlKey(36, func(req kmsg.Request) (kmsg.Response, error, bool) { // kfake hangs up; Kafka says why
				c.KeepControl()
				r := req.(*kmsg.SASLAuthenticateRequest)
				resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return resp, nil, strings.HasSuffix(string(r.SASLAuthBytes), "wrong")
			})
			s := subject(t, c.ListenAddrs()[0], func(c *Config) {
				c.SASL = login.SASL{Mechanism: "PLAIN", Username: "rollcall", Password: "right"}
				c.TLS, c.Drain = &tls.Config{RootCAs: pool}, 20*time.Millisecond
				tc.change(c)
			})
			end := s.Go(t)
			s.Sink.Put(sinktest.Snapshot("checkout", 1))
			until(t, "the trouble to be told", func() bool { return strings.Contains(s.Sink.(*Sink).Status().Trouble, tc.want+":") })
			if trouble := s.Sink.(*Sink).Status().Trouble; strings.Contains(trouble, "right") || strings.Contains(trouble, "wrong") {
				t.Errorf("a password in %q", trouble)
			}
			end()
			if r := s.Ledger.Report(time.Now()); r.Total.Dropped != 1 || !r.Total.Balanced() {
				t.Errorf("ledger %+v", r.Total)
			}
		})
	}
}
