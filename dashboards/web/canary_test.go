package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

func TestCanary(t *testing.T) {
	measures := func(service, _ string) ([]canary.Measure, time.Duration) {
		if service == "search" {
			return canary.Golden()[1:], 2 * time.Minute
		}
		return nil, 0
	}
	r := newRig(t, func(c *Config) { c.Measures = measures })
	for _, tc := range []struct {
		path   string
		status int
		says   string
	}{
		{"/api/v1/canary?service=checkout&env=prod", 200, `"verdict":"fail"`},
		{"/api/v1/canary?service=checkout&warmup=0s", 200, `"by":"track"`},
		{"/api/v1/canary?service=search", 200, `"verdict":"hold"`},
		{"/api/v1/canary?service=search", 200, `"warmup_ms":120000`},
		{"/api/v1/canary?service=search&warmup=0s", 200, `"warmup_ms":0`},
		{"/api/v1/canary?service=checkout", 200, `"warmup_ms":300000`},
		{"/api/v1/canary?service=checkout&version=9.9", 200, "no canary runs 9.9 yet; they run 1.42.0"},
		{"/api/v1/check?service=checkout", 200, `{"what":"rate","state":"good","text":"requests: known by name, as requests"}`},
		{"/api/v1/check?service=checkout&env=prod", 200, `{"what":"canary","state":"good","text":"canary 1.42.0 (`},
		{"/federate?match[]=up", 404, "no such page"},
		{"/api/v1/check?service=nobody", 404, "no service is called nobody on this page; `rollcall top` and /api/v1/services list them"},
		{"/api/v1/canary", 400, "service=NAME"},
		{"/api/v1/canary?service=nobody", 404, "no service is called nobody on this page; `rollcall top` and /api/v1/services list them"},
		{"/api/v1/canary?service=checkout&env=nowhere", 404, "checkout is not in nowhere; it is in prod"},
		{"/api/v1/canary?service=checkout&warmup=long", 400, "is no duration"},
		{"/api/v1/convergence?service=checkout", 200, `"by":"service.version"`},
		{"/api/v1/convergence?service=checkout&by=zone&target=us-east-1a", 200, `"t50_ms":null,"t95_ms":null,"t100_ms":null,"on":5,"of":15`},
		{"/api/v1/convergence?service=checkout&env=nowhere", 404, "checkout is not in nowhere; it is in prod"},
	} {
		res, body := r.get(t, tc.path)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("%s answers %d %.1500s", tc.path, res.StatusCode, body)
		}
	}
	_, body := r.get(t, "/api/v1/canary?service=checkout")
	var a canary.Answer
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Verdict != canary.Fail || a.Metrics[0].Name != "errors" || a.Canary.Name != "canary" || a.Converge.On == 0 {
		t.Errorf("%v: %+v", err, a)
	}
	_, body = r.get(t, "/api/v1/canary?service=search")
	if a = (canary.Answer{}); json.Unmarshal([]byte(body), &a) != nil || len(a.Metrics) == 0 || strings.Contains(body, `"name":"errors"`) {
		t.Errorf("measures of its own: %s", body)
	}
	r.board.SetFeed(dashboards.Feed{State: dashboards.FeedDead, Error: "Kafka does not answer"})
	if res, body := r.get(t, "/api/v1/canary?service=checkout"); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "Kafka does not answer") {
		t.Errorf("with a dead feed it answers %d %s", res.StatusCode, body)
	}
}
