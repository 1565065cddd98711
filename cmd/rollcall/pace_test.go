package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// note is what the page says of its pace, if it says something that fits.
func note(fits string) string {
	return fmt.Sprintf(`((e) => !e.hidden && /%s/.test(e.textContent) && e.textContent)(document.querySelector("[data-testid=slowed]"))`, fits)
}

// slows gives the page a connection that carries less than there is to say, and takes that back.
func (p *tab) slows() {
	line, err := testenv.NewLine(strings.TrimPrefix(p.origin, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer line.Close()
	p.do(chromedp.Navigate("http://" + line.Addr))
	await[bool](p, 20*time.Second, "the page by way of the line", `document.querySelectorAll("[data-testid=service-row]").length > 5`)
	if said := eval[bool](p, `document.querySelector("[data-testid=slowed]").textContent !== ""`); said {
		p.t.Error("a page that keeps up says something of its pace")
	}
	began := time.Now()
	line.Slow(150)
	said := await[string](p, 60*time.Second, "a connection that carries too little is told of", note("The connection does not keep up"))
	p.t.Logf("after %.1f s: %s", time.Since(began).Seconds(), said)
	if !regexp.MustCompile(`news every (2\.0|5\.0|10) s since [\d:]+ UTC, not as it comes\. A nearer or less busy network helps`).MatchString(said) {
		p.t.Errorf("the page says %q", said)
	}
	lifted := time.Now()
	line.Slow(0)
	await[bool](p, 30*time.Second, "its events are further apart", `(() => {
		const now = Number(document.querySelector("[data-testid=strip]").dataset.asOf);
		const seen = (window.seen ??= []);
		if (seen.at(-1) !== now) seen.push(now);
		return Number(document.querySelector("[data-testid=slowed]").dataset.every) > 0 && seen.at(-1) - seen.at(-2) > 1500;
	})()`)
	said = await[string](p, 90*time.Second, "that this is over is told of", note("The connection keeps up again: news as it comes since"))
	p.t.Logf("%.1f s after it was mended: %s", time.Since(lifted).Seconds(), said)
	if ended := eval[int](p, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/api/v1/stream?")).length`); ended > 0 {
		p.t.Errorf("%d of the page's streams have ended: the pace of one can be changed", ended)
	}
	p.mu.Lock()
	p.asked = slices.DeleteFunc(p.asked, func(u string) bool { return strings.HasPrefix(u, "http://"+line.Addr) }) // which is this page's, too
	p.mu.Unlock()
	p.do(chromedp.Navigate(p.origin))
	await[bool](p, 20*time.Second, "the page as it was", `document.querySelectorAll("[data-testid=service-row]").length > 5 && document.querySelector("[data-testid=strip]").dataset.asOf > ""`)
	p.forget() // the line's end was no friendly one
}

// streams is how many the server has open.
func (p *tab) streams() (n int) {
	p.t.Helper()
	res, err := http.Get(p.origin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	_, after, _ := strings.Cut(readAll(p.t, res), "\nrollcall_web_streams ")
	if _, err := fmt.Sscan(after, &n); err != nil {
		p.t.Fatalf("streams: %v", err)
	}
	return n
}

// hides looks away and back: meanwhile the page has no connection, and its title is kept true.
func (p *tab) hides() {
	if n := p.streams(); n != 1 {
		p.t.Fatalf("%d streams are open", n)
	}
	// As if it had been hidden for a quarter of a minute already.
	look := func(hidden bool) string {
		return fmt.Sprintf(`(() => {
			const now = Date.now;
			Date.now = () => now() - 20_000;
			Object.defineProperty(document, "hidden", { get: () => %v, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"));
			Date.now = now;
			return document.querySelector("[data-testid=strip]").dataset.asOf;
		})()`, hidden)
	}
	eval[string](p, look(true))
	p.until("a page that nobody sees holds no stream", func() bool { return p.streams() == 0 })
	if state := eval[string](p, `document.querySelector("[data-testid=connection]").dataset.state`); state != "resting" {
		p.t.Errorf("the page is %s", state)
	}
	was := eval[string](p, look(false))
	await[bool](p, 10*time.Second, "who looks again sees how things are now", fmt.Sprintf(`document.querySelector("[data-testid=strip]").dataset.asOf > %q && document.querySelector("[data-testid=connection]").dataset.state === "fresh"`, was))
}

// crowds has other windows of the same browser hold as many streams as it may.
func (p *tab) crowds() {
	name := eval[string](p, `localStorage.getItem("rollcall-browser")`)
	p.do(chromedp.Navigate("about:blank"))
	p.until("the page that is left lets its stream go", func() bool { return p.streams() == 0 })
	ctx, end := context.WithCancel(p.t.Context())
	defer end()
	for range 4 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.origin+"/api/v1/stream?browser="+name, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		go io.Copy(io.Discard, res.Body)
	}
	p.do(chromedp.Navigate(p.origin))
	said := await[string](p, 10*time.Second, "it says that others hold the connections", note("Other windows of this browser hold its connections to rollcall: news every 10 s"))
	p.t.Log(said)
	await[bool](p, 5*time.Second, "and shows what there is", `document.querySelectorAll("[data-testid=service-row]").length > 5 && document.querySelector("[data-testid=connection]").hidden`)
	end()
	// It comes again by itself; this is sooner.
	await[string](p, 15*time.Second, "it has a stream of its own again", `(window.dispatchEvent(new Event("online")), `+note("There is a connection for this window again")+`)`)
}

// until waits for what is not in the page.
func (p *tab) until(what string, good func() bool) {
	p.t.Helper()
	for end := time.Now().Add(10 * time.Second * patience); !good(); {
		if time.Now().After(end) {
			p.t.Fatal(what + ": not within 10 s")
		}
		eval[bool](p, `new Promise((ok) => setTimeout(ok, 50, true))`)
	}
}

// Seven windows of one browser, all of them seen: each shows what there is, and each can ask what it likes.
func (p *tab) windows() {
	begun := time.Now()
	var others []*tab
	for range 6 {
		ctx, stop := chromedp.NewContext(p.ctx)
		defer stop()
		q := &tab{t: p.t, ctx: ctx, origin: p.origin}
		q.do(chromedp.Navigate(p.origin))
		others = append(others, q)
	}
	for i, q := range others {
		await[bool](q, 20*time.Second, fmt.Sprintf("window %d shows what there is", i+2), `document.querySelectorAll("[data-testid=service-row]").length > 5 && document.querySelector("[data-testid=connection]").hidden`)
		if answer := eval[int](q, `fetch("/api/v1/me").then((r) => r.status)`); answer != 200 {
			p.t.Errorf("window %d is answered %d", i+2, answer)
		}
	}
	p.t.Logf("seven windows after %.1f s: %s", time.Since(begun).Seconds(), eval[string](others[5], `document.visibilityState + " " + document.querySelector("[data-testid=slowed]").textContent`))
}
