package web

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// noted is a server of a Board that has one open finding and one that is over.
func noted(t *testing.T) (*Server, *dashboards.Board) {
	t.Helper()
	now := time.Now().UnixMilli()
	ended := now - 7_200_000
	list := []dashboards.Finding{
		{ID: "f1", Level: "bad", Service: "checkout", Env: "prod", Metric: "errors", Since: now - 5000, Title: "checkout is failing: errors 0.2 % → 3.1 %", Only: "Only 1.42.0: 65 % of its requests fail.", Cleared: []string{"1.41"}},
		{ID: "f0", Level: "warn", Service: "cart", Env: "prod", Metric: "latency", Since: ended - 60_000, Ended: &ended, Title: "cart is slow"},
	}
	b, err := dashboards.NewBoard(dashboards.Options{Judge: func(time.Time, *dashboards.Board) []dashboards.Finding { return list }})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	b.Tick(time.Now())
	s, err := New(Config{Board: b})
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

// local asks as a command on this machine does.
func local(s *Server, method, path, body string, header ...string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:5000", "127.0.0.1:7150"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func TestFindingsList(t *testing.T) {
	s, _ := noted(t)
	for _, tc := range []struct{ query, want string }{
		{"", "f1 f0"}, // the last one that is over is shown, however long ago
		{"?state=open", "f1"}, {"?state=ended", "f0"}, {"?state=all", "f1 f0"}, {"?state=all&service=cart", "f0"}, {"?state=all&env=staging", ""},
		{"?state=all&since=" + itoa(time.Now().Add(-time.Hour).UnixMilli()), "f1"}, {"?state=all&since=" + itoa(time.Now().Add(-3*time.Hour).UnixMilli()), "f1 f0"},
	} {
		code, body := local(s, "GET", "/api/v1/findings"+tc.query, "")
		var a struct{ Findings []dashboards.Finding }
		if err := json.Unmarshal([]byte(body), &a); code != 200 || err != nil {
			t.Fatal(code, body)
		}
		var ids []string
		for _, f := range a.Findings {
			ids = append(ids, f.ID)
		}
		if got := strings.Join(ids, " "); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.query, got, tc.want)
		}
	}
	if code, _ := local(s, "GET", "/api/v1/findings?state=x", ""); code != 400 {
		t.Error(code)
	}
	_, body := local(s, "GET", "/api/v1/findings?state=open", "")
	if !strings.Contains(body, "checkout is failing: errors 0.2 % → 3.1 % since ") || !strings.Contains(body, "UTC; only 1.42.0: 65 % of its requests fail; cleared: 1.41") {
		t.Errorf("the sentence is not in %s", body)
	}
}

func TestOneFinding(t *testing.T) {
	s, _ := noted(t)
	for _, tc := range []struct {
		id    string
		code  int
		words string
	}{
		{"f1", 200, `"title":"checkout is failing: `}, {"f0", 200, `"title":"cart is slow"`}, {"fx", 404, "those that are over are known for a day"}, {"%3Cscript%3E", 404, `no finding \"\u003cscript\u003e\" is known`},
	} {
		if code, body := local(s, "GET", "/api/v1/findings/"+tc.id, ""); code != tc.code || !strings.Contains(body, tc.words) {
			t.Errorf("%s: %d %s", tc.id, code, body)
		}
	}
}

func itoa(n int64) string { b, _ := json.Marshal(n); return string(b) }

func TestSaid(t *testing.T) {
	s, b := noted(t)
	const event = `{"kind":"deploy","service":"checkout","env":"prod","text":"","old":"1.41","new":"1.42","who":"ann"}`
	for _, tc := range []struct {
		name, method, path, body string
		header                   []string
		code                     int
		want                     string
	}{
		{"ack", "POST", "/api/v1/findings/f1/ack", `{"by":"ann","why":"on it"}`, nil, 200, `"ack":{"by":"ann","why":"on it"`},
		{"ack of none", "POST", "/api/v1/findings/f7/ack", `{"by":"ann"}`, nil, 404, "no such finding"},
		{"ack by nobody", "POST", "/api/v1/findings/f1/ack", `{}`, nil, 400, "by is missing"},
		{"ack from another site", "POST", "/api/v1/findings/f1/ack", `{"by":"ann"}`, []string{"Origin", "http://evil.example"}, 403, "another site"},
		{"ack of a form", "POST", "/api/v1/findings/f1/ack", `by=ann`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"taken back", "DELETE", "/api/v1/findings/f1/ack?by=ann", "", nil, 200, `"id":"f1"`},
		{"silence", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","for":"1h"}`, nil, 200, `"id":"s`},
		{"silence for ever", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","for":"10000h"}`, nil, 400, "at most 168h"},
		{"silence for longer than there are numbers", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","for":"9999999999h"}`, nil, 400, "at most 168h"},
		{"silence for three centuries", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","for":"2562047h"}`, nil, 400, "at most 168h"},
		{"silence until the last number", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","until":9223372036854775807}`, nil, 400, "at most 168h"},
		{"silence until the first number", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","until":-9223372036854775808}`, nil, 400, "over already"},
		{"silence until two times", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","until":1,"for":"1h"}`, nil, 400, "one of them"},
		{"silence of no time", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","why":"test","for":"soon"}`, nil, 400, "no time"},
		{"silence without reason", "POST", "/api/v1/silences", `{"service":"checkout","by":"ann","for":"1h"}`, nil, 400, "say why"},
		{"end of none", "DELETE", "/api/v1/silences/s1?by=ann", "", nil, 404, "no silence"},
		{"event", "POST", "/api/v1/events", event, nil, 200, `"id":"e`},
		{"events", "POST", "/api/v1/events", "[" + event + "," + event + "]", nil, 200, `[{"id":"e`},
		{"one bad event of two", "POST", "/api/v1/events", "[" + event + `,{"kind":"x"}]`, nil, 400, "event 2: kind"},
		{"no events", "POST", "/api/v1/events", "[]", nil, 400, "0 events"},
		{"an event of last week", "POST", "/api/v1/events", `{"kind":"flag","service":"a","text":"x","who":"ann","at":1764000000000}`, nil, 400, "within the last 24h"},
		{"an event to come", "POST", "/api/v1/events", `{"kind":"flag","service":"a","text":"x","who":"ann","at":99999999999999}`, nil, 400, "within the last 24h"},
		{"a long event", "POST", "/api/v1/events", `{"kind":"flag","service":"a","text":"` + strings.Repeat("x", 70_000) + `","who":"ann"}`, nil, 400, "no JSON"},
		{"the time line", "GET", "/api/v1/events", "", nil, 200, "deploy: 1.41 → 1.42, by ann"},
		{"the time line of another", "GET", "/api/v1/events?service=cart", "", nil, 200, `"events":[]`},
		{"changes", "GET", "/api/v1/changes?service=checkout", "", nil, 200, "deploy: 1.41 → 1.42, by ann"},
		{"changes of long ago", "GET", "/api/v1/changes?at=1000", "", nil, 200, `"changes":[]`},
		{"too many changes", "GET", "/api/v1/changes?limit=1000", "", nil, 400, "limit"},
		{"silences", "GET", "/api/v1/silences", "", nil, 200, `"why":"test"`},
		{"method", "PUT", "/api/v1/events", "{}", nil, 405, "GET or POST"},
	} {
		code, body := local(s, tc.method, tc.path, tc.body, tc.header...)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s; want %d and %q", tc.name, code, body, tc.code, tc.want)
		}
	}
	b.Tick(time.Now())
	_, body := local(s, "GET", "/api/v1/now", "")
	if !strings.Contains(body, `"silenced":{`) {
		t.Errorf("the page does not say that it is silenced: %s", body)
	}
}
