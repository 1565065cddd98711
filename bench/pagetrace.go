package main

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// traceEvent is what a browser tells of one thing that it did, in Chrome's own words.
type traceEvent struct {
	Name string          `json:"name"`
	Ph   string          `json:"ph"` // X: it has a duration; b: something begins; M: of a thread
	TS   float64         `json:"ts"` // µs
	Dur  float64         `json:"dur"`
	TDur float64         `json:"tdur"` // of the processor
	PID  int             `json:"pid"`
	TID  int             `json:"tid"`
	Args json.RawMessage `json:"args"`
}

// What counts as layout, and what as script. Garbage collection is a cost of the script; styles are worked out for the layout.
var (
	layoutEvents = []string{"UpdateLayoutTree", "Layout", "PrePaint", "Layerize", "HitTest", "IntersectionObserverController::computeIntersections"}
	scriptEvents = []string{"EvaluateScript", "FunctionCall", "v8.callFunction", "v8.compile", "v8.run", "TimerFire", "FireAnimationFrame", "FireIdleCallback", "RunMicrotasks",
		"BlinkScheduler_PerformMicrotaskCheckpoint", "EventDispatch", "XHRReadyStateChange", "XHRLoad", "MinorGC", "MajorGC", "HandlePostMessage", "ParseHTML"}
	ourEvents = append(slices.Clone(scriptEvents), layoutEvents...)
)

const (
	frameBegins = "AnimationFrame"
	wholeTask   = "RunTask"
	frameLength = 1e6 / 60 // µs
	noWork      = 500      // µs; what is less is no frame that anybody would count, unless it draws
)

// pageFrame is one frame of a page, in milliseconds of the clock; the processor's own are less where others want it, too.
type pageFrame struct {
	script, layout float64
	busy           float64 // all that the main thread did
	processor      float64 // of script and layout
	drew           bool
}

func (f *pageFrame) ours() float64 { return f.script + f.layout }

// framesOf divides what the main thread of the busiest page did into frames: a sixtieth of a second each, from where one that draws begins. A task belongs to the frame in
// which it begins, however long it takes. Frames in which nothing was drawn and next to nothing done are left out, so that they make no average better.
func framesOf(all []traceEvent) []pageFrame {
	type thread struct{ pid, tid int }
	pages := map[thread]bool{}
	work := map[thread]float64{}
	for _, e := range all {
		t := thread{e.PID, e.TID}
		if e.Ph == "M" && e.Name == "thread_name" && strings.Contains(string(e.Args), "CrRendererMain") {
			pages[t] = true
		}
		if e.Name == wholeTask {
			work[t] += e.Dur
		}
	}
	var main thread
	for t := range pages {
		if main == (thread{}) || work[t] > work[main] {
			main = t
		}
	}
	var draws []float64
	var own []traceEvent
	for _, e := range all {
		switch {
		case thread{e.PID, e.TID} != main:
		case e.Name == frameBegins && e.Ph == "b":
			draws = append(draws, e.TS)
		case e.Ph == "X":
			own = append(own, e)
		}
	}
	slices.Sort(draws)
	draws = slices.Compact(draws)
	if len(draws) == 0 {
		return nil
	}
	// The begin of the frame that a moment is of: the last drawing before it, and whole frames from there.
	frames := map[float64]*pageFrame{}
	at := func(ts float64) *pageFrame {
		i, found := slices.BinarySearch(draws, ts)
		begin := ts
		switch {
		case found:
			begin = draws[i]
		case i > 0:
			begin = draws[i-1] + frameLength*float64(int((ts-draws[i-1])/frameLength))
		default:
			return nil // before the first that is known
		}
		f := frames[begin]
		if f == nil {
			f = &pageFrame{}
			frames[begin] = f
		}
		return f
	}
	tasks := outermost(own, []string{wholeTask})
	taskOf := func(ts float64) float64 { // the beginning of the task that runs then
		i, found := slices.BinarySearchFunc(tasks, ts, func(e traceEvent, ts float64) int { return cmp.Compare(e.TS, ts) })
		if !found && i > 0 && ts < tasks[i-1].TS+tasks[i-1].Dur {
			return tasks[i-1].TS
		}
		return ts
	}
	for _, t := range tasks {
		if f := at(t.TS); f != nil {
			f.busy += t.Dur / 1000
		}
	}
	for _, e := range outermost(own, ourEvents) {
		if f := at(taskOf(e.TS)); f != nil {
			f.script += e.Dur / 1000
			f.processor += e.TDur / 1000
		}
	}
	for _, e := range outermost(own, layoutEvents) { // where script asked for it, too
		if f := at(taskOf(e.TS)); f != nil {
			f.script -= e.Dur / 1000
			f.layout += e.Dur / 1000
		}
	}
	for _, ts := range draws {
		if f := at(taskOf(ts)); f != nil {
			f.drew = true
		}
	}
	var out []pageFrame
	for _, f := range frames {
		if f.drew || f.busy*1000 > noWork {
			out = append(out, *f)
		}
	}
	return out
}

// outermost are the events of some kinds that are in no other of them, in order.
func outermost(all []traceEvent, kinds []string) (out []traceEvent) {
	for _, e := range all {
		if slices.Contains(kinds, e.Name) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b traceEvent) int { return cmp.Or(cmp.Compare(a.TS, b.TS), cmp.Compare(b.Dur, a.Dur)) })
	end := -1.0
	return slices.DeleteFunc(out, func(e traceEvent) bool {
		if e.TS < end {
			return true
		}
		end = e.TS + e.Dur
		return false
	})
}
