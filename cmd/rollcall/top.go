package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
)

type topCmd struct {
	pageFlags
	Service string `help:"Only services that hold this text in their name, their owner, or what is wrong with them."`
	Env     string `help:"Only this environment."`
	Once    bool   `help:"Print it once, as text, and end."`
}

// topSilent is how long the stream may say nothing before it is taken for dead: it says that it lives every 5 s.
const topSilent = 10 * time.Second

// onceWidth is how wide what goes to no terminal is, unless COLUMNS says else.
const onceWidth = 120

// Run shows services by trouble until it is told to quit.
func (c *topCmd) Run(e *env) error {
	m := &topModel{filter: plain(c.Service), now: time.Now(), colour: terminal(e.stdout)}
	if c.Once {
		return c.once(e, m)
	}
	in, hasIn := e.stdin.(*os.File)
	out, hasOut := e.stdout.(*os.File)
	if !hasIn || !hasOut || !term.IsTerminal(in.Fd()) || !term.IsTerminal(out.Fd()) {
		return usage("top needs a terminal; --once prints the same as text")
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	m.ask = func(service, env string) (*topDetail, error) {
		var d topDetail
		err := c.pageFlags.ask(ctx, http.MethodGet, "/api/v1/service", url.Values{"service": {service}, "env": {env}}, nil, &d)
		return &d, err
	}
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(e.stdout), tea.WithoutSignalHandler())
	go c.follow(ctx, p.Send)
	go func() { // a terminal that is closed hangs up; there is nothing to reload
		select {
		case <-e.reload:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := p.Run()
	if errors.Is(err, tea.ErrProgramKilled) || e.ctx.Err() != nil {
		return nil // by a signal
	}
	return err
}

func (c *topCmd) query() url.Values {
	if c.Env == "" {
		return nil
	}
	return url.Values{"env": {c.Env}}
}

// once prints the first view, every service.
func (c *topCmd) once(e *env, m *topModel) error {
	var now topEvent
	if err := c.ask(e.ctx, http.MethodGet, "/api/v1/now", c.query(), nil, &now); err != nil {
		return err
	}
	m.apply(&now, m.now)
	m.width = onceWidth
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n >= 40 {
		m.width = min(n, 1000)
	}
	_, err := fmt.Fprintln(e.stdout, m.screen())
	return err
}

// follow tells of each event of the stream until ctx ends. Where the connection is lost, that is told, and it is sought again.
func (c *topCmd) follow(ctx context.Context, send func(tea.Msg)) {
	const least, most = time.Second, 5 * time.Second
	for wait := least; ; wait = min(2*wait, most) {
		heard, err := c.stream(ctx, send)
		if ctx.Err() != nil {
			return
		}
		if heard {
			wait = least
		}
		send(topLost{err})
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// stream reads one stream to its end.
func (c *topCmd) stream(ctx context.Context, send func(tea.Msg)) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(topSilent, func() { cancel(fmt.Errorf("no word for %s", topSilent)) })
	defer alive.Stop()
	res, err := c.do(ctx, http.MethodGet, "/api/v1/stream", c.query(), nil)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, err
	}
	defer res.Body.Close()
	err = readTop(res.Body, func() { alive.Reset(topSilent) }, func(e *topEvent) {
		heard = true
		send(topHeard{e, time.Now()})
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return heard, err
}

// maxTopEvent bounds one event: the whole of 20,000 services with their sparks is less.
const maxTopEvent = 64 << 20

// readTop calls f with each event of a stream, and line at each line.
func readTop(r io.Reader, line func(), f func(*topEvent)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxTopEvent)
	for lines.Scan() {
		line()
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var e topEvent
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read the page's events: %w", err)
		}
		f(&e)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the page has ended the stream")
}
