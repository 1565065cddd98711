package web

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestLook(t *testing.T) {
	r := newRig(t, nil)
	ms := func(ago time.Duration) int64 { return r.now.Add(-ago).UnixMilli() }
	span := fmt.Sprintf("&from=%d&to=%d", ms(15*time.Second), ms(0))
	for _, tc := range []struct {
		path   string
		status int
		want   string
	}{
		{"/api/v1/canaries?env=prod", 200, `"service":"checkout"`},
		{"/api/v1/canaries?env=prod", 200, `"verdict":"fail"`},
		{"/api/v1/canaries?env=prod", 200, `"turns":[{"t":`},
		{"/api/v1/canaries?env=nowhere", 200, `"canaries":[]`},
		{"/api/v1/exceptions?service=checkout&env=prod", 200, `"exceptions":[`},
		{"/api/v1/exceptions?service=nobody", 404, "no service is called nobody on this page"},
		{"/api/v1/host", 400, "host=NAME"},
		{"/api/v1/host?host=nowhere", 404, "nobody is known on host nowhere"},
		{"/api/v1/different?service=checkout" + span, 200, `"only":"Only 1.42.0: `},
		{"/api/v1/different?service=checkout&signal=errors" + span, 200, `"worse":true`},
		{"/api/v1/different?service=checkout&signal=colour" + span, 400, "errors, latency or rate"},
		{"/api/v1/different?service=checkout", 400, "from and to"},
		{"/api/v1/different?service=nobody" + span, 404, "no service is called nobody on this page"},
	} {
		res, body := r.get(t, tc.path)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %.900s\nwant %d with %s", tc.path, res.StatusCode, body, tc.status, tc.want)
		}
	}
	_, body := r.get(t, "/api/v1/service?service=checkout&env=prod")
	host, _ := at(t, body, "instances.0.host").(string)
	if host == "" {
		host, _, _ = strings.Cut(at(t, body, "instances.0.instance").(string), ":")
	}
	if _, body = r.get(t, "/api/v1/host?host="+host); !strings.Contains(body, `"service":"checkout"`) {
		t.Errorf("on %s there is %.300s", host, body)
	}
	if _, body = r.get(t, "/api/v1/service?service=checkout&env=prod"); at(t, body, "bounds.step") != 10_000. || at(t, body, "bounds.t0") != at(t, body, "row.spark.t0") {
		t.Errorf("the bounds of its latency are not those of its spark: %.900s", body)
	}
	_, body = r.get(t, "/api/v1/host?host="+host)
	known := 0
	for i := range 90 {
		if x, ok := at(t, body, fmt.Sprintf("instances.0.lines.rate.%d", i)).(float64); ok && x > 0 {
			known++
		}
	}
	if known == 0 || at(t, body, "instances.0.lines.step") != 10_000. {
		t.Errorf("%d points of a line are known on %s: %.900s", known, host, body)
	}
}

func TestWorsened(t *testing.T) {
	for _, tc := range []struct {
		metric  string
		was, is float64
		want    bool
	}{
		{"errors", .002, .08, true}, {"errors", .0020, .0023, false}, {"errors", .08, .085, false}, {"latency", 44, 44.4, false}, {"latency", 44, 82, true}, {"latency", 82, 44, false},
		{"rate", 1150, 1149, false}, {"rate", 1150, 900, true}, {"rate", 1150, 1500, false}, {"errors", math.NaN(), .1, false},
	} {
		if got := worsened(tc.metric, tc.was, tc.is); got != tc.want {
			t.Errorf("%s %v → %v: %v", tc.metric, tc.was, tc.is, got)
		}
	}
}
