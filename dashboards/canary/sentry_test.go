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
		a := &Answer{Service: "checkout", Env: "prod", Verdict: verdict, By: "track", At: ms, Reason: "because", Turns: []Turned{{T: ms - 5000, Verdict: string(Hold)}, {T: ms, Verdict: string(verdict)}},
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

// A fail is told for as long as its canary is there, with when and with what it failed, by who judges anew as by the finding: whoever of either side is gone by then.
// A verdict that was another before stays among its turns.
func TestVerdictsAreKept(t *testing.T) {
	for _, tc := range []struct {
		name   string
		leaves func(h *host) // of the host at the same place
		who    int
	}{
		{"one of the baseline leaves", func(h *host) { h.leaves = 61 }, 1},
		{"one of the canary leaves", func(h *host) { h.leaves = 61 }, 13},
		{"those who failed leave", func(h *host) { h.leaves = 61 }, -1},
		{"others come", func(h *host) {}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var hosts []host
			for i := range 18 {
				h := host{addr: fmt.Sprintf("10.0.0.%d:80", i), zone: string(rune('a' + i%3)), track: "production", version: runs("1")}
				if i >= 12 {
					h.track, h.version = "canary", runs("2")
					if h.zone == "b" {
						h.errors = 0.4
					}
				}
				hosts = append(hosts, h)
			}
			for i := range hosts {
				if i == tc.who || tc.who < 0 && hosts[i].errors > 0 {
					tc.leaves(&hosts[i])
				}
			}
			if tc.name == "others come" {
				hosts = append(hosts, host{addr: "10.0.1.1:80", zone: "d", track: "canary", version: runs("2"), joins: 61}, host{addr: "10.0.1.2:80", zone: "d", track: "production", version: runs("1"), joins: 61})
			}
			s := NewSentry(SentryConfig{Measures: func(string, string) ([]Measure, time.Duration) { return nil, time.Second }})
			ask := Ask{Service: "checkout", Env: "prod", Warmup: time.Second}
			f := feedOf(t, hosts, s.Judge)
			f.to(t, 60)
			s.Look(t.Context(), f.b)
			f.to(t, 62)
			was, err := Judge(f.b, ask)
			if err != nil || was.Verdict != Fail {
				t.Fatalf("it does not fail: %+v, %v", was, err)
			}
			f.to(t, 300)
			s.Look(t.Context(), f.b)
			f.to(t, 302)
			is, err := Judge(f.b, ask)
			if err != nil || is.Verdict != Fail || is.Reason != was.Reason || is.At != was.At || fmt.Sprint(is.Turns) != fmt.Sprint(was.Turns) || is.Metrics[0].FailedAt != was.At || is.Metrics[0].FailedAs != was.Metrics[0].FailedAs || is.Metrics[0].Zone != "b" {
				t.Errorf("it was\n%+v\nand is\n%+v, %v", was, is, err)
			}
			open := f.b.Findings()
			if len(open) != 1 || open[0].Since != is.At || open[0].Canary.Verdict != "fail" || open[0].Canary.Reason != is.Reason {
				t.Errorf("the finding is %+v", open)
			}
		})
	}
}

// What is judged anew says what had been told before it, and adds what it comes to.
func TestRecall(t *testing.T) {
	told := func(verdict Verdict, turns ...Turned) dashboards.Finding {
		return dashboards.Finding{Service: "checkout", Env: "prod", Since: 9, Title: "canary 2 of checkout fails: x", Canary: &dashboards.CanaryTold{Version: "2", Verdict: string(verdict), Turns: turns}}
	}
	over := told(Fail)
	over.Ended = new(int64)
	other := told(Fail)
	other.Env = "staging"
	for _, tc := range []struct {
		name string
		told dashboards.Finding
		is   Verdict
		want string
	}{
		{"nothing was told", dashboards.Finding{}, Hold, "hold [{20 hold}]"},
		{"it is over", over, Hold, "hold [{20 hold}]"},
		{"of another environment", other, Hold, "hold [{20 hold}]"},
		{"it stands", told(Pass, Turned{T: 5, Verdict: "hold"}, Turned{T: 9, Verdict: "pass"}), Pass, "pass [{5 hold} {9 pass}]"},
		{"it turns", told(Pass, Turned{T: 5, Verdict: "hold"}, Turned{T: 9, Verdict: "pass"}), Hold, "hold [{5 hold} {9 pass} {20 hold}]"},
		{"a fail of an older one of ours", told(Fail), Hold, "fail [{9 fail}]"},
		{"a fail", told(Fail, Turned{T: 5, Verdict: "hold"}, Turned{T: 9, Verdict: "fail"}), Pass, "fail [{5 hold} {9 fail}]"},
	} {
		a := &Answer{AsOf: 30, At: 30, Service: "checkout", Env: "prod", Verdict: tc.is, Canary: &Side{Version: "2"}, Baseline: &Side{Version: "1"}, Turns: []Turned{{T: 20, Verdict: string(tc.is)}}}
		a.recall([]dashboards.Finding{tc.told})
		if got := fmt.Sprintf("%s %v", a.Verdict, a.Turns); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
