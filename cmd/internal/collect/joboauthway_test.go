package collect

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// The way to the server of tokens is its own: its authority, a certificate for it, a proxy, none for whom no_proxy names; the target is reached without any of them.
func TestJobOAuth2Way(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		write(t, name, b)
		return name
	}
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	_, _, pair := ours.leaf("127.0.0.1", -time.Hour, time.Hour)
	cert, key, _ := ours.leaf("client", -time.Hour, time.Hour)
	ca, client := file("ca.pem", ours.pem), "cert_file: '"+file("c.pem", cert)+"', key_file: '"+file("c.key", key)+"'"
	later := file("later.pem", others.pem)

	gives := &issuer{secret: "s-hunter2"}
	plain, _ := anApp(t, nil, gives.ServeHTTP)
	secure, _ := anApp(t, &tls.Config{Certificates: []tls.Certificate{pair}}, gives.ServeHTTP)
	mutual, _ := anApp(t, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool()}, gives.ServeHTTP)
	open, closed, broken := &aProxy{}, &aProxy{wants: basic("ann", "p-hunter2")}, &aProxy{says: 503}
	var site string
	openAt, _ := anApp(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			site = r.Header.Get("X-Site")
		}
		open.ServeHTTP(w, r)
	})
	closedAt, _ := anApp(t, nil, closed.ServeHTTP)
	brokenAt, _ := anApp(t, nil, broken.ServeHTTP)
	app, _ := anApp(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write([]byte(oneCounter))
	})
	job := func(name, tokenURL, more string) string {
		return aJob(name, app, "oauth2: {client_id: rollcall, client_secret: s-hunter2, token_url: '"+tokenURL+"/token'"+more+"}")
	}
	tlsBy := func(more string) string { return ", tls_config: {" + more + "}" }
	caFile := "ca_file: '" + ca + "'"
	r := newJobRig(t, job("tls", "https://"+secure, tlsBy(caFile))+
		job("mutual", "https://"+mutual, tlsBy(caFile+", "+client))+
		job("nobody", "https://"+mutual, tlsBy(caFile))+
		job("unknown", "https://"+secure, "")+
		job("by name", "https://"+secure, tlsBy(caFile+", server_name: other.test"))+
		job("later", "https://"+secure, tlsBy("ca_file: '"+later+"'"))+
		job("proxy", "http://"+plain, ", proxy_url: 'http://"+openAt+"'")+
		job("connect", "https://"+secure, tlsBy(caFile)+", proxy_url: 'http://"+openAt+"', proxy_connect_header: {X-Site: [site-hunter2]}")+
		job("with password", "https://"+mutual, tlsBy(caFile+", "+client)+", proxy_url: 'http://ann:p-hunter2@"+closedAt+"'")+
		job("without password", "https://"+secure, tlsBy(caFile)+", proxy_url: 'http://ann:wrong-hunter2@"+closedAt+"'")+
		job("broken", "http://"+plain, ", proxy_url: 'http://"+brokenAt+"'")+
		job("aside", "http://"+plain, ", proxy_url: 'http://"+brokenAt+"', no_proxy: a.test"))
	no := "no token of oauth2 from " + secure + ": "
	for name, want := range map[string][2]string{
		"tls": {"ok"}, "mutual": {"ok"}, "proxy": {"ok"}, "connect": {"ok"}, "with password": {"ok"}, "aside": {"ok"},
		"nobody":           {"forbidden", "no token of oauth2 from " + mutual + "|certificate required"},
		"unknown":          {"forbidden", no + "|certificate signed by unknown authority"},
		"by name":          {"forbidden", no + "|other.test"},
		"later":            {"forbidden", no + "|certificate signed by unknown authority"},
		"without password": {"forbidden", no + "|Proxy Authentication Required"},
		"broken":           {"forbidden", "no token of oauth2 from " + plain + ": status 503"},
	} {
		r.ends(t, name, want[0], want[1])
	}
	if !open.has("POST http://"+plain+"/token") || !open.has("CONNECT "+secure) || !closed.has("CONNECT "+mutual) || site != "site-hunter2" {
		t.Errorf("the proxies were asked for %q and %q, with the header %q", open.asked, closed.asked, site)
	}
	for _, p := range []*aProxy{open, closed, broken} {
		if p.has("GET http://" + app + "/stats.json") {
			t.Error("a target was asked by way of the proxy to the tokens")
		}
	}
	swap(t, later, string(ours.pem)) // nobody reloads
	r.ends(t, "later", "ok", "")
	r.silent(t, "hunter2")
}
