package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// TestStatusOfFindings: everybody answers, and all is well only when nobody is called for.
func TestStatusOfFindings(t *testing.T) {
	ended := int64(1)
	bad := dashboards.Finding{ID: "f1", Level: dashboards.LevelBad, Title: "checkout is failing"}
	with := func(change func(*dashboards.Finding)) dashboards.Finding {
		f := bad
		change(&f)
		return f
	}
	for name, tc := range map[string]struct {
		findings []dashboards.Finding // nil: the page does not say
		code     int
		fleet    string
	}{
		"nothing":      {[]dashboards.Finding{}, 0, "ok   fleet      4 of 4 answering\n"},
		"open":         {[]dashboards.Finding{bad}, 1, "BAD  fleet      4 of 4 answering; checkout is failing: `rollcall findings --open --url=URL`\n"},
		"two":          {[]dashboards.Finding{bad, bad}, 1, "BAD  fleet      4 of 4 answering; checkout is failing and 1 more finding: `"},
		"over":         {[]dashboards.Finding{with(func(f *dashboards.Finding) { f.Ended = &ended })}, 0, "ok   fleet "},
		"looked after": {[]dashboards.Finding{with(func(f *dashboards.Finding) { f.Ack = &dashboards.Ack{By: "anna"} })}, 0, "ok   fleet      4 of 4 answering; 1 finding, looked after by anna\n"},
		"silenced":     {[]dashboards.Finding{with(func(f *dashboards.Finding) { f.Silenced = &dashboards.Silence{} })}, 0, "ok   fleet "},
		"a pass":       {[]dashboards.Finding{with(func(f *dashboards.Finding) { f.Level = dashboards.LevelInfo })}, 0, "ok   fleet "},
		"silent page":  {nil, 1, "BAD  fleet      4 of 4 answering; findings unknown: "},
	} {
		mux := http.NewServeMux()
		say := func(path string, v any) {
			mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(v) })
		}
		say("/api/v1/collector", collect.Status{AsOf: time.Now().UnixMilli(), ConfigOK: true, Outcomes: map[string]int{"ok": 4},
			Sources: []discovery.View{{Source: "apps", Connected: true, LastHeard: time.Now()}}})
		live := dashboards.Feed{State: dashboards.FeedLive}
		say("/api/v1/status", pageStatus{Feed: live, Strip: dashboards.Strip{Expected: 4, Answering: 4, Feed: live}})
		if tc.findings != nil {
			say("/api/v1/findings", findingsAnswer{Findings: tc.findings})
		}
		srv := httptest.NewServer(mux)
		var out, errs bytes.Buffer
		code := run(context.Background(), []string{"status", "--url=" + srv.URL, "--collector=" + srv.URL}, strings.NewReader(""), &out, &errs)
		if want := strings.ReplaceAll(tc.fleet, "URL", srv.URL); code != tc.code || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d\n%s%s\nwant %d and %q", name, code, &out, &errs, tc.code, want)
		}
		srv.Close()
	}
}

// What the guard of the whole fleet holds counts, and the number that it watches is not counted beside those of the paths, which are among it.
func TestStatusOfGuards(t *testing.T) {
	fleet := discovery.Guard{Scope: discovery.FleetScope, Held: 4, Peak: 20}
	a, b, c := discovery.Guard{Scope: "/a", Held: 10, Peak: 10, Verdict: "v"}, discovery.Guard{Scope: "/b", Held: 5, Peak: 6}, discovery.Guard{Scope: "/c", Held: 1, Peak: 1}
	for _, tc := range []struct {
		all  []discovery.Guard
		want string
	}{
		{[]discovery.Guard{fleet, b, a}, "2 guards and that of the whole fleet hold 19 of 20, most below /a: v;"},
		{[]discovery.Guard{b, a, c}, "3 guards hold 16 of 17, most below /a: v;"},
	} {
		if got := guards(tc.all); len(got) != 1 || !strings.HasPrefix(got[0], tc.want) {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestStatusOfNobody: what is wrong with an address is said once.
func TestStatusOfNobody(t *testing.T) {
	out, _, code := rollcall(t, "status", "--collector=http://127.0.0.1:1", "--url=http://127.0.0.1:2")
	if code != 1 || strings.Count(out, "127.0.0.1:1/") != 1 || strings.Count(out, "127.0.0.1:2/") != 1 || strings.Count(out, "BAD ") != 5 {
		t.Errorf("%d\n%s", code, out)
	}
	if _, bad, code := rollcall(t, "why", ""); code != 2 || !strings.Contains(bad, "rollcall: give a finding's id") {
		t.Errorf("%d %s", code, bad)
	}
}
