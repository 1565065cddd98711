package dashboards

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// What people say of a service is on its row and on its findings, and decides which metrics mean what.
func TestAbout(t *testing.T) {
	said := About{}
	o := Options{About: func(service, env string, tag func(...string) string) About {
		is := said
		is.Golden.Rate = nil
		if r := tag("rollcall.golden.rate"); r != "" {
			is.Golden.Rate = []string{r}
		}
		return is
	}}
	o.Judge = func(now time.Time, b *Board) []Finding {
		return []Finding{{ID: "f1", Level: LevelBad, Service: "checkout", Env: "prod", Metric: "errors", Since: t0.UnixMilli(), Title: "checkout is failing"}}
	}
	f := newFleet(t, o)
	f.b.SetFeed(Feed{State: FeedLive})
	at := 0.0
	step := func(want string) {
		t.Helper()
		for range 4 {
			at++
			f.add("10.0.0.1:80", at, counter("requests", 10*at), counter("orders", 3*at), counter("errors", at))
			f.tick(at)
		}
		r, g := f.row(), f.b.Findings()[0]
		if got := fmt.Sprintf("%s %s %s %g %v; %s %s %s", r.Owner, r.Chat, r.Runbook, float64(r.Rate), r.Errors.Known(), g.Owner, g.Chat, g.Runbook); got != want {
			t.Errorf("after %g s: %s, want %s", at, got, want)
		}
	}
	step("   10 true;   ")
	f.b.RosterChange(discovery.Change{Entry: entry("10.0.0.1:80", discovery.Present, 0, map[string]string{"team": "shop", "chat": "#shop", "runbook": "javascript:x", "rollcall.golden.rate": "orders"})})
	f.b.Renew()
	step("shop #shop  3 true; shop #shop ")
	said = About{Owner: "payments", Runbook: "https://wiki.example/c", Golden: Golden{Errors: []string{NoMetric}}}
	f.b.Renew()
	step("payments #shop https://wiki.example/c 3 false; payments #shop https://wiki.example/c")
	said.Golden = Golden{}
	for range 12 { // without being told of it
		at++
		f.tick(at)
	}
	step("payments #shop https://wiki.example/c 3 true; payments #shop https://wiki.example/c")
	if is, ok := f.b.About("checkout", "prod"); !ok || is.Owner != "payments" || f.b.Said("checkout", "prod", "none", "chat") != "#shop" {
		t.Errorf("%+v", is)
	}
}

// Of a place that several services share a finding says only what is so of all.
func TestSignPlace(t *testing.T) {
	f := newFleet(t, Options{About: func(service, env string, _ func(...string) string) About {
		return About{Owner: "of " + service, Chat: "#oncall"}
	}})
	for _, s := range []string{"a", "b"} {
		r := f.record("10.0.0.1:80", 1, collector.Sample{Name: "x", Value: "1"})
		r.Service = s
		f.b.Add(r)
	}
	f.tick(1)
	for _, tc := range []struct {
		services []string
		want     string
	}{{nil, "of a #oncall"}, {[]string{"a", "b"}, " #oncall"}, {[]string{"a"}, "of a #oncall"}} {
		g := Finding{Service: "a", Env: "prod", Services: tc.services, Owner: "old"}
		f.b.sign(&g)
		if got := g.Owner + " " + g.Chat; got != tc.want {
			t.Errorf("%v: %q, want %q", tc.services, got, tc.want)
		}
	}
}
