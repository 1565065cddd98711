package ops

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestListenNamesTheHolder(t *testing.T) {
	l, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	_, err = Listen(addr, 0)
	if me := "pid " + strconv.Itoa(os.Getpid()); err == nil || !strings.Contains(err.Error(), me) || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v, want %s and %s named", err, addr, me)
	}
	next, err := Listen(addr, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if next.Addr().String() == addr {
		t.Errorf("the port in use was given again")
	}
	for _, bad := range []string{"nowhere", "127.0.0.1:http?", "127.0.0.1:99999"} {
		if _, err := Listen(bad, 0); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics(Build{Version: "1.2.3", Revision: "r", Go: "g"})
	m.NewSet().NewCounter(`rollcall_test_total{job="a b"}`).Add(7)
	m.NewSet().NewCounter(`rollcall_test_total{job="c"}`).Add(8) // another owner of the same family
	gone := m.NewSet()
	gone.NewCounter(`rollcall_test_total{job="a b"}`).Add(9)
	m.Drop(gone)
	mux := http.NewServeMux()
	ready := errors.New("no roster yet")
	m.Routes(mux, func() error { return ready })
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec.Code, rec.Body.String()
	}
	_, text := get("/metrics")
	for _, want := range []string{`rollcall_test_total{job="a b"} 7`, `rollcall_build_info{goversion="g",revision="r",version="1.2.3"} 1`, "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Count(text, "# TYPE rollcall_test_total") != 1 || strings.Count(text, "rollcall_test_total{") != 2 {
		t.Errorf("/metrics announces a family twice, or keeps what was dropped")
	}
	_, body := get("/stats.json")
	var s struct {
		Counters, Gauges map[string]float64
		Labels           map[string]string
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatalf("/stats.json: %v", err)
	}
	if s.Counters["rollcall_test_total/job/a b"] != 7 || s.Labels["rollcall_build_info/version"] != "1.2.3" || s.Gauges["go_goroutines"] == 0 {
		t.Errorf("/stats.json: %s", body)
	}
	if code, why := get("/-/ready"); code != 503 || !strings.Contains(why, "no roster yet") {
		t.Errorf("/-/ready: %d %s", code, why)
	}
	ready = nil
	for _, p := range []string{"/-/ready", "/-/healthy", "/stats.txt", "/stats.csv", "/debug/pprof/"} {
		if code, _ := get(p); code != 200 {
			t.Errorf("%s: %d", p, code)
		}
	}
}

func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := x509.MarshalECPrivateKey(key)
	os.WriteFile(filepath.Join(dir, "c.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(filepath.Join(dir, "k.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k}), 0o600)
}

func TestWebConfig(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	hash, _ := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	file := filepath.Join(dir, "web.yml")
	os.WriteFile(file, []byte("tls_server_config: {cert_file: c.pem, key_file: k.pem}\nbasic_auth_users: {ann: '"+string(hash)+"'}\n"), 0o600)
	w, err := LoadWebConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	srv := &Server{Listener: l, Web: w, Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "in") })}
	go func() { done <- srv.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	for _, tc := range []struct {
		user, pass string
		want       int
	}{{"ann", "pw", 200}, {"ann", "pw", 200}, {"ann", "no", 401}, {"bob", "pw", 401}, {"", "", 401}} {
		req, _ := http.NewRequest("GET", "https://"+l.Addr().String()+"/", nil)
		if tc.user != "" {
			req.SetBasicAuth(tc.user, tc.pass)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tc.want {
			t.Errorf("%s/%s: %d, want %d", tc.user, tc.pass, res.StatusCode, tc.want)
		}
		if res.ProtoMajor != 2 { // by which all windows of a browser share one connection
			t.Errorf("with TLS it speaks %s", res.Proto)
		}
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	os.WriteFile(file, []byte("basic_auth_users: {ann: plain}\n"), 0o600)
	if err := w.Reload(); err == nil || !strings.Contains(err.Error(), `"ann" is not a bcrypt hash`) {
		t.Errorf("reload of a bad file: %v", err)
	}
	if len(w.conf.Users["ann"]) < 20 {
		t.Error("a bad file replaced the good one")
	}
	for _, tc := range []struct{ text, want string }{
		{"tls_server_config: {cert_file: c.pem}\n", "web configuration"},
		{"tls_server_config: {cert_file: c.pem, key_file: k.pem, client_auth_type: RequireAndVerifyClientCert}\n", "needs client_ca_file"},
		{"nope: 1\n", "nope"},
	} {
		os.WriteFile(file, []byte(tc.text), 0o600)
		if _, err := LoadWebConfig(file); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

func TestSignals(t *testing.T) {
	run, drain, reload, stop := Signals(t.Context())
	defer stop()
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	<-reload
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	<-run.Done()
	if drain.Err() != nil {
		t.Fatal("the first signal cut the drain")
	}
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	<-drain.Done()
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	l, err := Logger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	l.Info("no")
	l.Warn("yes", "k", "v")
	if !strings.Contains(b.String(), `"k":"v"`) || strings.Contains(b.String(), "no") {
		t.Error(b.String())
	}
	for _, bad := range [][2]string{{"loud", "json"}, {"info", "xml"}} {
		if _, err := Logger(&b, bad[0], bad[1]); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("taken twice: %v", err)
	}
	release()
	again, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	Notify("READY=1")
	b := make([]byte, 64)
	l.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q %v", b[:n], err)
	}
}
