package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/profiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// pageBrowser is a real browser with one empty page.
type pageBrowser struct {
	ctx     context.Context
	version string
	keep    string // folder for traces and profiles; empty: none are kept

	mu     sync.Mutex
	traced []traceEvent
	done   chan struct{} // closed when the trace has come whole
}

// pageFound is what was measured of one page.
type pageFound struct {
	name     string
	seconds  float64
	frames   []pageFrame
	lags     []float64 // ms from the tick of which an event speaks to the end of the frame that draws it
	long     int       // frames of more than 50 ms, as the browser itself counts them
	longest  float64   // of them, ms
	loaded   float64   // ms to the first row on the screen, with nothing in the browser's cache
	heap     float64   // bytes after a collection, at the end
	heapMost float64   // whatever is in it
	growth   float64   // bytes a minute, between collections at both ends
	nodes    int
	served   pageServed
}

// watchPage runs in the page before anything of its own: it notes when news is on the screen. It asks for no frame of its own.
const watchPage = `(() => {
	const w = (window.watched = { lags: [], long: [], loaded: 0, ready: "" });
	new PerformanceObserver((l) => { for (const e of l.getEntries()) w.long.push(e.duration); }).observe({ type: "long-animation-frame", buffered: true });
	const channel = new MessageChannel();
	const after = [];
	channel.port1.onmessage = () => { for (const f of after.splice(0)) f(); };
	// The frame that is under way, or the next one, draws what has just changed; what is posted in it comes when it is drawn.
	const drawn = (f) => requestAnimationFrame(() => { after.push(f); channel.port2.postMessage(0); });
	let last = "";
	new MutationObserver(() => {
		if (!w.loaded && w.ready && document.querySelector(w.ready)) { w.loaded = -1; drawn(() => (w.loaded = performance.now())); }
		const asOf = document.querySelector("[data-testid=strip]")?.dataset.asOf ?? "";
		if (asOf === last) return;
		last = asOf;
		drawn(() => w.lags.push(Date.now() - Number(asOf)));
	}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-as-of"] });
})();`

func openPageBrowser(ctx context.Context, program, keep string) (*pageBrowser, func(), error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); program == "" && err == nil {
			program = path
		}
	}
	if program == "" {
		return nil, nil, errors.New("start a browser: there is no Chromium and no Chrome in the PATH; name one with -browser")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU, chromedp.WindowSize(1440, 980),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"))
	if os.Getuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	ctx, stopProgram := chromedp.NewExecAllocator(ctx, flags...)
	ctx, stopPage := chromedp.NewContext(ctx)
	stop := func() { stopPage(); stopProgram() }
	b := &pageBrowser{ctx: ctx, keep: keep}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start %s: %w", program, err)
	}
	v, err := chromedp.CallBrowser(ctx, browser.GetVersion, cdp.Empty{})
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("start %s: %w", program, err)
	}
	b.version = v.Product
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watchPage}); err != nil {
		stop()
		return nil, nil, err
	}
	return b, stop, nil
}

// hear takes a trace in as it comes.
func (b *pageBrowser) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *tracing.EventDataCollected:
		for _, v := range ev.Value {
			var e traceEvent
			if json.Unmarshal(v, &e) == nil {
				b.traced = append(b.traced, e)
			}
		}
	case *tracing.EventTracingComplete:
		if b.done != nil {
			close(b.done)
			b.done = nil
		}
	}
}

// trace is what the browser did for a while.
func (b *pageBrowser) trace(length time.Duration) ([]traceEvent, error) {
	done := make(chan struct{})
	b.mu.Lock()
	b.traced, b.done = nil, done
	b.mu.Unlock()
	_, err := chromedp.Call(b.ctx, tracing.Start, tracing.StartParams{TransferMode: tracing.StartTransferModeReportEvents, TraceConfig: &tracing.TraceConfig{
		RecordMode: tracing.TraceConfigRecordModeRecordAsMuchAsPossible, IncludedCategories: []string{"devtools.timeline", "disabled-by-default-devtools.timeline", "devtools.timeline.frame", "toplevel"},
		ExcludedCategories: []string{"*"}}})
	if err != nil {
		return nil, err
	}
	if err := b.wait(length); err != nil {
		return nil, err
	}
	if _, err := chromedp.Call(b.ctx, tracing.End, cdp.Empty{}); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	case <-time.After(time.Minute):
		return nil, errors.New("the browser does not give its trace")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.traced
	b.traced = nil
	return all, nil
}

func (b *pageBrowser) wait(d time.Duration) error {
	select {
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func eval[T any](b *pageBrowser, js string) (T, error) {
	return chromedp.Run(b.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
}

// heap is what is in the page's heap; after a collection if it is asked for.
func (b *pageBrowser) heap(collect bool) (float64, error) {
	if collect {
		if _, err := chromedp.Call(b.ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			return 0, err
		}
	}
	u, err := chromedp.Call(b.ctx, runtime.GetHeapUsage, cdp.Empty{})
	return u.UsedSize + u.EmbedderHeapUsedSize, err
}

// pageSettle is how long a page is left alone before it is measured; pageTurn is one trace.
const (
	pageSettle = 5 * time.Second
	pageTurn   = 15 * time.Second
)

// load opens a page and waits for its first row.
func (b *pageBrowser) load(origin string, l pageLook) (float64, error) {
	err := chromedp.Do(b.ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(origin+l.path))
	if err != nil {
		return 0, err
	}
	return eval[float64](b, fmt.Sprintf(`new Promise((ok, late) => {
		watched.ready = %q;
		document.documentElement.setAttribute("data-as-of", "");
		const end = Date.now() + 60000;
		const look = () => watched.loaded > 0 ? ok(watched.loaded) : Date.now() > end ? late(new Error("nothing is shown: " + document.body.innerText.slice(0, 300))) : setTimeout(look, 20);
		look();
	})`, l.ready))
}

// look measures one page.
func (b *pageBrowser) look(ctx context.Context, origin string, l pageLook, length time.Duration, say func(string, ...any)) (f pageFound, err error) {
	f.name = l.name
	if f.loaded, err = b.load(origin, l); err != nil {
		return f, err
	}
	if err := b.wait(pageSettle); err != nil {
		return f, err
	}
	first, err := b.heap(true)
	if err != nil {
		return f, err
	}
	if err := b.wait(2 * time.Second); err != nil { // the collection is none of the page's
		return f, err
	}
	begun := time.Now()
	if _, err := eval[bool](b, `((watched.lags.length = 0), (watched.long.length = 0), true)`); err != nil {
		return f, err
	}
	told := begun
	for left := length; ctx.Err() == nil && left > 0; left = length - time.Since(begun) {
		if time.Since(told) >= time.Minute {
			told = time.Now()
			say("%s: %v more", l.name, left.Round(time.Second))
		}
		all, err := b.trace(min(pageTurn, left))
		if err != nil {
			return f, err
		}
		if err := b.save(l.name+".trace.json", all); err != nil {
			return f, err
		}
		f.frames = append(f.frames, framesOf(all)...)
		now, err := b.heap(false)
		if err != nil {
			return f, err
		}
		f.heapMost = max(f.heapMost, now)
	}
	f.seconds = time.Since(begun).Seconds()
	if err := b.profile(l.name); err != nil {
		return f, err
	}
	type noted struct {
		Lags, Long []float64
		Nodes      int
	}
	n, err := eval[noted](b, `({ lags: watched.lags, long: watched.long, nodes: document.querySelectorAll("*").length })`)
	if err != nil {
		return f, err
	}
	f.lags, f.nodes = n.Lags, n.Nodes
	for _, d := range n.Long {
		f.long++
		f.longest = max(f.longest, d)
	}
	if f.heap, err = b.heap(true); err != nil {
		return f, err
	}
	f.growth = (f.heap - first) / (f.seconds / 60)
	return f, ctx.Err()
}

// save keeps something in the folder for it, if there is one.
func (b *pageBrowser) save(name string, what any) error {
	if b.keep == "" {
		return nil
	}
	text, err := json.Marshal(what)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.keep, name), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// profile says where the page's script spends its time, once its figures are taken: a profiler costs something itself.
func (b *pageBrowser) profile(name string) error {
	if b.keep == "" {
		return nil
	}
	if _, err := chromedp.Call(b.ctx, profiler.Enable, cdp.Empty{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(b.ctx, profiler.SetSamplingInterval, profiler.SetSamplingIntervalParams{Interval: 100}); err != nil {
		return err
	}
	if _, err := chromedp.Call(b.ctx, profiler.Start, cdp.Empty{}); err != nil {
		return err
	}
	if err := b.wait(pageTurn); err != nil {
		return err
	}
	out, err := chromedp.Call(b.ctx, profiler.Stop, cdp.Empty{})
	if err != nil {
		return err
	}
	if _, err := chromedp.Call(b.ctx, profiler.Disable, cdp.Empty{}); err != nil {
		return err
	}
	return b.save(name+".cpuprofile", out.Profile)
}
