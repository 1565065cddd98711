package dashboards

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// chronicle is what happened to the fleet as a whole.
type chronicle struct {
	mu sync.Mutex
	h  happenings
}

func (c *chronicle) told(from, to int64) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h.told(from, to)
}

// Happened notes something that happened to no service: what a collector or a guard came to.
func (b *Board) Happened(at time.Time, kind, text string) {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	h := &b.fleet.h
	if t := ms(at); !slices.ContainsFunc(*h, func(e happening) bool { return e.t == t && e.kind == kind && e.detail == text }) {
		h.add(happening{t: t, kind: kind, detail: text})
		h.trim(t - eventsFor.Milliseconds())
	}
}

// text is the event in words.
func (e *ToldEvent) text() string {
	s := e.Kind
	if e.Kind == EventRemark {
		s = ""
	}
	if e.Text != "" {
		s = strings.TrimPrefix(s+": "+e.Text, ": ")
	}
	if e.Old != "" || e.New != "" {
		s = strings.TrimPrefix(s+": "+cmp.Or(e.Old, "nothing")+" → "+cmp.Or(e.New, "nothing"), ": ")
	}
	return s + ", by " + e.Who
}

// toldEvents is what people said happened within a span, oldest first.
func (b *Board) toldEvents(from, to time.Time) (out []ToldEvent) {
	b.book.mu.Lock()
	for _, e := range b.book.told {
		if e.v.At >= ms(from) && e.v.At <= ms(to) {
			out = append(out, e.v)
		}
	}
	b.book.mu.Unlock()
	slices.SortFunc(out, func(x, y ToldEvent) int { return cmp.Or(cmp.Compare(x.At, y.At), strings.Compare(x.ID, y.ID)) })
	return out
}

// withTold puts what people said of a service among its events, which are oldest first.
func (b *Board) withTold(events []Event, name, env string, from, to time.Time) []Event {
	n := len(events)
	for _, e := range b.toldEvents(from, to) {
		if e.Service == name && (e.Env == "" || e.Env == env) {
			events = append(events, Event{T: e.At, Kind: e.Kind, Text: e.text()})
		}
	}
	if len(events) > n {
		slices.SortStableFunc(events, func(x, y Event) int { return cmp.Compare(x.T, y.T) })
	}
	return events
}

// Moment is something on the time line of the fleet.
type Moment struct {
	T       int64  `json:"t"` // Unix ms
	Kind    string `json:"kind"`
	Service string `json:"service,omitempty"` // empty: of the fleet
	Env     string `json:"env,omitempty"`
	Text    string `json:"text"`
	N       int    `json:"n,omitempty"`
	Finding string `json:"finding,omitempty"` // its id, where it is one that began or ended
}

// maxMoments bounds a time line: the newest stay.
const maxMoments = 2000

// Timeline is everything that happened within a span, the newest first: what was seen, what was told, and the findings. An empty service or environment is all of them.
func (b *Board) Timeline(service, env string, from, to time.Time) []Moment {
	out := []Moment{}
	fits := func(s, e string) bool { return (service == "" || s == service) && (env == "" || e == "" || e == env) }
	for _, s := range b.all() {
		if !fits(s.name, s.env) || !b.owned(s.name, s.env) {
			continue
		}
		s.mu.RLock()
		for _, e := range s.events.told(ms(from), ms(to)) {
			out = append(out, Moment{T: e.T, Kind: e.Kind, Service: s.name, Env: s.env, Text: e.Text, N: e.N})
		}
		s.mu.RUnlock()
	}
	b.eventsElsewhere(ms(from), ms(to), func(name, in string, e Event) {
		if fits(name, in) {
			out = append(out, Moment{T: e.T, Kind: e.Kind, Service: name, Env: in, Text: e.Text, N: e.N})
		}
	})
	for _, e := range b.toldEvents(from, to) {
		if fits(e.Service, e.Env) {
			out = append(out, Moment{T: e.At, Kind: e.Kind, Service: e.Service, Env: e.Env, Text: e.text()})
		}
	}
	if service == "" {
		for _, e := range b.fleet.told(ms(from), ms(to)) {
			out = append(out, Moment{T: e.T, Kind: e.Kind, Text: e.Text, N: e.N})
		}
	}
	for _, f := range b.Findings() {
		if service != "" && !contains(f.about(), service) || env != "" && f.Env != env {
			continue
		}
		if f.Since >= ms(from) && f.Since <= ms(to) {
			out = append(out, Moment{T: f.Since, Kind: EventFinding, Service: f.Service, Env: f.Env, Text: f.Title, Finding: f.ID})
		}
		if f.Ended != nil && *f.Ended >= ms(from) && *f.Ended <= ms(to) {
			out = append(out, Moment{T: *f.Ended, Kind: EventFinding, Service: f.Service, Env: f.Env, Text: "over: " + f.Title, Finding: f.ID})
		}
	}
	slices.SortStableFunc(out, func(x, y Moment) int { return cmp.Compare(y.T, x.T) })
	return out[:min(len(out), maxMoments)]
}
