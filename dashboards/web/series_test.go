package web

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Two questions have one address: ours names a service and a metric, Prometheus' has match[].
func TestEitherSeries(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.PromSeries = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "prometheus") })
	})
	for _, tc := range []struct {
		method, path string
		prometheus   bool
	}{
		{"GET", "/api/v1/series?match[]=up", true}, {"GET", "/api/v1/series?match%5B%5D=up", true}, {"POST", "/api/v1/series", true},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests", false}, {"GET", "/api/v1/series?service=checkout", false}, {"GET", "/api/v1/series?metric=requests", false}, {"GET", "/api/v1/series", true}, {"GET", "/api/v1/series?start=1", true},
	} {
		_, body := r.do(t, tc.method, tc.path)
		if got := body == "prometheus"; got != tc.prometheus || !got && !strings.HasPrefix(body, "{") {
			t.Errorf("%s %s: %.100s", tc.method, tc.path, body)
		}
	}
}
