package config

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func (a *Alerting) validate(k checker) {
	check := func(k checker, u URL) {
		if !u.leads() {
			k.fail("%q is not an http or https URL, such as http://127.0.0.1:9093", u)
		}
	}
	for _, l := range []struct {
		name string
		list []Receiver
	}{{"alertmanagers", a.Alertmanagers}, {"webhooks", a.Webhooks}} {
		for i := range l.list {
			r, k := &l.list[i], k.in(".%s[%d]", l.name, i)
			check(k.in(".url"), r.URL)
			if r.BasicAuth != nil && r.Authorization != nil {
				k.in(".authorization").fail("basic_auth and authorization exclude each other; keep one")
			}
			if b := r.BasicAuth; b != nil {
				secretOnce(k.in(".basic_auth"), "password", b.Password, b.PasswordFile)
			}
			if r.Authorization != nil {
				r.Authorization.validate(k.in(".authorization"))
			}
			r.TLS.validate(k.in(".tls_config"))
			if d := r.Timeout.Std(time.Second); d < 100*time.Millisecond || d > 5*time.Minute {
				k.in(".timeout").fail("%s is not within 100ms..5m", r.Timeout)
			}
		}
	}
	if a.ExternalURL != "" {
		check(k.in(".external_url"), a.ExternalURL)
	}
	if d := a.ResendDelay.Std(time.Minute); d < time.Second || d > time.Hour {
		k.in(".resend_delay").fail("%s is not within 1s..1h", a.ResendDelay)
	}
}

// Authorize says in a request who we are; files are read at each request, so that a new secret needs no restart. Either may be nil.
func Authorize(b *BasicAuth, a *Authorization) func(*http.Request) error {
	return func(r *http.Request) error {
		if b != nil {
			password, err := secretOf(b.Password, b.PasswordFile)
			if err != nil {
				return err
			}
			r.SetBasicAuth(b.Username, password)
		}
		if a != nil {
			token, err := secretOf(a.Credentials, a.CredentialsFile)
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", cmp.Or(a.Type, "Bearer")+" "+token)
		}
		return nil
	}
}

func secretOf(value Secret, file string) (string, error) {
	if file == "" {
		return value.Reveal(), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n\t "), nil
}
