package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

func noteOf(group, rule, id, state string, at time.Time) dashboards.Note {
	return dashboards.Note{V: 1, Kind: dashboards.NoteAlert, ID: id, TS: at.UnixMilli(),
		Alert: &dashboards.Alert{ID: id, Group: group, Rule: rule, State: state, Labels: map[string]string{"alertname": rule, "id": id}, ActiveAt: at.UnixMilli(), FiredAt: at.UnixMilli()}}
}

// A rule whose alerts have ever new names takes from itself, and from no other.
func TestFlapping(t *testing.T) {
	inTime(t, func(t *testing.T) {
		r := newRig(t, load(t, over1, Options{}), nil)
		for n := range 5000 {
			r.Take(noteOf("rules.yml;g", "A", fmt.Sprint("a", n), dashboards.AlertFiring, t0))
		}
		for n := range 3 * maxWords {
			at := t0.Add(time.Duration(n) * time.Millisecond)
			r.Take(noteOf("rules.yml;g", "flaps", fmt.Sprint("f", n), []string{dashboards.AlertFiring, dashboards.AlertInactive}[n%2], at))
		}
		r.Take(noteOf("rules.yml;g", "A", "old", dashboards.AlertFiring, t0.Add(-outage-time.Second)))
		a, flaps := r.known.rules[ruleName{"rules.yml;g", "A"}], r.known.rules[ruleName{"rules.yml;g", "flaps"}]
		if len(r.known.by) != maxWords || len(a.list) != 5000 || len(flaps.list) != maxWords-5000 {
			t.Errorf("%d words, %d of the healthy rule, %d of the other", len(r.known.by), len(a.list), len(flaps.list))
		}
		for _, w := range flaps.list {
			if w.State == dashboards.AlertInactive {
				t.Fatalf("%s is over and is known, and others that stand were forgotten", w.ID)
			}
		}
		if n := r.forgot.Get(); n != 3*maxWords/2-uint64(len(flaps.list)) {
			t.Errorf("%d are said to be forgotten", n)
		}
		for _, w := range r.known.by {
			r.known.drop(w)
		}
		if len(r.known.by)+len(r.known.rules)+len(r.known.most) != 0 {
			t.Error("something is left")
		}
	})
}
