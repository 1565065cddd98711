package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// pki is a certificate authority with two certificates, as files in PEM.
type pki struct{ ca, server, client, clientKey string }

func newPKI(t *testing.T) (p pki) {
	t.Helper()
	dir := t.TempDir()
	number := int64(0)
	var caKey *ecdsa.PrivateKey
	var ca *x509.Certificate
	make := func(name string) (cert, key []byte) {
		number++
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(number), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		parent, signer := ca, caKey
		if ca == nil {
			tmpl.IsCA, tmpl.KeyUsage, parent, signer = true, x509.KeyUsageCertSign, tmpl, k
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &k.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		if ca == nil {
			caKey = k
			if ca, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	}
	file := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		var all []byte
		for _, b := range parts {
			all = append(all, b...)
		}
		if err := os.WriteFile(path, all, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority, _ := make("authority")
	server, serverKey := make("broker")
	client, clientKey := make("rollcall")
	p.ca, p.server = file("ca.pem", authority), file("server.pem", serverKey, server)
	p.client, p.clientKey = file("client.pem", client), file("client.key", clientKey)
	return p
}

// addScram gives a user a password for both mechanisms.
func addScram(t *testing.T, broker, user, password string) {
	t.Helper()
	c := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 10 * time.Second, Transport: &kafka.Transport{}}
	defer c.Transport.(*kafka.Transport).CloseIdleConnections()
	for _, m := range []struct {
		mechanism kafka.ScramMechanism
		hash      func() hash.Hash
		size      int
	}{{kafka.ScramMechanismSha256, sha256.New, 32}, {kafka.ScramMechanismSha512, sha512.New, 64}} {
		salt := []byte("salt of the test")
		salted, err := pbkdf2.Key(m.hash, password, salt, 4096, m.size)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.AlterUserScramCredentials(context.Background(), &kafka.AlterUserScramCredentialsRequest{Upsertions: []kafka.UserScramCredentialsUpsertion{
			{Name: user, Mechanism: m.mechanism, Iterations: 4096, Salt: salt, SaltedPassword: salted}}}) // Kafka takes a user once a request
		if err == nil && len(r.Results) > 0 {
			err = r.Results[0].Error
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An export reads from, and writes into, a real Kafka that wants TLS, a certificate of ours, or a login by any of the mechanisms; with the wrong password it says so, and
// delivers nothing.
func TestExportBehindLocks(t *testing.T) {
	p := newPKI(t)
	tlsAt, mtlsAt, saslAt := freeAddr(t), freeAddr(t), freeAddr(t)
	opts := []testenv.KafkaOption{testenv.Listener("LOCKED", "SSL", tlsAt), testenv.Listener("MUTUAL", "SSL", mtlsAt), testenv.Listener("LOGIN", "SASL_SSL", saslAt)}
	for key, value := range map[string]string{"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "ssl.keystore.type": "PEM", "ssl.keystore.location": p.server, "ssl.truststore.type": "PEM",
		"ssl.truststore.location": p.ca, "listener.name.mutual.ssl.client.auth": "required",
		"listener.name.login.plain.sasl.jaas.config":         `org.apache.kafka.common.security.plain.PlainLoginModule required user_rollcall="right";`,
		"listener.name.login.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.login.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;"} {
		opts = append(opts, testenv.BrokerSetting(key, value))
	}
	k, ok := testenv.Kafka(t, opts...)
	if !ok {
		return
	}
	addScram(t, k.Brokers[0], "rollcall", "right")
	const n = 40
	deliver(t, k.Brokers[0], 1, t.TempDir(), n)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trust := fmt.Sprintf(`tls_config: {ca_file: %q}`, p.ca)
	login := func(mechanism, password string) string {
		return trust + fmt.Sprintf(", sasl: {mechanism: %s, username: rollcall, %s}", mechanism, password)
	}
	for i, tc := range []struct {
		name, addr, how string
		wrong           string // what it says is wrong; "": nothing is
	}{
		{"tls", tlsAt, trust, ""},
		{"mutual", mtlsAt, fmt.Sprintf(`tls_config: {ca_file: %q, cert_file: %q, key_file: %q}`, p.ca, p.client, p.clientKey), ""},
		{"plain", saslAt, login("PLAIN", "password: right"), ""},
		{"scram-256", saslAt, login("SCRAM-SHA-256", "password: right"), ""},
		{"scram-512", saslAt, login("SCRAM-SHA-512", fmt.Sprintf("password_file: %q", secret)), ""},
		{"no certificate", mtlsAt, trust, "certificate"},
		{"a wrong password", saslAt, login("SCRAM-SHA-512", "password: wrong-one"), "uthentication"},
		{"untrusted", tlsAt, "tls_config: {}", "certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			web, topic, file := freeAddr(t), "samples."+strconv.Itoa(i), filepath.Join(dir, strconv.Itoa(i)+".yml")
			text := fmt.Sprintf("kafka: {brokers: [%q], %s}\nzookeeper: {monitor: false}\nexports: [{name: x%d, to: flat, from: all, metrics: [requests], topic: %s}]\n", tc.addr, tc.how, i, topic)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, stderr, end := start(t, "export", "--config.file="+file, "--web.listen-address="+web)
			if tc.wrong != "" {
				testenv.Eventually(t, "the trouble to be told", func() bool {
					s := exported(t, web)
					return len(s) == 1 && strings.Contains(s[0].Trouble, tc.wrong)
				})
				if code := end(); code != 0 || k.Topics()[topic] != 0 || strings.Contains(stderr.String(), "wrong-one") {
					t.Errorf("code %d, %d partitions: %s", code, k.Topics()[topic], stderr)
				}
				return
			}
			testenv.Eventually(t, "all to be exported", func() bool {
				s := exported(t, web)
				return len(s) == 1 && s[0].Lag == 0 && s[0].Records >= n
			})
			if code := end(); code != 0 {
				t.Errorf("code %d", code)
			}
			if got := count(t, k.Brokers[0], topic); got != n {
				t.Errorf("%d samples of %d snapshots", got, n)
			}
		})
	}
}
