package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

type watchCmd struct {
	collectorFlags
	Service string   `arg:"" optional:"" help:"SERVICE or SERVICE/ENV; default: everyone."`
	State   []string `help:"Only changes to these states."`
	Count   int      `help:"End after so many changes; default: when told to."`
	JSON    bool     `help:"One JSON object a line."`
}

// silentFor is how long a stream may say nothing before it is taken for dead: it says that it lives every 5 s.
const silentFor = 20 * time.Second

// watcher follows one collector.
type watcher struct {
	cmd    *watchCmd
	env    *env
	query  url.Values
	colour bool
	last   string // id of the last event
	seen   int
}

// Run prints each change of the roster as it happens. A collector that is away for a while is waited for; one that never answered is an error.
func (c *watchCmd) Run(e *env) error {
	w := &watcher{cmd: c, env: e, query: serviceOf(c.Service), colour: !c.JSON && terminal(e.stdout)}
	if len(c.State) > 0 {
		w.query.Set("state", strings.Join(c.State, ","))
	}
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		before := w.seen
		opened, err := w.follow(e.ctx)
		if e.ctx.Err() != nil || c.Count > 0 && w.seen >= c.Count {
			return nil
		}
		if !opened && w.last == "" {
			return err
		}
		if w.seen > before {
			wait = time.Second
		}
		if w.last == "" {
			w.last = "0-0" // so that the next try does not end with an error
		}
		fmt.Fprintf(e.stderr, "%s the collector is away (%v); trying again in %s\n", time.Now().Format("15:04:05"), err, wait)
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// follow reads one stream to its end.
func (w *watcher) follow(ctx context.Context) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var header []string
	if w.last != "" && w.last != "0-0" {
		header = []string{"Last-Event-ID", w.last}
	}
	res, err := w.cmd.do(ctx, http.MethodGet, "/api/v1/roster/events", w.query, nil, header...)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	alive := time.AfterFunc(silentFor, func() { cancel(fmt.Errorf("no word for %s", silentFor)) })
	defer alive.Stop()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	event := ""
	for lines.Scan() {
		alive.Reset(silentFor)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			w.last = value
		case "event":
			event = value
		case "data":
			w.say(event, value)
			if w.cmd.Count > 0 && w.seen >= w.cmd.Count {
				return true, nil
			}
		}
	}
	if err = context.Cause(ctx); err == nil {
		if err = lines.Err(); err == nil {
			err = io.EOF
		}
	}
	return true, err
}

func (w *watcher) say(event, data string) {
	if event == "gap" {
		var gap struct{ Lost uint64 }
		json.Unmarshal([]byte(data), &gap) // nothing in it: the collector was started anew
		text := "the collector was started anew; what changed meanwhile is not listed"
		if gap.Lost > 0 {
			text = fmt.Sprintf("%d changes came faster than they were read, and are not listed", gap.Lost)
		}
		fmt.Fprintln(w.env.stderr, text)
		return
	}
	w.seen++
	if w.cmd.JSON {
		fmt.Fprintln(w.env.stdout, data)
		return
	}
	var c discovery.Change
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		fmt.Fprintln(w.env.stderr, "a change cannot be read:", err)
		return
	}
	fmt.Fprintln(w.env.stdout, changeLine(&c, w.colour))
}

// colours of states, where the reader is a terminal.
var colours = map[discovery.State]string{discovery.Departed: "\x1b[31m", discovery.Unparsable: "\x1b[31m", discovery.Failing: "\x1b[31m",
	discovery.Unconfirmed: "\x1b[33m", discovery.Quarantined: "\x1b[33m", discovery.Present: "\x1b[32m", discovery.Filtered: "\x1b[2m"}

func changeLine(c *discovery.Change, colour bool) string {
	state := string(c.State)
	if colour {
		state = colours[c.State] + state + "\x1b[0m"
	}
	move := state
	switch {
	case c.Was == "":
		move = "new: " + state
	case c.Was != c.State:
		move = string(c.Was) + " → " + state
	}
	var notes []string
	if c.Was == c.State {
		notes = append(notes, tagMoves(c.OldTags, c.Tags)...)
		switch c.Status {
		case "":
		case discovery.Leaving:
			notes = append(notes, "its registrar says that it is about to leave")
		default:
			notes = append(notes, "status "+c.Status)
		}
	}
	for _, n := range []string{c.Reason, c.Excuse} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	if c.Cause != "" {
		notes = append(notes, "("+string(c.Cause)+")")
	}
	if c.Flaps > 0 {
		notes = append(notes, fmt.Sprintf("left and came back %d×", c.Flaps))
	}
	line := fmt.Sprintf("%s  %s  %s", c.At.Local().Format("15:04:05"), plain(c.ID()), move)
	if len(notes) > 0 {
		line += "  " + plain(strings.Join(notes, "; "))
	}
	return line
}

// tagMoves says which tags are others than before.
func tagMoves(old, now discovery.Tags) (out []string) {
	if old.IsZero() {
		return nil
	}
	for n, v := range now.All() {
		if was := old.Get(n); was != v {
			if was == "" {
				was = "nothing"
			}
			out = append(out, n+" "+was+" → "+v)
		}
	}
	for n := range old.All() {
		if now.Get(n) == "" {
			out = append(out, "no "+n+" any more")
		}
	}
	return out
}

// terminal reports whether w is a screen that may be coloured.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}
