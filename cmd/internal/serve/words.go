package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	// silentAfter is how old the word of a collector may be: it speaks every ten seconds.
	silentAfter = 35 * time.Second
	// forgottenAfter is when a collector that says nothing is no longer spoken of, where others speak.
	forgottenAfter = 5 * time.Minute
)

// words is what collectors say of themselves on the topic, for a page without a collector in its process.
type words struct {
	mu sync.Mutex
	by map[uint64]word
}

type word struct {
	wire.Own
	id    uint64
	start uint64
	at    time.Time
}

func (w *word) name() string { return fmt.Sprintf("collector %016x", w.id) }

// hear takes a record's word in, unless a newer one is there.
func (w *words) hear(r *wire.RosterRecord) {
	at := time.UnixMilli(r.TS)
	if now := time.Now(); at.After(now) {
		at = now
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, ok := w.by[r.Collector]; ok && (r.Start < was.start || r.Start == was.start && at.Before(was.at)) {
		return
	}
	if w.by == nil {
		w.by = map[uint64]word{}
	}
	w.by[r.Collector] = word{*r.Own, r.Collector, r.Start, at}
}

// now is the words that count, in the order of their collectors: of those who speak; where nobody does, of the last who did.
func (w *words) now(now time.Time) (out []word, speak bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var newest time.Time
	for _, x := range w.by {
		if x.at.After(newest) {
			newest = x.at
		}
	}
	maps.DeleteFunc(w.by, func(_ uint64, x word) bool { return newest.Sub(x.at) > forgottenAfter })
	speak = now.Sub(newest) <= silentAfter
	for _, x := range w.by {
		if newest.Sub(x.at) <= silentAfter {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b word) int { return cmp.Compare(a.id, b.id) })
	return out, speak
}

// views is what is known of each source, by the collector that heard of it last.
func (w *words) views() []discovery.View { return w.viewsAt(time.Now()) }

func (w *words) viewsAt(now time.Time) []discovery.View {
	best := map[string]discovery.View{}
	all, speak := w.now(now)
	for _, x := range all {
		for _, v := range x.Sources {
			if !speak {
				v.Connected, v.Live, v.Server = false, false, x.name()
			}
			if b, ok := best[v.Source]; !ok || v.LastHeard.After(b.LastHeard) {
				best[v.Source] = v
			}
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b discovery.View) int { return strings.Compare(a.Source, b.Source) })
}

// exceptions is what of the words a reader of the page has to know.
func (w *words) exceptions() []dashboards.Exception { return w.exceptionsAt(time.Now()) }

func (w *words) exceptionsAt(now time.Time) (out []dashboards.Exception) {
	all, speak := w.now(now)
	if !speak {
		return nil // the views say that nobody speaks
	}
	// Each pulls its share and delivers it; of the roster and the configuration each has the whole.
	sum := collect.Status{ConfigOK: true, Roster: map[discovery.State]int{}, Outcomes: map[string]int{}}
	blind := map[string][]string{}
	sees := map[string]bool{}
	for _, x := range all {
		sum.Delivery.Dropped += x.Delivery.Dropped
		sum.ConfigOK = sum.ConfigOK && x.ConfigOK
		for outcome, n := range x.Outcomes {
			sum.Outcomes[outcome] += n
		}
		for state, n := range x.Roster {
			sum.Roster[state] = max(sum.Roster[state], n)
		}
		for _, v := range x.Sources {
			if v.Connected {
				sees[v.Source] = true
			} else if now.Sub(v.LastHeard) > silentAfter {
				blind[v.Source] = append(blind[v.Source], x.name())
			}
		}
	}
	out = exceptions(sum)
	for _, source := range slices.Sorted(maps.Keys(blind)) {
		if who := blind[source]; sees[source] {
			out = append(out, dashboards.Exception{Level: "warn", Link: "/roster", Text: fmt.Sprintf("%d of %d collectors hear nothing from %s and go on with what they know: %s", len(who), len(all), source, strings.Join(who[:min(len(who), 3)], ", "))})
		}
	}
	return out
}

// ask answers in the collectors' place what their words hold: the guards. The rest only they themselves know.
func (w *words) ask(_ context.Context, path string, _ url.Values) (out []web.Told) {
	if path != "/api/v1/roster/guards" {
		return nil
	}
	all, speak := w.now(time.Now())
	for _, x := range all {
		t := web.Told{Collector: x.name()}
		if !speak {
			t.Err = "it has said nothing since " + x.at.UTC().Format("15:04:05 UTC")
		}
		body, err := json.Marshal(struct {
			Guards []discovery.Guard `json:"guards"`
		}{x.Guards})
		if err != nil {
			t.Err = err.Error()
		} else if t.Err == "" {
			t.Status, t.Body = http.StatusOK, body
		}
		out = append(out, t)
	}
	return out
}
