package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Finding is something wrong, as a sentence with its evidence.
type Finding struct {
	ID      string   `json:"id"`
	Level   string   `json:"level"` // bad or warn; info of a verdict on a canary that is no fail: it is no trouble, and calls nobody
	Service string   `json:"service"`
	Env     string   `json:"env"`
	Metric  string   `json:"metric"` // errors, latency, rate, exceptions, saturation, budget, instances, or canary: then it tells of a verdict
	Since   int64    `json:"since"`  // Unix ms
	Ended   *int64   `json:"ended"`  // Unix ms; nil while it is open
	Title   string   `json:"title"`
	News    string   `json:"news"` // the part of Title that is the news
	Only    string   `json:"only"` // where it is, or that it is everywhere
	Cleared []string `json:"cleared"`
	Events  []Event  `json:"events"`
	// Services is set where the finding is about a place that several services have in common: all of them, Service being one.
	Services []string `json:"services,omitempty"`
	// Place is that place, a tag at a value: host.name=ip-10-1-0-1.
	Place string `json:"place,omitempty"`
	// Where are conditions NAME=VALUE on tags, labels or instances, as a question about a series takes them: of all names one value holds where the finding is. None: it
	// is everywhere, or at several places, or nobody knows.
	Where []string `json:"where,omitempty"`
	// Signals are which of a service's lines are in trouble (rate, errors, latency, answering), by service.
	Signals map[string][]string `json:"signals,omitempty"`
	// Was and Is are the figure that it is about, before it began and as it is now or was last: a ratio for errors, milliseconds for latency, requests a second for rate;
	// of a budget the burn rate that calls somebody, and the one that is.
	// Both are zero where there is none.
	Was Num `json:"was,omitzero"`
	Is  Num `json:"is,omitzero"`
	// Before is what else changed in the two minutes before, the most telling first, over all services.
	Before []Change `json:"before,omitempty"`
	// Text is all of it in one sentence.
	Text string `json:"text,omitempty"`
	// Regions are where it is, as far as it is located in zones or regions; empty: anywhere.
	Regions []string `json:"regions,omitempty"`
	// Canary is the verdict, of a finding that tells of one.
	Canary *CanaryTold `json:"canary,omitempty"`
	// Recovered is since when what it is about is well again, while it waits for whether that stays so, and Closes when it is over if it does; Unix ms, 0: it is not well.
	Recovered int64 `json:"recovered,omitempty"`
	Closes    int64 `json:"closes,omitempty"`
	// PartOf is set on one that is over because another, about a place, tells it now.
	PartOf string `json:"part_of,omitempty"`
	// Who looks after what it is about, where they talk, and what they wrote down for such a time (a URL); empty where nobody has said it.
	Owner    string   `json:"owner,omitempty"`
	Chat     string   `json:"chat,omitempty"`
	Runbook  string   `json:"runbook,omitempty"`
	Ack      *Ack     `json:"ack,omitempty"`      // somebody looks after it
	Silenced *Silence `json:"silenced,omitempty"` // it calls nobody

	Why string `json:"why,omitempty"` // a few words for the service's row
}

// The levels of findings and exceptions.
const (
	LevelBad  = "bad"
	LevelWarn = "warn"
	LevelInfo = "info" // of a finding only: no trouble
)

// MetricCanary is the Metric of findings that tell of verdicts on canaries. They stand beside the findings about the service itself, so no row tells of them.
const MetricCanary = "canary"

// inPast are the words of what goes on, as they are said of what is over.
var inPast = strings.NewReplacer(" do not answer", " did not answer", " does not answer", " did not answer", " has stopped: ", " had stopped: ")

// past puts a finding about instances that is over into the past tense. The others are told so by who ends them.
func (f *Finding) past() {
	if f.Metric == "instances" || f.Metric == MetricCanary {
		f.Title, f.News = inPast.Replace(f.Title), inPast.Replace(f.News)
	}
}

// Heal says that what the finding is about is well again since a moment, and that it is over at another one unless it returns: in its fields and in its title.
func (f *Finding) Heal(at, closes time.Time) {
	f.Recovered, f.Closes = at.UnixMilli(), max(closes.UnixMilli(), at.UnixMilli())
	f.Title += healed(f.Recovered, f.Closes)
}

// Unheal takes back what Heal said.
func (f *Finding) Unheal() {
	if f.Recovered > 0 {
		f.Title = strings.TrimSuffix(f.Title, healed(f.Recovered, f.Closes))
		f.Recovered, f.Closes = 0, 0
	}
}

func healed(at, closes int64) string {
	return "; recovered at " + clock(at) + ", closes at " + clock(closes) + " unless it returns"
}

// weight is how much trouble the finding is for a row: one that is silenced none. That somebody looks after it makes it no better.
func (f *Finding) weight() int {
	switch {
	case f.Silenced != nil || f.Level == LevelInfo:
		return 0
	case f.Level == LevelBad:
		return 2
	}
	return 1
}

// untold reports a canary that stands failed while no other finding tells of its service: a page without it would be calm, and it is one.
func (f *Finding) untold(all []Finding) bool {
	return f.Canary != nil && f.Canary.Verdict == "fail" && f.Ended == nil && !slices.ContainsFunc(all, func(o Finding) bool {
		return o.Canary == nil && o.Ended == nil && o.Env == f.Env && slices.Contains(o.about(), f.Service)
	})
}

// SignalNames are the lines of a service's row that may be in trouble, in the order in which they are drawn.
var SignalNames = []string{"rate", "errors", "latency", "answering"}

// about is every service that the finding is about.
func (f *Finding) about() []string {
	if len(f.Services) > 0 {
		return f.Services
	}
	return []string{f.Service}
}

// sentence is the finding with its evidence: what, how much, since when, where only, what is cleared and what came before.
func (f *Finding) sentence() string {
	var b strings.Builder
	title, after := f.Title, ""
	if h := healed(f.Recovered, f.Closes); f.Recovered > 0 && strings.HasSuffix(title, h) {
		title, after = strings.TrimSuffix(title, h), h
	}
	if f.Canary != nil { // the verdict is from then, its reason may be newer
		if head, reason, ok := strings.Cut(title, ": "); ok {
			title, after = head, ": "+reason+after
		}
	}
	b.WriteString(title)
	if !strings.Contains(title, "since ") {
		b.WriteString(" since " + clock(f.Since))
	}
	b.WriteString(after)
	if only := strings.TrimSuffix(f.Only, "."); only != "" {
		if first, rest, ok := strings.Cut(only, " "); ok && (first == "Only" || first == "Everywhere") {
			only = strings.ToLower(first) + " " + rest
		}
		b.WriteString("; " + only)
	}
	if len(f.Cleared) > 0 {
		b.WriteString("; cleared: " + strings.Join(f.Cleared, ", "))
	}
	for i := range f.Before {
		if c := &f.Before[i]; i == 0 || i == 1 && c.Score > f.Before[0].Score/2 {
			b.WriteString("; before: ")
			if (c.Service != f.Service || len(f.Services) > 1) && c.Service != "" {
				b.WriteString(c.Service + ": ")
			}
			b.WriteString(c.Text + " " + clock(c.T))
		}
	}
	if f.Ended != nil {
		b.WriteString("; over since " + clock(*f.Ended))
	}
	return b.String()
}

// Findings is what was judged at the last tick, and what is over of late: open ones first, newest first.
func (b *Board) Findings() []Finding {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.findings
}

// findingsAbout is those about a service, open or over; canaries are told beside it. The caller holds the lock.
func (b *Board) findingsAbout(service, env string) (out []Finding) {
	for i := range b.findings {
		if f := &b.findings[i]; f.Env == env && f.Metric != MetricCanary && slices.Contains(f.about(), service) {
			out = append(out, *f)
		}
	}
	return out
}

// Finding is one by its id, open or over, also one that is over because another about a place tells it now; false: it is not known, or not any more.
func (b *Board) Finding(id string) (Finding, bool) {
	all := slices.Concat(b.Findings(), b.book.parts())
	if i := slices.IndexFunc(all, func(f Finding) bool { return f.ID == id }); i >= 0 {
		return all[i], true
	}
	return Finding{}, false
}

// exceptions is what the Board itself must admit. The caller holds the lock.
func (b *Board) exceptions() []Exception {
	out := []Exception{}
	switch b.feed.State {
	case FeedDead:
		out = append(out, Exception{LevelBad, "No data since " + clock(b.feed.Since) + ": " + b.feed.Error + "; nothing is known of what has happened since", ""})
	case FeedConnecting:
		text := "Reading history from Kafka; figures fill in"
		if b.feed.Error != "" {
			text = "Connecting to Kafka: " + b.feed.Error
		}
		out = append(out, Exception{LevelWarn, text, ""})
	}
	if ev := &b.evictions; ev.Values > 0 && b.asOf.UnixMilli()-ev.Before < b.opts.Window.Milliseconds() { // else its window is whole again
		out = append(out, Exception{LevelWarn, fmt.Sprintf("Memory for windows is full: %s begins at %s; raise dashboards.max_bytes or shorten dashboards.window",
			ev.Service, clock(ev.Before)), ""})
	}
	if b.bytes > b.opts.MaxBytes {
		out = append(out, Exception{LevelWarn, fmt.Sprintf("The newest values alone take %d MiB, more than windows may (%d MiB): raise dashboards.max_bytes", b.bytes>>20, b.opts.MaxBytes>>20), ""})
	}
	out = append(out, b.tooManyNames()...)
	if text := b.clocks.exception(b.asOf); text != "" {
		out = append(out, Exception{LevelWarn, text, "/roster"})
	}
	out = append(out, b.late...)
	if b.refused > 0 {
		out = append(out, Exception{LevelWarn, fmt.Sprintf("More than %d services: those beyond are not shown", b.opts.MaxService), ""})
	}
	return out
}

// clock is a time of day, with its zone.
func clock(msec int64) string { return time.UnixMilli(msec).UTC().Format("15:04:05 UTC") }
