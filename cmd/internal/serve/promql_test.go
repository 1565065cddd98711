package serve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// The daemon answers PromQL from its own board, and its own questions still at the one address that both have.
func TestPromQL(t *testing.T) {
	d := daemon(t, "kafka: {brokers: ['127.0.0.1:1']}\ndashboards: {promql: {max_series: 2}}\n")
	now := time.Now()
	d.Board().Add(&dashboards.Record{ID: dashboards.RecordID{Collector: 1, Start: 1, Sequence: 1}, Seen: now, Service: "checkout", Env: "prod", Instance: "h:1", Time: now, Interval: time.Second,
		Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: "41"}}})
	d.Board().Tick(now)
	for _, tc := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/api/v1/query?query=requests%7Bjob=%22checkout%22%7D", 200, `"41"]`},
		{"POST", "/api/v1/query?query=requests", 200, `"41"]`},
		{"GET", "/api/v1/query?query=%7Benv=%22prod%22%7D", 422, "more than 2 series"},
		{"GET", "/api/v1/label/job/values", 200, `["checkout"]`},
		{"GET", "/api/v1/series?match[]=requests", 200, `"__name__":"requests"`},
		{"GET", "/api/v1/series?service=checkout&env=prod&metric=requests", 200, `"metric":"requests"`},
		{"GET", "/api/v1/status/buildinfo", 200, `"status":"success"`},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(tc.method, tc.path, http.NoBody)
		if tc.method == http.MethodPost { // as it comes by way of a Grafana that passes on what the browser said: a question changes nothing
			r.Header.Set("Origin", "http://grafana:3000")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		d.Handler().ServeHTTP(w, r)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.path, w.Code, w.Body, tc.status, tc.want)
		}
	}
}
