package web

import (
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
)

// What is asked for and not known is answered with itself, with what may have been meant, or with where one finds it.
func TestUnknown(t *testing.T) {
	r := newRig(t, func(c *Config) { c.History = rollup.NewHistory(0) })
	_, body := r.get(t, "/api/v1/service?service=checkout&env=prod")
	host := at(t, body, "instances.0.host").(string)
	_, body = r.get(t, "/api/v1/findings?service=checkout")
	id := at(t, body, "findings.0.id").(string)
	const of = "service=checkout&env=prod"
	for _, tc := range []struct {
		path   string
		status int
		says   string
	}{
		{"GET /api/v1/services", 200, `{"service":"checkout","env":"prod"}`},
		{"GET /api/v1/services?service=checkout", 200, `"services":[{"service":"checkout","env":"prod"}]`},
		{"GET /api/v1/services?service=chekout", 404, "no service is called chekout on this page; there is checkout"},
		{"GET /api/v1/services?service=checkout&env=stage", 404, "checkout is not in stage; it is in prod"},
		{"GET /api/v1/service?service=Check&env=prod", 404, "no service is called Check on this page; there is checkout"},
		{"GET /api/v1/service?service=zz&env=prod", 404, "no service is called zz on this page; `rollcall top` and /api/v1/services list them"},
		{"GET /api/v1/series?service=chekout&env=prod&metric=requests", 404, "there is checkout"},
		{"GET /api/v1/series?metric=request&" + of, 404, "checkout/prod has no metric request; there is requests"},
		{"GET /api/v1/series?metric=zzzz&" + of, 404, "checkout/prod has no metric zzzz; /api/v1/service lists its metrics"},
		{"GET /api/v1/series?metric=requests&by=zones&" + of, 404, "nothing tells requests of checkout/prod apart by zones; there is zone"},
		{"GET /api/v1/series?metric=requests&by=track&" + of, 200, `"series":[`},
		{"GET /api/v1/series?metric=requests&where=colour=red&" + of, 404, "apart by colour; there is cloud."},
		{"GET /api/v1/series?metric=requests&where=version=1.43.0&" + of, 404, "nothing of checkout/prod has version=1.43.0; there is 1.4"},
		{"GET /api/v1/series?metric=requests&where=version=x&" + of, 404, "nothing of checkout/prod has version=x; there is 1.41.3, 1.42.0"},
		{"GET /api/v1/series?metric=requests&where=version=1.42.0&where=version=x&" + of, 200, `"name":""`},
		{"GET /api/v1/convergence?by=zonee&" + of, 404, "apart by zonee; there is zone"},
		{"GET /api/v1/history?service=chekout&env=prod&signal=rate", 404, "there is checkout"},
		{"GET /api/v1/exceptions?service=chekout", 404, "there is checkout"},
		{"GET /api/v1/findings?service=chekout", 404, "there is checkout"},
		{"GET /api/v1/events?service=chekout", 404, "there is checkout"},
		{"GET /api/v1/changes?service=chekout", 404, "there is checkout"},
		{"GET /api/v1/host?host=" + host[:len(host)-1], 404, "nobody is known on host " + host[:len(host)-1] + "; there is " + host},
		{"DELETE /api/v1/findings/" + id[:len(id)-1] + "/ack?by=ann", 404, "; there is " + id},
		{"DELETE /api/v1/silences/s?by=ann", 404, `no silence \"s\" stands`},
	} {
		method, path, _ := strings.Cut(tc.path, " ")
		res, body := r.do(t, method, path)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("%s: %d %.500s\nwant %d with %s", tc.path, res.StatusCode, body, tc.status, tc.says)
		}
	}
}
