package canary

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// A verdict is a finding from when it is decided: it opens, turns and ends, and a fail stays for as long as its canary is there.
func TestSentry(t *testing.T) {
	at := func(verdict Verdict, version string, s int) *Answer {
		ms := t0.Add(time.Duration(s) * time.Second).UnixMilli()
		a := &Answer{Service: "checkout", Env: "prod", Verdict: verdict, By: "track", At: ms, Reason: "because", Turns: []TurnTold{{ms - 5000, Hold}, {ms, verdict}},
			Canary: &Side{Name: "canary", Version: version, Instances: 2}, Baseline: &Side{Name: "production", Version: "1.41.3", Instances: 9}}
		if verdict == Fail {
			a.Metrics = []MetricFound{{Name: "errors", Action: Fails, FailedAt: ms, FailedAs: "errors 0.20 % → 3.1 %"}}
		}
		return a
	}
	because := func(a *Answer, reason string) *Answer {
		a.Reason = reason
		return a
	}
	n := [2]string{"checkout", "prod"}
	for _, tc := range []struct {
		name string
		said []*Answer // nil: there is no canary at that look
		want string
	}{
		{"undecided", []*Answer{at(Hold, "1.42.0", 1)}, ""},
		{"fails", []*Answer{at(Hold, "1.42.0", 1), at(Fail, "1.42.0", 2)}, "bad fail since 2: canary 1.42.0 of checkout fails: errors 0.20 % → 3.1 %"},
		{"a fail stays", []*Answer{at(Fail, "1.42.0", 2), at(Pass, "1.42.0", 3), at(Hold, "1.42.0", 4)}, "bad fail since 2: canary 1.42.0 of checkout fails: errors 0.20 % → 3.1 %"},
		{"passes", []*Answer{at(Pass, "1.42.0", 2), at(Pass, "1.42.0", 3)}, "info pass since 2: canary 1.42.0 of checkout passes: because"},
		{"passes, and is open again", []*Answer{at(Pass, "1.42.0", 2), at(Hold, "1.42.0", 3)}, "info hold since 3: canary 1.42.0 of checkout holds: because"},
		{"holds for another reason", []*Answer{at(Pass, "1.42.0", 2), at(Hold, "1.42.0", 3), because(at(Hold, "1.42.0", 9), "anew")}, "info hold since 3: canary 1.42.0 of checkout holds: anew"},
		{"passes, and fails", []*Answer{at(Pass, "1.42.0", 2), at(Fail, "1.42.0", 5)}, "bad fail since 5: canary 1.42.0 of checkout fails: errors 0.20 % → 3.1 %"},
		{"the same version passes", []*Answer{at(Pass, "1.41.3", 2)}, ""},
		{"another canary", []*Answer{at(Fail, "1.42.0", 2), at(Hold, "1.43.0", 3)}, ""},
		{"away for a moment", []*Answer{at(Fail, "1.42.0", 2), nil, nil, at(Hold, "1.42.0", 9), nil}, "bad fail since 2: canary 1.42.0 of checkout fails: errors 0.20 % → 3.1 %"},
		{"taken back", []*Answer{at(Fail, "1.42.0", 2), nil, nil, nil}, ""},
	} {
		s := NewSentry(SentryConfig{})
		for _, a := range tc.said {
			if a == nil {
				s.away(n)
			} else {
				s.take(n, a)
			}
		}
		var got []string
		for _, f := range s.Judge(t0, nil) {
			if f.Metric != dashboards.MetricCanary || !strings.Contains(f.Title, f.News) || f.Canary.Baseline != "1.41.3" {
				t.Errorf("%s: %+v", tc.name, f)
			}
			got = append(got, fmt.Sprintf("%s %s since %d: %s", f.Level, f.Canary.Verdict, (f.Since-t0.UnixMilli())/1000, f.Title))
		}
		if strings.Join(got, "; ") != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// It looks at every canary of a Board; where nothing can be judged, what was found stays.
func TestSentryLooks(t *testing.T) {
	old, young := host{track: "production", version: runs("1.41.3")}, host{track: "canary", version: runs("1.42.0"), errors: .1}
	s := NewSentry(SentryConfig{})
	b := world(t, append(crew(8, 1, old), crew(3, 2, young)...), 60, time.Second)
	calm := world(t, crew(8, 1, old), 60, time.Second)
	open := func(what, want string) {
		t.Helper()
		var got []string
		for _, f := range s.Judge(t0, b) {
			got = append(got, f.Title)
		}
		if !strings.HasPrefix(strings.Join(got, "; "), want) || want == "" && len(got) > 0 {
			t.Errorf("%s: %q", what, got)
		}
	}
	s.Look(t.Context(), calm)
	open("no canary", "")
	s.Look(t.Context(), b)
	open("one that fails", "canary 1.42.0 of checkout fails: errors 0.1")
	young.errors = 0
	also := world(t, append(crew(8, 1, old), crew(3, 2, young)...), 60, time.Second)
	also.SetFeed(dashboards.Feed{State: dashboards.FeedDead})
	s.Look(t.Context(), also)
	open("a dead feed", "canary 1.42.0 of checkout fails")
	for range awayLooks {
		s.Look(t.Context(), calm)
	}
	open("taken back", "")
}
