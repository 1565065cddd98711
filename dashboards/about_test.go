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

// What is recognised is told with its reason.
func TestRecognised(t *testing.T) {
	f := newFleet(t, Options{About: func(string, string, func(...string) string) About {
		return About{Golden: Golden{Errors: []string{"oops*"}}}
	}})
	f.b.SetFeed(Feed{State: FeedLive})
	for s := 1.0; s < 6; s++ {
		r := f.record("10.0.0.1:80", s, labelled(counter("http_requests_total", 10*s), "code", "200"), labelled(counter("http_requests_total", s), "code", "500"), counter("oops_a", s), counter("oops_b", s),
			labelled(counter("http_request_duration_seconds_bucket", 9*s), "le", "0.1"), labelled(counter("http_request_duration_seconds_bucket", 11*s), "le", "+Inf"),
			dist("gc_ms", collector.Lifetime, "count", s, "sum", s, "p99", 1), gauge("pool_busy", 1), gauge("pool_size", 2), counter("exceptions/Oh", s))
		r.Tags = []collector.LabelPair{{Name: TagVersion, Value: "1.0"}}
		f.b.Add(r)
		f.tick(s)
	}
	is := f.b.Recognised("checkout", "prod")
	if is == nil {
		t.Fatal("nothing is known of it")
	}
	got := fmt.Sprintf("%v %d %s; %v %s; %v %s %s %v; %v %d %v %v %v", is.Rate.Metrics, is.Rate.Series, is.Rate.Words(), is.Errors.Metrics, is.Errors.Words(), is.Latency.Metrics, is.Latency.Words(), is.LatencyName,
		is.Bounds, is.Uses, is.Classes, is.Lifetime, is.Tagged, is.Outcomes)
	const want = "[http_requests_total] 2 known by name, as http_requests_total; [oops_a oops_b] named by the rule oops*; [http_request_duration_seconds] known by name, as http_request_duration_seconds p99 " +
		"[100]; [pool_busy] 1 [gc_ms] map[service.version:1] map[ok:1]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if f.b.Recognised("nobody", "prod") != nil {
		t.Error("somebody who is not there")
	}
}
