package detect

import (
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// went is how instances left, of whom nobody took the place.
type went struct {
	N      int   `json:"n"`
	Failed int   `json:"failed,omitempty"` // of them, who had stopped answering
	First  int64 `json:"first"`            // Unix ms
	Last   int64 `json:"last"`             // Unix ms
}

func wentOf(gone []dashboards.Member) (w went) {
	for _, m := range gone {
		one := went{N: 1, First: m.Since.UnixMilli(), Last: m.Since.UnixMilli()}
		if m.Outcome != collector.OK {
			one.Failed = 1
		}
		w.join(&one)
	}
	return w
}

// join adds others.
func (w *went) join(o *went) {
	switch {
	case o.N == 0:
		return
	case w.N == 0:
		*w = *o
		return
	}
	w.N, w.Failed, w.First, w.Last = w.N+o.N, w.Failed+o.Failed, min(w.First, o.First), max(w.Last, o.Last)
}

// words says how they went, and whose doing that is: whoever had stopped answering was not taken off the roster by ZooKeeper's trouble.
func (w *went) words(whose string) string {
	who, left := "They", fmt.Sprintf("left the roster within %s of each other", span(time.Duration(w.Last-w.First)*time.Millisecond))
	if w.N == 1 {
		who, left = "It", "left the roster"
	}
	switch w.Failed {
	case w.N:
		return who + " stopped answering and " + left + ": " + whose + ", not ZooKeeper; nothing replaced " + map[bool]string{true: "it", false: "them"}[w.N == 1] + "."
	case 0:
		return who + " " + left + "; nothing replaced " + map[bool]string{true: "it", false: "them"}[w.N == 1] + "."
	}
	return fmt.Sprintf("%s %s, %d of them after they had stopped answering; nothing replaced them.", who, left, w.Failed)
}

// valid reports whether it can have been told by one of ours.
func (w *went) valid() bool {
	return w.N >= 0 && w.N < 1e6 && w.Failed >= 0 && w.Failed <= w.N && w.First >= 0 && w.First <= w.Last
}
