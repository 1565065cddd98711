package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// TestHostileNames shows names that nobody means well by in every place of the page: none becomes markup, runs, or pushes the page out of its screen.
func TestHostileNames(t *testing.T) {
	program, ok := testenv.Tool(t, "chromium")
	if !ok {
		return
	}
	evil := `<script>window.owned=1</script><img src=x onerror="window.owned=1">` + "\u202e\u2067مرحبا\u2028"
	long := evil + strings.Repeat("x", 10_000)
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: now.Add(-time.Minute).UnixMilli()})
	counter := func(name string, labels []collector.LabelPair, v int) collector.Sample {
		return collector.Sample{Name: name, Kind: collector.Counter, Labels: labels, Value: fmt.Sprint(v)}
	}
	seq := uint64(0)
	scrape := func(s int, every time.Duration) {
		at := now.Add(time.Duration(s-40) * time.Second)
		for i := range 4 {
			tags := []collector.LabelPair{{Name: dashboards.TagVersion, Value: []string{"1", long}[i/2]}, {Name: dashboards.TagHost, Value: evil}, {Name: "team", Value: long}, {Name: "runbook", Value: "javascript:window.owned=1"},
				{Name: dashboards.TagTrack, Value: []string{"production", "canary"}[i/3]}, {Name: long, Value: long}}
			for _, service := range []string{long, evil} {
				seq++
				b.Add(&dashboards.Record{ID: dashboards.RecordID{Collector: 5, Start: 1, Sequence: seq}, Seen: at, Service: service, Env: "prod", Instance: fmt.Sprintf("%s:%d", evil, i), Time: at, Interval: every, Tags: tags,
					Samples: []collector.Sample{counter("requests", nil, s*100), counter("errors", nil, s), counter("exceptions", []collector.LabelPair{{Name: "class", Value: long}}, s*i), counter(long, nil, s)}})
			}
		}
		b.Tick(at.Add(100 * time.Millisecond))
	}
	for s := range 40 {
		scrape(s, time.Second)
	}
	open := func(id, service string, more ...func(*dashboards.Finding)) {
		f := dashboards.Finding{ID: id, Level: dashboards.LevelBad, Service: service, Env: "prod", Metric: "errors", Since: now.Add(-20 * time.Second).UnixMilli(), Title: service + " is failing " + long, News: evil, Only: "Only " + long + ": x",
			Cleared: []string{long, evil}, Events: []dashboards.Event{{T: now.UnixMilli(), Text: long}}, Before: []dashboards.Change{{T: now.UnixMilli(), Service: long, Text: evil}}, Was: .01, Is: .2, Text: long}
		for _, set := range more {
			set(&f)
		}
		b.Note(dashboards.Note{V: 1, Kind: dashboards.NoteFinding, ID: id, TS: now.UnixMilli(), From: "elsewhere", Finding: &f})
	}
	open("fa", long)
	open("fb", evil)
	open("fc", evil) // stays loud; the others are looked after
	open("fp", evil, func(f *dashboards.Finding) {
		f.Services, f.Place, f.Where = []string{evil, long}, "host.name="+evil, []string{"host.name=" + evil}
	})
	over := now.Add(-5 * time.Hour).UnixMilli() // so long that the page does not list it
	open("fo", evil, func(f *dashboards.Finding) { f.Since, f.Ended = over-60_000, &over })
	lately := now.Add(-time.Minute).UnixMilli()
	open("fl", evil, func(f *dashboards.Finding) { f.Since, f.Ended = lately-60_000, &lately })
	b.Note(dashboards.Note{V: 1, Kind: dashboards.NoteAck, ID: "fb", TS: now.UnixMilli(), Ack: &dashboards.Ack{By: evil, Why: evil + strings.Repeat("y", 500), At: now.UnixMilli()}})
	if _, err := b.Tell(dashboards.ToldEvent{Kind: dashboards.EventRemark, Service: evil, Text: evil, Who: evil}); err != nil {
		t.Logf("told: %v", err) // what cannot be a name is refused, and that is as well
	}
	plain := strings.ReplaceAll(evil, "\u2028", "")
	b.Note(dashboards.Note{V: 1, Kind: dashboards.NoteSilence, ID: "s1", TS: now.UnixMilli(), From: "elsewhere",
		Silence: &dashboards.Silence{ID: "s1", Service: long, Env: "prod", By: plain, Why: plain + strings.Repeat("z", 500), At: now.UnixMilli(), Until: now.Add(time.Hour).UnixMilli()}})
	// Nothing of this may be a name; who comes with it anyway is on the roster as what it is.
	key := discovery.Key{Service: evil, Env: "prod", Host: evil, Port: 1}
	for _, state := range []discovery.State{discovery.Present, discovery.Quarantined} {
		key.Port++
		b.RosterChange(discovery.Change{At: now, Entry: discovery.Entry{Instance: discovery.Instance{Key: key, Path: "/" + long, Member: long, Source: evil, Tags: discovery.TagsOf(map[string]string{"team": long})},
			State: state, Reason: long, Since: now, Joined: now, Verified: now}})
	}
	paths, _ := json.Marshal(map[string]any{"paths": []discovery.PathState{{Path: "/" + long, Source: evil, Service: evil, Env: "prod", Err: long}}})
	why, _ := json.Marshal(map[string]any{"owner": evil, "sentences": []string{long, evil}, "story": map[string]any{"events": []any{map[string]any{"at": now, "what": evil, "detail": long}}}})
	guards, _ := json.Marshal(map[string]any{"guards": []discovery.Guard{{Scope: "/" + long, Source: evil, Since: now, Held: 2, Answering: 2, Verdict: evil}}})
	ask := func(_ context.Context, path string, _ url.Values) []web.Told {
		body := map[string]json.RawMessage{"/api/v1/roster/paths": paths, "/api/v1/roster/why": why, "/api/v1/roster/guards": guards, "/api/v1/orders": json.RawMessage(`{}`), "/api/v1/collector": json.RawMessage(`{}`)}[path]
		return []web.Told{{Collector: evil, Status: 200, Body: body}, {Collector: long, Err: long}}
	}
	b.Tick(now)
	set := metrics.NewSet()
	s, err := web.New(web.Config{Board: b, Version: evil, Metrics: set, Ask: ask})
	if err != nil {
		t.Fatal(err)
	}
	// Whoever comes by this browser has signed in by a proxy, as a viewer.
	gate := &trust.Gate{}
	viewers, err := trust.ParseAddresses([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	gate.Set(trust.Policy{Header: "X-Forwarded-User", From: viewers, Operators: []string{"ann"}})
	srv := httptest.NewUnstartedServer(gate.Protect(s.Handler()))
	srv.Start()
	defer srv.Close()
	defer srv.CloseClientConnections() // the page's stream never ends by itself
	p := openTab(t, program, srv.URL)
	send(p, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: map[string]any{"X-Forwarded-User": "<img src=x onerror=window.owned=1>"}})
	span := fmt.Sprintf("?from=%d&to=%d", now.Add(-15*time.Second).UnixMilli(), now.UnixMilli())
	for _, page := range []struct{ name, path, there string }{
		{"longest", "/service/" + url.PathEscape(long), "main h1"},
		{"now", "/", "[data-testid=finding]"},
		{"services", "/services", "[data-testid=services-row]"},
		{"service", "/service/" + url.PathEscape(evil) + span, "[data-testid=thrown]"},
		{"different", "/service/" + url.PathEscape(evil) + span, "[data-testid=difference]"},
		{"canaries", "/canaries", "[data-testid=canary]"},
		{"host", "/host/" + url.PathEscape(evil), "[data-testid=host-row]"},
		{"roster", "/roster?who=" + url.QueryEscape(fmt.Sprintf("%s/prod/%s:2", evil, evil)), "[data-testid=roster-row] ~ *, [data-testid=why] p"},
		{"paths", "/roster?view=paths", "[data-testid=path-row]"},
		{"finding", "/finding/fp", "[data-testid=meanwhile] [data-testid=chart]"},
		{"over", "/finding/fo", "[data-testid=finding].over .only"},
		{"unknown", "/finding/" + url.PathEscape(evil), "[data-testid=no-finding]:not([aria-busy=true])"},
		{"explore", "/explore?service=" + url.QueryEscape(evil) + "&metric=requests&by=version", "[data-testid=chart]"},
	} {
		p.do(chromedp.Navigate(srv.URL + page.path))
		await[bool](p, 20*time.Second, page.name+" is there", fmt.Sprintf(`!!document.querySelector("%s")`, page.there))
		for _, s := range screens {
			p.wear(s, "light")
			if over := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s on a screen of %s is %d pixels too wide: %s", page.name, s.name, over, eval[string](p, widest))
			}
			if s.mobile {
				p.save("hostile-" + page.name)
			}
		}
		p.wear(screens[0], "light")
		switch page.name {
		case "longest", "finding", "over", "unknown":
			p.forget() // no question may be so long, no history is kept, nobody knows that finding: the page says that, and so does the console
		}
		if bad := eval[string](p, `[window.owned && "a script ran", document.querySelector("main script, main img, [href^='javascript:']") && "markup"].filter(Boolean).join(", ")`); bad != "" {
			t.Errorf("%s: %s", page.name, bad)
		}
	}
	// What is wrong on a host leads to the host, what is over to all that is known of it.
	p.do(chromedp.Navigate(srv.URL))
	for _, at := range []struct{ link, page string }{{"[id=finding-fp] h3 a", "host"}, {"[data-testid=ended-finding] a", "finding"}} {
		await[bool](p, 10*time.Second, at.link+" is there", fmt.Sprintf(`((a) => a && (a.click(), true))(document.querySelector(%q))`, at.link))
		if says := await[string](p, 10*time.Second, at.link+" leads to a "+at.page, fmt.Sprintf(`document.querySelector("main").dataset.page === %q && document.querySelector("main h1")?.textContent`, at.page)); at.page == "host" && !strings.Contains(says, evil) {
			t.Errorf("the host is %q", says)
		}
		eval[bool](p, `(history.back(), true)`)
	}
	p.forget()
	// A viewer sees what there is and no button, and is refused where there is none to click.
	p.do(chromedp.Navigate(srv.URL))
	says := await[string](p, 10*time.Second, "what a viewer may", `document.querySelector("[data-testid=viewer]")?.textContent`)
	if !strings.Contains(says, "You may look, not act") {
		t.Errorf("a viewer is told %q", says)
	}
	if n := eval[int](p, `document.querySelectorAll("[data-testid=ack], [data-testid=silence], [data-testid=burst]").length`); n > 0 {
		t.Errorf("a viewer has %d buttons", n)
	}
	for _, path := range []string{"/api/v1/findings/fa/ack", "/api/v1/silences", "/api/v1/events"} {
		if status := eval[int](p, fmt.Sprintf(`fetch(%q, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }).then((r) => r.status)`, path)); status != 403 {
			t.Errorf("a viewer's %s is answered with %d", path, status)
		}
	}
	p.forget() // refusals are on the console
	// An operator is offered a closer look at those who are not pulled so closely as it is.
	send(p, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: map[string]any{"X-Forwarded-User": "ann"}})
	p.do(chromedp.Navigate(srv.URL))
	await[bool](p, 10*time.Second, "that it is close already", `!!document.querySelector("[data-testid=ack]") && !!document.querySelector("[data-testid=close-already]") && !document.querySelector("[data-testid=burst]")`)
	scrape(41, 5*time.Second)
	await[bool](p, 10*time.Second, "a closer look to ask for", `!document.querySelector("[data-testid=close-already]") && !!document.querySelector("[data-testid=burst]")`)
	// A page that is left gives its connection back, though the browser keeps it for the way back: there are six for all pages of a host, and whoever has them all waits.
	testenv.Eventually(t, "only the page that is shown has a stream", func() bool {
		var b strings.Builder
		set.WritePrometheus(&b)
		return strings.Contains(b.String(), "rollcall_web_streams 1\n")
	})
	p.behaved()
}
