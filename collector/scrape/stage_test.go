package scrape

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Each stage of a pull has its own time: here it waits for no worker, the answer begins after a second and ends after three. One that fails ends its stages where it
// came to, and what is asked besides a scrape is not measured.
func TestStages(t *testing.T) {
	for _, way := range []struct {
		name string
		job  Job
	}{{"connections of our own", Job{}}, {"net/http", Job{FollowRedirects: true}}} {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/stats.json" {
						http.NotFound(w, r)
						return
					}
					time.Sleep(time.Second)
					w.(http.Flusher).Flush()
					time.Sleep(2 * time.Second)
					fmt.Fprint(w, someStats)
				})
				f.handler("10.0.0.2:8001", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
				own := metrics.NewSet()
				p, _, stop := f.running(t, Config{Metrics: own})
				job := way.job
				job.Name, job.Interval, job.Timeout = "apps", time.Minute, 4*time.Second
				set(t, p, nil)
				synctest.Wait()
				set(t, p, targets(&job, "10.0.0.1:8001", "10.0.0.2:8001")) // they join later, so at once
				time.Sleep(5 * time.Second)
				synctest.Wait()
				stop()
				var b bytes.Buffer
				own.WritePrometheus(&b)
				for _, want := range []struct {
					stage string
					n     int
					sum   float64
				}{{collector.StageStarted, 2, 0}, {collector.StageConnected, 2, 0}, {collector.StageFirstByte, 1, 1}, {collector.StageBody, 1, 2}, {collector.StageParsed, 1, 0}} {
					for _, line := range []string{
						fmt.Sprintf("rollcall_scrape_stage_seconds_count{stage=%q} %d\n", want.stage, want.n),
						fmt.Sprintf("rollcall_scrape_stage_seconds_sum{stage=%q} %v\n", want.stage, want.sum),
					} {
						if !strings.Contains(b.String(), line) {
							t.Errorf("%s is not in\n%s", strings.TrimSpace(line), grep(b.String(), want.stage))
						}
					}
				}
			})
		})
	}
}

// grep is the lines that hold what.
func grep(text, what string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) && !strings.Contains(line, "_bucket") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// BenchmarkStage is what it costs to note one stage, the clock included.
func BenchmarkStage(b *testing.B) {
	p, err := New(Config{Handle: func(*collector.Snapshot) {}})
	if err != nil {
		b.Fatal(err)
	}
	e := exchange{p: p, reached: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		e.reach(parsed, time.Now())
	}
}
