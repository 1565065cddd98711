package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/discovery"
)

type lsCmd struct {
	collectorFlags
	Service string   `arg:"" optional:"" help:"SERVICE or SERVICE/ENV; default: everyone."`
	State   []string `help:"Only these: present, unconfirmed, quarantined, failing, departed, unparsable, filtered, or scraped, missing, silent (the last scrape failed). Default: everyone but those who left with an excuse, or long ago."`
	Path    string   `help:"Only those at or below this path."`
	Search  string   `short:"q" help:"Only those with this text in their name, path, reason or tags."`
	JSON    bool     `help:"One JSON object a line, as /api/v1/roster has them."`
}

// lsRow is one line of the table.
type lsRow struct {
	rank                                        int
	state, instance, group, version, zone, note string
	since                                       time.Time
}

// graveness orders states as somebody who is looking for trouble wants them; who does not answer comes before the others of its state.
var graveness = map[discovery.State]int{discovery.Unparsable: 2, discovery.Failing: 4, discovery.Unconfirmed: 6, discovery.Quarantined: 8, discovery.Present: 10, discovery.Departed: 12, discovery.Filtered: 14}

const missing = "missing"

func lsRowOf(e *collect.Listing, now time.Time) lsRow {
	r := lsRow{graveness[e.State], string(e.State), e.Addr(), e.Group(), e.Tags.Get("service.version"), e.Tags.Get("cloud.availability_zone"), e.Reason, e.Since}
	if e.Host == "" {
		r.instance = e.Member
	}
	switch {
	case e.Missing(now):
		r.rank, r.state = 0, missing
	case e.Excuse != "":
		r.note = e.Excuse
	}
	if e.Cause != "" {
		r.note = strings.TrimPrefix(r.note+" ("+string(e.Cause)+")", " ")
	}
	if e.Outcome != "" {
		r.rank--
		r.note = strings.TrimSuffix(e.Outcome+": "+cmp.Or(e.LastError, "no reason is told")+"; "+r.note, "; ")
	}
	if e.Flaps > 0 {
		r.note += fmt.Sprintf(" [left and came back %d×]", e.Flaps)
	}
	return r
}

// Run lists who should be there, those who are not first.
func (c *lsCmd) Run(e *env) error {
	q := serviceOf(c.Service)
	for name, v := range map[string]string{"path": c.Path, "q": c.Search, "state": strings.Join(c.State, ",")} {
		if v != "" {
			q.Set(name, v)
		}
	}
	res, err := c.do(e.ctx, http.MethodGet, "/api/v1/roster", q, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	now := time.Now()
	var rows []lsRow
	counts, silent := map[string]int{}, 0
	out := json.NewEncoder(e.stdout)
	err = readRoster(res.Body, func(entry *collect.Listing) error {
		if c.JSON {
			return out.Encode(entry)
		}
		r := lsRowOf(entry, now)
		if entry.Outcome != "" {
			silent++
		}
		if counts[r.state]++; len(c.State) > 0 || r.state == missing || entry.State != discovery.Departed {
			rows = append(rows, r)
		}
		return nil
	})
	if err != nil || c.JSON {
		return err
	}
	if len(rows) == 0 {
		fmt.Fprintln(e.stdout, c.hinted(c.nobody(counts)))
	} else {
		c.table(e.stdout, rows, counts, silent, now)
	}
	if err := c.lacking(e, q); err != nil || len(rows)+len(counts) > 0 {
		return err
	}
	return c.known(e, q)
}

// known fails where a service was named that is not there at all: a script that misspells it must not read that all is well.
func (c *lsCmd) known(e *env, q url.Values) error {
	if c.Service == "" {
		return nil
	}
	var answer struct{ Groups []discovery.Group }
	err := c.get(e.ctx, "/api/v1/roster/groups", url.Values{"service": q["service"], "env": q["env"]}, &answer)
	if err == nil && len(answer.Groups) == 0 {
		err = failure{exitFailure, nil}
	}
	return err
}

// lacking names the services that should be more than they are, by their registration or by what an operator's file or URL says: nobody can name who is not there.
func (c *lsCmd) lacking(e *env, q url.Values) error {
	if len(c.State) > 0 || c.Path != "" || c.Search != "" {
		return nil
	}
	var answer struct{ Groups []discovery.Group }
	if err := c.get(e.ctx, "/api/v1/roster/groups", q, &answer); err != nil {
		return err
	}
	for _, g := range answer.Groups {
		if there := g.Present + g.Unconfirmed + g.Quarantined + g.Failing; g.ExpectedFrom != discovery.ExpectedFromRoster && there < g.Expected {
			fmt.Fprintf(e.stdout, "%s: %d of %d expected (%s)\n", plain(g.Service+"/"+g.Env), there, g.Expected, g.ExpectedFrom)
		}
	}
	return nil
}

// nobody says in one line why the list is empty.
func (c *lsCmd) nobody(left map[string]int) string {
	of := ""
	if c.Service != "" {
		of = " of " + plain(c.Service)
	}
	asked := strings.Join(c.State, " or ")
	switch {
	case c.Path != "" || c.Search != "":
		return "nobody fits; `rollcall ls` alone lists everyone"
	case asked != "":
		return "nobody" + of + " is " + plain(asked)
	case left[string(discovery.Departed)] > 0:
		return fmt.Sprintf("nobody%s is there: %d departed with an excuse, which `rollcall ls --state=departed` lists", of, left[string(discovery.Departed)])
	case of != "":
		return "no service is called" + strings.TrimPrefix(of, " of") + "; `rollcall ls` lists everyone"
	}
	return "nobody is on the roster yet; `rollcall status` says how discovery is doing"
}

func (c *lsCmd) table(w io.Writer, rows []lsRow, counts map[string]int, silent int, now time.Time) {
	slices.SortStableFunc(rows, func(a, b lsRow) int { return cmp.Compare(a.rank, b.rank) }) // they came in order
	one := !slices.ContainsFunc(rows, func(r lsRow) bool { return r.group != rows[0].group })
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	head := "STATE\tINSTANCE\tVERSION\tZONE\tFOR\tREASON"
	if !one {
		head = "STATE\tSERVICE\tINSTANCE\tVERSION\tZONE\tFOR\tREASON"
	}
	fmt.Fprintln(t, head)
	for _, r := range rows {
		name := plain(r.instance)
		if !one {
			name = plain(r.group) + "\t" + name
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.state, name, cmp.Or(plain(r.version), "–"), cmp.Or(plain(r.zone), "–"), collect.Span(now.Sub(r.since)), plain(r.note))
	}
	t.Flush()
	var sum []string
	for _, s := range []string{missing, string(discovery.Unparsable), string(discovery.Failing), string(discovery.Unconfirmed), string(discovery.Quarantined), string(discovery.Present), string(discovery.Departed), string(discovery.Filtered)} {
		if n := counts[s]; n > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", n, s))
		}
	}
	if silent > 0 {
		sum = append(sum, fmt.Sprintf("%d of them %s not answer", silent, map[bool]string{true: "does", false: "do"}[silent == 1]))
	}
	fmt.Fprintln(w, strings.Join(sum, ", "))
}

// plain is a text without what could steer a terminal, turn the direction of writing, or break a table: names and reasons come from whoever registers.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
}

// plainLines is an error as it is shown: it may name what somebody typed, or registered.
func plainLines(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = plain(strings.ReplaceAll(lines[i], "\t", "  "))
	}
	return strings.Join(lines, "\n")
}

// readRoster calls f with each entry of a roster's answer, as it arrives.
func readRoster(r io.Reader, f func(*collect.Listing) error) error {
	d := json.NewDecoder(r)
	bad := func(err error) error { return fmt.Errorf("read the collector's answer: %w", err) }
	for {
		t, err := d.Token()
		if err != nil {
			return bad(err)
		}
		if t == json.Token("entries") {
			break
		}
	}
	if _, err := d.Token(); err != nil { // [
		return bad(err)
	}
	for d.More() {
		var e collect.Listing
		if err := d.Decode(&e); err != nil {
			return bad(err)
		}
		if err := f(&e); err != nil {
			return err
		}
	}
	// What was cut off looks like a short list: the end has to be there.
	for depth := 1; ; {
		t, err := d.Token()
		if err != nil {
			return bad(err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			if depth--; depth < 0 {
				return nil
			}
		}
	}
}
