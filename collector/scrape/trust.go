package scrape

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// certAsked notes whether a server asked for a client certificate, and whether it was given one: the reason for which it goes away is often not heard.
type certAsked struct{ asked, given atomic.Bool }

// certKey is where the context of a handshake has its *certAsked.
type certKey struct{}

// noting has cfg note what a server asks for in the handshake's context. cfg is the caller's own.
func noting(cfg *tls.Config) *tls.Config {
	get := cfg.GetClientCertificate
	if get == nil && len(cfg.Certificates) > 0 {
		return cfg
	}
	cfg.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		note, _ := r.Context().Value(certKey{}).(*certAsked)
		if note != nil {
			note.asked.Store(true)
		}
		if get == nil {
			return &tls.Certificate{}, nil // none
		}
		c, err := get(r)
		if note != nil {
			note.given.Store(err == nil && len(c.Certificate) > 0)
		}
		return c, err
	}
	return cfg
}

// secure speaks TLS on conn, and closes it if that fails.
func secure(ctx context.Context, conn net.Conn, cfg *tls.Config, host string) (net.Conn, error) {
	if cfg = cfg.Clone(); cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	s := &secured{}
	s.Conn = tls.Client(conn, noting(cfg))
	if err := s.HandshakeContext(context.WithValue(ctx, certKey{}, &s.cert)); err != nil {
		_ = conn.Close()
		return nil, tlsFault(err, &s.cert)
	}
	return s, nil
}

// secured is a connection by TLS. A server that does not take the client's certificate, or misses one, says so when the handshake is over for the client.
type secured struct {
	*tls.Conn
	cert  certAsked
	heard bool
}

func (s *secured) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.heard = s.heard || n > 0
	return n, s.fault(err)
}

func (s *secured) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	return n, s.fault(err)
}

func (s *secured) fault(err error) error {
	if err == nil || isTimeout(err) {
		return err
	}
	if isAlert(err) || !s.heard && s.cert.asked.Load() {
		return tlsFault(err, &s.cert)
	}
	return err
}

// isAlert reports that the other side gave TLS' own reason for going away.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// tlsFault is a handshake that failed, with what to do about it.
func tlsFault(err error, cert *certAsked) error {
	what := remedy(err, cert)
	if what == "" || isTimeout(err) {
		return &handshakeError{err}
	}
	text := strings.TrimPrefix(short(err), "tls: failed to verify certificate: ")
	if isAlert(err) {
		text = "handshake: " + text
	}
	if len(text) > 110 { // both ends tell: what is wrong, and of whom
		text = text[:64] + "…" + text[len(text)-42:]
	}
	return fail(collector.TLS, "%s; %s", text, what)
}

// remedy is what to do about a handshake that failed, or "" where the error says it all.
func remedy(err error, cert *certAsked) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	says := func(what string) bool { return strings.Contains(err.Error(), what) }
	switch {
	case errors.As(err, &unknown):
		return "name the CA that signed it in tls_config.ca_file"
	case errors.As(err, &name):
		return "set tls_config.server_name to a name of its certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if time.Now().Before(invalid.Cert.NotBefore) {
			return "it is for later: look at both clocks"
		}
		return "renew it on the server"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "nobody speaks TLS there: set scheme to http, or choose another port"
	case says("protocol version"):
		return "TLS 1.2 is the least that is spoken here: set the server to it"
	case !cert.asked.Load():
		return ""
	case !cert.given.Load():
		return "it asks for a client certificate: set tls_config.cert_file and key_file"
	case isAlert(err) && says("certificate"):
		return "it does not take our client certificate: renew tls_config.cert_file, or let the server trust who signed it"
	}
	return ""
}

// isTLS reports an error of TLS, by either side.
func isTLS(err error) bool {
	return isAlert(err) || errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(tls.RecordHeaderError)) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		strings.HasPrefix(err.Error(), "tls: ")
}
