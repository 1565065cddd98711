package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// pictures is where screenshots go: nothing that git keeps.
const pictures = "../../artefacts"

// tab is one page in a browser of its own. It keeps every address that was asked for and everything that the browser complained about.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string
	broken string // the service whose canary fails
	story  string // the address of the finding about it

	mu         sync.Mutex
	asked      []string
	complaints []string
}

// openTab starts a browser with one empty page; it ends with the test.
func openTab(t *testing.T, program, origin string) *tab {
	t.Helper()
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1440, 980),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true), chromedp.Flag("no-pings", true),
		// Whatever the page, or the browser itself, may ask for: no name leads anywhere.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(stop)
	ctx, stopTab := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(stopTab)
	p := &tab{t: t, ctx: ctx, origin: origin}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	send(p, network.Enable, network.EnableParams{})
	send(p, log.Enable, cdp.Empty{})
	send(p, runtime.Enable, cdp.Empty{})
	send(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.refusals = [];
		document.addEventListener("securitypolicyviolation", (e) => refusals.push(e.violatedDirective + " " + e.blockedURI));`})
	return p
}

// note keeps what matters of the browser's events.
func (p *tab) note(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	complain := func(format string, args ...any) { p.complaints = append(p.complaints, fmt.Sprintf(format, args...)) }
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, ev.Request.URL)
	case *network.EventWebSocketCreated:
		p.asked = append(p.asked, ev.URL)
	case *runtime.EventConsoleAPICalled:
		text := make([]string, len(ev.Args))
		for i, a := range ev.Args {
			text[i] = a.Description + string(a.Value)
		}
		complain("console.%s: %s", ev.Type, strings.Join(text, " "))
	case *runtime.EventExceptionThrown:
		complain("%s: %s", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		complain("%s %s: %s %s", ev.Entry.Source, ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
	}
}

// behaved fails the test for anything on the console, anything that the page's own policy refused, and any request to another host.
func (p *tab) behaved() {
	p.t.Helper()
	for _, r := range eval[[]string](p, `window.refusals`) {
		p.t.Errorf("the content security policy refused %s", r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		p.t.Errorf("the browser complains: %s", c)
	}
	if len(p.asked) < 4 { // the page, its script, its style, its stream
		p.t.Errorf("only %d requests were seen: %s", len(p.asked), p.asked)
	}
	for _, u := range p.asked {
		if !strings.HasPrefix(u, p.origin+"/") && !strings.HasPrefix(u, "data:") {
			p.t.Errorf("the page asked for %s", u)
		}
	}
}

// forget forgets what the browser complained about: of what a test does on purpose.
func (p *tab) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = nil
}

// do runs steps in the page.
func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func send[P, R any](p *tab, c cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, c, params); err != nil {
		p.t.Fatalf("%s: %v", c.Method, err)
	}
}

// press presses and releases keys one by one, as a keyboard does: a page that takes the pressing for itself gets no character of it.
func (p *tab) press(keys string) {
	p.t.Helper()
	for _, r := range keys {
		events := kb.Encode(r)
		down, up := *events[0], *events[len(events)-1]
		if len(events) == 3 {
			down.Text, down.UnmodifiedText = events[1].Text, events[1].UnmodifiedText
		}
		send(p, input.DispatchKeyEvent, down)
		send(p, input.DispatchKeyEvent, up)
	}
}

// eval is the value of an expression in the page.
func eval[T any](p *tab, js string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s\n%v", js, err)
	}
	return v
}

// await is the first value of an expression that is true. chromedp's own Poll makes functions out of text, which the page's policy rightly refuses.
func await[T any](p *tab, within time.Duration, what, js string) T {
	p.t.Helper()
	within *= patience
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](fmt.Sprintf(`new Promise((found, late) => {
		const end = performance.now() + %d;
		const look = () => {
			const v = (%s);
			if (v) found(v);
			else if (performance.now() > end) late(new Error("not within %s"));
			else setTimeout(look, 40);
		};
		look();
	})`, within.Milliseconds(), js, within), chromedp.EvalAwaitPromise))
	if err != nil {
		p.save("failed")
		p.t.Fatalf("%s: %v\n%s", what, err, eval[string](p, `location.href + "\n" + document.body.innerText.slice(0, 3000)`))
	}
	return v
}

// screen is a size that people have.
type screen struct {
	name          string
	width, height int64
	mobile        bool
}

var screens = []screen{{"1440", 1440, 980, false}, {"390", 390, 844, true}}

// wear shows the page on a screen in a scheme, light or dark.
func (p *tab) wear(s screen, scheme string) {
	p.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if s.mobile {
		options = append(options, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	p.do(chromedp.EmulateViewport(s.width, s.height, options...))
	send(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	await[bool](p, 10*time.Second, "the page takes its new size", fmt.Sprintf(
		`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches && [...document.querySelectorAll("main canvas")].every((c) => c.getBoundingClientRect().right <= innerWidth)`, s.width, scheme))
}

// shoot saves the page as it is on every screen and in both schemes, and fails the test where it is wider than its screen. It leaves it as it began.
func (p *tab) shoot(name string) {
	p.t.Helper()
	var grounds []string
	for _, s := range screens {
		for _, scheme := range []string{"light", "dark"} {
			p.wear(s, scheme)
			// Two frames: what the change of size set off has been drawn by then.
			ground := eval[string](p, `new Promise((ok) => { scrollTo(0, 0); requestAnimationFrame(() => requestAnimationFrame(() => ok(getComputedStyle(document.body).backgroundColor))) })`)
			if over := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				p.t.Errorf("%s on a screen of %s is %d pixels too wide: %s", name, s.name, over, eval[string](p, widest))
			}
			p.save(fmt.Sprintf("%s-%s-%s", name, scheme, s.name))
			if !s.mobile || scheme == "light" {
				p.show(name, fmt.Sprintf("%s-%s", scheme, s.name))
			}
			grounds = append(grounds, ground)
		}
	}
	slices.Sort(grounds)
	if n := len(slices.Compact(grounds)); n != 2 {
		p.t.Errorf("%s in light and dark has %d grounds", name, n)
	}
	p.wear(screens[0], "light")
}

// widest names the elements whose content reaches furthest out of them, of those that nothing around them cuts off.
const widest = `(() => {
	const free = (e) => { for (let p = e; p; p = p.parentElement) if (p !== document.body && p !== document.documentElement && getComputedStyle(p).overflowX !== "visible") return false; return true };
	return [...document.querySelectorAll("body *")].filter((e) => e.scrollWidth > Math.max(e.clientWidth, innerWidth - 1) && free(e)).slice(-4)
		.map((e) => e.tagName + "." + (e.className.baseVal ?? e.className) + " in " + e.parentElement?.className + " " + e.scrollWidth + " " + e.textContent.slice(0, 40)).join(", ");
})()`

func (p *tab) save(name string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(pictures, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Errorf("take a picture: %v", err)
	}
}
