package scrape

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
)

// At each limit a body is good, and one over it the scrape fails with an outcome of its own and a reason that names the offender and the limit, and nothing of it is emitted.
func TestLimits(t *testing.T) {
	many := func(n int) string { return strings.Repeat("x", n) }
	labels := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(string(rune('a'+i)) + `="v",`)
		}
		return "m{" + strings.TrimSuffix(b.String(), ",") + "} 1\n"
	}
	limits := stats.Options{Samples: 3, Name: 20, Labels: 4, LabelName: 10, LabelValue: 12, Depth: 5}
	for _, tc := range []struct {
		name   string
		limits stats.Options
		kind   string // of the content
		at     string // a body at the limit
		over   string // a body over it
		want   collector.Outcome
		reason string
	}{
		{"samples, JSON", limits, "application/json", `{"a":1,"b":2,"c":3}`, `{"a":1,"b":2,"c":3,"d":4}`, collector.SampleLimit, `more than 3 samples; the first too many is "d"`},
		{"samples, in a distribution", limits, "application/json", `{"metrics":{"m":{"count":1,"sum":2,"p50":3}}}`, `{"metrics":{"m":{"count":1,"sum":2,"p50":3,"p99":4}}}`, collector.SampleLimit, `more than 3 samples; the first too many is "m"`},
		{"samples, Prometheus", limits, "text/plain; version=0.0.4", "a 1\nb 2\nc 3\n", "a 1\nb 2\nc 3\nd 4\n", collector.SampleLimit, `more than 3 samples; the first too many is "d"`},
		{"name, JSON", limits, "application/json", `{"` + many(20) + `":1}`, `{"` + many(21) + `":1}`, collector.SampleLimit, `name longer than 20 bytes: "xxxxxxxxxxxxxxxxxxxxx"`},
		{"name, of a path", limits, "application/json", `{"aaaaaaaaaa":{"bbbbbbbbb":1}}`, `{"aaaaaaaaaa":{"bbbbbbbbbb":1}}`, collector.SampleLimit, `name longer than 20 bytes: "aaaaaaaaaa/bbbbbbbbbb"`},
		{"name, Prometheus", limits, "text/plain; version=0.0.4", many(20) + " 1\n", many(21) + " 1\n", collector.SampleLimit, "name longer than 20 bytes"},
		{"labels", limits, "text/plain; version=0.0.4", labels(4), labels(5), collector.SampleLimit, `more than 4 labels on one series; the first too many is "e"`},
		{"label name", limits, "text/plain; version=0.0.4", "m{" + many(10) + `="v"} 1` + "\n", "m{" + many(11) + `="v"} 1` + "\n", collector.SampleLimit, "label name longer than 10 bytes"},
		{"label value", limits, "text/plain; version=0.0.4", `m{a="` + many(12) + `"} 1` + "\n", `m{a="` + many(13) + `"} 1` + "\n", collector.SampleLimit, `label value longer than 12 bytes: that of "a"`},
		{"a text of Ostrich's", limits, "application/json", `{"labels":{"l":"` + many(12) + `"}}`, `{"labels":{"l":"` + many(13) + `"}}`, collector.SampleLimit, `label value longer than 12 bytes: that of "l"`},
		{"depth", limits, "application/json", `{"a":[[[[1]]]]}`, `{"a":[[[[[1]]]]]}`, collector.SampleLimit, `objects and arrays more than 5 deep in "a"`},
		{"body", limits, "application/json", `{"a":1}` + strings.Repeat(" ", 93), `{"a":1}` + strings.Repeat(" ", 94), collector.BodyLimit, "the body is longer than 100 bytes"},

		// Without a word of the job's: the defaults that docs/configuration.md names.
		{"default name", stats.Options{}, "application/json", "", `{"` + many(1025) + `":1}`, collector.SampleLimit, "name longer than 1024 bytes"},
		{"default labels", stats.Options{}, "text/plain; version=0.0.4", "", "m{" + manyLabels(65) + "} 1\n", collector.SampleLimit, "more than 64 labels on one series; the first too many is"},
		{"default label name", stats.Options{}, "text/plain; version=0.0.4", "m{" + many(256) + `="v"} 1` + "\n", "m{" + many(257) + `="v"} 1` + "\n", collector.SampleLimit, "label name longer than 256 bytes"},
		{"default label value", stats.Options{}, "text/plain; version=0.0.4", `m{a="` + many(4096) + `"} 1` + "\n", `m{a="` + many(4097) + `"} 1` + "\n", collector.SampleLimit, "label value longer than 4096 bytes"},
		{"default depth", stats.Options{}, "application/json", `{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, collector.SampleLimit, "more than 64 deep"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				say := func(body string) func(net.Conn) {
					return func(c net.Conn) {
						_, _ = io.WriteString(c, head+"Content-Type: "+tc.kind+"\r\n\r\n"+body)
					}
				}
				f.raw("10.0.0.1:80", say(tc.at))
				f.raw("10.0.0.2:80", say(tc.over))
				p, got, stop := f.running(t, Config{})
				j := &Job{Name: "apps", Interval: time.Second, NoServerInfo: true, Limits: tc.limits}
				if tc.want == collector.BodyLimit {
					j.BodyLimit = 100
				}
				set(t, p, targets(j, "10.0.0.1:80", "10.0.0.2:80"))
				time.Sleep(3 * time.Second)
				synctest.Wait()
				seen := map[string]int{}
				for _, s := range got.take() {
					seen[s.Instance.Host]++
					switch {
					case s.Instance.Host == "10.0.0.1" && tc.at != "" && (s.Outcome != collector.OK || len(s.Samples) == 0):
						t.Errorf("at the limit: %s %s, %d samples", s.Outcome, s.Reason, len(s.Samples))
					case s.Instance.Host == "10.0.0.2" && (s.Outcome != tc.want || !strings.Contains(s.Reason, tc.reason) || len(s.Samples) != 0 || len(s.Reason) > maxReason+5):
						t.Errorf("over it: %s %q, %d samples; want %s %q", s.Outcome, s.Reason, len(s.Samples), tc.want, tc.reason)
					}
				}
				if seen["10.0.0.1"] != 3 || seen["10.0.0.2"] != 3 {
					t.Errorf("pulled %v", seen)
				}
				stop()
			})
		})
	}
}

// manyLabels is n labels.
func manyLabels(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = "a" + strings.Repeat("b", i) + `="v"`
	}
	return strings.Join(out, ",")
}
