package web

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Whatever costs much has a bound on how many are answered at once and how many wait: who comes then is told so at once, and when to come again. What costs little is
// answered all the same.
func TestDear(t *testing.T) {
	b, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	s, err := New(Config{Board: b, History: rollup.NewHistory(0), Dear: 1, Waiting: 1})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec
	}
	if err := s.gate.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() { _ = s.gate.Enter(ctx) })
	testenv.Eventually(t, "somebody waits", func() bool { return s.gate.Waiting() == 1 })
	const q = "?service=checkout&env=prod"
	for _, tc := range []struct {
		path string
		dear bool
	}{
		{"different" + q + "&from=1&to=100000", true}, {"host?host=h", true}, {"changes", true}, {"history" + q + "&signal=rate", true}, {"series" + q + "&metric=requests", true},
		{"canary" + q, true}, {"canaries", true}, {"convergence" + q, true}, {"exceptions" + q, true}, {"events", true}, {"search?q=a", true}, {"roster", true}, {"service" + q, true},
		{"now", false}, {"status", false}, {"findings", false}, {"silences", false}, {"me", false},
	} {
		rec := ask("/api/v1/" + tc.path)
		var said struct{ Error string }
		if err := json.Unmarshal(rec.Body.Bytes(), &said); err != nil {
			t.Errorf("%s: %v", tc.path, err)
		}
		if busy := rec.Code == 503 && rec.Header().Get("Retry-After") == "5" && strings.Contains(said.Error, "ask again in a few seconds"); busy != tc.dear {
			t.Errorf("%s: %d %s", tc.path, rec.Code, rec.Body)
		}
	}
	cancel()
	waits.Wait()
	s.gate.Leave()
	for _, path := range []string{"changes", "search?q=a", "roster", "canaries"} {
		if rec := ask("/api/v1/" + path); rec.Code != 200 {
			t.Errorf("%s with a place: %d %s", path, rec.Code, rec.Body)
		}
	}
}

// The canaries of one environment are judged while those of another are: who waits for theirs holds nobody up.
func TestCanariesByEnvironment(t *testing.T) {
	s, _ := noted(t)
	of := s.verdicts.env("slow")
	of.turn <- struct{}{} // somebody judges them
	if code, body := local(s, "GET", "/api/v1/canaries?env=prod", ""); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/api/v1/canaries?env=slow", nil)) // returns, as who asked has gone
	<-of.turn
	if code, body := local(s, "GET", "/api/v1/canaries?env=slow", ""); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}
