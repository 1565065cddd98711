package serve

import (
	"fmt"
	"strings"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// exceptions says what of the collector's state a reader of the page has to know, with its consequence.
func exceptions(s collect.Status) (out []dashboards.Exception) {
	add := func(level, format string, args ...any) {
		out = append(out, dashboards.Exception{Level: level, Text: fmt.Sprintf(format, args...), Link: "/roster"})
	}
	if n := s.Delivery.Dropped; n > 0 {
		add("bad", "%d records were dropped and will not be seen", n)
	}
	if text := guarded(s.Guards); text != "" {
		add("warn", "%s", text)
	}
	if n := s.Roster["unparsable"]; n > 0 {
		add("warn", "%s not scraped", many(n, "member cannot be read and is", "members cannot be read and are"))
	}
	if n := s.Outcomes["forbidden"]; n > 0 {
		add("warn", "%s not scraped", many(n, "instance is not on the allow-list and is", "instances are not on the allow-list and are"))
	}
	if !s.ConfigOK {
		add("warn", "The configuration on disk is not the one that runs: the last reload failed")
	}
	return out
}

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// guarded is what guards hold, in one sentence: a page that is calm while ZooKeeper shows nobody must say so.
func guarded(gs []discovery.Guard) string {
	var held, answering, silent int
	from := "from " + many(len(gs), "serverset", "serversets")
	for _, g := range gs {
		if g.Scope == discovery.FleetScope { // it holds whom the guard of no serverset does, wherever they were
			from = "all over the fleet"
		}
		held, answering, silent = held+g.Held, answering+g.Answering, silent+g.Silent
	}
	switch {
	case held == 0:
		return ""
	case len(gs) == 1:
		return strings.ToUpper(gs[0].Verdict[:1]) + gs[0].Verdict[1:]
	case answering > 0 && answering >= silent:
		return fmt.Sprintf("ZooKeeper, not you: %d of %d instances that vanished %s answer; they are held and scraped on", answering, held, from)
	}
	return fmt.Sprintf("%d instances vanished together %s; %d answer so far, %d do not", held, from, answering, silent)
}
