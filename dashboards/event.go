package dashboards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Event is something that happened to a service, in words.
type Event struct {
	T    int64  `json:"t"` // Unix ms
	Kind string `json:"kind,omitempty"`
	Text string `json:"text"`
	N    int    `json:"n,omitempty"` // how many instances it happened to
}

// Kinds of events.
const (
	EventVersion = "version" // a version never seen before
	EventDeploy  = "deploy"  // instances went from one version to another
	EventJoin    = "join"
	EventLeave   = "leave"
	EventRestart = "restart" // counters began anew
	EventState   = "state"   // quarantined, failing, unconfirmed, …
	EventOrder   = "order"   // somebody gave an order, or it ended

	// What people tell us; they tell of deploys, too.
	EventFlag   = "flag"
	EventConfig = "config"
	EventRemark = "note"

	EventGuard     = "guard"     // a guard holds somebody, or holds nobody any more
	EventCollector = "collector" // a collector has come, gone, or is in trouble
	EventFinding   = "finding"   // one began or ended
)

const (
	eventsFor = 24 * time.Hour
	maxEvents = 2000 // of one service
	// wave is how far apart moves of one kind may be to be told as one.
	wave = 10 * time.Second
)

// happening is an event of one instance, before those of a wave are told as one.
type happening struct {
	t      int64
	kind   string
	detail string // what they have in common: versions, a reason
	who    string
}

type happenings []happening

func (h *happenings) add(e happening) {
	i := len(*h)
	for i > 0 && (*h)[i-1].t > e.t {
		i--
	}
	*h = slices.Insert(*h, i, e)
	if over := len(*h) - maxEvents; over > 0 {
		*h = slices.Delete(*h, 0, over)
	}
}

func (h *happenings) trim(before int64) {
	k := 0
	for k < len(*h) && (*h)[k].t < before {
		k++
	}
	*h = slices.Delete(*h, 0, k)
}

// told is the events from `from` to `to`, waves as one, oldest first.
func (h happenings) told(from, to int64) []Event {
	type group struct {
		first happening
		last  int64
		n     int
	}
	var groups []*group
	open := map[[2]string]*group{}
	for _, e := range h {
		if e.t < from || e.t > to {
			continue
		}
		k := [2]string{e.kind, e.detail}
		if g := open[k]; g != nil && e.t-g.last <= wave.Milliseconds() {
			g.last = e.t
			g.n++
			continue
		}
		g := &group{e, e.t, 1}
		open[k] = g
		groups = append(groups, g)
	}
	out := make([]Event, 0, len(groups))
	for _, g := range groups {
		out = append(out, Event{g.first.t, g.first.kind, g.first.text(g.n), g.n})
	}
	return out
}

func (e *happening) text(n int) string {
	who := e.who
	if n > 1 {
		who = fmt.Sprintf("%d instances", n)
	}
	switch e.kind {
	case EventVersion:
		return e.detail + " first seen on " + who
	case EventDeploy:
		return who + " went " + e.detail
	case EventJoin:
		return who + " joined"
	case EventLeave:
		if strings.HasPrefix(e.detail, "left ") {
			return who + " " + e.detail
		}
		return strings.TrimSuffix(who+" left: "+e.detail, ": ")
	case EventRestart:
		return who + " restarted"
	case EventOrder, EventGuard, EventCollector:
		return e.detail
	}
	if rest, ok := strings.CutPrefix(e.detail, "is "); ok && n > 1 {
		return who + " are " + rest
	}
	return who + " " + e.detail
}

// settled reports whether the service had gathered by t.
func (s *service) settled(t int64) bool {
	return s.firstSeen > 0 && t > s.firstSeen+settle.Milliseconds()
}

// versionSeen notes a version of an instance, and says so if it is new to the service or to the instance. from is when whoever says it, the roster or snapshots, was
// first heard of the service: what is said then was so before, and is no news, however long the service has been there.
func (s *service) versionSeen(in *instance, was string, t int64, from *int64) {
	if *from == 0 {
		*from = t
	}
	v := in.tag(TagVersion)
	if v == "" || v == was {
		return
	}
	if first, known := s.versions[v]; !known || t < first {
		if len(s.versions) < maxEvents {
			s.versions[v] = t
		}
		if !known && s.settled(t) && t > *from+settle.Milliseconds() {
			s.events.add(happening{t, EventVersion, v, in.name()})
		}
	}
	if was != "" && s.settled(t) {
		s.events.add(happening{t, EventDeploy, was + " → " + v, in.name()})
	}
}

// rosterEvent tells what a change of the roster means.
func (s *service) rosterEvent(in *instance, was, now *discovery.Entry, t int64) {
	if !s.settled(t) || was != nil && was.State == now.State && was.Joined.Equal(now.Joined) {
		return
	}
	switch {
	case now.State == discovery.Departed:
		if was == nil || was.State != discovery.Departed {
			reason := now.Reason
			if by, replaced := strings.CutPrefix(now.Excuse, "replaced"); replaced {
				reason = strings.TrimSuffix(reason, by) // who replaced it tells those of one wave apart
			}
			s.events.add(happening{t, EventLeave, reason, in.name()})
		}
	case was == nil || was.State == discovery.Departed:
		s.events.add(happening{t, EventJoin, "", in.name()})
	case was.State != now.State:
		detail := "is " + string(now.State)
		if now.Reason != "" {
			detail += ": " + now.Reason
		}
		s.events.add(happening{t, EventState, detail, in.name()})
	}
}

// name is what people call the instance: its host where that is told, with its address.
func (in *instance) name() string {
	return cmp.Or(in.addr, "an instance")
}

// Events is what happened to a service from `from` to `to`, oldest first; waves of one kind are told as one.
func (b *Board) Events(name, env string, from, to time.Time) []Event {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	s.mu.RLock()
	events := s.events.told(ms(from), ms(to))
	s.mu.RUnlock()
	return b.withTold(events, name, env, from, to)
}
