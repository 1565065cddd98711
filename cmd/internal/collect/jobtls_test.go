package collect

import (
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestJobTLS(t *testing.T) {
	dir, hour := t.TempDir(), time.Hour
	file := func(name string, text []byte) string {
		f := filepath.Join(dir, name)
		write(t, f, text)
		return f
	}
	ours, others, nobody := newAuthority(t, "ours"), newAuthority(t, "others"), &authority{t: t}
	ca := file("ca.pem", ours.pem)
	serve := func(a *authority, name string, from, until time.Duration, change func(*tls.Config)) string {
		_, _, pair := a.leaf(name, from, until)
		c := &tls.Config{Certificates: []tls.Certificate{pair}}
		if change != nil {
			change(c)
		}
		addr, _ := anApp(t, c, nil)
		return addr
	}
	wants := func(least, most uint16) func(*tls.Config) {
		return func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs, c.MinVersion, c.MaxVersion = tls.RequireAndVerifyClientCert, ours.pool(), least, most
		}
	}
	good := serve(ours, "127.0.0.1", -hour, hour, nil)
	plain, _ := anApp(t, nil, nil)
	cert, key, _ := others.leaf("client", -hour, hour)
	stranger := ", cert_file: '" + file("s.pem", cert) + "', key_file: '" + file("s.key", key) + "'"

	// Who is asked once.
	var jobs strings.Builder
	var want []string
	var outcomes [][2]string
	add := func(name, at, tlsConfig, outcome, reason string) {
		for _, how := range []string{"", ", enable_http2: true"} {
			jobs.WriteString(aJob(name+how, at, "scheme: https, tls_config: {"+tlsConfig+"}"+how))
			want, outcomes = append(want, name+how), append(outcomes, [2]string{outcome, reason})
		}
	}
	trust := "ca_file: '" + ca + "'"
	add("good", good, trust, "ok", "")
	add("unknown", good, "", "tls", "unknown authority|name the CA that signed it in tls_config.ca_file")
	add("insecure", serve(nobody, "elsewhere.example", -hour, -time.Minute, nil), "insecure_skip_verify: true", "ok", "")
	add("self-signed", serve(nobody, "127.0.0.1", -hour, hour, nil), trust, "tls", "unknown authority|tls_config.ca_file")
	add("expired", serve(ours, "127.0.0.1", -hour, -time.Minute, nil), trust, "tls", "expired|renew it on the server")
	add("future", serve(ours, "127.0.0.1", time.Minute, hour, nil), trust, "tls", "not yet valid|look at both clocks")
	named := serve(ours, "a-name-of-some-length.of-a-certificate.example", -hour, hour, nil)
	add("wrong name", named, trust, "tls", "127.0.0.1|set tls_config.server_name to a name of its certificate")
	add("server name", named, trust+", server_name: a-name-of-some-length.of-a-certificate.example", "ok", "")
	add("TLS 1.1", serve(ours, "127.0.0.1", -hour, hour, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), trust, "tls", "protocol version|TLS 1.2 is the least")
	add("plain port", plain, trust, "tls", "nobody speaks TLS there: set scheme to http")
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		at := serve(ours, "127.0.0.1", -hour, hour, wants(version, version))
		add("no client certificate "+name, at, trust, "tls", "it asks for a client certificate: set tls_config.cert_file and key_file")
		add("a stranger's certificate "+name, at, trust+stranger, "tls", "it does not take our client certificate")
	}

	// Who is asked again after something changed: a client's certificate, a CA.
	var client, proto atomic.Value
	_, _, pair := ours.leaf("127.0.0.1", -hour, hour)
	mutual := &tls.Config{Certificates: []tls.Certificate{pair}}
	wants(0, 0)(mutual)
	at, _ := anApp(t, mutual, func(w http.ResponseWriter, r *http.Request) {
		client.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		io.WriteString(w, oneCounter)
	})
	cert, key, _ = ours.leaf("one", -hour, hour)
	certFile, keyFile := file("c.pem", cert), file("c.key", key)
	jobs.WriteString(aJob("mutual", at, "scheme: https, tls_config: {"+trust+", cert_file: '"+certFile+"', key_file: '"+keyFile+"'}"))
	var now atomic.Pointer[tls.Certificate]
	now.Store(&pair)
	moves, server := anApp(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*now.Load()}, NextProtos: []string{"h2", "http/1.1"}}, nil
	}}, func(w http.ResponseWriter, r *http.Request) {
		proto.CompareAndSwap(nil, r.Proto)
		proto.CompareAndSwap("HTTP/1.1", r.Proto) // of the other job
		io.WriteString(w, oneCounter)
	})
	caFile := file("moves.pem", ours.pem)
	jobs.WriteString(aJob("moves", moves, "scheme: https, enable_http2: true, tls_config: {ca_file: '"+caFile+"'}"))
	ownCA := file("own.pem", ours.pem)
	jobs.WriteString(aJob("moves, too", moves, "scheme: https, tls_config: {ca_file: '"+ownCA+"'}"))

	r := newJobRig(t, jobs.String())
	for i, name := range want {
		r.ends(t, name, outcomes[i][0], outcomes[i][1])
	}
	for _, name := range []string{"mutual", "moves", "moves, too"} {
		r.ends(t, name, "ok", "")
	}
	if client.Load() != "one" || proto.Load() != "HTTP/2.0" {
		t.Errorf("the client's certificate is %v, its protocol %v", client.Load(), proto.Load())
	}

	// The connection stands; a new certificate makes a new one. A key that is not there yet does no harm to the one that is.
	cert, newKey, _ := ours.leaf("two", -hour, hour)
	write(t, certFile, cert)
	eventually(t, "the log says that certificate and key do not fit", func() bool {
		return strings.Contains(r.log.String(), "private key does not match public key")
	})
	r.ends(t, "mutual", "ok", "")
	write(t, keyFile, newKey)
	eventually(t, "the new certificate is shown", func() bool { return client.Load() == "two" })
	r.ends(t, "mutual", "ok", "")

	// The server has another CA's certificate.
	_, _, pair2 := others.leaf("127.0.0.1", -hour, hour)
	now.Store(&pair2)
	server.CloseClientConnections()
	r.ends(t, "moves", "tls", "unknown authority|tls_config.ca_file")
	r.ends(t, "moves, too", "tls", "unknown authority|tls_config.ca_file")
	write(t, caFile, others.pem)
	write(t, ownCA, slices.Concat(ours.pem, others.pem))
	r.ends(t, "moves", "ok", "")
	r.ends(t, "moves, too", "ok", "")
	write(t, caFile, []byte("nonsense"))
	eventually(t, "the log says that the file holds no certificate", func() bool { return strings.Contains(r.log.String(), "it holds no certificate") })
	r.ends(t, "moves", "ok", "")
	r.silent(t, "PRIVATE KEY", strings.Split(string(key), "\n")[1], strings.Split(string(newKey), "\n")[1])
}
