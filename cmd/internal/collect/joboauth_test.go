package collect

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// issuer gives tokens to a client with a secret.
type issuer struct {
	mu     sync.Mutex
	secret string
	inBody bool   // it takes the secret in the body only
	says   string // in place of a token, with status 200
	status int    // of every answer, with the secret said back
	ends   int    // expires_in
	given  int    // tokens
	forms  []string
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r.ParseForm()
	user, pass, basic := r.BasicAuth()
	if i.inBody {
		user, pass = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	switch {
	case i.status != 0:
		w.WriteHeader(i.status)
		fmt.Fprintf(w, `{"error":"invalid_scope","error_description":%q}`, pass)
		return
	case user != "rollcall" || pass != i.secret || !basic && !i.inBody:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, pass)
		return
	case i.says != "":
		io.WriteString(w, i.says)
		return
	}
	i.given++
	i.forms = append(i.forms, r.PostForm.Get("grant_type")+" "+r.PostForm.Get("scope")+" "+r.PostForm.Get("audience"))
	fmt.Fprintf(w, `{"access_token":"tok%d-hunter2","token_type":"bearer","expires_in":%d}`, i.given, i.ends)
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.given
}

func TestJobOAuth2(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	write(t, secret, []byte("one-hunter2\n"))
	plain, body, short := &issuer{secret: "one-hunter2"}, &issuer{secret: "one-hunter2", inBody: true}, &issuer{secret: "one-hunter2", ends: 11}
	refuses, empty := &issuer{status: 400}, &issuer{secret: "one-hunter2", says: `{"token_type":"bearer"}`}
	at := map[*issuer]string{}
	for _, i := range []*issuer{plain, body, short, refuses, empty} {
		at[i], _ = anApp(t, nil, i.ServeHTTP)
	}
	hangs := listens(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	g := &guarded{wants: map[string]string{"/plain": "Bearer tok1-hunter2", "/body": "Bearer tok1-hunter2"}, got: map[string][]http.Header{}, send: map[string]string{}}
	app, _ := anApp(t, nil, g.ServeHTTP)
	job := func(name, path, more string, i *issuer, file string) string {
		where := hangs
		if i != nil {
			where = at[i]
		}
		return aJob(name, app, "metrics_path: "+path+", "+more+"oauth2: {client_id: rollcall, "+file+", token_url: 'http://user:pw-hunter2@"+where+"/token?k=q-hunter2', scopes: [a, b], endpoint_params: {audience: aud-hunter2}}")
	}
	file, wrong := "client_secret_file: '"+secret+"'", "client_secret: wrong-hunter2"
	r := newJobRig(t, job("plain", "/plain", "", plain, file)+job("body", "/body", "", body, file)+job("by client", "/short", "enable_http2: true, ", short, file)+
		job("wrong", "/never", "", plain, wrong)+job("refuses", "/never", "enable_http2: true, ", refuses, file)+job("empty", "/never", "", empty, file)+
		job("hangs", "/never", "", nil, file)+job("no file", "/never", "", plain, "client_secret_file: '"+dir+"/none'"))
	for name, want := range map[string][2]string{
		"plain": {"ok"}, "body": {"ok"}, "by client": {"ok"},
		"wrong":   {"forbidden", "no token of oauth2 from " + at[plain] + ": status 401: invalid_client"},
		"refuses": {"forbidden", "status 400: invalid_scope"},
		"empty":   {"forbidden", "an answer without an access_token"},
		"hangs":   {"forbidden", "no token of oauth2 from " + hangs + ": no answer within the scrape timeout"},
		"no file": {"forbidden", "read credentials: open " + dir + "/none: no such file"},
	} {
		r.ends(t, name, want[0], want[1])
	}
	if n := len(g.heard("/never")); n != 0 {
		t.Errorf("%d requests without a token", n)
	}
	if n := plain.count(); n != 1 {
		t.Errorf("%d tokens where one lasts", n)
	}
	if f := plain.forms[0]; f != "client_credentials a b aud-hunter2" {
		t.Errorf("asked with %q", f)
	}
	tick := time.NewTicker(20 * time.Millisecond) // one that ends in 11 s is fetched anew after a second
	defer tick.Stop()
	for end := time.After(20 * time.Second); short.count() < 2; {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("a token that ends is not fetched anew")
		}
	}
	// Another secret: the next token is fetched with it.
	g.want("/plain", "Bearer tok2-hunter2")
	plain.mu.Lock()
	plain.secret = "two-hunter2"
	plain.mu.Unlock()
	r.ends(t, "plain", "status", "status 401: it does not take the job's credentials")
	swap(t, secret, "two-hunter2\n")
	r.ends(t, "plain", "ok", "")
	r.silent(t, "hunter2", strings.TrimPrefix(basic("rollcall", "one-hunter2"), "Basic "), strings.TrimPrefix(basic("rollcall", "wrong-hunter2"), "Basic "))
}

func TestJobHeaders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, []byte("file-hunter2\n"))
	g := func() *guarded {
		return &guarded{wants: map[string]string{}, got: map[string][]http.Header{}, send: map[string]string{}}
	}
	here, other := g(), g()
	away, _ := anApp(t, nil, other.ServeHTTP)
	at, _ := anApp(t, nil, here.ServeHTTP)
	here.send["/away"], here.send["/here"] = "http://"+away+"/stats", "/home"
	headers := "http_headers: {x-tenant: {values: [plain, two], secrets: [secret-hunter2], files: ['" + file + "']}}"
	r := newJobRig(t, aJob("own", at, "metrics_path: /own, "+headers)+aJob("client", at, "metrics_path: /client, enable_http2: true, "+headers)+
		aJob("away", at, "metrics_path: /away, follow_redirects: true, "+headers)+aJob("here", at, "metrics_path: /here, follow_redirects: true, "+headers)+
		aJob("no file", at, "metrics_path: /never, http_headers: {a: {files: ['"+dir+"/none']}}"))
	for name, want := range map[string][2]string{"own": {"ok"}, "client": {"ok"}, "away": {"ok"}, "here": {"ok"}, "no file": {"forbidden", "read credentials: open " + dir + "/none"}} {
		r.ends(t, name, want[0], want[1])
	}
	for _, path := range []string{"/own", "/client", "/home"} {
		if all := here.heard(path); len(all) == 0 || strings.Join(all[0].Values("X-Tenant"), ",") != "plain,two,secret-hunter2,file-hunter2" {
			t.Errorf("%s was sent %q", path, all)
		}
	}
	if all := other.heard("/stats"); len(all) == 0 || len(all[0].Values("X-Tenant")) != 0 || len(here.heard("/never")) != 0 {
		t.Errorf("another program was sent %q", all)
	}
	swap(t, file, "next-hunter2\n")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); ; {
		all := here.heard("/own")
		if v := all[len(all)-1].Values("X-Tenant"); v[len(v)-1] == "next-hunter2" {
			break
		}
		select {
		case <-tick.C:
			continue
		case <-end:
			t.Fatal("the file is not read again")
		}
	}
	r.silent(t, "hunter2")
}

// Who is reached without the proxy, by no_proxy and by the environment; the proxy's own headers; and the allow-list holds either way.
func TestJobNoProxy(t *testing.T) {
	ours := newAuthority(t, "ours")
	_, _, pair := ours.leaf("127.0.0.1", -time.Hour, time.Hour)
	ca := t.TempDir() + "/ca.pem"
	write(t, ca, ours.pem)
	app, _ := anApp(t, nil, nil)
	secure, _ := anApp(t, &tls.Config{Certificates: []tls.Certificate{pair}}, nil)
	one, two := &aProxy{says: 503}, &aProxy{says: 503}
	var sent sync.Map
	noting := func(p *aProxy) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			sent.Store(r.Method+" "+r.Header.Get("X-Site"), true)
			p.ServeHTTP(w, r)
		}
	}
	oneAt, _ := anApp(t, nil, noting(one))
	twoAt, _ := anApp(t, nil, noting(two))
	connect := &aProxy{}
	connectAt, _ := anApp(t, nil, noting(connect))
	t.Setenv("HTTP_PROXY", twoAt)
	t.Setenv("HTTPS_PROXY", "http://ann:env-hunter2@"+twoAt)
	t.Setenv("NO_PROXY", "10.1.0.0/16,.inner.test")
	by := "proxy_url: 'http://ann:url-hunter2@" + oneAt + "', "
	const names = "allow: {proxy_names: true}, "
	r := newJobRig(t, aJob("loopback", app, by+"no_proxy: 'a.test'")+
		aJob("by proxy", "10.1.2.3:80", by+"no_proxy: '10.2.0.0/16,b.test'")+
		aJob("without", "169.254.169.254:80", by+"no_proxy: '169.254.0.0/16'")+
		aJob("proxy as target", oneAt, by+"no_proxy: '*', allow: {networks: [10.0.0.0/8]}")+
		aJob("env", "10.2.2.3:80", "proxy_from_environment: true")+
		aJob("env, name", "x.outer.test:80", names+"proxy_from_environment: true")+
		aJob("env, https", "10.2.2.4:443", "scheme: https, proxy_from_environment: true")+
		aJob("env, loopback", app, "proxy_from_environment: true")+
		aJob("env, metadata", "169.254.169.254:80", "proxy_from_environment: true")+
		aJob("connect", secure, "scheme: https, tls_config: {ca_file: '"+ca+"'}, proxy_url: 'http://"+connectAt+"', proxy_connect_header: {X-Site: [site-hunter2]}"))
	for name, want := range map[string][2]string{
		"loopback": {"ok"}, "env, loopback": {"ok"}, "connect": {"ok"}, "by proxy": {"status", "status 503"}, "env": {"status", "status 503"}, "env, name": {"status", "status 503"},
		"env, https": {"status", "status 503 of the proxy " + twoAt}, "without": {"forbidden", "not on the allow-list"}, "env, metadata": {"forbidden", "not on the allow-list"},
		"proxy as target": {"forbidden", "not on the allow-list"},
	} {
		r.ends(t, name, want[0], want[1])
	}
	if !one.has("GET http://10.1.2.3/stats.json") || !two.has("GET http://10.2.2.3/stats.json") || !two.has("GET http://x.outer.test/stats.json") || !two.has("CONNECT 10.2.2.4:443") || !connect.has("CONNECT "+secure) {
		t.Errorf("the proxies were asked for %q, %q and %q", one.asked, two.asked, connect.asked)
	}
	if _, has := sent.Load("CONNECT site-hunter2"); !has {
		t.Error("the proxy was not sent its header")
	}
	r.silent(t, "hunter2")
}
