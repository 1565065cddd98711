package collect

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// A service's instances are asked at once, each once, beside the schedule: those who answer, who answers badly, and who is not there.
func TestAsk(t *testing.T) {
	serve := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	good := serve(200, `{"counters":{"requests":12,"errors":0},"metrics":{"latency_ms":{"count":3,"p99":1.50}},"gauges":{"heap":9e3}}`)
	bad := serve(500, "no")
	now := time.Now()
	d, mux := rollOf(t, 0, discovery.Set{Source: "apps", Path: "/discovery/ask", Verified: now, Members: []*discovery.Member{
		member("ask", "/discovery/ask", good), member("ask", "/discovery/ask", bad), member("ask", "/discovery/ask", gone.Addr().String())}})
	post := func(url string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, url, nil)
		r.Host, r.RemoteAddr = "127.0.0.1:7140", "127.0.0.1:4711"
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	w := post("/api/v1/ask?service=ask&metric=requests&metric=latency*.p99")
	if w.Code != http.StatusOK || w.Header().Get("Rollcall-Instances") != "3" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	said := map[string]Asked{}
	for line := range strings.Lines(w.Body.String()) {
		var a Asked
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, twice := said[a.Instance]; twice {
			t.Errorf("%s is told twice", a.Instance)
		}
		said[a.Instance] = a
	}
	if a := said[good]; a.Outcome != "ok" || fmt.Sprint(a.Values) != "map[latency_ms.p99:1.50 requests:12]" {
		t.Errorf("%+v", a)
	}
	if a := said[bad]; a.Outcome == "ok" || !strings.Contains(a.Reason, "500") {
		t.Errorf("%+v", a)
	}
	if a := said[gone.Addr().String()]; a.Outcome != "refused" {
		t.Errorf("%+v", a)
	}
	for url, want := range map[string]string{
		"/api/v1/ask?metric=x":                                      "name a service",
		"/api/v1/ask?service=ask":                                   "name what is asked for, in 1 to 64 patterns",
		"/api/v1/ask?service=nobody&metric=x":                       `no service is called "nobody"`,
		"/api/v1/ask?service=ask&env=elsewhere&metric=x":            "no service is called",
		"/api/v1/ask?service=ask" + strings.Repeat("&metric=x", 65): "in 1 to 64 patterns",
	} {
		if w := post(url); w.Code < 400 || !strings.Contains(read[struct{ Error string }](t, w).Error, want) {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
	}
	for range asksAtOnce {
		d.askers <- struct{}{}
	}
	if w := post("/api/v1/ask?service=ask&metric=x"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Another site's page cannot have a fleet asked.
	r := httptest.NewRequest(http.MethodPost, "/api/v1/ask?service=ask&metric=x", nil)
	r.Header.Set("Origin", "http://evil.example")
	other := httptest.NewRecorder()
	mux.ServeHTTP(other, r)
	if other.Code != http.StatusForbidden {
		t.Errorf("%d %s", other.Code, other.Body)
	}
}
