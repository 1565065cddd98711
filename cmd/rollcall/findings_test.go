package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
)

// What the page knows and takes, by hand.
func TestFindingsCommands(t *testing.T) {
	now := time.Now().UnixMilli()
	ended := now - 3_600_000
	list := []dashboards.Finding{
		{ID: "f1", Level: "bad", Service: "checkout", Env: "prod", Metric: "errors", Since: now - 5000, Title: "checkout is failing: errors 3 %", Only: "Only 1.42.0.", Cleared: []string{"1.41"}},
		{ID: "f0", Level: "warn", Service: "cart", Env: "prod", Metric: "latency", Since: ended - 60_000, Ended: &ended, Title: "cart is slow"},
	}
	b, err := dashboards.NewBoard(dashboards.Options{Judge: func(time.Time, *dashboards.Board) []dashboards.Finding { return list }})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	b.Tick(time.Now())
	alerts := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"status":"success","data":{"alerts":[{"labels":{"alertname":"Busy","job":"checkout","env":"prod"},"annotations":{"summary":"too much"},"state":"firing","activeAt":"2026-11-22T12:00:00Z","value":"1e+00"}]}}`)
	})
	s, err := web.New(web.Config{Board: b, Extra: map[string]http.Handler{"GET /api/v1/alerts": alerts}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	for _, tc := range []struct {
		args string
		code int
		want string // in what it says
		not  string
	}{
		{"findings", 0, "over f0  cart/prod  cart is slow since", ""},
		{"findings --open", 0, "BAD  f1  checkout/prod  checkout is failing: errors 3 % since", "f0"},
		{"findings --open", 0, "RULE FIRING since 12:00:00 UTC  Busy (checkout/prod): too much", ""},
		{"findings --service=cart/prod", 0, "f0", "RULE"},
		{"findings --service=cart/prod --format=json", 0, `{"id":"f0","level":"warn"`, "f1"},
		{"silence users --why=test", 1, "no service is called users on this page; `rollcall top` and /api/v1/services list them; --force silences", ""},
		{"silence checkout/prod --why=test --metric=foo", 2, "--metric=foo is nothing that findings are about; give one of errors, latency", ""},
		{"event note users hello", 1, "no service is called users on this page; `rollcall top` and /api/v1/services list them; --force tells", ""},
		{"check service users", 1, "no service is called users on this page; `rollcall top` and /api/v1/services list them", ""},
		{"findings --service=users", 1, "no service is called users on this page", ""},
		{"findings ack f1 --by=ann --why=looking", 0, "ann looks after f1: checkout is failing: errors 3 %", ""},
		{"findings", 0, "[ann looks after it]", ""},
		{"findings ack f9", 1, "no such finding", ""},
		{"findings ack f1 --undo", 0, "nobody looks after f1 any more", ""},
		{"silence checkout/prod --for=1h", 2, "give --why", ""},
		{"silence checkout/prod --for=1h --why=test --by=bob --force", 0, "checkout/prod is silent for", ""},
		{"silence", 0, "checkout/prod until", ""},
		{"silence checkout/prod --why=test --place=h1", 2, "--place=h1 is no place; give NAME=VALUE", ""},
		{"silence checkout/prod --why=test --by=bob --force --place=host=h1", 0, "what is found about host.name=h1 is silent for", ""},
		{"silence", 0, "checkout/prod  host.name=h1 until", ""},
		{"findings --open", 0, "[silenced by bob until", ""},
		{"silence checkout --for=1000h --why=x", 2, "give a time up to", ""},
		{"event deploy checkout/prod --old=1.41 --new=1.42 --who=ann --at=1m --force", 0, "told: deploy of checkout/prod at ", ""},
		{"event deploy checkout/prod", 2, "say what has happened", ""},
		{"event deploy checkout x --at=yesterday", 2, "no time", ""},
		{"event party checkout x", 2, "must be one of", ""},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), append(strings.Fields(tc.args), "--url="+srv.URL), strings.NewReader(""), &out, &errs)
		text := out.String() + errs.String()
		if code != tc.code || !strings.Contains(text, tc.want) || tc.not != "" && strings.Contains(text, tc.not) {
			t.Errorf("%s: %d %q; want %d and %q", tc.args, code, text, tc.code, tc.want)
		}
	}
	if m := b.Timeline("checkout", "", time.Now().Add(-time.Hour), time.Now()); len(m) == 0 || !strings.Contains(m[len(m)-1].Text+m[0].Text, "deploy: 1.41 → 1.42, by ann") {
		t.Errorf("the time line: %+v", m)
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{"": "2026-03-04T12:00:00Z", "5m": "2026-03-04T11:55:00Z", "11:59:30": "2026-03-04T11:59:30Z", "14:02": "2026-03-03T14:02:00Z", "2026-03-01T00:00:00Z": "2026-03-01T00:00:00Z"} {
		at, err := moment(in, now)
		if err != nil || at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v; want %s", in, at, err, want)
		}
	}
	if _, err := moment("-5m", now); err == nil {
		t.Error("a time to come is taken")
	}
}

// What is open comes first, the worst before the rest; canaries that do not fail are for those who ask.
func TestFindingsOrder(t *testing.T) {
	ended := int64(1)
	all := []dashboards.Finding{{Ended: &ended, Level: "bad"}, {Level: "warn"}, {Level: "bad"}, {Level: "info", Canary: &dashboards.CanaryTold{Verdict: "pass"}}}
	for _, tc := range []struct {
		c    findingsListCmd
		want string
	}{{findingsListCmd{Format: "text"}, "[2 1 0]"}, {findingsListCmd{Format: "text", All: true}, "[2 1 3 0]"}, {findingsListCmd{Format: "json"}, "[2 1 3 0]"}} {
		if got := fmt.Sprint(tc.c.order(all)); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.c, got, tc.want)
		}
	}
}
