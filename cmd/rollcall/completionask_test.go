package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// TestCompletionAsks: names come from the page that the line names, or the environment; what a shell would read otherwise is not offered.
func TestCompletionAsks(t *testing.T) {
	mux := http.NewServeMux()
	say := func(path, query string, v any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, query) {
				t.Errorf("%s is asked with %s, want %s", path, r.URL.RawQuery, query)
			}
			json.NewEncoder(w).Encode(v)
		})
	}
	say("/api/v1/services", "", map[string]any{"services": []dashboards.Hit{{Service: "cart", Env: "prod"}, {Service: "checkout", Env: "prod"}, {Service: "checkout", Env: "test"}, {Service: "$(x)", Env: "prod"}}})
	say("/api/v1/search", "q=", dashboards.Hits{Services: []dashboards.Hit{{Service: "checkout", Env: "test"}}, Metrics: []dashboards.Hit{{Service: "checkout", Metric: "errors"}, {Service: "cart", Metric: "errors"}}})
	say("/api/v1/service", "env=test&service=checkout", dashboards.Detail{Metrics: []dashboards.Metric{{Name: "latency_ms", Kind: "distribution"}, {Name: "requests", Kind: "counter"}}})
	say("/api/v1/roster", "limit=1000&q=", map[string]any{"total": 1, "entries": []dashboards.Hit{{Instance: "10.0.0.5:8001", Service: "checkout", Env: "prod"}}})
	say("/api/v1/findings", "state=open", findingsAnswer{Findings: []dashboards.Finding{{ID: "f00c0ffee00", Title: "checkout is failing"}}})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	t.Setenv(collectorEnv, "http://127.0.0.1:1")
	for _, tc := range []struct {
		env  bool // the environment names the page, not the line
		line string
		want string
	}{
		{false, "event deploy ch", "checkout/prod checkout/test"},
		{true, "event deploy ca", "cart/prod"},
		{true, "canary ", "cart/prod checkout/prod checkout/test"},
		{true, "silence checkout/t", "checkout/test"},
		{true, "findings --service=ca", "--service=cart/prod"},
		{true, "findings --service ca", "cart/prod"},
		{true, "findings ack f", "f00c0ffee00"},
		{true, "why f0", "f00c0ffee00"},
		{false, "why 10.0", "10.0.0.5:8001"},
		{true, "get checkout ", "latency_ms requests"},
		{true, "get checkout/test requests la", "latency_ms"},
		{true, "tap service=c", "service=cart service=checkout"},
		{true, "tap instance=10.0", "instance=10.0.0.5:8001"},
		{true, "tap zone=a", ""},
		{true, "tap service=checkout req", "requests"},
		{true, "tap e", "env= errors"},
		{true, "ls ch", ""}, // the collector is asked, and is not there
	} {
		words := strings.Split(tc.line, " ")
		if tc.env {
			t.Setenv(pageEnv, srv.URL)
		} else {
			t.Setenv(pageEnv, "")
			words = append([]string{words[0], "--url=" + srv.URL}, words[1:]...)
		}
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{completeWord}, words...), strings.NewReader(""), &out, &errs)
		var got []string
		for line := range strings.Lines(out.String()) {
			word, _, _ := strings.Cut(line, "\t")
			got = append(got, word)
		}
		if text := strings.Join(got, " "); code != 0 || text != tc.want {
			t.Errorf("%q: %q %s, want %q", words, text, &errs, tc.want)
		}
	}
	srv.Close()
	var out bytes.Buffer
	run(context.Background(), []string{completeWord, "canary", ""}, strings.NewReader(""), &out, &out)
	if out.Len() > 0 {
		t.Errorf("no page, and yet %q", &out)
	}
}
