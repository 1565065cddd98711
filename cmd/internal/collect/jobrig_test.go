package collect

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// words is a log that is written by many and read.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// jobRig is a daemon on a configuration's file, with a target or two a job, and everything it says.
type jobRig struct {
	d      *Daemon
	log    *words
	broker *broker.Broker
	stop   func()
}

// newJobRig runs a daemon on scrape_configs of this text; every job's service has its name.
func newJobRig(t *testing.T, jobs string) *jobRig {
	t.Helper()
	r := &jobRig{log: &words{}}
	var err error
	if r.broker, err = broker.New(broker.Config{Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.broker.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-r.broker.Ready()
	file := filepath.Join(t.TempDir(), "rollcall.yml")
	write(t, file, []byte("global: {scrape_interval: 1s, scrape_timeout: 1s}\nkafka: {brokers: ['"+r.broker.Addr()+"']}\nscrape_configs:\n"+jobs))
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.d, err = New(c, Options{Storage: t.TempDir(), Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}); err != nil {
		t.Fatal(err)
	}
	r.d.filesEvery = 50 * time.Millisecond
	run, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.d.Run(run, context.Background()) }()
	r.stop = sync.OnceFunc(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// aJob is one job in YAML; its target is of a service of the job's name.
func aJob(name, target, more string) string {
	return fmt.Sprintf("- {job_name: %q, %s, static_configs: [{targets: ['%s'], labels: {service: %q}}]}\n", name, more, target, name)
}

// last is how the last pull of a job's target ended.
func (r *jobRig) last(name string) (out scrape.TargetStatus) {
	for _, t := range r.d.pool.Status() {
		if t.Job.Name == name && !t.LastScrape.IsZero() {
			out = t
		}
	}
	return out
}

// ends waits until a job's pull ends so; of a reason, every part that | divides is wanted.
func (r *jobRig) ends(t *testing.T, name, outcome, reason string) {
	t.Helper()
	ok := func() bool {
		s := r.last(name)
		if s.LastScrape.IsZero() || s.Outcome.String() != outcome {
			return false
		}
		for part := range strings.SplitSeq(reason, "|") {
			if !strings.Contains(s.LastError, part) {
				return false
			}
		}
		return true
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	s := r.last(name)
	t.Errorf("%s: %s %q, want %s %q", name, s.Outcome, s.LastError, outcome, reason)
}

// silent ends the daemon and looks for secrets in everything it has said: its log, its API, its metrics, its records.
func (r *jobRig) silent(t *testing.T, secrets ...string) {
	t.Helper()
	mux := http.NewServeMux()
	r.d.Routes(mux)
	r.d.o.Metrics.Routes(mux, r.d.Ready)
	said := map[string]string{}
	for _, path := range []string{"/", "/sd/http", "/api/v1/targets", "/api/v1/roster", "/api/v1/roster/groups", "/api/v1/roster/paths", "/api/v1/ledger", "/api/v1/collector", "/api/v1/status/config", "/metrics"} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		said[path] = rec.Body.String()
	}
	for _, s := range r.d.pool.Status() {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", "/api/v1/roster/why?instance="+url.QueryEscape(s.Instance.Key.String()), nil))
		said["why"] += rec.Body.String()
	}
	if !strings.Contains(said["/api/v1/targets"], "scrapeUrl") || !strings.Contains(said["/api/v1/status/config"], "job_name") {
		t.Errorf("the API does not answer: %q", said)
	}
	r.stop()
	said["the log"] = r.log.String()
	n := 0
	for _, name := range []string{"rollcall.snapshots", "rollcall.snapshots.backfill", "rollcall.roster"} {
		for _, m := range topic(t, r.broker.Addr(), name) {
			n++
			said[name] += string(m.Key) + " " + string(m.Value) + "\n"
			var rec wire.Record
			if name != "rollcall.roster" {
				if err := wire.Decode(m.Value, &rec); err != nil {
					t.Fatal(err)
				}
				said[name] += rec.Reason + "\n"
			}
		}
	}
	if n == 0 {
		t.Error("there are no records to look into")
	}
	for where, text := range said {
		for _, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s says %q: …%s…", where, s, text[max(0, i-200):min(len(text), i+80)])
			}
		}
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(a.pem)
	return p
}

// leaf is a certificate of an address or a name, valid from and until so long from now; of nobody, it signs itself.
func (a *authority) leaf(name string, from, until time.Duration) (cert, key []byte, pair tls.Certificate) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until)}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	parent, by := a.cert, a.key
	if by == nil {
		parent, by = c, k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &k.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pair
}

const oneCounter = `{"counters":{"requests":1}}`

// anApp is a target over TLS, or without where conf is nil.
func anApp(t *testing.T, conf *tls.Config, h http.HandlerFunc) (addr string, s *httptest.Server) {
	t.Helper()
	if h == nil {
		h = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, oneCounter) }
	}
	s = httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	if s.TLS = conf; conf == nil {
		s.Start()
	} else {
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), s
}
