package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// TestBrowserLooks follows a canary that fails from its finding to its verdict, its hosts and what was different, by clicks alone.
func TestBrowserLooks(t *testing.T) {
	program, ok := testenv.Tool(t, "chromium")
	if !ok {
		return
	}
	b := newTestBroker(t)
	b.start()
	d := startDemo(t, b.addr)
	p := openTab(t, program, d.url)
	p.do(chromedp.Navigate(d.url))
	p.fills()
	p.names()
	p.judges(p.broken)
	p.compares(p.broken)
}

// judges reads the verdict on a canary that fails, from the list to the service and to a host.
func (p *tab) judges(service string) {
	p.follow("Canaries", "canaries")
	// Where half of it came late it is not judged yet, and so few that fail may not be enough to fail all: but it never passes.
	await[bool](p, 30*time.Second, "its verdict, how that came to be, and the errors", fmt.Sprintf(`((c) => c && c.dataset.verdict !== "pass" && !!c.querySelector(".turn") && /\+[\d.]+ points/.test(c.querySelector("[data-metric=errors]")?.textContent ?? ""))(document.querySelector('[data-testid=canary][data-service="%s"]'))`, service))
	if n := eval[int](p, `document.querySelectorAll("[data-testid=canary] [data-testid=effect]").length`); n < 3 {
		p.t.Errorf("%d effects are told", n)
	}
	p.shoot("canaries")
	p.follow(service, "service")
	await[bool](p, 10*time.Second, "its canary, how far it has come, and what it throws", `["canary", "convergence", "thrown"].every((x) => document.querySelector("[data-testid=" + x + "]"))`)
	host := await[string](p, 10*time.Second, "a host to follow", `document.querySelector("[data-testid=host-link]")?.textContent`)
	p.do(chromedp.Click(chromedp.CSS("[data-testid=host-link]")))
	await[bool](p, 10*time.Second, "all of its services", fmt.Sprintf(`location.pathname === "/host/%s" && new Set([...document.querySelectorAll("[data-testid=host-row]")].map((r) => r.dataset.service)).size > 1`, host))
	p.shoot("host")
}

// compares asks what was different in the last quarter of a minute, and takes a chart away as a table.
func (p *tab) compares(service string) {
	p.do(chromedp.Navigate(fmt.Sprintf("%s/explore?service=%s&metric=requests&by=version&w=5m", p.origin, service)))
	await[bool](p, 10*time.Second, "a chart", points("requests")+" > 10")
	eval[bool](p, `(window.taken = "", URL.createObjectURL = (b) => { b.text().then((x) => window.taken = x); return "data:," }, HTMLAnchorElement.prototype.click = function () { window.name = this.download }, true)`)
	p.do(chromedp.Click(chromedp.CSS("[data-testid=csv]")))
	await[bool](p, 5*time.Second, "a table", `/^time,.+\r\n\d{4}-\d\d-\d\dT[\d:.]+Z,/.test(window.taken) && window.name === "requests.csv"`)
	now := eval[int64](p, `Date.now()`)
	p.do(chromedp.Navigate(fmt.Sprintf("%s/service/%s?from=%d&to=%d", p.origin, service, now-20_000, now-2_000)))
	await[bool](p, 10*time.Second, "what was different", `document.querySelectorAll("[data-testid=difference]").length === 3`)
	p.shoot("different")
	p.do(chromedp.Click(chromedp.CSS("[data-testid=different-close]")))
	await[bool](p, 5*time.Second, "it closes", `!document.querySelector("[data-testid=different]") && !location.search.includes("from=")`)
	p.follow("Now", "now")
}
