package rules

import (
	"container/heap"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// maxWords is how many alerts are known of by what was told.
const maxWords = 2 * MaxAlerts

// word is the newest that was told of an alert.
type word struct {
	dashboards.Alert
	ts int64
	at int // in the heap of its rule
}

// before orders the words of a rule by who gives way first: what is over, then what is oldest.
func (w *word) before(o *word) bool {
	if over, other := w.State == dashboards.AlertInactive, o.State == dashboards.AlertInactive; over != other {
		return over
	}
	return w.ts < o.ts
}

func (w *word) move(to int) { w.at = to }

// ruleWords is what was told of one rule's alerts.
type ruleWords struct {
	of   ruleName
	list pile[*word]
	at   int // in the heap of rules
}

type ruleName struct{ group, rule string }

// before puts the rule first of which the most is known.
func (r *ruleWords) before(o *ruleWords) bool { return len(r.list) > len(o.list) }

func (r *ruleWords) move(to int) { r.at = to }

// words is what was told of alerts, by whomever. Where there is no room for one more, the rule of which the most is known gives way: one that names ever new alerts takes
// nothing from the others. Each change takes a time that grows with the logarithm of what is there: it happens where the topic is read.
type words struct {
	by    map[string]*word
	rules map[ruleName]*ruleWords
	most  pile[*ruleWords]
}

func newWords() words { return words{by: map[string]*word{}, rules: map[ruleName]*ruleWords{}} }

// put takes in what was told, unless it is older than what is known. It gives what was forgotten for it; nil: nothing was.
func (ws *words) put(a *dashboards.Alert, ts int64) (forgot *word) {
	if was := ws.by[a.ID]; was != nil {
		if was.ts >= ts {
			return nil
		}
		ws.drop(was)
	}
	name := ruleName{a.Group, a.Rule}
	r := ws.rules[name]
	if r == nil {
		r = &ruleWords{of: name}
		ws.rules[name] = r
		heap.Push(&ws.most, r)
	}
	w := &word{Alert: *a, ts: ts}
	ws.by[a.ID] = w
	heap.Push(&r.list, w)
	heap.Fix(&ws.most, r.at)
	if len(ws.by) <= maxWords {
		return nil
	}
	forgot = ws.most[0].list[0]
	ws.drop(forgot)
	return forgot
}

func (ws *words) drop(w *word) {
	delete(ws.by, w.ID)
	r := ws.rules[ruleName{w.Group, w.Rule}]
	heap.Remove(&r.list, w.at)
	if len(r.list) > 0 {
		heap.Fix(&ws.most, r.at)
		return
	}
	heap.Remove(&ws.most, r.at)
	delete(ws.rules, r.of)
}

// piled is what knows its order and its place in a pile.
type piled[T any] interface {
	before(T) bool
	move(int)
}

var (
	_ piled[*word]      = (*word)(nil)
	_ piled[*ruleWords] = (*ruleWords)(nil)
)

// pile is a heap whose things know where they are.
type pile[T piled[T]] []T

func (p pile[T]) Len() int           { return len(p) }
func (p pile[T]) Less(i, j int) bool { return p[i].before(p[j]) }

func (p pile[T]) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].move(i)
	p[j].move(j)
}

// Push implements heap.Interface.
func (p *pile[T]) Push(x any) {
	x.(T).move(len(*p))
	*p = append(*p, x.(T))
}

// Pop implements heap.Interface.
func (p *pile[T]) Pop() any {
	n := len(*p) - 1
	x := (*p)[n]
	clear((*p)[n:])
	*p = (*p)[:n]
	return x
}
