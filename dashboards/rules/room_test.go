package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// gives answers expressions that are names with as many series, each of its own number, from a number on.
type gives map[string][2]int

func (g gives) query(_ context.Context, expr string, _ time.Time) (out promql.Vector, _ error) {
	for n := range g[expr][1] {
		out = append(out, promql.Sample{Metric: labels.FromStrings("n", fmt.Sprint(g[expr][0]+n)), F: 2})
	}
	return out, nil
}

func roomRig(t *testing.T, g gives) *rig {
	return newRig(t, load(t, "groups: [{name: g, rules: [{alert: A, expr: a}, {alert: B, expr: b}]}]", Options{}), func(c *Config) { c.Query, c.MaxAlerts = g.query, 20 })
}

// states counts a rule's alerts.
func (r *rig) states(rule string) (n [2]int) {
	for _, a := range r.Alerts() {
		switch {
		case a.Rule != rule:
		case a.State == dashboards.AlertInactive:
			n[1]++
		default:
			n[0]++
		}
	}
	return n
}

// A rule that gives too many alerts for all rules together fails and says so; what stands of it stays, and is over when it is, and the other has its part.
func TestRoom(t *testing.T) {
	g := gives{}
	r := roomRig(t, g)
	for n, tc := range []struct {
		a, b       [2]int // numbers that are given
		hasA, hasB [2]int // active, over
		fails      string
	}{
		{[2]int{0, 15}, [2]int{0, 0}, [2]int{15, 0}, [2]int{0, 0}, ""}, // its part, and all of the common half
		{[2]int{0, 16}, [2]int{0, 5}, [2]int{15, 0}, [2]int{5, 0}, "A (group g of rules.yml) cannot be evaluated: no room for 1 new alerts"},
		{[2]int{0, 15}, [2]int{0, 6}, [2]int{15, 0}, [2]int{5, 0}, "B (group g of rules.yml) cannot be evaluated: no room for 1 new alerts"},
		{[2]int{0, 10}, [2]int{0, 6}, [2]int{10, 5}, [2]int{5, 0}, "B (group g of rules.yml) cannot be evaluated: no room for 1 new alerts"}, // what is over of A takes room, too
		{[2]int{3, 9}, [2]int{0, 5}, [2]int{9, 6}, [2]int{5, 0}, ""},
		{[2]int{90, 16}, [2]int{0, 11}, [2]int{0, 0}, [2]int{11, 0}, "A (group g of rules.yml) cannot be evaluated: no room for 16 new alerts"}, // what is over gave way to them in vain
		{[2]int{90, 9}, [2]int{0, 11}, [2]int{9, 0}, [2]int{11, 0}, ""},
	} {
		g["a"], g["b"] = tc.a, tc.b
		r.turn(at(n))
		if a, b := r.states("A"), r.states("B"); a != tc.hasA || b != tc.hasB {
			t.Errorf("slot %d: A has %v, B %v", n, a, b)
		}
		if faults := strings.Join(r.Faults(), "; "); (faults == "") != (tc.fails == "") || !strings.Contains(faults, tc.fails) {
			t.Errorf("slot %d: %q, want %q", n, faults, tc.fails)
		}
	}
	if r.room.common.Load() != 4+6 {
		t.Errorf("%d of the common room are taken", r.room.common.Load())
	}
	r.Update(&Set{})
	if n := r.room.common.Load(); n != 0 {
		t.Errorf("%d of the common room are taken, and there are no rules", n)
	}
}

// Alerts of ever new names do not pile up for the time that they are told to be over; and who was told of one hears that it is over.
func TestEverNewAlerts(t *testing.T) {
	g := gives{}
	r := roomRig(t, g)
	for n := range 30 {
		g["a"] = [2]int{7 * n, 7}
		r.turn(at(n))
	}
	if a := r.states("A"); a[0] != 7 || a[1] > 8 {
		t.Errorf("%v alerts", a)
	}
	if n := r.forgot.Get(); n < 7*28-8 {
		t.Errorf("%d were forgotten", n)
	}
	stands := map[string]bool{}
	for _, n := range r.notes {
		stands[n.Alert.Labels["n"]] = n.Alert.State != dashboards.AlertInactive
	}
	var told []string
	for n, yes := range stands {
		if yes {
			told = append(told, n)
		}
	}
	if slices.Sort(told); strings.Join(told, " ") != "203 204 205 206 207 208 209" {
		t.Errorf("those who were told believe that %q stand", told)
	}
}
