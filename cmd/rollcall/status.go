package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

type statusCmd struct {
	Collector string `default:"http://127.0.0.1:7140" env:"ROLLCALL_COLLECTOR" help:"URL of the collector."`
	Page      string `name:"url" default:"http://127.0.0.1:7150" env:"ROLLCALL_URL" help:"URL of the page."`
	User      string `help:"USER:PASSWORD of the web configuration."`
}

// pageStatus is what we read of /api/v1/status.
type pageStatus struct {
	Feed  dashboards.Feed  `json:"feed"`
	Strip dashboards.Strip `json:"strip"`
}

// Run says in five lines whether all is well.
func (c *statusCmd) Run(e *env) error {
	var bad int
	say := func(ok bool, name, format string, args ...any) {
		sign := "ok  "
		if !ok {
			sign, bad = "BAD ", bad+1
		}
		fmt.Fprintf(e.stdout, "%s %-10s %s\n", sign, name, fmt.Sprintf(format, args...))
	}
	var s collect.Status
	unknown := func(err error, names ...string) { // what is wrong is said once
		for i, name := range names {
			text := "unknown, as " + names[0] + " is"
			if i == 0 {
				text = fmt.Sprintf("unknown: %v", err)
			}
			say(false, name, "%s", text)
		}
	}
	if err := c.get(e, c.Collector+"/api/v1/collector", &s); err != nil {
		unknown(err, "discovery", "scrapes", "delivery")
	} else {
		now := time.UnixMilli(s.AsOf)
		ok, text := sources(s, now)
		say(ok, "discovery", "%s", text)
		ok, text = scrapes(s)
		say(ok, "scrapes", "%s", text)
		d := s.Delivery
		aside := ""
		if d.SetAside > 0 {
			aside = fmt.Sprintf(", %d set aside%s: see rollcall spool ls", d.SetAside, reasons(d.Aside, ""))
		}
		say(d.Dropped == 0 && d.SetAside == 0 && s.Kafka == "", "delivery", "%d acknowledged, %d waiting, %d of them on disk, %d dropped%s%s", d.Acknowledged, d.Waiting(), d.Spooled, d.Dropped, reasons(d.Reasons, s.Kafka), aside)
		for _, x := range s.Series {
			who := x.Service
			if x.Instance != "" {
				who += " on " + x.Instance
			}
			text := fmt.Sprintf("%s has more than a day may have: %d samples left out since %s, such as %s", who, x.LeftOut, x.Since.UTC().Format("15:04"), x.Example)
			if x.Varies != "" {
				text += "; what differs from one to the next is " + x.Varies
			}
			say(false, "series", "%s", plain(text))
		}
		if s.Orders != "" {
			say(false, "orders", "%s", plain(s.Orders))
		}
		if !s.ConfigOK {
			bad++
			fmt.Fprintln(e.stdout, "BAD  config     the file on disk is not what runs: the last reload failed")
		}
	}
	var p pageStatus
	if err := c.get(e, c.Page+"/api/v1/status", &p); err != nil {
		unknown(err, "feed", "fleet")
	} else {
		live := p.Feed.State == dashboards.FeedLive
		text := string(p.Feed.State)
		if p.Feed.Error != "" {
			text += ": " + p.Feed.Error
		} else if p.Strip.AgeMS.Known() {
			text += fmt.Sprintf(", %.1f s old", float64(p.Strip.AgeMS)/1000)
		}
		say(live, "feed", "%s", text)
		wrong, text := c.wrong(e)
		say(p.Strip.Answering == p.Strip.Expected && p.Strip.Expected > 0 && !wrong, "fleet", "%s%s", p.Strip.Roll(), text)
	}
	if bad > 0 {
		return failure{exitFailure, nil}
	}
	return nil
}

func sources(s collect.Status, now time.Time) (bool, string) {
	if len(s.Sources) == 0 {
		return false, "no source has said anything yet"
	}
	oldest := time.Duration(0)
	var sick []string
	for _, v := range s.Sources {
		if age := now.Sub(v.LastHeard); !v.LastHeard.IsZero() {
			oldest = max(oldest, age)
		}
		switch {
		case v.Err != "":
			sick = append(sick, v.Source+": "+v.Err)
		case !v.Connected:
			sick = append(sick, v.Source+": not connected")
		case v.ReadOnly:
			sick = append(sick, v.Source+": its server has lost the quorum; reading on")
		}
	}
	sick = append(sick, guards(s.Guards)...)
	if s.OldPaths.Count > 0 {
		sick = append(sick, fmt.Sprintf("%d paths not verified for a minute: %s", s.OldPaths.Count, names(s.OldPaths)))
	}
	if s.Unsaved != "" {
		sick = append(sick, "the roster is not saved, a restart would not know it: "+plain(s.Unsaved))
	}
	if len(sick) > 0 {
		return false, strings.Join(sick, "; ")
	}
	what := "1 source, connected"
	if n := len(s.Sources); n > 1 {
		what = fmt.Sprintf("%d sources, all connected", n)
	}
	return true, fmt.Sprintf("%s, heard %.1f s ago", what, oldest.Seconds())
}

// guards says of each guard whom it holds, and why; of many what they have in common.
func guards(all []discovery.Guard) (out []string) {
	const most = 2
	held, peak, whole := 0, 0, 0
	var paths []discovery.Guard
	for _, g := range all {
		if held += g.Held; g.Scope == discovery.FleetScope { // it holds whom no other does, of a number that counts everybody
			whole = g.Peak
		} else {
			peak, paths = peak+g.Peak, append(paths, g)
		}
		what := "the guard of " + plain(g.Scope)
		if g.Scope == discovery.FleetScope {
			what = "the guard of the whole fleet"
		}
		out = append(out, fmt.Sprintf("%s holds %d of %d: %s", what, g.Held, g.Peak, plain(cmp.Or(g.Verdict, "no verdict yet"))))
	}
	if len(all) <= most {
		return out
	}
	slices.SortStableFunc(paths, func(a, b discovery.Guard) int { return cmp.Compare(b.Held, a.Held) })
	who := fmt.Sprintf("%d guards hold", len(paths))
	if whole > 0 {
		who, peak = fmt.Sprintf("%s and that of the whole fleet hold", many(len(paths), "guard", "guards")), whole
	}
	return []string{fmt.Sprintf("%s %d of %d, most below %s: %s; `rollcall ls --state=unconfirmed` lists them", who, held, peak, plain(paths[0].Scope),
		plain(cmp.Or(paths[0].Verdict, "no verdict yet")))}
}

func scrapes(s collect.Status) (bool, string) {
	good := s.Outcomes["ok"]
	var rest []string
	for _, word := range slices.Sorted(maps.Keys(s.Outcomes)) {
		if word != "ok" {
			rest = append(rest, strings.TrimSuffix(fmt.Sprintf("%d %s: %s", s.Outcomes[word], word, names(s.Failed[word])), ": "))
		}
	}
	if n := s.Roster[discovery.Unparsable]; n > 0 {
		rest = append(rest, strings.TrimSuffix(fmt.Sprintf("%d members unparsable: %s", n, names(s.Broken)), ": "))
	}
	if s.Missing.Count > 0 {
		rest = append(rest, fmt.Sprintf("%d missing: %s", s.Missing.Count, names(s.Missing)))
	}
	text := fmt.Sprintf("%d ok", good)
	if len(rest) > 0 {
		text += "; " + strings.Join(rest, "; ")
	}
	for i := range s.Bursts {
		o := &s.Bursts[i]
		text += fmt.Sprintf("; %s until %s, by %s", ofOrder(o), o.Until.UTC().Format("15:04:05 UTC"), plain(o.By))
	}
	return len(rest) == 0 && good > 0, text
}

// names are the first few culprits.
func names(c collect.Culprits) string {
	const most = 3
	text := plain(strings.Join(c.Names[:min(len(c.Names), most)], ", "))
	if n := c.Count - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func reasons(why map[string]uint64, kafka string) string {
	var out []string
	for _, r := range slices.Sorted(maps.Keys(why)) {
		out = append(out, fmt.Sprintf("%s %d", r, why[r]))
	}
	text := ""
	if len(out) > 0 {
		text = " (" + strings.Join(out, ", ") + ")"
	}
	if kafka != "" {
		text += "; " + kafka
	}
	return text
}

// wrong says of what is wrong with the fleet that nobody looks after yet, and beside it how much somebody does; what is silenced calls nobody.
func (c *statusCmd) wrong(e *env) (wrong bool, text string) {
	var a findingsAnswer
	if err := c.get(e, c.Page+"/api/v1/findings?state=open", &a); err != nil {
		return true, fmt.Sprintf("; findings unknown: %v", err)
	}
	var open []dashboards.Finding
	var by []string // who look after the others
	looked := 0
	for _, f := range a.Findings {
		switch {
		case f.Ended != nil || f.Silenced != nil || f.Level == dashboards.LevelInfo:
		case f.Ack == nil:
			open = append(open, f)
		default:
			if looked++; !slices.Contains(by, f.Ack.By) && len(by) < 3 {
				by = append(by, f.Ack.By)
			}
		}
	}
	after := ""
	if looked > 0 {
		after = fmt.Sprintf("; %s, looked after by %s", many(looked, "finding", "findings"), plain(strings.Join(by, ", ")))
	}
	if len(open) == 0 {
		return false, after
	}
	text = after + "; " + plain(open[0].Title)
	if n := len(open) - 1; n > 0 {
		text += fmt.Sprintf(" and %s", many(n, "more finding", "more findings"))
	}
	return true, text + ": `rollcall findings --open" + (&pageFlags{URL: c.Page}).hint() + "`"
}

func (c *statusCmd) get(e *env, url string, into any) error {
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if user, pass, ok := strings.Cut(c.User, ":"); ok {
		req.SetBasicAuth(user, pass)
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(into)
}
