package ops

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/bcrypt"

	"github.com/rollcall-metrics/rollcall/internal/trust"
	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// WebConfig is Prometheus' web-config file: TLS, client certificates, bcrypt users. Reload reads it again, with the files that it names.
type WebConfig struct {
	file string

	mu    sync.Mutex
	sum   [32]byte
	conf  webFile
	cert  *tls.Config
	known map[[32]byte]bool // passwords that bcrypt has approved, as hashes: bcrypt costs 50 ms a request
}

type webFile struct {
	TLS *struct {
		CertFile     string `yaml:"cert_file"`
		KeyFile      string `yaml:"key_file"`
		ClientAuth   string `yaml:"client_auth_type"`
		ClientCAFile string `yaml:"client_ca_file"`
		MinVersion   string `yaml:"min_version"`
	} `yaml:"tls_server_config"`
	Users map[string]string `yaml:"basic_auth_users"`
}

// LoadWebConfig reads file; the error names what is wrong and where.
func LoadWebConfig(file string) (*WebConfig, error) {
	w := &WebConfig{file: file}
	if err := w.load(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *WebConfig) load() error {
	b, err := yamltext.Read(w.file)
	if err != nil {
		return fmt.Errorf("read web configuration: %w", err)
	}
	var f webFile
	if len(bytes.TrimSpace(b)) > 0 {
		if err := yaml.UnmarshalWithOptions(b, &f, yaml.Strict()); err != nil {
			return fmt.Errorf("read web configuration %q: %w", w.file, err)
		}
	}
	sum := sha256.New()
	sum.Write(b)
	var conf *tls.Config
	if t := f.TLS; t != nil {
		at := func(p string) string {
			if filepath.IsAbs(p) {
				return p
			}
			return filepath.Join(filepath.Dir(w.file), p)
		}
		certPEM, err1 := os.ReadFile(at(t.CertFile))
		keyPEM, err2 := os.ReadFile(at(t.KeyFile))
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("web configuration %q: %w", w.file, err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return fmt.Errorf("web configuration %q: cert_file and key_file: %w", w.file, err)
		}
		sum.Write(certPEM)
		sum.Write(keyPEM)
		conf = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
		switch t.MinVersion {
		case "", "TLS12":
		case "TLS13":
			conf.MinVersion = tls.VersionTLS13
		default:
			return fmt.Errorf("web configuration %q: min_version %q: use TLS12 or TLS13", w.file, t.MinVersion)
		}
		auth, ok := map[string]tls.ClientAuthType{"": tls.NoClientCert, "NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
			"RequireAnyClientCert": tls.RequireAnyClientCert, "VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven, "RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert}[t.ClientAuth]
		if !ok {
			return fmt.Errorf("web configuration %q: client_auth_type %q: use NoClientCert or RequireAndVerifyClientCert", w.file, t.ClientAuth)
		}
		conf.ClientAuth = auth
		if t.ClientCAFile != "" {
			ca, err := os.ReadFile(at(t.ClientCAFile))
			if err != nil {
				return fmt.Errorf("web configuration %q: %w", w.file, err)
			}
			sum.Write(ca)
			conf.ClientCAs = x509.NewCertPool()
			if !conf.ClientCAs.AppendCertsFromPEM(ca) {
				return fmt.Errorf("web configuration %q: client_ca_file %q holds no certificate", w.file, t.ClientCAFile)
			}
		} else if auth >= tls.VerifyClientCertIfGiven {
			return fmt.Errorf("web configuration %q: client_auth_type %s needs client_ca_file", w.file, t.ClientAuth)
		}
	}
	for u, hash := range f.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return fmt.Errorf("web configuration %q: the password of user %q is not a bcrypt hash", w.file, u)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := [32]byte(sum.Sum(nil))
	if s != w.sum {
		w.sum, w.conf, w.cert, w.known = s, f, conf, map[[32]byte]bool{}
	}
	return nil
}

// Reload reads the file again; on an error the old one stays in force.
func (w *WebConfig) Reload() error { return w.load() }

// TLS is the configuration for a listener, nil without tls_server_config. Certificates are taken as of the last Reload.
func (w *WebConfig) TLS() *tls.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cert == nil {
		return nil
	}
	return &tls.Config{MinVersion: w.cert.MinVersion, NextProtos: w.cert.NextProtos, Certificates: w.cert.Certificates,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.cert, nil
		}}
}

// unknownUser is a hash of a random password, so that an unknown user costs the time of a known one.
const unknownUser = "$2a$10$7EqJtq98hPqEX7fNZaFWoOhi5BWX4Z5Q5b2sXx0aKXW2mT6jC3n6a"

// Gate lets nobody pass who is none of the file's users, where it has any, and knows people by their certificates. w may be nil: then there is neither.
func (w *WebConfig) Gate() *trust.Gate {
	if w == nil {
		return &trust.Gate{}
	}
	return &trust.Gate{Password: w.password, Certificates: w.verifies}
}

// SignsIn reports whether people can sign in here, by a password or by a certificate.
func (w *WebConfig) SignsIn() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	users := len(w.conf.Users) > 0
	w.mu.Unlock()
	return users || w.verifies()
}

// verifies reports whether clients' certificates are held against an authority.
func (w *WebConfig) verifies() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cert != nil && w.cert.ClientAuth >= tls.VerifyClientCertIfGiven
}

func (w *WebConfig) password(r *http.Request) (users bool, name string, right bool) {
	w.mu.Lock()
	all := w.conf.Users
	w.mu.Unlock()
	user, pass, ok := r.BasicAuth()
	return len(all) > 0, user, ok && len(all) > 0 && w.allowed(user, pass, all)
}

func (w *WebConfig) allowed(user, pass string, users map[string]string) bool {
	hash, exists := users[user]
	if !exists {
		hash = unknownUser
	}
	seen := sha256.Sum256([]byte(user + "\x00" + pass + "\x00" + hash))
	w.mu.Lock()
	good := w.known[seen]
	w.mu.Unlock()
	if good {
		return true
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(pass)) != nil || !exists {
		return false
	}
	w.mu.Lock()
	w.known[seen] = true
	w.mu.Unlock()
	return true
}
