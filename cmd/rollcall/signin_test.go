package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/bcrypt"

	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// startUp runs `rollcall up` in this process, and gives the addresses of its page and its collector, and its log.
func startUp(t *testing.T, scheme, conf, webConf string) (page, collector string, log *lines) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"rollcall.yml": conf, "web.yml": webConf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) }
	cmd := upCmd{Listen: addr(), Collector: addr(), EmbeddedZK: addr(), EmbeddedKB: addr(), Storage: filepath.Join(dir, "data"), ConfigFile: filepath.Join(dir, "rollcall.yml"),
		webFlags: webFlags{WebConfig: filepath.Join(dir, "web.yml"), Lifecycle: true}}
	ctx, end := context.WithCancel(context.Background())
	log = &lines{}
	done := make(chan error, 1)
	go func() {
		done <- cmd.Run(&env{ctx: ctx, cut: ctx, stdin: strings.NewReader(""), stdout: io.Discard, stderr: log, build: ops.ThisBuild(), log: slog.New(slog.NewTextHandler(log, nil))})
	}()
	t.Cleanup(func() {
		end()
		<-done
		if t.Failed() {
			t.Logf("the log:\n%s", log)
		}
	})
	testenv.Eventually(t, "the page and the collector listen", func() bool {
		for _, a := range []string{cmd.Listen, cmd.Collector} {
			c, err := net.Dial("tcp", a)
			if err != nil {
				return false
			}
			c.Close()
		}
		return true
	})
	return scheme + "://" + cmd.Listen, scheme + "://" + cmd.Collector, log
}

// asker asks from an address of this machine, perhaps with a certificate.
type asker struct {
	t      *testing.T
	client *http.Client
	header map[string]string
	user   string
}

func from(t *testing.T, addr string, certs ...tls.Certificate) *asker {
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	tr := &http.Transport{DialContext: dial.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}
	t.Cleanup(tr.CloseIdleConnections)
	return &asker{t: t, client: &http.Client{Transport: tr}, header: map[string]string{}}
}

func (a *asker) as(user string) *asker { a.user = user; return a }
func (a *asker) with(name, value string) *asker {
	a.header[name] = value
	return a
}

func (a *asker) do(method, url, body string) (int, string) {
	a.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if user, pass, ok := strings.Cut(a.user, ":"); ok {
		req.SetBasicAuth(user, pass)
	}
	for name, value := range a.header {
		req.Header.Set(name, value)
	}
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// actions are one of each kind that changes something, on the page and on the collector.
func actions(page, collector string) map[string]string {
	until := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	return map[string]string{
		"POST " + page + "/api/v1/silences":        `{"service":"a","by":"someone else","why":"test","for":"1m"}`,
		"POST " + page + "/api/v1/events":          `{"kind":"note","service":"a","text":"x","who":"someone else"}`,
		"POST " + page + "/api/v1/findings/f1/ack": `{"by":"someone else"}`,
		"DELETE " + page + "/api/v1/silences/s1":   "",
		"POST " + collector + "/api/v1/orders":     `{"kind":"freeze","path":"/a","by":"someone else","until":"` + until + `"}`,
		"POST " + collector + "/api/v1/burst":      `{"service":"a","by":"someone else"}`,
		"DELETE " + collector + "/api/v1/orders/x": "",
		"POST " + collector + "/-/reload":          "",
		"POST " + page + "/-/reload":               "",
	}
}

func TestSignIn(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("hunter2"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	page, collector, log := startUp(t, "http", "web: {auth_header: {name: X-Forwarded-User, from: [127.0.0.9]}, operators: [ann, eve]}\n",
		fmt.Sprintf("basic_auth_users: {ann: '%s', bob: '%s'}\n", hash, hash))
	type way struct {
		name string
		ask  *asker
		me   trust.Me
	}
	for _, w := range []way{
		{"an operator's password", from(t, "127.0.0.1").as("ann:hunter2"), trust.Me{Name: "ann", Role: trust.Operator, SignedIn: true, By: trust.ByPassword}},
		{"a viewer's password", from(t, "127.0.0.1").as("bob:hunter2"), trust.Me{Name: "bob", Role: trust.Viewer, SignedIn: true, By: trust.ByPassword}},
		{"an operator by the proxy", from(t, "127.0.0.9").with("X-Forwarded-User", "eve").with("Via", "1.1 proxy"), trust.Me{Name: "eve", Role: trust.Operator, SignedIn: true, By: trust.ByProxy}},
		{"a viewer by the proxy", from(t, "127.0.0.9").with("X-Forwarded-User", "<script>"), trust.Me{Name: "<script>", Role: trust.Viewer, SignedIn: true, By: trust.ByProxy}},
	} {
		for _, at := range []string{page, collector} {
			code, text := w.ask.do("GET", at+"/api/v1/me", "")
			var me trust.Me
			if err := json.Unmarshal([]byte(text), &me); err != nil || code != 200 {
				t.Fatalf("%s: %d %s", w.name, code, text)
			}
			if (me.Why == "") != (me.Role == trust.Operator) {
				t.Errorf("%s: a %s, because %q", w.name, me.Role, me.Why)
			}
			if me.Why = ""; me != w.me {
				t.Errorf("%s: %+v, want %+v", w.name, me, w.me)
			}
		}
		for action, body := range actions(page, collector) {
			method, url, _ := strings.Cut(action, " ")
			code, text := w.ask.do(method, url, body)
			if refused := code == 403; refused != (w.me.Role == trust.Viewer) {
				t.Errorf("%s: %s: %d %s", w.name, action, code, text)
			}
			if code == 403 && !strings.Contains(text, "may look, and not give") {
				t.Errorf("%s: %s is refused without a reason: %s", w.name, action, text)
			}
			if code == 200 && strings.Contains(text, "someone else") {
				t.Errorf("%s: %s believes what it says: %s", w.name, action, text)
			}
			w.ask.header["Origin"] = "http://evil.example"
			if code, text := w.ask.do(method, url, body); code != 403 || !strings.Contains(text, "another site") {
				t.Errorf("%s: %s from a page of another site: %d %s", w.name, action, code, text)
			}
			delete(w.ask.header, "Origin")
		}
	}
	for name, tc := range map[string]struct {
		ask  *asker
		code int
		says string
	}{
		"nobody":                            {from(t, "127.0.0.1"), 401, "sign in"},
		"a wrong password":                  {from(t, "127.0.0.1").as("ann:hunter3"), 401, "sign in"},
		"a forged header":                   {from(t, "127.0.0.1").with("X-Forwarded-User", "ann"), 403, "from none of them"},
		"a forged header and a password":    {from(t, "127.0.0.1").with("X-Forwarded-User", "ann").as("bob:hunter2"), 403, "from none of them"},
		"a forged header and forged proxy":  {from(t, "127.0.0.8").with("X-Forwarded-User", "ann").with("X-Forwarded-For", "127.0.0.9"), 403, "from none of them"},
		"the proxy, which has named nobody": {from(t, "127.0.0.9").with("X-Forwarded-User", ""), 401, "sign in"},
	} {
		for _, url := range []string{page + "/", page + "/api/v1/now", page + "/api/v1/me", collector + "/api/v1/roster", collector + "/metrics"} {
			if code, text := tc.ask.do("GET", url, ""); code != tc.code || !strings.Contains(text, tc.says) {
				t.Errorf("%s: %s: %d %s", name, url, code, text)
			}
		}
	}
	browserSignsIn(t, page)
	said := log.String()
	for _, want := range []string{`msg="order given"`, "by=ann signed_in=ann", "by=eve signed_in=eve", "msg=told"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, secret := range []string{"hunter", "$2a$", "Basic "} {
		if strings.Contains(said, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// authority makes certificates of one authority, by the names on them.
func authority(t *testing.T) (ca []byte, make func(name string) (tls.Certificate, []byte, []byte)) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(1)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), func(name string) (tls.Certificate, []byte, []byte) {
		n++
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, &own.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalECPrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		c, k := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
		pair, err := tls.X509KeyPair(c, k)
		if err != nil {
			t.Fatal(err)
		}
		return pair, c, k
	}
}

func TestSignInByCertificate(t *testing.T) {
	dir := t.TempDir()
	ca, issue := authority(t)
	_, cert, key := issue("rollcall")
	for name, b := range map[string][]byte{"ca.pem": ca, "c.pem": cert, "k.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Clone(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, collector, _ := startUp(t, "https", "web: {operators: [ann]}\n",
		fmt.Sprintf("tls_server_config: {cert_file: %[1]s/c.pem, key_file: %[1]s/k.pem, client_ca_file: %[1]s/ca.pem, client_auth_type: VerifyClientCertIfGiven}\n", dir))
	ann, _, _ := issue("ann")
	bob, _, _ := issue("bob")
	for _, tc := range []struct {
		name string
		ask  *asker
		code int // of an order
		says string
		me   string
	}{
		{"an operator", from(t, "127.0.0.1", ann), 200, `"by":"ann"`, `"name":"ann","role":"operator","signed_in":true,"by":"certificate"`},
		{"a viewer", from(t, "127.0.0.1", bob), 403, "bob may look", `"name":"bob","role":"viewer","signed_in":true,"by":"certificate"`},
		{"nobody", from(t, "127.0.0.1"), 403, "nobody has here", `"name":"","role":"viewer","signed_in":false,"by":""`},
		{"a header that nobody asked for", from(t, "127.0.0.1").with("X-Forwarded-User", "ann"), 403, "nobody has here", `"name":"","role":"viewer"`},
	} {
		for _, at := range []string{page, collector} {
			if code, text := tc.ask.do("GET", at+"/api/v1/me", ""); code != 200 || !strings.Contains(text, tc.me) {
				t.Errorf("%s: %d %s", tc.name, code, text)
			}
		}
		all := actions(page, collector)
		for _, url := range []string{page + "/api/v1/silences", collector + "/api/v1/orders"} {
			if code, text := tc.ask.do("POST", url, all["POST "+url]); code != tc.code || !strings.Contains(text, tc.says) {
				t.Errorf("%s: %s: %d %s", tc.name, url, code, text)
			}
		}
	}
}

// Names that nobody can sign in under protect nothing, so that is not begun.
func TestOperatorsWithoutSignIn(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "rollcall.yml")
	if err := os.WriteFile(conf, []byte("web: {operators: [ann]}\nkafka: {brokers: ['127.0.0.1:1']}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	cmd := collectCmd{ConfigFile: conf, Storage: filepath.Join(dir, "data"), Listen: "127.0.0.1:0"}
	err := cmd.Run(&env{ctx: t.Context(), cut: t.Context(), stdout: &b, stderr: &b, build: ops.ThisBuild(), log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "nobody can sign in") {
		t.Errorf("it runs: %v", err)
	}
}

// browserSignsIn shows the page to each who has a password, in a real browser, and to one who has none.
func browserSignsIn(t *testing.T, page string) {
	program, ok := testenv.Tool(t, "chromium")
	if !ok {
		return
	}
	p := openTab(t, program, page)
	for _, tc := range []struct{ password, who string }{{"ann:hunter2", "ann operator"}, {"bob:hunter2", "bob viewer"}} {
		send(p, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(tc.password))}})
		p.do(chromedp.Navigate(page))
		if who := await[string](p, 10*time.Second, "the page says who has signed in", `document.querySelector("[data-testid=who]")?.textContent`); who != tc.who {
			t.Errorf("%s is shown as %q", tc.password, who)
		}
		await[bool](p, 10*time.Second, "and is told what there is", `Number(document.querySelector("[data-testid=strip]")?.dataset.asOf) > 0`)
	}
	send(p, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{}})
	p.do(chromedp.Navigate("about:blank"))
	if err := chromedp.Do(p.ctx, chromedp.Navigate(page+"/services")); err == nil && eval[bool](p, `!!document.querySelector("main")`) {
		t.Error("who has not signed in sees the page")
	}
}
