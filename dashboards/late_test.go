package dashboards_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
)

// What comes late from the backfill lane fills the charts, and changes no alarm of the past: neither does trouble that is over open a finding, nor does a finding
// that is over open again.
func TestLateRecordsChangeNoAlarm(t *testing.T) {
	d, err := detect.New(detect.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	begin := time.Unix(1764000000, 0)
	seq := uint64(0)
	var requests, errors [4]float64
	// second is one scrape of an instance that answers 100 requests a second, so many of them with an error.
	second := func(i, s int, ratio float64, late bool) {
		seq++
		at := begin.Add(time.Duration(s) * time.Second)
		requests[i] += 100
		errors[i] += 100 * ratio
		num := func(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) }
		b.Add(&dashboards.Record{ID: dashboards.RecordID{Collector: 1, Start: 1, Sequence: seq}, Seen: at, Backfill: late, Service: "checkout", Env: "prod", Instance: fmt.Sprintf("10.0.0.%d:80", i), Time: at,
			Interval: time.Second, Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: num(requests[i])}, {Name: "errors", Kind: collector.Counter, Value: num(errors[i])}}})
	}
	run := func(from, to int, ratio float64, who ...int) {
		for s := from; s < to; s++ {
			for _, i := range who {
				second(i, s, ratio, false)
			}
			b.Tick(begin.Add(time.Duration(s) * time.Second))
		}
	}
	list := func() (out string) {
		for _, f := range b.Findings() {
			out += fmt.Sprintf("%s %s %v;", f.ID, f.Metric, f.Ended != nil)
		}
		return out
	}
	run(0, 200, .01, 0, 1, 2)
	run(200, 230, .30, 0, 1, 2)
	run(230, 400, .01, 0, 1, 2)
	was := list()
	if was == "" {
		t.Fatal("the fault was not found")
	}
	// A fourth instance's snapshots of all that time come now; it was in trouble at another time, too.
	for s := range 400 {
		second(3, s, map[bool]float64{true: .5, false: .01}[s >= 300 && s < 340], true)
	}
	run(400, 460, .01, 0, 1, 2, 3)
	if is := list(); is != was {
		t.Errorf("the findings are %q, were %q", is, was)
	}
	a, err := b.Series(dashboards.Query{Service: "checkout", Env: "prod", Metric: "errors", From: begin.Add(300 * time.Second), To: begin.Add(340 * time.Second), Step: 10 * time.Second})
	if err != nil || float64(a.Lines[0].Values[2]) < 40 {
		t.Errorf("the chart of that time has %+v, %v", a, err)
	}
}
