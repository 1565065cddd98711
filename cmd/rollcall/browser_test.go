package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// pictureFile, where it is set, gets the picture of the first page with a finding. The page is then left running until its charts are full: a quarter of an hour.
var pictureFile = os.Getenv("ROLLCALL_PICTURE")

// picturesFolder, where it is set, gets pictures of every page, and the first of them is left running for five minutes.
var picturesFolder = os.Getenv("ROLLCALL_PICTURES")

// browseDemo opens the page of a demo that runs in this process, over a broker of its own; nil: there is no browser.
func browseDemo(t *testing.T) (p *tab, d *testDemo, b *testBroker) {
	t.Helper()
	program, ok := testenv.Tool(t, "chromium")
	if !ok {
		return nil, nil, nil
	}
	b = newTestBroker(t)
	b.start()
	d = startDemo(t, b.addr)
	p = openTab(t, program, d.url)
	p.do(chromedp.Navigate(d.url))
	return p, d, b
}

// TestBrowser drives the page of a demo that runs in this process, in a real browser: what people see, from the first row to the end of the server.
func TestBrowser(t *testing.T) {
	p, d, b := browseDemo(t)
	if p == nil {
		return
	}
	for _, s := range []struct {
		name string
		run  func()
	}{
		{"the page fills", p.fills},
		{"the search leads to a service", p.searches},
		{"any metric is explored", p.explores},
		{"a service's charts move", p.charts},
		{"a slow connection is told less often", p.slows},
		{"who looks away holds no connection", p.hides},
		{"a fault is named", p.names},
		{"one network's trouble is named", p.namesNetwork},
		{"the roster knows everyone", p.roster},
		{"a mass expiry is not believed", p.guards},
		{"nothing complains, nothing else is asked", p.behaved},
		{"a dead feed is announced", func() { p.announces(b) }},
		{"windows share a browser's connections", p.crowds},
		{"seven windows", p.windows},
		{"a dead server is announced", func() { p.survives(d) }},
	} {
		began := time.Now()
		ok := t.Run(s.name, func(t *testing.T) {
			p.t = t
			s.run()
		})
		t.Logf("%5.1f s: %s", time.Since(began).Seconds(), s.name)
		if !ok {
			break // each step begins where the one before has left the page
		}
	}
}

// everyone is what the demo runs: its eight services, and rollcall itself.
var everyone = []string{"ads", "checkout", "images", "notify", "payments", "rollcall", "search", "timeline", "users"}

// rows reads the services on the first page as [service, answering, expected], and what the strip says, all of one moment.
const rows = `(() => {
	const rows = [...document.querySelectorAll("[data-testid=service-row], [data-testid=service-card]")].map((r) => {
		const [answering, expected] = [...r.querySelectorAll("*")].map((e) => /^([\d,]+) of ([\d,]+)$/.exec(e.textContent)).find((m) => m)?.slice(1).map((n) => Number(n.replace(",", ""))) ?? [];
		return { service: r.dataset.service, answering, expected };
	});
	const strip = document.querySelector("[data-testid=strip]");
	return { rows, answering: Number(strip.dataset.answering), expected: Number(strip.dataset.expected), says: strip.textContent };
})()`

type shownRows struct {
	Rows []struct {
		Service             string
		Answering, Expected int
	}
	Answering, Expected int
	Says                string
}

func (p *tab) fills() {
	await[bool](p, 30*time.Second, "every instance of every service answers", fmt.Sprintf(
		`(({ rows, expected, answering }) => rows.length >= %d && rows.every((r) => r.answering > 0 && r.answering === r.expected) && answering === expected)(%s)`, len(everyone), rows))
	at := eval[shownRows](p, rows)
	var names []string
	var answering, expected int
	for _, r := range at.Rows {
		names = append(names, r.Service)
		answering, expected = answering+r.Answering, expected+r.Expected
	}
	slices.Sort(names)
	if !slices.Equal(names, everyone) {
		p.t.Errorf("the page lists %s", names)
	}
	if at.Answering != answering || at.Expected != expected {
		p.t.Errorf("the strip says %d of %d; its services add up to %d of %d", at.Answering, at.Expected, answering, expected)
	}
	if want := fmt.Sprintf("all %d answering", expected); !strings.Contains(at.Says, want) || !strings.Contains(at.Says, "feed live") {
		p.t.Errorf("the strip says %q, want %q and that the feed is live", at.Says, want)
	}
	age := eval[string](p, `document.querySelector("[data-testid=age]").textContent`)
	if !regexp.MustCompile(`^\d+(\.\d)? s old$`).MatchString(age) {
		p.t.Errorf("the data is %q", age)
	}
}

func (p *tab) searches() {
	p.press("/")
	await[bool](p, 5*time.Second, "/ opens the search", `document.activeElement?.dataset.testid === "palette-input"`)
	p.press("paym")
	await[bool](p, 5*time.Second, "payments is the first hit", `document.querySelector("[data-testid=palette-hit][aria-selected=true]")?.textContent.includes("payments")`)
	p.press(kb.Enter)
	await[bool](p, 5*time.Second, "Enter opens the service", `location.pathname === "/service/payments" && document.querySelector("h1")?.textContent.includes("payments")`)
	p.press(kb.Escape)
	await[bool](p, 5*time.Second, "Escape leads back", `location.pathname === "/" && document.querySelector("main").dataset.page === "now"`)
}

// pick chooses in one of the page's fields that offer what fits.
func (p *tab) pick(field, text string) {
	p.t.Helper()
	sel := chromedp.CSS(fmt.Sprintf("[data-testid=%s]", field))
	p.do(chromedp.Click(sel))
	p.press(text)
	await[bool](p, 10*time.Second, field+" offers "+text, fmt.Sprintf(`[...document.querySelectorAll("[role=option]")].some((o) => o.textContent.startsWith(%q))`, text))
	p.press(kb.Enter)
}

// follow clicks a link of the page by its text.
func (p *tab) follow(text, page string) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`[...document.querySelectorAll("a")].find((a) => a.textContent.trim() === %q && a.offsetParent).click() ?? true`, text))
	await[bool](p, 5*time.Second, text+" opens", fmt.Sprintf(`document.querySelector("main").dataset.page === %q`, page))
}

// points counts what a chart draws.
func points(chart string) string {
	return fmt.Sprintf(`Number(document.querySelector('[data-testid=chart][data-chart="%s"]')?.dataset.points ?? 0)`, chart)
}

func (p *tab) explores() {
	p.follow("Explore", "explore")
	p.pick("explore-service", "users")
	p.pick("explore-metric", "requests")
	await[bool](p, 10*time.Second, "the chart of one metric", points("requests")+` > 1`)
	p.do(chromedp.SetValue(chromedp.CSS("[data-testid=by]"), "version"))
	eval[bool](p, `document.querySelector("[data-testid=by]").dispatchEvent(new Event("change", { bubbles: true }))`)
	lines := await[[]string](p, 10*time.Second, "a line for each of two versions", `(() => {
		const rows = [...document.querySelectorAll("[data-testid=explore-row] [role=rowheader]")].map((e) => e.textContent);
		return document.querySelector("[data-testid=chart]").dataset.lines === "2" && rows.length === 2 && rows.sort();
	})()`)
	if !slices.Equal(lines, []string{"3.0.17", "3.1.0"}) {
		p.t.Errorf("users runs %s", lines)
	}
	if q := eval[string](p, `location.search`); !strings.Contains(q, "service=users") || !strings.Contains(q, "metric=requests") || !strings.Contains(q, "by=version") {
		p.t.Errorf("the address %q does not show the chart again", q)
	}
}

func (p *tab) charts() {
	p.do(chromedp.Navigate(p.origin + "/service/timeline")) // an address opens by itself, too
	await[bool](p, 10*time.Second, "the signals of a service", `["rate", "errors", "latency", "answering"].every((c) => document.querySelector('[data-testid=chart][data-chart="' + c + '"]')?.dataset.points > 0)`)
	await[bool](p, 10*time.Second, "all its instances", `((n) => n > 0 && document.querySelector("main header").textContent.includes(n + " of " + n + " answering"))(document.querySelectorAll("[data-instance][role=row]").length)`)
	p.do(chromedp.Click(chromedp.CSS(`[data-testid=metric][data-metric=requests]`)))
	for _, chart := range []string{"requests", "rate"} { // one a second or two, the other every ten
		first := await[int](p, 15*time.Second, chart+" is drawn", points(chart))
		await[bool](p, 30*time.Second, chart+" goes on", fmt.Sprintf("%s > %d", points(chart), first))
	}
}

// named waits for a finding about a service that says all the words, and returns it with the time at which it was first seen to say so.
func (p *tab) named(service string, words ...string) (text string, at time.Time) {
	p.t.Helper()
	found := await[struct {
		Text string
		At   int64
	}](p, 20*time.Second, fmt.Sprintf("a finding about %s names %s", service, words), fmt.Sprintf(`(() => {
		const f = [...document.querySelectorAll("[data-testid=finding]")].find((f) => f.dataset.service === %q && [%s].every((w) => f.innerText.includes(w)));
		return f && { text: f.innerText, at: Date.now() };
	})()`, service, quoted(words)))
	return found.Text, time.UnixMilli(found.At)
}

func quoted(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(q, ",")
}

// nameWithin is the promise: five seconds from the first scrape that fails, which comes at most an interval after the fault.
const nameWithin = 5*time.Second + interval

// inTime holds a finding to the promise. A machine that did not run this process for a while is forgiven that while, up to as much again: the process
// scrapes, delivers, judges and serves, so what it was kept waiting the finding was kept waiting. A slow judge is not forgiven.
func (p *tab) inTime(what string, took, kept time.Duration) {
	p.t.Helper()
	p.t.Logf("%s after %.1f s; this process was kept waiting %.1f s of it", what, took.Seconds(), kept.Seconds())
	if timed && took > nameWithin+min(kept, nameWithin) {
		p.t.Errorf("%s after %v, want %v (kept waiting %v)", what, took, nameWithin, kept)
	}
}

func (p *tab) names() {
	p.follow("Now", "now")
	// The demo itself breaks nothing in its first 20 s: what is worse than before needs a before, of ten scrapes and more.
	history, within := 2+int(interval/time.Second), 2*time.Minute
	if pictureFile != "" {
		history, within = 88, 20*time.Minute
	} else if picturesFolder != "" {
		history, within = 29, 10*time.Minute
	}
	await[bool](p, within, "the charts have a past", fmt.Sprintf(`(([...all]) => all.length >= 3 && all.every((s) => s.dataset.points >= %d))(document.querySelectorAll("[data-service=search] svg[data-points]"))`, history))
	await[bool](p, time.Minute, "before anything is broken nothing is wrong", `document.querySelector("[data-testid=calm]")?.textContent.includes("Nothing is wrong.")`)
	p.shoot("now-calm")

	m := meter(p.t)
	broken := time.Now()
	p.do(chromedp.Click(chromedp.CSS("[data-testid=break-menu]")), chromedp.Click(chromedp.CSS("[data-testid=break][data-kind=canary]")))
	says := await[string](p, 5*time.Second, "the page says what was broken", `document.querySelector("[data-testid=broken]:not([hidden])")?.textContent`)
	what := regexp.MustCompile(`You broke: (\S+) (\S+), the canary, fails in (us-east-1[a-z])`).FindStringSubmatch(says)
	if what == nil {
		p.t.Fatalf("the page says %q", says)
	}
	service, version, zone := what[1], what[2], what[3]
	p.broken = service
	text, at := p.named(service)
	p.inTime(service+" is named", at.Sub(broken), m.kept())
	if !regexp.MustCompile(regexp.QuoteMeta(service) + " (is failing|is slow|throws)").MatchString(text) {
		p.t.Errorf("of a canary that fails the finding says %q", text)
	}
	text, at = p.named(service, version, zone)
	p.inTime("its version and zone are named", at.Sub(broken), m.kept())
	p.t.Logf("%s", text)

	if !strings.Contains(await[string](p, 5*time.Second, "the page says how long it took", `document.querySelector("[data-testid=broken] b")?.textContent`), "named after") {
		p.t.Error("the page does not say how long it took")
	}
	p.do(chromedp.MouseEvent("mouseMoved", 1, 1))
	if pictureFile != "" || picturesFolder != "" {
		await[bool](p, time.Minute, "the charts show it", `Date.now() > `+fmt.Sprint(broken.Add(45*time.Second).UnixMilli()))
	}
	p.shoot("now-finding")
	p.do(chromedp.Click(chromedp.CSS("[data-testid=broken] button")), chromedp.MouseEvent("mouseMoved", 1, 1))
	if pictureFile != "" {
		p.save("now-light-1440")
		p.keep("now-light-1440")
	}
	p.follow("Open "+service, "service")
	await[bool](p, 10*time.Second, "the service's page shows the finding", fmt.Sprintf(`document.querySelector("[data-testid=finding]")?.dataset.service === %q && document.querySelectorAll("[data-instance][role=row]").length > 0`, service))
	p.shoot("service")
	p.follow("Now", "now")
}

// namesNetwork breaks something as a script would.
func (p *tab) namesNetwork() {
	m := meter(p.t)
	broken := time.Now()
	res, err := http.PostForm(p.origin+"/demo/fault", url.Values{"kind": {"as"}})
	if err != nil {
		p.t.Fatal(err)
	}
	says := readAll(p.t, res)
	what := regexp.MustCompile(`"text":"(\S+) fails for clients of AS(\d+) `).FindStringSubmatch(says)
	if res.StatusCode != http.StatusOK || what == nil {
		p.t.Fatalf("%s: %s", res.Status, says)
	}
	text, at := p.named(what[1], what[2])
	p.inTime(what[1]+" and AS "+what[2]+" are named", at.Sub(broken), m.kept())
	p.t.Logf("%s", text)
}

func (p *tab) roster() {
	p.follow("Roster", "roster")
	n := await[int](p, 10*time.Second, "those who are present", `Number(/\d+/.exec(document.querySelector("[data-testid=roster-counts] [data-state=present]")?.textContent ?? "")?.[0])`)
	if all := eval[int](p, `Number(document.querySelector("[data-testid=strip]").dataset.expected)`); n != all {
		p.t.Errorf("the roster has %d present, the strip expects %d", n, all)
	}
	sources := eval[string](p, `document.querySelector("[data-testid=sources]").textContent`)
	if !strings.Contains(sources, "connected") || strings.Contains(sources, "not connected") {
		p.t.Errorf("the sources are %q", sources)
	}
	p.shoot("roster")
	p.do(chromedp.Click(chromedp.CSS("[data-testid=roster-row] button")))
	await[bool](p, 10*time.Second, "why one is present", `/is present since [\d:]+ UTC.*Its last scrape/s.test(document.querySelector("[data-testid=why]")?.innerText ?? "")`)
	p.do(chromedp.Click(chromedp.CSS("[data-testid=view-paths]")))
	await[bool](p, 10*time.Second, "each path with its age", `((rows) => rows.length === 9 && rows.filter((r) => /[\d.]+ s ago/.test(r.textContent)).length === 8)([...document.querySelectorAll("[data-testid=path-row]")])`)
	p.shoot("roster-paths")
	p.do(chromedp.Navigate(p.origin + "/roster"))
	p.do(chromedp.Click(chromedp.CSS("main input[type=search]")))
	p.press("checkout")
	await[bool](p, 10*time.Second, "the search leaves those of checkout", fmt.Sprintf(`(() => {
		const rows = [...document.querySelectorAll("[data-testid=roster-row]")];
		return rows.length === %d && rows.every((r) => r.textContent.includes("/discovery/checkout/prod"));
	})()`, (n-2)/8))
}

// guards has ZooKeeper forget the fleet, as a script would: the roster does not believe it.
func (p *tab) guards() {
	res, err := http.PostForm(p.origin+"/demo/fault", url.Values{"kind": {"expiry"}})
	if err != nil {
		p.t.Fatal(err)
	}
	if says := readAll(p.t, res); res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s", res.Status, says)
	}
	p.do(chromedp.Navigate(p.origin + "/roster"))
	text := await[string](p, 20*time.Second, "the guard says whose fault it is", `((t) => /ZooKeeper, not you: \d+ of \d+ that vanished answer/.test(t ?? "") && t)(document.querySelector("[data-testid=guard]")?.innerText)`)
	p.t.Logf("%s", text)
	await[bool](p, 10*time.Second, "those who vanished are unconfirmed, and listed first", `document.querySelector("[data-testid=roster-row]")?.dataset.state === "unconfirmed"`)
	p.shoot("roster-guard")
}

// banner is the text of the page's warning about itself in a state, if it is in that state.
func banner(state string) string {
	return fmt.Sprintf(`document.querySelector("[data-testid=connection][data-state=%s]:not([hidden])")?.innerText`, state)
}

func (p *tab) announces(b *testBroker) {
	p.do(chromedp.Navigate(p.origin + "/explore?service=users&metric=requests&w=5m"))
	await[bool](p, 15*time.Second, "a chart to watch", points("requests")+" > 10")
	p.forget()
	b.stop()
	stopped := time.Now()
	text := await[string](p, 25*time.Second, "the dead feed is announced", banner("feed"))
	p.t.Logf("after %.1f s: %s", time.Since(stopped).Seconds(), text)
	if !regexp.MustCompile(`The feed is \w+.*The newest data is [\d.]+ s old`).MatchString(strings.ReplaceAll(text, "\n", " ")) {
		p.t.Errorf("the page says %q", text)
	}
	// What was on its way is in the chart by now; from here on nothing may be added, whatever time passes.
	old := `Number(/newest data is ([\d.]+) s old/.exec(` + banner("feed") + ` ?? "")?.[1] ?? 0)`
	await[bool](p, 15*time.Second, "the age of what is shown", fmt.Sprintf("%s > %d", old, 6*interval/time.Second))
	last := eval[int](p, points("requests"))
	await[bool](p, 30*time.Second, "the age grows", fmt.Sprintf("%s > %d", old, 6*interval/time.Second+6))
	if now := eval[int](p, points("requests")); now > last {
		p.t.Errorf("no data for six intervals, and the chart went on from %d points to %d", last, now)
	}
	p.save("feed-dead-explore-light-1440")
	p.follow("Now", "now")
	await[bool](p, 5*time.Second, "the first page does not say that all is well", `!document.body.innerText.includes("Nothing is wrong.")`)
	p.shoot("feed-dead-now")
	b.start()
	live := await[int64](p, 30*time.Second, "the feed is live again", `document.querySelector("[data-testid=connection]").hidden && document.querySelector("[data-testid=strip]").textContent.includes("feed live") && Date.now()`)
	// What was not seen is not held against anybody.
	says := await[string](p, 30*time.Second, "everyone answers again", fmt.Sprintf(`(() => {
		const blame = [...document.querySelectorAll("[data-testid=finding], [data-testid=ended-finding]")].map((f) => f.innerText).filter((x) => / answer/.test(x));
		if (blame.length) return blame.join("\n");
		return (({ answering, expected }) => answering === expected && Date.now() > %d && "all answer")(%s);
	})()`, live+6000, rows))
	if says != "all answer" {
		p.t.Errorf("the feed was away, and the page blames the instances: %s", says)
	}
}

func (p *tab) survives(d *testDemo) {
	d.stop()
	text := await[string](p, 20*time.Second, "the page notices that its server is gone", banner("lost"))
	if !strings.Contains(text, "No word from rollcall") || !regexp.MustCompile(`What you see is \S+ s old`).MatchString(text) {
		p.t.Errorf("the page says %q", text)
	}
	if title := eval[string](p, `document.title`); !strings.Contains(title, "no data") {
		p.t.Errorf("the title is %q", title)
	}
	p.save("server-gone-light-1440")
}
