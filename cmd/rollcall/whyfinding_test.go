package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

func TestFindingStory(t *testing.T) {
	over := int64(1764000060000)
	f := dashboards.Finding{ID: "f00c0ffee00", Level: "bad", Service: "checkout", Env: "prod", Metric: "errors", Since: 1764000000000, Title: "checkout is failing: errors 0.2 % → 3.1 %",
		Only: "Only 1.42.0 in us-east-1c: 65 % of its requests fail.", Cleared: []string{"1.42.0 elsewhere"}, Before: []dashboards.Change{{T: 1763999990000, Service: "users", Text: "1.9 first seen"}}}
	text := strings.Join(findingStory(&f, " --url=http://a:1"), "\n")
	for _, want := range []string{"checkout is failing", "goes on", "It is about errors.", "Where: Only 1.42.0 in us-east-1c", "cleared: 1.42.0 elsewhere", "users: 1.9 first seen", "findings ack f00c0ffee00 --why='…' --url=http://a:1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	f.Ended = &over
	if text := strings.Join(findingStory(&f, ""), "\n"); !strings.Contains(text, "was over at 2025-11-24 16:01:00.000 UTC") || strings.Contains(text, "findings ack") {
		t.Errorf("when it is over:\n%s", text)
	}
	for id, is := range map[string]bool{"f00c0ffee00": true, "c9e69182b41": true, "10.0.0.5:8001": false, "feed": false, "checkout/prod/h:1": false} {
		if findingID.MatchString(id) != is {
			t.Errorf("%s: a finding's id: %v", id, !is)
		}
	}
}

// The address of a finding is for others: whatever one signs in with is no part of it.
func TestFindingLink(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(findingsAnswer{Findings: []dashboards.Finding{{ID: "f00c0ffee00", Service: "checkout", Env: "prod"}}})
	}))
	defer page.Close()
	var out bytes.Buffer
	c := whyCmd{Instance: "f00c0ffee00", URL: strings.Replace(page.URL, "//", "//ann:secret@", 1) + "/"}
	if told, err := c.finding(&env{ctx: t.Context(), stdout: &out, stderr: &out}); !told || err != nil {
		t.Fatal(told, err)
	}
	if text := out.String(); !strings.Contains(text, ": "+page.URL+"/finding/f00c0ffee00?env=prod\n") || strings.Contains(text, "secret") {
		t.Errorf("it says\n%s", text)
	}
}
