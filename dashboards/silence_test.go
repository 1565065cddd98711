package dashboards

import "testing"

// A silence covers what it names, and one of a place nothing else that is wrong with the services there.
func TestSilenceCovers(t *testing.T) {
	place := Finding{Service: "a", Env: "prod", Metric: "errors", Services: []string{"a", "b"}, Place: "host.name=h"}
	own := Finding{Service: "a", Env: "prod", Metric: "errors"}
	for _, tc := range []struct {
		name       string
		s          Silence
		place, own bool
	}{
		{"a service", Silence{Service: "a"}, true, true},
		{"another metric", Silence{Service: "a", Metric: "latency"}, false, false},
		{"another environment", Silence{Service: "a", Env: "staging"}, false, false},
		{"a place", Silence{Service: "a", Env: "prod", Metric: "errors", Place: "host.name=h"}, true, false},
		{"a place whose finding tells of another metric and service by now", Silence{Service: "b", Env: "prod", Metric: "latency", Place: "host.name=h"}, true, false},
		{"another place", Silence{Service: "a", Place: "host.name=i"}, false, false},
		{"over", Silence{Service: "a", Over: true}, false, false},
	} {
		tc.s.Until = 10
		if got := [2]bool{tc.s.Covers(&place, 5), tc.s.Covers(&own, 5)}; got != [2]bool{tc.place, tc.own} {
			t.Errorf("%s: covers the place's and the service's own: %v", tc.name, got)
		}
	}
	if s := (Silence{Service: "a", Place: "host.name=h", Until: 10}); s.CoversAlert(&Alert{Labels: map[string]string{"job": "a"}}, 5) {
		t.Error("a place covers alerts of a service")
	}
}
