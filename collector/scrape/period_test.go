package scrape

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
)

// said is a snapshot's samples in one line.
func said(s *collector.Snapshot) string {
	var b strings.Builder
	for _, x := range s.Samples {
		fmt.Fprintf(&b, "%s %s %s", x.Kind, x.Name, x.Value)
		for _, f := range x.Fields {
			fmt.Fprintf(&b, "%s=%s,", f.Name, f.Value)
		}
		fmt.Fprintf(&b, " %s; ", x.Window)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestOstrichPeriod(t *testing.T) {
	const body, latched = `{"counters":{"requests":7},"metrics":{"a":{"count":900},"m":{"count":1000,"p99":9}}}`, `{"counters":{"requests":1},"gauges":{"g":5},"metrics":{"m":{"count":3,"p99":31},"new":{"count":1}}}`
	for _, tc := range []struct {
		name   string
		job    Job
		second func(w http.ResponseWriter, r *http.Request)
		want   string
		failed string // part of the status
		asks   string // the second request
	}{
		{"latched", Job{OstrichPeriod: 10 * time.Second}, nil, "counter requests 7 ; distribution m count=3,p99=31, latched; distribution new count=1, latched", "", "/stats.json?period=10"},
		{"with a query", Job{OstrichPeriod: 60 * time.Second, Params: map[string][]string{"x": {"y"}}}, nil, "counter requests 7 ; distribution m count=3,p99=31, latched; distribution new count=1, latched", "", "/stats.json?x=y&period=60"},
		{"asked for anyway", Job{OstrichPeriod: 60 * time.Second, MetricsPath: "/stats.json?period=5"}, nil, "counter requests 7 ; distribution a count=900, lifetime; distribution m count=1000,p99=9, lifetime", "", ""},
		{"net/http", Job{OstrichPeriod: 10 * time.Second, FollowRedirects: true}, nil, "counter requests 7 ; distribution m count=3,p99=31, latched; distribution new count=1, latched", "", "/stats.json?period=10"},
		{"below the least", Job{OstrichPeriod: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("period") != "60" {
				http.Error(w, "Invalid option for stats command: statsListenerMinPeriod:1.minutes", http.StatusBadRequest)
				return
			}
			fmt.Fprint(w, latched)
		}, "counter requests 7 ; distribution m count=3,p99=31, latched; distribution new count=1, latched", "asked for the last 10s: status 400", "/stats.json?period=60"},
		{"not there", Job{OstrichPeriod: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "counter requests 7 ; distribution a count=900, lifetime; distribution m count=1000,p99=9, lifetime", "asked for the last 10s: status 404", "/stats.json?period=60"},
		{"not there at all", Job{OstrichPeriod: 60 * time.Second}, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "counter requests 7 ; distribution a count=900, lifetime; distribution m count=1000,p99=9, lifetime", "asked for the last 1m0s: status 404", "/stats.json?period=60"},
		{"down for a while", Job{OstrichPeriod: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) }, "counter requests 7 ", "the second answer: status 503", "/stats.json?period=10"},
		{"broken", Job{OstrichPeriod: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, latched[:50]) }, "counter requests 7 ", "the second answer: parse json", "/stats.json?period=10"},
		{"hangs", Job{OstrichPeriod: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "counter requests 7 ", "the second answer: timed out", "/stats.json?period=10"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				asked := ""
				f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.RawQuery, "period=5") || !strings.Contains(r.URL.RawQuery, "period") {
						fmt.Fprint(w, body)
						return
					}
					if asked = r.URL.RequestURI(); tc.second != nil {
						tc.second(w, r)
						return
					}
					time.Sleep(20 * time.Millisecond)
					fmt.Fprint(w, latched)
				})
				own := metrics.NewSet()
				p, got, stop := f.running(t, Config{Metrics: own})
				j := tc.job
				j.Name, j.Interval, j.NoServerInfo = "apps", 2*time.Second, true
				set(t, p, targets(&j, "10.0.0.1:8001"))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				all := got.take()
				if len(all) < 4 {
					t.Fatalf("%d snapshots", len(all))
				}
				for i := range all {
					s := &all[i]
					if s.Outcome != collector.OK || said(s) != tc.want || s.Took > 1800*time.Millisecond || tc.asks != "" && tc.second == nil && s.Took < 20*time.Millisecond {
						t.Errorf("%s %s in %s: %s", s.Outcome, s.Reason, s.Took, said(s))
					}
				}
				st := p.Status()[0]
				if asked != tc.asks || !strings.HasPrefix(st.PeriodNote, tc.failed) || (tc.failed == "") != (st.PeriodNote == "") || st.Health != "up" {
					t.Errorf("asked for %q; status %q", asked, st.PeriodNote)
				}
				stop()
				if n := p.pulls.used.Load(); n != 0 {
					t.Errorf("%d bytes are still held", n)
				}
			})
		})
	}
}

func TestOstrichPeriodIsValidated(t *testing.T) {
	for _, tc := range []struct {
		job  Job
		want string
	}{
		{Job{OstrichPeriod: 1500 * time.Millisecond}, "whole seconds"},
		{Job{OstrichPeriod: -time.Second}, "whole seconds"},
		{Job{OstrichPeriod: 2 * time.Hour}, "up to an hour"},
		{Job{OstrichPeriod: time.Second, Params: map[string][]string{"period": {"5"}}}, "the same twice"},
		{Job{OstrichPeriod: 10 * time.Second}, ""},
	} {
		tc.job.Name = "x"
		if err := tc.job.Validate(); (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.job, err, tc.want)
		}
	}
}

func TestSkewOf(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1764000000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, tc := range []struct {
		said, sent, received float64
		want                 time.Duration
	}{
		{0, 0.1, 0.2, 0},
		{0, 0.9, 1.1, 0},
		{-1, 0.1, 0.2, 0},   // it may have said that at its last moment, 100 ms ago
		{-1, 0.99, 1.01, 0}, // within a second, perhaps
		{-3, 0.1, 0.2, -2650 * time.Millisecond},
		{90, 0.4, 0.6, 90 * time.Second},
		{4, 0, 5, 0}, // slow: anything between
		{-3600, 0, 0.1, -3599550 * time.Millisecond},
	} {
		if got := skewOf(at(tc.said), at(tc.sent), at(tc.received)); got != tc.want {
			t.Errorf("said %v between %v and %v: %s, want %s", tc.said, tc.sent, tc.received, got, tc.want)
		}
	}
}

// A target whose clock is wrong is known by it, in its status and in its snapshots.
func TestSkew(t *testing.T) {
	for _, tc := range []struct {
		name  string
		job   Job
		ahead time.Duration
	}{
		{"right", Job{}, 0}, {"ahead", Job{}, 90 * time.Second}, {"behind, over net/http", Job{FollowRedirects: true}, -time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().Add(tc.ahead).UTC().Format(http.TimeFormat))
					fmt.Fprint(w, `{"a":1}`)
				})
				p, got, stop := f.running(t, Config{})
				j := tc.job
				j.Name, j.Interval, j.NoServerInfo = "apps", time.Second, true
				set(t, p, targets(&j, "10.0.0.1:8001"))
				time.Sleep(3 * time.Second)
				synctest.Wait()
				for _, s := range append(got.take(), collector.Snapshot{Skew: p.Status()[0].Skew}) {
					if off := s.Skew - tc.ahead; off < -time.Second || off > time.Second || tc.ahead == 0 && s.Skew != 0 {
						t.Errorf("skew %s, want about %s", s.Skew, tc.ahead)
					}
				}
				stop()
			})
		})
	}
}

// Native histograms come in protobuf only, and only to a job that asks for it.
func TestAccept(t *testing.T) {
	for _, native := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			asked := ""
			f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
				asked = r.Header.Get("Accept")
				if !strings.HasPrefix(asked, "application/vnd.google.protobuf;") {
					fmt.Fprint(w, "a 1\n")
					return
				}
				w.Header().Set("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
				fmt.Fprint(w, "\x12\x0a\x01b\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f")
			})
			p, got, stop := f.running(t, Config{})
			set(t, p, targets(&Job{Name: "apps", Interval: time.Second, NoServerInfo: true, NativeHistograms: native}, "10.0.0.1:8001"))
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			for _, s := range got.take() {
				if want := map[bool]string{true: "gauge b 1 ", false: "untyped a 1 "}[native]; said(&s) != want {
					t.Errorf("native %v, asked %s: %s %s %s", native, asked, s.Outcome, s.Reason, said(&s))
				}
			}
			if strings.Contains(asked, "protobuf") != native {
				t.Errorf("asked for %s", asked)
			}
			stop()
		})
	}
}
