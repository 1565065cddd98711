package dashboards

import (
	"fmt"
	"time"
)

// Finding is something wrong, as a sentence with its evidence.
type Finding struct {
	ID      string   `json:"id"`
	Level   string   `json:"level"` // bad or warn
	Service string   `json:"service"`
	Env     string   `json:"env"`
	Metric  string   `json:"metric"` // errors, latency, rate or instances
	Since   int64    `json:"since"`  // Unix ms
	Ended   *int64   `json:"ended"`  // Unix ms; nil while it is open
	Title   string   `json:"title"`
	News    string   `json:"news"` // the part of Title that is the news
	Only    string   `json:"only"` // where it is, or that it is everywhere
	Cleared []string `json:"cleared"`
	Events  []Event  `json:"events"`
	// Services is set where the finding is about a place that several services have in common: all of them, Service being one.
	Services []string `json:"services,omitempty"`

	Why string `json:"-"` // a few words for the service's row
}

// The levels of findings and exceptions.
const (
	LevelBad  = "bad"
	LevelWarn = "warn"
)

func (f *Finding) weight() int {
	if f.Level == LevelBad {
		return 2
	}
	return 1
}

// Findings is what was judged at the last tick: open ones first, newest first.
func (b *Board) Findings() []Finding {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.findings
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
	if b.evictions.Values > 0 {
		out = append(out, Exception{LevelWarn, fmt.Sprintf("Memory for windows is full: %s begins at %s; raise dashboards.max_bytes or shorten dashboards.window",
			b.evictions.Service, clock(b.evictions.Before)), ""})
	}
	if b.refused > 0 {
		out = append(out, Exception{LevelWarn, fmt.Sprintf("More than %d services: those beyond are not shown", b.opts.MaxService), ""})
	}
	return out
}

// clock is a time of day, with its zone.
func clock(msec int64) string { return time.UnixMilli(msec).UTC().Format("15:04:05 UTC") }
