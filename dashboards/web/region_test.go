package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// What is asked of a region is answered of those who are there, and a metric can be narrowed by whatever tells instances apart.
func TestRegions(t *testing.T) {
	r := newRig(t, nil)
	// Two of search are elsewhere.
	for _, in := range r.fleet.Instances {
		if in.Service.Name == "search" && in.Zone == "us-east-1c" && (strings.HasSuffix(in.Addr, ".1:8001") || strings.HasSuffix(in.Addr, ".2:8001")) {
			for i, l := range in.Tags {
				if l.Name == dashboards.TagZone {
					in.Tags[i].Value = "eu-west-1a"
				}
			}
		}
	}
	r.run(1) // somebody is there, and can be looked at
	r.board.NowIn("prod", "us-east-1")
	r.board.NowIn("prod", "eu-west-1")
	r.run(5)
	sum := func(path string) (n [2]int) {
		_, body := r.get(t, path)
		for i := range int(at(t, body, "services.#").(float64)) {
			n[0] += int(at(t, body, fmt.Sprintf("services.%d.expected", i)).(float64))
			n[1] += int(at(t, body, fmt.Sprintf("services.%d.answering", i)).(float64))
		}
		if n != [2]int{int(at(t, body, "strip.expected").(float64)), int(at(t, body, "strip.answering").(float64))} {
			t.Errorf("%s: the strip is not the sum of its services, %v", path, n)
		}
		return n
	}
	all, east, west := sum("/api/v1/now?env=prod"), sum("/api/v1/now?env=prod&region=us-east-1"), sum("/api/v1/now?env=prod&region=eu-west-1")
	if all[0] != east[0]+west[0] || all[1] != east[1]+west[1] || west != [2]int{2, 2} {
		t.Errorf("%v in all, %v in us-east-1 and %v in eu-west-1", all, east, west)
	}
	requests := "/api/v1/series?service=search&env=prod&metric=requests"
	for _, tc := range []struct {
		path, place string
		want        any
	}{
		{"/api/v1/now?env=prod", "regions.0", "eu-west-1"},
		{"/api/v1/now?env=prod", "regions.#", 2.0},
		{"/api/v1/now?env=prod&region=eu-west-1", "services.#", 1.0},
		{"/api/v1/now?env=prod&region=eu-west-1", "findings.#", 0.0},
		{"/api/v1/now?env=prod&region=eu-west-1", "strip.exceptions.0.text", "1 open finding in another region, which is not shown here"},
		{"/api/v1/now?env=prod&region=us-east-1", "findings.#", 2.0},
		{"/api/v1/service?service=search&env=prod&region=eu-west-1", "instances.#", 2.0},
		{"/api/v1/service?service=search&env=prod&region=eu-west-1", "row.expected", 2.0},
		{"/api/v1/roster?env=prod&region=eu-west-1", "total", 2.0},
		{requests + "&region=eu-west-1", "of", "2 of 15 instances"},
		{requests + "&by=region", "series.1.name", "eu-west-1"},
		{requests + "&by=zone&region=eu-west-1", "series.#", 1.0},
		{requests + "&region=us-east-1&where=region=eu-west-1", "series.#", 0.0},
		{requests + "&where=zone=us-east-1a", "of", "5 of 15 instances"},
		{requests + "&where=zone=us-east-1a&where=zone=us-east-1c", "of", "8 of 15 instances"},
		{requests + "&where=zone=us-east-1a&where=track=canary", "series.#", 0.0},
		{requests + "&where=instance=10.1.0.1:8001", "of", "1 of 15 instances"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests_by_client&by=client.as.number&where=version=1.42.0", "of", "2 of 15 instances"},
		{"/api/v1/series?service=checkout&env=prod&metric=requests_by_client&where=client.as.number=nobody", "series.#", 0.0},
		{"/api/v1/series?service=checkout&env=prod&metric=latency_ms&field=p99&where=zone=us-east-1a", "of", "5 of 15 instances"},
	} {
		if res, body := r.get(t, tc.path); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", tc.path, res.StatusCode, body)
		} else if got := at(t, body, tc.place); got != tc.want {
			t.Errorf("%s: %s is %v, want %v", tc.path, tc.place, got, tc.want)
		}
	}
	for path, text := range map[string]string{
		"/api/v1/service?service=checkout&env=prod&region=eu-west-1": "leave region out",
		requests + "&where=zone":                                     "NAME=VALUE",
		requests + strings.Repeat("&where=a=b", maxWhere+1):          "at most 20",
		"/api/v1/now?region=" + strings.Repeat("x", maxParam+1):      "region is longer",
	} {
		if res, body := r.get(t, path); res.StatusCode < 400 || !strings.Contains(body, text) {
			t.Errorf("%.80s: %d %s, want %q", path, res.StatusCode, body, text)
		}
	}
}
