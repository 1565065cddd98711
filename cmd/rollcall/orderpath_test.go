package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOrdersThatDoNothing: what would do nothing is refused, with what may have been meant.
func TestOrdersThatDoNothing(t *testing.T) {
	var placed int
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/roster/paths", func(w http.ResponseWriter, r *http.Request) {
		all := []string{"/discovery/cart/prod", "/discovery/checkout/prod"}
		var out []string
		for _, p := range all {
			if at := r.FormValue("path"); at == "" || below(p, at) {
				out = append(out, fmt.Sprintf(`{"path":%q}`, p))
			}
		}
		fmt.Fprintf(w, `{"paths":[%s],"total":%d}`, strings.Join(out, ","), len(out))
	})
	mux.HandleFunc("GET /api/v1/roster/guards", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"guards":[{"scope":"/discovery/cart/prod","held":7}]}`)
	})
	mux.HandleFunc("POST /api/v1/orders", func(w http.ResponseWriter, r *http.Request) {
		placed++
		io.Copy(w, r.Body)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"freeze /nothere --why=x", 1, "no path that is known is /nothere or below it, so the order would do nothing; `rollcall orders --paths --collector=URL` lists them, --force"},
		{"freeze /discovery/chekout/prod --why=x", 1, "; the nearest is /discovery/checkout/prod; "},
		{"freeze /discovery/checkout/staging/eu --why=x", 1, "; the nearest is /discovery/checkout/prod; "},
		{"accept /nothere", 1, "no path that is known is /nothere"},
		{"accept /discovery/checkout", 1, "no guard holds anybody at /discovery/checkout or below, so there is nobody to accept the loss of; guards hold some of /discovery/cart/prod (7); --force"},
		{"freeze /nothere --why=x --force", 0, "frozen: /nothere"},
		{"freeze / --why=x", 0, "frozen: /"},
		{"freeze /discovery/checkout --why=x", 0, "frozen: /discovery/checkout"},
		{"accept /discovery", 0, "accepted: /discovery"},
		{"accept /discovery/cart/prod", 0, "accepted: "},
		{"accept /", 0, "accepted: /"},
		{"accept /discovery/checkout --force", 0, "accepted: "},
	} {
		var out, errs bytes.Buffer
		before := placed
		code := run(context.Background(), append(strings.Fields(tc.args), "--collector="+srv.URL), strings.NewReader(""), &out, &errs)
		text := out.String() + errs.String()
		if code != tc.code || !strings.Contains(text, strings.ReplaceAll(tc.want, "URL", srv.URL)) || (placed > before) != (code == 0) {
			t.Errorf("%s: %d %q, %d placed; want %d and %q", tc.args, code, text, placed-before, tc.code, tc.want)
		}
	}
}
