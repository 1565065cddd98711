package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowserLooks follows a canary that fails from its finding to its verdict, its hosts and what was different, by clicks alone.
func TestBrowserLooks(t *testing.T) {
	p, _, _ := browseDemo(t)
	if p == nil {
		return
	}
	p.fills()
	p.names()
	if picturesFolder != "" {
		p.do(chromedp.Navigate(p.origin + eval[string](p, `document.querySelector("[id^=finding-]").id.replace("finding-", "/finding/")`)))
		await[bool](p, 20*time.Second, "the whole of a finding", `document.querySelectorAll("[data-testid=meanwhile] [data-testid=chart]").length === 4`)
		p.shoot("finding")
		p.judges(p.broken)
		p.compares(p.broken)
		p.follow("Services", "services")
		await[bool](p, 10*time.Second, "the services", `document.querySelectorAll("[data-testid=services-row]").length > 8`)
		p.shoot("services")
		p.follow("Roster", "roster")
		await[bool](p, 10*time.Second, "the roster", `!!document.querySelector("[data-testid=roster-row]") && !!document.querySelector("[data-testid=ledger]")`)
		p.shoot("roster")
		return
	}
	p.looksAfter()
	p.judges(p.broken)
	p.accessible(p.broken)
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
	await[bool](p, 10*time.Second, "what each of them did", `[...document.querySelectorAll("[data-testid=host-row]")].every((r) => [...r.querySelectorAll("svg.spark")].filter((s) => Number(s.dataset.points) > 1).length >= 2)`)
	p.shoot("host")
}

// compares asks what was different in the last quarter of a minute, and takes a chart away as a table.
func (p *tab) compares(service string) {
	p.do(chromedp.Navigate(fmt.Sprintf("%s/explore?service=%s&metric=requests&by=version&w=5m", p.origin, service)))
	await[bool](p, 10*time.Second, "a chart", points("requests")+" > 10")
	eval[bool](p, `(window.taken = "", URL.createObjectURL = (b) => { b.text().then((x) => window.taken = x); return "data:," }, HTMLAnchorElement.prototype.click = function () { window.name = this.download }, true)`)
	p.do(chromedp.Click(chromedp.CSS("[data-testid=csv]")))
	await[bool](p, 5*time.Second, "a table", `/^time,.+\r\n\d{4}-\d\d-\d\dT[\d:.]+Z,/.test(window.taken) && window.name === "`+service+`_prod_requests.csv"`)
	eval[bool](p, `delete HTMLAnchorElement.prototype.click`)
	// Within one version, beside the other: by clicks, and in the address.
	eval[bool](p, `(window.versions = [...document.querySelectorAll("[data-testid=drill]")].map((b) => "version=" + b.textContent), true)`)
	p.click("drill")
	await[bool](p, 10*time.Second, "the line that was clicked, by zone", `new URLSearchParams(location.search).get("where")?.startsWith("version") && new URLSearchParams(location.search).get("by") === "zone" && !!document.querySelector("[data-testid=condition]") && Number(document.querySelector("[data-testid=chart]").dataset.lines) > 0`)
	other := await[string](p, 5*time.Second, "the other version", `((is, rest) => is && rest.find((v) => v !== is))(document.querySelector("[data-testid=condition] bdi")?.textContent, window.versions)`)
	p.pick("explore-beside", other)
	await[bool](p, 10*time.Second, "each line beside what it was", `new URLSearchParams(location.search).has("vs") && [...document.querySelectorAll("[data-testid=explore-row]")].some((r) => /[+−][\d.]+ %|[\d.]+ ×/.test(r.textContent))`)
	p.shoot("explore-beside")
	p.follow("Open "+service, "service")
	await[bool](p, 10*time.Second, "a chart to drag over", points("errors")+" > 4")
	p.drags("errors")
	await[bool](p, 10*time.Second, "what was different", `document.querySelectorAll("[data-testid=difference]").length === 3 && /from=\d+/.test(location.search)`)
	await[bool](p, 10*time.Second, "the dotted lines by name, findings among them", `[...document.querySelectorAll("[data-chart=errors] [data-testid=mark]")].some((m) => /^\d\d:\d\d:\d\d .+ (is|was) /.test(m.textContent))`)
	p.shoot("different")
	p.click("different-close")
	await[bool](p, 5*time.Second, "it closes", `!document.querySelector("[data-testid=different]") && !location.search.includes("from=")`)
	p.keyboard(service)
	p.follow("Now", "now")
	p.behaved()
}

// drags draws a window over the last part of a chart, as a hand does.
func (p *tab) drags(chart string) {
	box := eval[[]float64](p, fmt.Sprintf(`((el) => { el.scrollIntoView({ block: "center" }); const b = el.getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })(document.querySelector('[data-chart="%s"] .u-over'))`, chart))
	at := func(x float64) (float64, float64) { return box[0] + x*box[2], box[1] + box[3]/2 }
	step := func(what input.DispatchMouseEventType, x float64, opts ...chromedp.MouseOption) {
		left, top := at(x)
		p.do(chromedp.MouseEvent(what, left, top, opts...))
	}
	step(input.DispatchMouseEventTypeMouseMoved, 0.7)
	step(input.DispatchMouseEventTypeMousePressed, 0.7, chromedp.ButtonLeft, chromedp.ClickCount(1))
	step(input.DispatchMouseEventTypeMouseMoved, 0.8, chromedp.ButtonLeft)
	step(input.DispatchMouseEventTypeMouseMoved, 0.98, chromedp.ButtonLeft)
	step(input.DispatchMouseEventTypeMouseReleased, 0.98, chromedp.ButtonLeft, chromedp.ClickCount(1))
}

// keyboard does by keys what a hand does: a window over a chart, the palette, walking over what is listed, the list of keys.
func (p *tab) keyboard(service string) {
	eval[bool](p, `(document.querySelector('[data-chart="errors"] .canvas').focus(), true)`)
	for range 4 {
		p.do(chromedp.KeyEvent(kb.ArrowLeft, chromedp.KeyModifiers(chromedp.ModifierShift)))
	}
	await[bool](p, 5*time.Second, "all charts show the moment", `[...document.querySelectorAll("[data-testid=chart] .at")].length >= 4 && / at \d\d:\d\d/.test(document.querySelector('[data-chart="errors"] .canvas').ariaLabel)`)
	p.press(kb.Enter)
	await[bool](p, 10*time.Second, "what was different, by keys", `document.querySelectorAll("[data-testid=difference]").length === 3 && /from=\d+/.test(location.search)`)
	p.click("different-close")
	await[bool](p, 5*time.Second, "it closes again", `!document.querySelector("[data-testid=different]")`)
	p.follow("Now", "now")
	p.press("j")
	first := await[string](p, 5*time.Second, "j goes to the first that is listed", `document.activeElement.matches("[data-item]") && document.activeElement.getAttribute("href")`)
	p.press("jk")
	if again := eval[string](p, `document.activeElement.getAttribute("href")`); again != first {
		p.t.Errorf("j and k lead from %s to %s", first, again)
	}
	p.press("?")
	await[bool](p, 5*time.Second, "the keys", `document.querySelector("[data-testid=help]")?.open`)
	p.press(kb.Escape)
	await[bool](p, 5*time.Second, "Escape closes it", `!document.querySelector("[data-testid=help]")`)
	p.press("/")
	p.press("errors " + service)
	await[bool](p, 10*time.Second, "a metric of a service, by two words", `[...document.querySelectorAll("[data-testid=palette-hit] .hit")].some((h) => h.textContent.startsWith("errors `+service+` in "))`)
	p.press(kb.Escape)
	await[bool](p, 5*time.Second, "Escape closes the palette", `!document.querySelector("[data-testid=palette]")`)
	p.do(chromedp.Navigate(p.origin + "/?kiosk"))
	await[bool](p, 10*time.Second, "a wall shows what there is, and nothing to click", `document.querySelectorAll("[data-testid=service-row]").length > 5 && getComputedStyle(document.querySelector(".top")).display === "none" && Number(getComputedStyle(document.body).zoom) > 1`)
	p.do(chromedp.Navigate(p.origin))
	await[bool](p, 10*time.Second, "the page", `document.querySelectorAll("[data-testid=service-row]").length > 5`)
}

// click clicks what a test calls by its name, within what a selector finds; the page may draw it anew at any time.
func (p *tab) click(field string, within ...string) {
	p.t.Helper()
	await[bool](p, 5*time.Second, field+" can be clicked", fmt.Sprintf(`((e) => e && e.offsetParent && (e.click(), e.focus(), true))(document.querySelector(%q))`, strings.Join(append(within, "[data-testid="+field+"]"), " ")))
}

// fill writes into a field of an open form.
func (p *tab) fill(field, text string) {
	p.t.Helper()
	p.click(field)
	eval[bool](p, `(document.activeElement.select(), true)`)
	p.press(text)
	await[bool](p, 5*time.Second, "what was typed is there", fmt.Sprintf(`document.querySelector("[data-testid=%s]").value === %q`, field, text))
}

// looksAfter acknowledges the first finding, takes that back, silences it, ends that, and has its service looked at each second: an operator's clicks.
func (p *tab) looksAfter() {
	id := eval[string](p, `document.querySelector("[data-testid=finding]").id`)
	level := eval[string](p, `document.querySelector("[data-testid=finding]").dataset.level`)
	button := func(name string) { p.click(name, "[id="+id+"]") }
	card := fmt.Sprintf(`document.querySelector('[data-testid=service-card][data-service="%s"]')`, p.broken)
	trouble := await[string](p, 10*time.Second, "the card of its service", card+"?.dataset.trouble")
	for _, act := range []struct{ button, says string }{{"ack", "browser-test looks after it since"}, {"silence", "Silenced until"}} {
		button(act.button)
		p.fill("act-by", "browser-test")
		p.fill("act-why", "seen by a test")
		p.click("act-go")
		text := await[string](p, 10*time.Second, act.button+" makes it quiet", `[...document.querySelectorAll("[data-testid=quiet-finding]")].map((f) => f.innerText).find((x) => x.includes("browser-test"))`)
		if !strings.Contains(text, act.says) || !strings.Contains(text, "seen by a test") {
			p.t.Errorf("after %s the line says %q", act.button, text)
		}
		if act.button == "ack" { // it fails as before, and everybody sees it
			await[bool](p, 5*time.Second, "what is looked after stays, with its cause and its chart", `((f) => f && f.dataset.level === "`+level+`" && !!f.querySelector(".only") && !!f.querySelector("svg.spark"))(document.querySelector("[data-testid=quiet-finding]"))`)
			await[bool](p, 5*time.Second, "its service is in trouble as before, and leads to it", fmt.Sprintf(`((c) => c && c.dataset.trouble === %q && !!c.querySelector('[href="#%s"]'))(%s)`, trouble, id, card))
			p.shoot("now-acknowledged")
		}
		p.click("take-back")
		await[bool](p, 10*time.Second, "it is loud again", `document.getElementById("`+id+`")?.dataset.testid === "finding"`)
	}
	button("ack")
	await[bool](p, 5*time.Second, "the page remembers who acts", `document.querySelector("[data-testid=act-by]")?.value === "browser-test"`)
	button("ack")
	if interval <= time.Second {
		await[bool](p, 5*time.Second, "that it is looked at closely already", `!!document.getElementById("`+id+`")?.querySelector("[data-testid=close-already]")`)
	} else {
		button("burst")
		p.click("act-go")
		await[bool](p, 10*time.Second, "a closer look is taken", `/\d+ of \d+ instances each second/.test(document.querySelector("[data-testid=said]:not(:empty)")?.textContent ?? "")`)
	}
	if heard := eval[string](p, `document.querySelector("[data-testid=herald]").textContent`); heard == "" {
		p.t.Error("the new finding was not said to screen readers")
	}
	p.forget() // a form that opens where something has the focus is told of on the console
	// Its own address has all of it, with the charts of its time.
	p.do(chromedp.Navigate(p.origin + strings.Replace(id, "finding-", "/finding/", 1)))
	await[bool](p, 20*time.Second, "the whole of it", `document.querySelectorAll("[data-testid=meanwhile] [data-testid=chart]").length === 4 && [...document.querySelectorAll("[data-testid=meanwhile] [data-testid=chart]")].every((c) => c.dataset.points > 0)`)
	p.story = eval[string](p, `location.pathname`)
	p.shoot("finding")
	p.follow("Now", "now")
}

// axeFile is the checker of accessibility, which npm ci brings.
const axeFile = "../../dashboards/web/ui/node_modules/axe-core/axe.min.js"

// accessible holds every page, in both schemes, and what opens over them, to having no serious fault.
func (p *tab) accessible(service string) {
	p.t.Helper()
	source, err := os.ReadFile(axeFile)
	if err != nil {
		if os.Getenv("CI") == "true" {
			p.t.Fatalf("the checker of accessibility is not there; `npm ci` in dashboards/web/ui brings it: %v", err)
		}
		p.t.Logf("accessibility is not checked: `npm ci` in dashboards/web/ui brings the checker")
		return
	}
	host := eval[string](p, `location.pathname.split("/").pop()`) // the page of a host is open
	for _, at := range []struct{ path, open string }{
		{"/host/" + host, ""},
		{"/", ""},
		{"/", "search"},
		{"/services", ""},
		{"/service/" + service, ""},
		{"/explore?service=" + service + "&metric=requests&by=version&where=zone%3Dus-east-1c&vs=before", ""},
		{p.story, ""},
		{"/canaries", ""},
		{"/roster", ""},
		{"/roster?view=paths", "help"},
	} {
		p.do(chromedp.Navigate(p.origin + at.path))
		await[bool](p, 15*time.Second, at.path+" is there", `!!document.querySelector("main h1") && !document.querySelector("[aria-busy=true]") && !/Calling |Judging |Looking /.test(document.querySelector("main").textContent)`)
		switch at.open {
		case "search":
			p.press("/")
		case "help":
			p.press("?")
		}
		if at.open != "" {
			await[bool](p, 5*time.Second, at.open+" opens", `!!document.querySelector("dialog[open]")`)
		}
		eval[bool](p, string(source)+";true")
		for _, scheme := range []string{"dark", "light"} {
			p.wear(screens[0], scheme)
			for _, f := range eval[[]string](p, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical")
				.map((v) => v.impact + " " + v.id + ": " + v.help + "\n  " + v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + n.html.slice(0, 200)).join("\n  ")))`) {
				p.t.Errorf("%s %s in %s: %s", at.path, at.open, scheme, f)
			}
		}
	}
}
