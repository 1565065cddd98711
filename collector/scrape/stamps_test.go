package scrape

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A number with a time of its own counts as of now only where it is near: by the clock of the target, and not where the job does not care.
func TestOwnTimeStamps(t *testing.T) {
	const text, openMetrics = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
	for _, tc := range []struct {
		name  string
		job   Job
		typ   string
		ahead time.Duration // of the target's clock
		old   time.Duration // of the number
		want  string
		stale int
	}{
		{"now", Job{}, text, 0, 0, "untyped a 1 ; untyped b 2 ", 0},
		{"within the look-back", Job{}, text, 0, 299 * time.Second, "untyped a 1 ; untyped b 2 ", 0},
		{"old", Job{}, text, 0, 301 * time.Second, "untyped b 2 ", 1},
		{"of the future", Job{}, text, 0, -301 * time.Second, "untyped b 2 ", 1},
		{"old, and nobody cares", Job{IgnoreTimestamps: true}, text, 0, time.Hour, "untyped a 1 ; untyped b 2 ", 0},
		{"now, by a clock that is an hour ahead", Job{}, text, time.Hour, 0, "untyped a 1 ; untyped b 2 ", 0},
		{"an hour old, by a clock that is an hour ahead", Job{}, text, time.Hour, time.Hour, "untyped b 2 ", 1},
		{"OpenMetrics, now", Job{}, openMetrics, 0, 0, "untyped a 1 ; untyped b 2 ", 0},
		{"OpenMetrics, old", Job{}, openMetrics, 0, 301 * time.Second, "untyped b 2 ", 1},
		{"net/http, old", Job{FollowRedirects: true}, text, 0, 301 * time.Second, "untyped b 2 ", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
					now := time.Now().Add(tc.ahead)
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					w.Header().Set("Content-Type", tc.typ)
					if tc.typ == text {
						fmt.Fprintf(w, "a 1 %d\nb 2\n", now.Add(-tc.old).UnixMilli())
					} else {
						fmt.Fprintf(w, "a 1 %.3f\nb 2\n# EOF\n", float64(now.Add(-tc.old).UnixMilli())/1000)
					}
				})
				p, got, stop := f.running(t, Config{})
				tc.job.Name, tc.job.Interval, tc.job.NoServerInfo = "apps", time.Second, true
				set(t, p, targets(&tc.job, "10.0.0.1:8001"))
				time.Sleep(1500 * time.Millisecond)
				synctest.Wait()
				all := got.take()
				if len(all) == 0 {
					t.Error("no pull")
				}
				for _, s := range all {
					if said(&s) != tc.want || s.Stale != tc.stale {
						t.Errorf("%s %s: %s; %d stale, want %s; %d", s.Outcome, s.Reason, said(&s), s.Stale, tc.want, tc.stale)
					}
				}
				stop()
			})
		})
	}
}
