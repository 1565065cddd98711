package detect

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// A deploy that goes on after a finding began is told with how far it is.
func TestDeployGoesOn(t *testing.T) {
	since := time.Unix(1764000000, 0)
	deploy := func(s int, n int, text string) dashboards.Event {
		return dashboards.Event{T: since.Add(time.Duration(s) * time.Second).UnixMilli(), Kind: dashboards.EventDeploy, Text: text, N: n}
	}
	first, later, other := deploy(-5, 5, "5 instances went 311 → 312"), deploy(30, 7, "7 instances went 311 → 312"), deploy(40, 1, "h:1 went 312 → 311")
	for _, tc := range []struct {
		events []dashboards.Event
		want   string
	}{
		{nil, ""},
		{[]dashboards.Event{first}, "5 instances went 311 → 312"},
		{[]dashboards.Event{first, other}, "5 instances went 311 → 312"},
		{[]dashboards.Event{first, later, other}, "5 instances went 311 → 312 (12 in all so far)"},
	} {
		if got := deployed(tc.events, since); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
