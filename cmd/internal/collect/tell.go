package collect

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// tell says in plain sentences why an entry is what it is: first where it stands, then who says so, what holds it, how its scrapes go, and what our rules make of it.
// self is this collector's id.
func tell(w *Why, self string, now time.Time) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	e, s := &w.Story.Entry, &w.Story
	say("%s is %s since %s%s.", e.ID(), e.State, when(e.Since, now), because(e.Reason))
	switch e.State {
	case discovery.Departed:
		say("%s", departed(e, now))
	case discovery.Unconfirmed:
		say("It is scraped on as if it were there; it becomes present again when its serverset shows it, and departs when it stays silent.")
	case discovery.Quarantined:
		say("It joined and left so fast that nobody believes either: it is scraped, but kept out of alarms until it has stood still for a while.")
	case discovery.Failing:
		say("It is in its serverset on purpose although its own checks fail, because too many would be gone otherwise; it is scraped.")
	case discovery.Unparsable:
		say("It cannot be read, so nobody knows where to scrape it. The others of its serverset are not touched.")
	case discovery.Filtered:
		say("A rule of this configuration drops it, so it is not scraped, and nobody misses it.")
	}
	if e.Flaps > 0 {
		say("It left and came back %s lately.", times(e.Flaps))
	}
	if g := s.Guard; g != nil {
		say("The guard of %s holds it: %d of %d vanished together, %d answer and %d do not. Verdict: %s.", scope(g), g.Held, g.Peak, g.Answering, g.Silent, cmp.Or(strings.TrimSuffix(g.Verdict, "."), "not yet"))
	}
	for _, o := range s.Orders {
		say("%s", ordered(&o, now))
	}
	if len(s.Sources) == 0 && e.State != discovery.Departed {
		say("No source has it in its list now.")
	}
	for _, h := range s.Sources {
		say("%s", held(&h, now))
	}
	if w.Story.Entry.State.Scraped() {
		say("%s", pulled(w, self, now))
		if w.Burst != nil {
			say("%s", burst(w.Burst, now))
		}
	}
	return out
}

func because(reason string) string {
	if reason = strings.TrimSuffix(reason, "."); reason == "" {
		return ""
	}
	return ": " + reason
}

// causes are the causes of a departure in words.
var causes = map[discovery.Cause]string{
	discovery.Deregistered: "its registrar took it away",
	discovery.Expired:      "the session that held it ended, and everything that the session held went with it: the process or its host died, or was cut off",
	discovery.Removed:      "its node went, and nothing tells whether it was deleted or its session ended",
	discovery.Moved:        "the same member is at another address now",
	discovery.Dead:         "it vanished together with many others and did not answer three scrapes in a row",
	discovery.Accepted:     "it vanished together with many others, and an operator accepted that",
	discovery.Overdue:      "it vanished together with many others, and was held as long as anybody is",
	discovery.PathRemoved:  "the serverset itself was removed",
	discovery.Unconfigured: "no job of this configuration looks there any more",
}

func departed(e *discovery.Entry, now time.Time) string {
	text := "It left, and the reason is not known"
	if why, ok := causes[e.Cause]; ok {
		text = "It left: " + why
	}
	until := e.Since.Add(discovery.MissedFor)
	switch {
	case e.Excuse != "":
		return text + ". Nobody misses it: " + strings.TrimSuffix(e.Excuse, ".") + "."
	case now.Before(until):
		return fmt.Sprintf("%s. Nothing excuses it, so it counts as missing until %s.", text, clock(until))
	}
	return fmt.Sprintf("%s. Nothing excused it, so it counted as missing until %s.", text, clock(until))
}

func scope(g *discovery.Guard) string {
	if g.Scope == discovery.FleetScope {
		return "the whole fleet"
	}
	return g.Scope
}

func ordered(o *discovery.Order, now time.Time) string {
	what := map[string]string{discovery.FreezeOrder: "froze", discovery.AcceptOrder: "accepted what vanished at"}[o.Kind]
	text := fmt.Sprintf("%s %s %s at %s, until %s", cmp.Or(o.By, "Somebody"), cmp.Or(what, "gave the order "+o.Kind+" for"), o.Path, when(o.At, now), clock(o.Until))
	if o.Why != "" {
		text += ", because: " + strings.TrimSuffix(o.Why, ".")
	}
	if o.Kind == discovery.FreezeOrder {
		return text + ". Until then nobody below it leaves."
	}
	return text + "."
}

func burst(b *WhyBurst, now time.Time) string {
	o := &b.Order
	asked := fmt.Sprintf("%s asked for that at %s, for %s", cmp.Or(o.By, "Somebody"), when(o.At, now), o.Burst.Slice())
	if o.Why != "" {
		asked += ", because: " + strings.TrimSuffix(o.Why, ".")
	}
	every := config.Duration(o.Burst.Every())
	if b.Not != "" {
		return fmt.Sprintf("It is of a burst, every %s until %s, and is not pulled so often: %s. %s.", every, clock(o.Until), b.Not, asked)
	}
	return fmt.Sprintf("It is pulled every %s until %s. %s.", every, clock(o.Until), asked)
}

func held(h *discovery.Holding, now time.Time) string {
	text := fmt.Sprintf("Job %s has it at %s", h.Job, h.Path)
	if h.Member != "" {
		text += " as " + h.Member
	}
	if h.Zxid != 0 {
		text += fmt.Sprintf(", made by transaction 0x%x", h.Zxid)
	}
	if h.Owner != 0 {
		text += fmt.Sprintf(" of session 0x%x", uint64(h.Owner))
	}
	switch {
	case h.Live && !h.Verified.IsZero():
		text += ", under watch and verified " + ago(h.Verified, now)
	case !h.Verified.IsZero():
		text += ", verified " + ago(h.Verified, now)
	}
	if !h.Pulls && h.State.Scraped() {
		return text + "; another list's word counts."
	}
	if !h.State.Scraped() {
		return fmt.Sprintf("%s; by this list it is %s%s.", text, h.State, because(h.Reason))
	}
	return text + "."
}

func pulled(w *Why, self string, now time.Time) string {
	p := w.Pull
	switch {
	case p == nil && w.Owner != "" && w.Owner != self:
		return "Collector " + w.Owner + " scrapes it."
	case p == nil:
		return "This collector does not scrape it."
	case p.At.IsZero():
		return "It is to be scraped at " + p.URL + ", and was not yet."
	case p.Error != "":
		return fmt.Sprintf("Its last scrape, %s at %s, failed (%s): %s.", ago(p.At, now), p.URL, p.Outcome, strings.TrimSuffix(p.Error, "."))
	}
	return fmt.Sprintf("Its last scrape, %s at %s, was good: %d numbers in %.1f ms.", ago(p.At, now), p.URL, p.Samples, p.TookMS)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// clock is a time as people read it, with its zone.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// when is a time and how long ago it was.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "a time that is not known"
	}
	if now.Sub(t) > 20*time.Hour {
		return t.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return clock(t) + " (" + ago(t, now) + ")"
}

// ago is how long ago t was, roughly.
func ago(t, now time.Time) string { return Span(now.Sub(t)) + " ago" }

// Span is a duration as people say it.
func Span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
