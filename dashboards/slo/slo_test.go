package slo

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
)

var start = time.Unix(1764000000, 0).UTC()

// span of time in which a share of the requests is bad.
type stretch struct {
	d   time.Duration
	bad float64 // NaN: nothing is known of it
}

// history is one service at a rate, stretch after stretch; it gives the end of the last one.
func history(rate float64, all ...stretch) (*rollup.History, time.Time) {
	h := rollup.NewHistory(0)
	t := start
	for _, s := range all {
		for end := t.Add(s.d); t.Before(end); t = t.Add(rollup.Step) {
			if math.IsNaN(s.bad) {
				continue
			}
			x := func(metric string, v, e float64) dashboards.Slice {
				return dashboards.Slice{Metric: metric, N: 3, Rate: dashboards.Num(v), Errors: dashboards.Num(e)}
			}
			h.Add(&dashboards.Rollup{Service: "checkout", Env: "prod", T: t.UnixMilli(), Step: rollup.Step.Milliseconds(), AsOf: t.UnixMilli() + 20_000, N: 3, M: 3,
				Slices: []dashboards.Slice{x("", rate, rate*s.bad), x(dashboards.TimedMetric, rate, 0), x(dashboards.OverMetric(300), rate*s.bad, 0)}})
		}
	}
	return h, t
}

func text(s Standing) string {
	if s.Why != "" {
		return s.Why
	}
	out := "calm"
	if a := s.Alert; a != nil {
		out = fmt.Sprintf("%s %s", a.Level, s.Words())
	}
	return fmt.Sprintf("%s; %.3g spent", out, float64(s.Spent))
}

func TestStand(t *testing.T) {
	month, nothing := 30*24*time.Hour, math.NaN()
	avail := dashboards.Objective{Name: "availability", Target: .999, Window: month}
	for _, tc := range []struct {
		name string
		o    dashboards.Objective
		rate float64
		of   []stretch
		want string
	}{
		{"all well", avail, 100, []stretch{{24 * time.Hour, 0}}, "calm; 0 spent"},
		{"as fast as it lasts", avail, 100, []stretch{{24 * time.Hour, .001}}, "calm; 0.0333 spent"},
		{"an hour at 15", avail, 100, []stretch{{23 * time.Hour, 0}, {time.Hour, .015}}, "bad errors in 1.5 % of its requests over 1 h, 15 × what 99.9 % allows; 0.0208 spent"},
		{"an hour at 14", avail, 100, []stretch{{23 * time.Hour, 0}, {time.Hour, .014}}, "calm; 0.0194 spent"},
		{"over since five minutes", avail, 100, []stretch{{23 * time.Hour, 0}, {time.Hour, .02}, {5 * time.Minute, 0}}, "calm; 0.0278 spent"},
		{"six hours at 7", avail, 100, []stretch{{18 * time.Hour, 0}, {6 * time.Hour, .007}}, "bad errors in 0.7 % of its requests over 6 h, 7.0 × what 99.9 % allows; 0.0583 spent"},
		{"a day at 4", avail, 100, []stretch{{24 * time.Hour, .004}}, "warn errors in 0.4 % of its requests over 24 h, 4.0 × what 99.9 % allows; 0.133 spent"},
		{"what is not known was kept", avail, 100, []stretch{{6 * time.Minute, .1}}, "calm; 0.0139 spent"},
		{"unless it is as bad as that", avail, 100, []stretch{{6 * time.Minute, .2}}, "bad errors in 20 % of its requests over 1 h, 20 × what 99.9 % allows; 0.0278 spent"},
		{"a gap", avail, 100, []stretch{{22 * time.Hour, 0}, {30 * time.Minute, .016}, {time.Minute, nothing}, {30 * time.Minute, .016}}, "bad errors in 1.6 % of its requests over 1 h, 16 × what 99.9 % allows; 0.0222 spent"},
		{"too few to tell", avail, .01, []stretch{{23 * time.Hour, 0}, {time.Hour, .2}}, "calm; 0.278 spent"},
		{"nothing of late", avail, 100, []stretch{{time.Hour, .1}, {3 * time.Minute, nothing}}, "nothing is known of the last minutes"},
		{"too slow", dashboards.Objective{Name: "latency", Target: .99, Under: 300, Window: month}, 100, []stretch{{18 * time.Hour, 0}, {6 * time.Hour, .08}},
			"bad 8 % of its requests took longer than 300 ms over 6 h, 8.0 × what 99 % allows; 0.0667 spent"},
		{"no histogram", dashboards.Objective{Name: "latency", Target: .99, Under: 200, Window: month}, 100, []stretch{{time.Hour, 0}}, "how many requests take longer is not known: that takes a histogram"},
		{"a week's budget", dashboards.Objective{Name: "availability", Target: .999, Window: 7 * 24 * time.Hour}, 100, []stretch{{23 * time.Hour, 0}, {time.Hour, .004}}, "bad errors in 0.4 % of its requests over 1 h, 4.0 × what 99.9 % allows; 0.0238 spent"},
		{"a low objective", dashboards.Objective{Name: "availability", Target: .9, Window: month}, 100, []stretch{{23 * time.Hour, 0}, {time.Hour, .6}}, "bad errors in 60 % of its requests over 1 h, 6.0 × what 90 % allows; 0.00833 spent"},
	} {
		h, now := history(tc.rate, tc.of...)
		if got := text(Stand(h, "checkout", "prod", tc.o, now.Add(15*time.Second))); got != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, got, tc.want)
		}
	}
	if s := Stand(rollup.NewHistory(0), "checkout", "prod", avail, start); s.Why == "" || s.AsOf != 0 {
		t.Errorf("of nothing: %+v", s)
	}
}

func TestGravest(t *testing.T) {
	fired := func(name, level string, burn dashboards.Num, limit float64) Standing {
		return Standing{Objective: dashboards.Objective{Name: name}, Alert: &Fired{Level: level, Burn: burn, Limit: limit}}
	}
	for _, tc := range []struct {
		of   []Standing
		want string
	}{
		{nil, ""},
		{[]Standing{{}}, ""},
		{[]Standing{fired("a", "warn", 30, 3), fired("b", "bad", 15, 14.4)}, "b"},
		{[]Standing{fired("a", "bad", 20, 14.4), fired("b", "bad", 12, 6), {}}, "b"},
	} {
		got := ""
		if s := Gravest(tc.of); s != nil {
			got = s.Name
		}
		if got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for p, want := range map[float64]string{0: "0 %", .021: "2.1 %", .2: "20 %", .999: "99.9 %", .9995: "99.95 %", .99999: "99.999 %", .99: "99 %", 1: "100 %", .5: "50 %", .0004: "0.04 %", .995: "99.5 %"} {
		if got := percent(p); got != want {
			t.Errorf("%v: %s, want %s", p, got, want)
		}
	}
}

// BenchmarkStand is one promise looked at over a whole day: 8,640 slots.
func BenchmarkStand(b *testing.B) {
	h, now := history(100, stretch{24 * time.Hour, .001})
	b.ReportAllocs()
	for b.Loop() {
		Stand(h, "checkout", "prod", dashboards.Objective{Target: .999, Window: 30 * 24 * time.Hour}, now)
	}
}
