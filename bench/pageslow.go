package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// pageSlow is what became of a page that was held back for a while.
type pageSlow struct {
	what, how      string
	before, while  pageFlow
	told           string
	toldIn, overIn time.Duration // since it was held back, and since it was let go; 0: not within its time
}

// pageFlow is what goes out to a page in a second.
type pageFlow struct{ events, bytes float64 }

const (
	// slowWithin bounds all of it; on a machine with nothing else to do it takes a minute.
	slowWithin = 75 * time.Second
	// slowCount is how long is counted what goes out, the first time and while the connection is slow: in ten seconds charts have one step.
	slowCount = 10 * time.Second
	// briefly is that of a slow browser, which is for events alone: each second it has one, or every so many none.
	briefly = 5 * time.Second
	slower  = 20 // times, of the processor
)

// slow holds a page back twice, by its connection and by its processor, and lets it go: is it told less often, does it say so, and that it is over?
func (b *pageBrowser) slow(ctx context.Context, addr string, served *process, say func(string, ...any)) (out []pageSlow, err error) {
	line, err := testenv.NewLine(addr)
	if err != nil {
		return nil, err
	}
	defer line.Close()
	throttle := func(rate float64) error {
		_, err := chromedp.Call(b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: rate})
		return err
	}
	end := time.Now().Add(slowWithin)
	if _, err := b.load("http://"+line.Addr, pageLooks[0]); err != nil {
		return nil, err
	}
	before, err := b.flow(served, slowCount)
	if err != nil {
		return nil, err
	}
	for _, way := range []struct {
		what, addr string // empty: the page that is open
		count      time.Duration
		hold       func(pageFlow) (string, error)
		free       func() error
	}{
		{"connection", "", slowCount, func(f pageFlow) (string, error) {
			line.Slow(int(f.bytes / 2))
			return fmt.Sprintf("half of what it takes, %.0f KB/s", f.bytes/2/1024), nil
		}, func() error { line.Slow(0); return nil }},
		{"browser", addr, briefly, func(pageFlow) (string, error) {
			return fmt.Sprintf("a processor %d times slower", slower), throttle(slower)
		}, func() error { return throttle(1) }},
	} {
		if way.addr != "" {
			if _, err := b.load("http://"+way.addr, pageLooks[0]); err != nil {
				return out, err
			}
		}
		s := pageSlow{what: way.what, before: before}
		if s.how, err = way.hold(before); err == nil {
			err = s.measure(ctx, b, served, way.count, end, way.free)
		}
		if err = errors.Join(err, way.free()); err != nil {
			return out, fmt.Errorf("slow %s: %w", way.what, err)
		}
		say("slow %s: told after %.1f s, over after %.1f s", s.what, s.toldIn.Seconds(), s.overIn.Seconds())
		out = append(out, s)
	}
	return out, nil
}

// slowed is what the page says of its pace while it has one, and over what it says when that has ended.
const (
	slowed = `((e) => !e.hidden && Number(e.dataset.every) > 0 ? e.textContent : "")(document.querySelector("[data-testid=slowed]"))`
	over   = `((e) => !e.hidden && Number(e.dataset.every) === 0 ? e.textContent : "")(document.querySelector("[data-testid=slowed]"))`
)

func (s *pageSlow) measure(ctx context.Context, b *pageBrowser, served *process, count time.Duration, end time.Time, free func() error) (err error) {
	began := time.Now()
	if s.told, err = b.says(ctx, slowed, end.Add(-count)); err != nil || s.told == "" {
		return err
	}
	s.toldIn = time.Since(began)
	if s.while, err = b.flow(served, count); err != nil {
		return err
	}
	let := time.Now()
	if err := free(); err != nil {
		return err
	}
	said, err := b.says(ctx, over, end)
	if said != "" {
		s.overIn = time.Since(let)
	}
	return err
}

// flow counts for a while what goes out to the page. Its whole event has gone out when its first row is on the screen.
func (b *pageBrowser) flow(served *process, d time.Duration) (pageFlow, error) {
	var at pageServed
	if err := served.ask("figures", &at); err != nil {
		return pageFlow{}, err
	}
	if err := b.wait(d); err != nil {
		return pageFlow{}, err
	}
	err := served.ask("figures", &at)
	return pageFlow{float64(at.Events) / at.Seconds, float64(at.Bytes) / at.Seconds}, err
}

// says waits until the page says something; empty: it has not until then.
func (b *pageBrowser) says(ctx context.Context, js string, until time.Time) (string, error) {
	for ctx.Err() == nil {
		said, err := eval[string](b, js)
		if err != nil || said != "" {
			return said, err
		}
		if time.Now().After(until) {
			return "", nil
		}
		if err := b.wait(200 * time.Millisecond); err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

// printSlow writes what became of pages that were held back.
func printSlow(w io.Writer, all []pageSlow, markdown bool, reach func(what string, met bool, got string)) {
	t := rows{{"held back", "by", "told after", "events a second before", "while", "ratio", "KB a second before", "while", "ratio", "over after"}}
	within := func(d time.Duration) string {
		if d == 0 {
			return "not in time"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	for _, s := range all {
		events, bytes := s.while.events/s.before.events, s.while.bytes/s.before.bytes
		one := func(v float64) string { return fmt.Sprintf("%.1f", v) }
		t.add(s.what, s.how, within(s.toldIn), one(s.before.events), one(s.while.events), fmt.Sprintf("%.2f", events), one(s.before.bytes/1024), one(s.while.bytes/1024), fmt.Sprintf("%.2f", bytes), within(s.overIn))
		reach(fmt.Sprintf("a slow %s is told less often, and says so", s.what), s.toldIn > 0 && events < .8, s.told)
		reach(fmt.Sprintf("a %s that keeps up again is told as before, and says so", s.what), s.overIn > 0, within(s.overIn))
	}
	t.write(w, markdown)
}
