package serve

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func own(id, start uint64, at time.Time, heard time.Time, connected bool) *wire.RosterRecord {
	return &wire.RosterRecord{Collector: id, Start: start, TS: at.UnixMilli(), Own: &wire.Own{ConfigOK: true,
		Sources: []discovery.View{{Source: "apps", Connected: connected, Server: "zk-1:2181", LastHeard: heard}}}}
}

// A page without a collector in its process knows what collectors say of themselves.
func TestWords(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	with := func(r *wire.RosterRecord, change func(*wire.Own)) *wire.RosterRecord { change(r.Own); return r }
	for _, tc := range []struct {
		name       string
		in         []*wire.RosterRecord
		views      string
		exceptions string
	}{
		{"nothing yet", nil, "", ""},
		{"all well", []*wire.RosterRecord{own(1, 1, now, now, true), own(2, 1, ago(9*time.Second), ago(9*time.Second), true)}, "apps true zk-1:2181 0s", ""},
		{"an older word of one", []*wire.RosterRecord{own(1, 2, ago(time.Second), ago(time.Second), true), own(1, 1, now, now, true), own(1, 2, ago(2*time.Second), ago(2*time.Second), true)}, "apps true zk-1:2181 1s", ""},
		{"discovery is old", []*wire.RosterRecord{own(1, 1, now, ago(2*time.Minute), false)}, "apps false zk-1:2181 2m0s", ""},
		{"one is blind", []*wire.RosterRecord{own(1, 1, now, now, true), own(2, 1, now, ago(2*time.Minute), false)}, "apps true zk-1:2181 0s", "warn: 1 of 2 collectors hear nothing from apps and go on with what they know: collector 0000000000000002"},
		{"one has ended", []*wire.RosterRecord{own(1, 1, now, now, true), own(2, 1, ago(time.Minute), ago(2*time.Minute), false)}, "apps true zk-1:2181 0s", ""},
		{"all are silent", []*wire.RosterRecord{own(1, 1, ago(time.Minute), ago(time.Minute), true)}, "apps false collector 0000000000000001 1m0s", ""},
		{"dropped", []*wire.RosterRecord{
			with(own(1, 1, now, now, true), func(o *wire.Own) {
				o.Delivery, o.Roster = sink.Sums{Dropped: 3}, map[discovery.State]int{discovery.Unparsable: 2}
			}),
			with(own(2, 1, now, now, true), func(o *wire.Own) {
				o.Delivery, o.Roster = sink.Sums{Dropped: 4}, map[discovery.State]int{discovery.Unparsable: 2}
			})},
			"apps true zk-1:2181 0s", "bad: 7 records were dropped and will not be seen; warn: 2 members cannot be read and are not scraped"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var w words
			for _, r := range tc.in {
				w.hear(r)
			}
			var views, texts []string
			for _, v := range w.viewsAt(now) {
				views = append(views, v.Source+" "+map[bool]string{true: "true", false: "false"}[v.Connected]+" "+v.Server+" "+now.Sub(v.LastHeard).String())
			}
			for _, e := range w.exceptionsAt(now) {
				texts = append(texts, e.Level+": "+e.Text)
			}
			if got := strings.Join(views, "; "); got != tc.views {
				t.Errorf("views %q, want %q", got, tc.views)
			}
			if got := strings.Join(texts, "; "); got != tc.exceptions {
				t.Errorf("exceptions %q, want %q", got, tc.exceptions)
			}
		})
	}
}

// The guards are told on the topic; the rest only a collector knows.
func TestWordsAnswer(t *testing.T) {
	var w words
	r := own(7, 1, time.Now(), time.Now(), true)
	r.Own.Guards = []discovery.Guard{{Scope: "/a", Held: 40}}
	w.hear(r)
	told := w.ask(t.Context(), "/api/v1/roster/guards", nil)
	var said struct{ Guards []discovery.Guard }
	if len(told) != 1 || told[0].Status != 200 || json.Unmarshal(told[0].Body, &said) != nil || len(said.Guards) != 1 || said.Guards[0].Held != 40 {
		t.Errorf("%+v", told)
	}
	if told := w.ask(t.Context(), "/api/v1/roster/why", nil); told != nil {
		t.Errorf("%+v", told)
	}
}
