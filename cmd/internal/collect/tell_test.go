package collect

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestTell(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 10, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	base := discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}, Path: "/discovery/checkout/prod"}, State: discovery.Present, Since: at(4 * time.Minute)}
	for _, tc := range []struct {
		name string
		make func(*Why)
		want []string
	}{
		{"present", func(w *Why) {}, []string{"checkout/prod/10.0.0.5:8001 is present since 12:06:00 UTC (4 min ago).", "No source has it in its list now.", "This collector does not scrape it."}},
		{"missing", func(w *Why) { w.Story.Entry.State, w.Story.Entry.Cause = discovery.Departed, discovery.Expired }, []string{"the session that held it ended", "Nothing excuses it, so it counts as missing until 12:21:00 UTC."}},
		{"missed once", func(w *Why) {
			w.Story.Entry.State, w.Story.Entry.Since = discovery.Departed, at(time.Hour)
		}, []string{"the reason is not known. Nothing excused it, so it counted as missing until 11:25:00 UTC."}},
		{"excused", func(w *Why) {
			w.Story.Entry.State, w.Story.Entry.Excuse = discovery.Departed, "replaced by 10.0.0.9:8001"
		}, []string{"Nobody misses it: replaced by 10.0.0.9:8001."}},
		{"filtered", func(w *Why) {
			w.Story.Entry.State, w.Story.Entry.Reason = discovery.Filtered, "relabel_configs[0] of job \"apps\" drops it"
		}, []string{"is filtered since 12:06:00 UTC (4 min ago): relabel_configs[0] of job \"apps\" drops it.", "A rule of this configuration drops it"}},
		{"flaps", func(w *Why) { w.Story.Entry.State, w.Story.Entry.Flaps = discovery.Quarantined, 4 }, []string{"kept out of alarms", "It left and came back 4 times lately."}},
		{"guarded", func(w *Why) {
			w.Story.Entry.State = discovery.Unconfirmed
			w.Story.Guard = &discovery.Guard{Scope: "/discovery/checkout/prod", Peak: 65, Held: 65, Answering: 61, Silent: 4, Verdict: "ZooKeeper, not you: 61 of 65 that vanished answer"}
		}, []string{"The guard of /discovery/checkout/prod holds it: 65 of 65 vanished together, 61 answer and 4 do not. Verdict: ZooKeeper, not you: 61 of 65 that vanished answer."}},
		{"frozen", func(w *Why) {
			w.Story.Orders = []discovery.Order{{Kind: discovery.FreezeOrder, Path: "/discovery", By: "ann", Why: "moving", At: at(time.Minute), Until: now.Add(time.Hour)}}
		}, []string{"ann froze /discovery at 12:09:00 UTC (60 s ago), until 13:10:00 UTC, because: moving. Until then nobody below it leaves."}},
		{"held", func(w *Why) {
			w.Story.Sources = []discovery.Holding{{Job: "apps", Path: "/discovery/checkout/prod", Member: "m-1", Zxid: 0x12, Owner: 0x100, Verified: at(3 * time.Second), Live: true, State: discovery.Present, Pulls: true},
				{Job: "more", Path: "/x", State: discovery.Present}, {Job: "picky", Path: "/y", State: discovery.Filtered, Reason: "a rule"}}
		}, []string{"Job apps has it at /discovery/checkout/prod as m-1, made by transaction 0x12 of session 0x100, under watch and verified 3.0 s ago.", "Job more has it at /x; another list's word counts.", "Job picky has it at /y; by this list it is filtered: a rule."}},
		{"another collector's", func(w *Why) { w.Owner = "c2" }, []string{"Collector c2 scrapes it."}},
		{"to be scraped", func(w *Why) { w.Pull = &Pull{URL: "http://10.0.0.5:8001/stats.json"} }, []string{"It is to be scraped at http://10.0.0.5:8001/stats.json, and was not yet."}},
		{"good", func(w *Why) {
			w.Pull = &Pull{URL: "http://x", At: at(2 * time.Second), Outcome: "ok", Samples: 31, TookMS: 1.84}
		}, []string{"Its last scrape, 2.0 s ago at http://x, was good: 31 numbers in 1.8 ms."}},
		{"bad", func(w *Why) {
			w.Pull = &Pull{URL: "http://x", At: at(2 * time.Second), Outcome: "refused", Error: "connection refused"}
		}, []string{"Its last scrape, 2.0 s ago at http://x, failed (refused): connection refused."}},
	} {
		w := &Why{Story: discovery.Story{Entry: base}}
		tc.make(w)
		got := strings.Join(tell(w, "c1", now), "\n")
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", tc.name, want, got)
			}
		}
	}
}
