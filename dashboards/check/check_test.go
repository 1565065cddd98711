package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/profile"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
)

// whole is a service of which nothing is missing.
func whole() Source {
	found := func(metric, why string) dashboards.RecognisedSignal {
		return dashboards.RecognisedSignal{Metrics: []string{metric}, Series: 1, Why: why}
	}
	return Source{AsOf: 1, Service: "checkout", Env: "prod", Feed: dashboards.Feed{State: dashboards.FeedLive},
		Is: &dashboards.Recognised{Expected: 3, Present: 3, Answering: 3, Rate: found("requests", "requests"), Errors: found("errors", "errors"), Latency: found("latency_ms", "latency_ms"),
			LatencyName: "p99", LatencyWindow: "latched", Uses: []string{"pool_busy"}, Tagged: map[string]int{dashboards.TagVersion: 3, dashboards.TagZone: 3, dashboards.TagTrack: 3, dashboards.TagHost: 3},
			About:   dashboards.About{Owner: "shop", Chat: "#shop", Runbook: "https://wiki.example/c"},
			Metrics: []dashboards.Metric{{Name: "requests", Kind: "counter"}, {Name: "errors", Kind: "counter"}, {Name: "aborted_total", Kind: "counter"}, {Name: "failing", Kind: "gauge"}, {Name: "latency_ms", Kind: "distribution", Fields: []string{"p50", "p99"}}}},
		Cohorts: canary.Cohorts{Reason: "all run 1.42.0"}}
}

func TestService(t *testing.T) {
	objective := dashboards.Objective{Name: "latency", Target: .99, Under: 300, Window: 30 * 24 * time.Hour}
	stands := func(why string) []slo.Standing {
		return []slo.Standing{{Objective: objective, Signal: "latency", WindowMS: objective.Window.Milliseconds(), Why: why, Good: .995, Spent: .02}}
	}
	for _, tc := range []struct {
		name    string
		change  func(s *Source)
		missing int
		want    string // state what: text → remedy
	}{
		{"whole", func(*Source) {}, 0, "good rate: requests: known by name, as requests"},
		{"its promises", func(*Source) {}, 0, "note slo: it promises nothing: nobody is called when its errors eat up a budget → write in services.d/checkout.yml: `slo: [{objective: 99.9%}]`"},
		{"silent ones", func(s *Source) { s.Is.Answering, s.Is.Outcomes = 1, map[string]int{"ok": 1, "timeout": 2} }, 1, "missing instances: 1 of 3 answer: 2 timeout → `rollcall ls checkout/prod` lists them, `rollcall why HOST:PORT` says of each why"},
		{"nobody", func(s *Source) { s.Is.Expected = 0 }, 1, "missing instances: nobody is expected to answer"},
		{"no errors, but something like it", func(s *Source) { s.Is.Errors = dashboards.RecognisedSignal{}; s.Is.Metrics = s.Is.Metrics[2:] }, 1,
			"missing errors: no metric of it is known to mean that → is it aborted_total? Then write in services.d/checkout.yml: `golden: {errors: \"aborted_total\"}`; else count requests that fail as `errors`"},
		{"no errors, and a gauge", func(s *Source) { s.Is.Errors = dashboards.RecognisedSignal{}; s.Is.Metrics = s.Is.Metrics[3:] }, 1, "missing errors: no metric of it is known to mean that → only what counts up can be read so, and failing is a gauge"},
		{"none, by rule", func(s *Source) {
			s.Is.Errors = dashboards.RecognisedSignal{None: true}
			s.Said.From = map[string]string{"golden.errors": "a.yml"}
		}, 0, "note errors: a rule says that there is none: a.yml"},
		{"by rule", func(s *Source) {
			s.Is.Errors = dashboards.RecognisedSignal{Metrics: []string{"aborted_total"}, Series: 4, Why: "abort*", ByRule: true}
		}, 0, "good errors: aborted_total (4 series): named by the rule abort* (dashboards.golden)"},
		{"a rule that fits nothing", func(s *Source) {
			s.Said.Golden.Errors, s.Said.From = []string{"fail*"}, map[string]string{"golden.errors": "a.yml"}
		}, 1, "missing rules: golden.errors, by a.yml: fail* fits no counter of it; failing is a gauge; taken instead is errors → mend the name there"},
		{"a pool that is not there", func(s *Source) {
			s.Said.Golden.Saturation, s.Said.From = []string{"failing of all"}, map[string]string{"golden.saturation": "a.yml"}
		}, 1, "missing rules: golden.saturation, by a.yml: all fits no gauge of it"},
		{"percentiles of a life", func(s *Source) { s.Is.LatencyName, s.Is.LatencyWindow = "mean", "lifetime" }, 1,
			"missing latency: latency_ms: known by name, as latency_ms; its percentiles are of the whole life of a process and say nothing about now, so that only the mean is known → export a histogram, or, of Ostrich, set ostrich_period in the job"},
		{"others' percentiles", func(s *Source) { s.Is.Lifetime = []string{"gc_ms"} }, 0, "note windows: percentiles of gc_ms are of the whole life of a process"},
		{"no owner", func(s *Source) { s.Is.About.Owner = "" }, 1, "missing owner: nobody looks after it, as far as anybody has said → write in services.d/checkout.yml: `owner: TEAM`"},
		{"an owner by file", func(s *Source) { s.Said.Owner, s.Said.From = "pay", map[string]string{"owner": "a.yml"} }, 0, "good owner: pay, by a.yml"},
		{"no chat", func(s *Source) { s.Is.About.Chat = "" }, 0, "note chat: where its people talk is not said"},
		{"some zones", func(s *Source) { s.Is.Tagged[dashboards.TagZone] = 1 }, 1, "missing tags: zone: 1 of 3 instances have cloud.availability_zone"},
		{"no track", func(s *Source) { delete(s.Is.Tagged, dashboards.TagTrack) }, 0, "note tags: track: no instance has rollcall.track"},
		{"a bad file", func(s *Source) { s.Files = []profile.FileStatus{{File: "b.yml", Error: "line 1: oh"}} }, 1, "missing files: b.yml cannot be read, and what it said before stays: line 1: oh"},
		{"a bad tag", func(s *Source) { s.Said.Wrong = []string{`rollcall.slo: "much" is no share`} }, 1, `missing metadata: rollcall.slo: "much" is no share`},
		{"latency without a histogram", func(s *Source) { s.Said.Objectives, s.Promises = []dashboards.Objective{objective}, stands("no") }, 1,
			"missing slo: latency, by : 99 % of requests within 300 ms, over 30 days: not possible, as percentiles do not tell how many requests take longer → export the latency as a histogram with a bound at 300 ms"},
		{"a promise kept", func(s *Source) {
			s.Said.Objectives, s.Promises, s.Is.Bounds = []dashboards.Objective{objective}, stands(""), []float64{100, 300, 1000}
		}, 0, "good slo: latency, by : 99 % of requests within 300 ms, over 30 days; 99.5 % within a day, which took 2 % of the budget"},
		{"between two bounds", func(s *Source) {
			s.Said.Objectives, s.Promises, s.Is.Bounds = []dashboards.Objective{objective}, stands(""), []float64{100, 500}
		}, 0, "note slo: latency: 300 ms lies between the bounds 100 ms and 500 ms, and is estimated"},
		{"above the last bound", func(s *Source) {
			s.Said.Objectives, s.Promises, s.Is.Bounds = []dashboards.Objective{objective}, stands(""), []float64{100}
		}, 1, "missing slo: latency: 300 ms is above the last bound, 100 ms: all requests above that one count as too slow"},
		{"a canary's metric", func(s *Source) {
			s.Said.Canary.Measures = []canary.Measure{{Name: "heap", Metric: "heap", Direction: canary.Increase, Margin: .25, Action: canary.Warns}}
		}, 1, "missing canary: judged by heap, by : more is harm, 25 % matters, it may warn; no metric of it is called heap"},
		{"a canary's field", func(s *Source) {
			s.Said.Canary.Measures = []canary.Measure{{Name: "x", Metric: "latency_ms", Field: "p95", Direction: canary.Increase, Margin: .25, Action: canary.Fails}}
		}, 1, "it is a distribution, which has no field \"p95\" → set field to one of p50, p99"},
		{"files alone", func(s *Source) { s.Is, s.Said.Objectives = nil, []dashboards.Objective{objective} }, 2, "good slo: latency, by : 99 % of requests within 300 ms, over 30 days"},
		{"files that name metrics", func(s *Source) {
			s.Is, s.Golden.Rate, s.Said.Golden.Errors, s.Said.From = nil, []string{"hits"}, []string{"hits_failed", dashboards.NoMetric}, map[string]string{"golden.errors": "a.yml"}
			s.Files = []profile.FileStatus{{File: "a.yml", Services: 2}}
		}, 2, "good files: a.yml is read: it has 2 entries\ngood rate: hits, by dashboards.golden\ngood errors: hits_failed, none, by a.yml\nnote latency: nothing names its metrics: they are recognised when it runs\n"},
		{"no file", func(s *Source) { s.Is = nil }, 2, "note files: no file says anything of services → write in services.d/checkout.yml: `service: checkout`, and name the file"},
		{"a dead feed", func(s *Source) { s.Feed = dashboards.Feed{State: dashboards.FeedDead, Error: "Kafka is away"} }, 0, "note instances: the feed is dead: Kafka is away"},
	} {
		s := whole()
		tc.change(&s)
		r := Service(s)
		text := ""
		for _, l := range r.Lines {
			text += fmt.Sprintf("%s %s: %s", l.State, l.What, l.Text)
			if l.Remedy != "" {
				text += " → " + l.Remedy
			}
			text += "\n"
		}
		if r.Missing != tc.missing || !strings.Contains(text, tc.want) {
			t.Errorf("%s: %d missing, want %d and %q:\n%s", tc.name, r.Missing, tc.missing, tc.want, text)
		}
	}
}
