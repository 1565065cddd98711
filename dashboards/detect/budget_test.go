package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
)

// A budget that burns is a finding of its own; where another says what is wrong with the service already, that one tells of it.
func TestBudget(t *testing.T) {
	var burn *slo.Fired
	d, err := New(Config{Promises: func(service, env string, _ time.Time) []slo.Standing {
		if service != "checkout" || env != "prod" || burn == nil {
			return nil
		}
		return []slo.Standing{{Objective: dashboards.Objective{Name: "availability", Target: .999}, Signal: "errors", WindowMS: 30 * 24 * 3_600_000, Spent: .4, Alert: burn}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	w := &world{Fleet: sim.Demo(3, start, time.Second), b: b, now: start}
	w.Register(b)
	step := func(name string, d time.Duration, want ...string) {
		t.Helper()
		w.run(d, nil)
		var got []string
		for _, f := range w.b.Findings() {
			if f.Service == "checkout" {
				state := "open"
				if f.Ended != nil {
					state = "over"
				}
				got = append(got, state+" "+f.Level+" "+f.Metric+": "+f.Title)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %q, want %q", name, got, want)
		}
		for i := range want {
			begin, end, _ := strings.Cut(want[i], "…")
			if !strings.HasPrefix(got[i], begin) || !strings.HasSuffix(got[i], end) {
				t.Errorf("%s: %q, want %q", name, got[i], want[i])
			}
		}
	}
	step("calm", 25*time.Second)
	burn = &slo.Fired{Level: dashboards.LevelWarn, LongMS: 24 * 3_600_000, ShortMS: 2 * 3_600_000, Limit: 3, Burn: 4, Bad: .004}
	const day = "open warn budget: checkout burns its budget: errors in 0.4 % of its requests over 24 h, 4.0 × what 99.9 % allows; 40 % of the budget of 30 days went within a day"
	step("it burns", 12*time.Second, day)
	id := w.open()[0].ID
	burn = &slo.Fired{Level: dashboards.LevelBad, LongMS: 3_600_000, ShortMS: 300_000, Limit: 14.4, Burn: 20, Bad: .02}
	step("faster", 12*time.Second, "open bad budget: checkout burns its budget: errors in 2 % of its requests over 1 h, 20 × …")
	if f := w.open()[0]; f.ID != id || f.News != "20 ×" || float64(f.Was) != 14.4 {
		t.Errorf("%+v", f)
	}
	w.Effects = append(w.Effects, sim.Effect{From: w.now, Until: w.now.Add(10 * time.Second), Errors: .05, Hits: checkout})
	step("and it fails", 8*time.Second, "open bad errors: checkout is failing: …")
	if only := w.open()[0].Only; !strings.HasSuffix(only, " It burns its budget: errors in 2 % of its requests over 1 h, 20 × what 99.9 % allows.") {
		t.Errorf("of the budget it says %q", only)
	}
	parts := 0
	for _, f := range w.b.OwnFindings() {
		if f.ID == id && f.PartOf == w.open()[0].ID && f.Ended != nil {
			parts++
		}
	}
	if parts != 1 {
		t.Error("those who were told of the budget do not hear that it is told otherwise by now")
	}
	step("that is over, and what it has spent calls nobody", 20*time.Second, "over bad errors: checkout was failing: …")
	burn = nil
	step("calm again", 12*time.Second, "over bad errors: …")
	burn = &slo.Fired{Level: dashboards.LevelBad, LongMS: 3_600_000, ShortMS: 1000, Limit: 14.4, Burn: 20, Bad: .02}
	step("long after", 12*time.Second, "open bad budget: …", "over bad errors: …")
	burn = nil
	step("no more", 45*time.Second, "over bad budget: checkout burned its budget: …", "over bad errors: …")
}
