package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pagePlan is what is looked at, and for how long.
type pagePlan struct {
	services, each int
	length         time.Duration // of the first page; the others a third of it
	browser        string
	markdown       bool
	only           string
	keep           string // folder for traces and profiles
	noTargets      bool
}

// pageLook is one page that is looked at.
type pageLook struct {
	name, path string
	ready      string // what is there once the page is, as a selector
}

var pageLooks = []pageLook{
	{"now", "/?env=prod", "[data-testid=service-row]"},
	{"services", "/services?env=prod", "[data-testid=services-row]"},
	{"service", "/service/search-0001?env=prod", "[data-testid=instance-row]"},
	{"roster", "/roster?env=prod", "[data-testid=roster-row]"},
}

// partSlow is looked at after the pages: one that is held back.
const partSlow = "slow"

// pageParts are all that can be asked for.
func pageParts() (out []string) {
	for _, l := range pageLooks {
		out = append(out, l.name)
	}
	return append(out, partSlow)
}

// benchPage has a real browser show the page of a fleet that changes as a whole each second, and says what that costs it.
func benchPage(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench page", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var p pagePlan
	flags.IntVar(&p.services, "services", 2000, "services, each of which changes each second")
	flags.IntVar(&p.each, "each", 10, "instances of each, all of which are pulled each second")
	flags.DurationVar(&p.length, "for", 3*time.Minute, "look at the first page so long, and at each of the others for a third of it")
	flags.StringVar(&p.browser, "browser", "", "the browser's program; default: the first Chromium or Chrome of the PATH")
	flags.StringVar(&p.only, "only", "", "only these, by comma: "+strings.Join(pageParts(), ", ")+"; slow is a page that is held back by its connection and by its processor, for a minute")
	flags.StringVar(&p.keep, "keep", "", "keep traces (NAME.trace.json), the page's profiles (NAME.cpuprofile) and the server's (serve.pprof) in this folder")
	flags.BoolVar(&p.noTargets, "no-targets", false, "do not fail where a target is missed")
	flags.BoolVar(&p.markdown, "markdown", false, "print tables as Markdown")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("parse flags: %q is left over", flags.Args())
	}
	if p.services < 10 || p.each < 1 || p.services*p.each > 200_000 || p.length < 15*time.Second {
		return errors.New("parse flags: give -services of 10 or more, -each of one or more, 200,000 instances at most, and -for of 15s or more")
	}
	for part := range strings.SplitSeq(p.only, ",") {
		if p.only != "" && !slices.Contains(pageParts(), part) {
			return fmt.Errorf("parse flags: -only=%q is none of %s", part, strings.Join(pageParts(), ", "))
		}
	}
	if p.keep != "" {
		if err := os.MkdirAll(p.keep, 0o755); err != nil {
			return fmt.Errorf("parse flags: -keep: %w", err)
		}
	}
	return p.run(ctx, stdout, stderr)
}

func (p *pagePlan) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%5.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	say("%d services of %d instances each get a past of 15 minutes", p.services, p.each)
	ask := []string{"page-serve", fmt.Sprintf("-services=%d", p.services), fmt.Sprintf("-each=%d", p.each)}
	if p.keep != "" {
		ask = append(ask, "-profile="+filepath.Join(p.keep, "serve.pprof"))
	}
	served, err := startSelf(ctx, "page-serve", anyCore, ask...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, served.end()) }()
	var at pageServed
	if err := served.answer("start", &at); err != nil {
		return err
	}
	script, style, err := pageWeight(ctx, at.Addr)
	if err != nil {
		return err
	}
	b, stop, err := openPageBrowser(ctx, p.browser, p.keep)
	if err != nil {
		return err
	}
	defer stop()
	say("%s; the page is at http://%s", b.version, at.Addr)
	select { // a while of calm, so that what breaks is found
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Second):
	}
	if err := served.ask("break", &at); err != nil {
		return err
	}
	r := pageReport{plan: p, version: b.version, script: script, style: style}
	length := p.length
	for _, l := range pageLooks {
		if !wanted(p.only, l.name) {
			continue
		}
		say("%s for %v", l.name, length)
		if err := served.ask("figures", &at); err != nil {
			return err
		}
		f, err := b.look(ctx, "http://"+at.Addr, l, length, say)
		if err != nil {
			return fmt.Errorf("look at %s: %w", l.name, err)
		}
		if err := served.ask("figures", &f.served); err != nil {
			return err
		}
		r.pages = append(r.pages, f)
		length = max(p.length/3, 15*time.Second)
	}
	if wanted(p.only, partSlow) {
		say("a page that is held back, for a minute")
		if r.slow, err = b.slow(ctx, at.Addr, served, say); err != nil {
			return fmt.Errorf("hold a page back: %w", err)
		}
	}
	if missed := r.print(stdout); len(missed) > 0 && !p.noTargets {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// pageWeight is how many bytes of script and of style the page loads, as they come over the network.
func pageWeight(ctx context.Context, addr string) (script, style int, err error) {
	get := func(path string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept-Encoding", "gzip") // and so it is not unpacked
		if path == "/" {
			req.Header.Set("Accept-Encoding", "identity")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", path, res.Status)
		}
		return io.ReadAll(res.Body)
	}
	index, err := get("/")
	if err != nil {
		return 0, 0, err
	}
	for _, part := range strings.Split(string(index), `"`) {
		if !strings.HasPrefix(part, "/assets/") {
			continue
		}
		b, err := get(part)
		if err != nil {
			return 0, 0, err
		}
		if strings.HasSuffix(part, ".css") {
			style += len(b)
		} else {
			script += len(b)
		}
	}
	return script, style, nil
}
