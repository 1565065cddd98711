package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/near"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// waitsFor is when tap says what it waits for: soon, and once more when everybody has been scraped at the usual intervals.
var waitsFor = []time.Duration{2 * time.Second, 12 * time.Second}

// maxHeard bounds how many names of one sort are remembered while tap waits.
const maxHeard = 5000

// heard is what came while nothing of what is asked for did: it tells a name that is mistyped from one that is rare.
type heard struct {
	mu      sync.Mutex
	over    bool // something that is asked for has come
	records int
	each    []namesHeard    // of each condition
	fitted  int             // records that every condition fits, and that have no such sample
	samples map[string]bool // names of samples in them
}

// namesHeard are what records say where a condition looks.
type namesHeard struct {
	fits  int // records
	other map[string]bool
}

// miss remembers a record that is not shown.
func (h *heard) miss(t *tap, r *wire.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	if h.each == nil {
		h.each = make([]namesHeard, len(t.where))
	}
	h.records++
	all := true
	for i, c := range t.where {
		is := c.of(r)
		if c.fits(is) {
			h.each[i].fits++
			continue
		}
		all = false
		h.each[i].other = keep(h.each[i].other, is)
	}
	if all {
		h.fitted++
		for i := range r.Samples {
			h.samples = keep(h.samples, r.Samples[i].Name)
		}
	}
}

// hit forgets everything: there is no need to explain.
func (h *heard) hit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over, h.each, h.samples = true, nil, nil
}

func keep(set map[string]bool, name string) map[string]bool {
	if set == nil {
		set = map[string]bool{}
	}
	if name != "" && !set[name] && len(set) < maxHeard {
		set[strings.Clone(name)] = true // the record's bytes are used again
	}
	return set
}

// watch says what is waited for while nothing of it comes.
func (t *tap) watch(ctx context.Context, say func(error)) {
	began := time.Now()
	for _, after := range waitsFor {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(began.Add(after))):
		}
		if text := t.heard.text(t, after); text != "" {
			say(errors.New(text))
		}
	}
}

// text says what is waited for, and what came instead; empty: it has come.
func (h *heard) text(t *tap, within time.Duration) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return ""
	}
	text := fmt.Sprintf("waiting for %s: ", t.asked())
	if h.records == 0 {
		return text + fmt.Sprintf("no record at all has come within %s%s; `rollcall status` says whether anybody is scraped", within, t.at)
	}
	text += fmt.Sprintf("%s within %s, ", many(h.records, "record has come", "records have come"), within)
	var none []string
	for i, c := range t.where {
		if h.each[i].fits == 0 {
			none = append(none, "none with "+c.words()+thereIs(c.like, h.each[i].other))
		}
	}
	switch {
	case len(none) > 0:
		return plain(text + strings.Join(none, ", "))
	case h.fitted == 0:
		return plain(text + "each condition fits some of them, and all of them together none")
	}
	return plain(text + fmt.Sprintf("%d of them such, without a sample like %s", h.fitted, strings.Join(t.metrics, " or ")) + thereIs(strings.Join(t.metrics[:1], ""), h.samples))
}

// thereIs names those who may have been meant, or everybody, where they are few.
func thereIs(pattern string, heard map[string]bool) string {
	const few = 5
	all := slices.Sorted(maps.Keys(heard))
	names := near.Names(strings.ReplaceAll(pattern, "*", ""), all)
	if len(names) == 0 && len(all) <= few {
		names = all
	}
	if len(names) == 0 {
		return ""
	}
	return "; there is " + strings.Join(names, ", ")
}

// asked is what was asked for, in its words.
func (t *tap) asked() string {
	var words []string
	for _, c := range t.where {
		words = append(words, c.words())
	}
	if words = append(words, t.metrics...); len(words) == 0 {
		return "records"
	}
	return plain(strings.Join(words, " "))
}
