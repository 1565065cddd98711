// Package slo keeps count of what services promise: how fast each spends its error budget, and whether that calls for somebody.
//
// It owns the windows and the burn rates of the SRE workbook (multiwindow, multi-burn-rate alerts). What was promised is package profile's to read, what was asked and
// what of it was bad stands in the rollups of the last day; what becomes of an alert is package detect's to say.
package slo

import (
	"fmt"
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
)

// alert is a pair of windows: so much of the whole budget was spent in the long one, and as fast still in the short one.
type alert struct {
	long, short time.Duration
	share       float64 // of the budget
	level       string
}

// alerts are the workbook's, the gravest first. Its third, a tenth of the budget in three days, needs more than the day that is known: in its place stands the same
// tenth within a day.
var alerts = []alert{
	{time.Hour, 5 * time.Minute, 0.02, dashboards.LevelBad},
	{6 * time.Hour, 30 * time.Minute, 0.05, dashboards.LevelBad},
	{24 * time.Hour, 2 * time.Hour, 0.10, dashboards.LevelWarn},
}

// spans are all windows, the shortest first.
var spans = []time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour}

const (
	// leastBad is how many bad requests there must be in a long window: of fewer nobody can tell a rate.
	leastBad = 10
	// stale is how old the newest rollup may be for anything to be said of now.
	stale = 2 * time.Minute
)

// Standing is how a promise stands. Times are Unix ms, spans ms.
type Standing struct {
	dashboards.Objective
	Signal   string         `json:"signal"` // errors or latency
	WindowMS int64          `json:"window_ms"`
	AsOf     int64          `json:"as_of"`         // end of the newest slot that is known; 0: nothing is
	Why      string         `json:"why,omitempty"` // why nothing can be said
	Good     dashboards.Num `json:"good"`          // share of the requests of the last day that were good
	Spent    dashboards.Num `json:"spent"`         // share of the whole budget that went within that day
	Windows  []Burned       `json:"windows"`       // the shortest first
	Alert    *Fired         `json:"alert"`         // nil: nobody is called
}

// Burned is how fast the budget went over one window: 1 is as fast as it lasts. What is not known of the window counts as kept.
type Burned struct {
	MS    int64          `json:"ms"`
	Burn  dashboards.Num `json:"burn"`
	Known float64        `json:"known"` // share of the window
	Bad   dashboards.Num `json:"bad"`   // share of its requests
}

// Fired is an alert that holds.
type Fired struct {
	Level   string         `json:"level"`
	LongMS  int64          `json:"long_ms"`
	ShortMS int64          `json:"short_ms"`
	Limit   float64        `json:"limit"` // the burn rate that calls somebody
	Burn    dashboards.Num `json:"burn"`  // over the long window
	Bad     dashboards.Num `json:"bad"`   // share of requests in the long window
}

// Stand says how one promise of a service stands, from the rollups.
func Stand(h *rollup.History, service, env string, o dashboards.Objective, now time.Time) Standing {
	s := Standing{Objective: o, Signal: o.Signal(), WindowMS: o.Window.Milliseconds(), Good: dashboards.Unknown(), Spent: dashboards.Unknown(), Windows: []Burned{}}
	all, bad := "", ""
	if o.Under > 0 {
		all, bad = dashboards.TimedMetric, dashboards.OverMetric(o.Under)
	}
	spent, newest := h.Spent(service, env, all, bad, spans)
	switch {
	case newest == 0 && o.Under > 0:
		s.Why = "how many requests take longer is not known: that takes a histogram"
		return s
	case newest == 0:
		s.Why = "no errors of it are known, or no requests"
		return s
	}
	s.AsOf = newest
	if now.Sub(time.UnixMilli(newest)) > stale {
		s.Why = "nothing is known of the last minutes"
		return s
	}
	allowed := 1 - o.Target
	burn := map[time.Duration]Burned{}
	for i, w := range spans {
		x := spent[i]
		b := Burned{MS: w.Milliseconds(), Known: min(float64(x.Slots)*rollup.Step.Seconds()/w.Seconds(), 1), Burn: dashboards.Unknown(), Bad: dashboards.Unknown()}
		if x.All > 0 {
			b.Bad = dashboards.Num(min(x.Bad/x.All, 1))
			b.Burn = dashboards.Num(float64(b.Bad) / allowed * b.Known)
		}
		burn[w] = b
		s.Windows = append(s.Windows, b)
	}
	day := burn[24*time.Hour]
	if day.Burn.Known() {
		s.Good = 1 - day.Bad
		s.Spent = dashboards.Num(float64(day.Burn) * (24 * time.Hour).Seconds() / o.Window.Seconds())
	}
	for _, a := range alerts {
		limit := a.share * o.Window.Seconds() / a.long.Seconds()
		long, short := burn[a.long], burn[a.short]
		// More than everything cannot fail: where the limit is beyond that, half of all requests is as bad.
		if most := 1 / allowed; limit > most/2 {
			limit = most / 2
		}
		if float64(long.Burn) >= limit && float64(short.Burn) >= limit && badIn(spent, a.long) >= leastBad {
			s.Alert = &Fired{Level: a.level, LongMS: a.long.Milliseconds(), ShortMS: a.short.Milliseconds(), Limit: limit, Burn: long.Burn, Bad: long.Bad}
			break
		}
	}
	return s
}

func badIn(spent []rollup.Spent, w time.Duration) float64 {
	for i := range spans {
		if spans[i] == w {
			return spent[i].Bad
		}
	}
	return 0
}

// Gravest is the standing that calls loudest; nil: none calls anybody.
func Gravest(all []Standing) (worst *Standing) {
	weight := func(s *Standing) float64 {
		w := float64(s.Alert.Burn) / s.Alert.Limit
		if s.Alert.Level == dashboards.LevelBad {
			w += 1e6
		}
		return w
	}
	for i := range all {
		if s := &all[i]; s.Alert != nil && (worst == nil || weight(s) > weight(worst)) {
			worst = s
		}
	}
	return worst
}

// Words says what an alert is about: "errors in 2.1 % of its requests over 1 h, 21 × what 99.9 % allows".
func (s *Standing) Words() string {
	if s.Alert == nil {
		return ""
	}
	what := "errors in %s of its requests over %s, %s × what %s allows"
	if s.Signal == "latency" {
		what = "%s of its requests took longer than " + millis(s.Under) + " over %s, %s × what %s allows"
	}
	return fmt.Sprintf(what, percent(float64(s.Alert.Bad)), span(s.Alert.LongMS), times(float64(s.Alert.Burn)), percent(s.Target))
}

// SpentWords says how much of the budget went within the day, "" where that is not known.
func (s *Standing) SpentWords() string {
	if !s.Spent.Known() {
		return ""
	}
	return fmt.Sprintf("%s of the budget of %s went within a day", percent(float64(s.Spent)), span(s.WindowMS))
}

func span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

func times(x float64) string {
	if x < 9.95 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// percent writes a share with as many digits as tell it from all: 2.1 %, 99.95 %.
func percent(p float64) string {
	x := p * 100
	digits := 1
	if away := math.Min(x, 100-x); x > 50 && away > 0 && away < 0.95 {
		digits = int(math.Ceil(-math.Log10(away) + 0.02))
	} else if x < 0.095 && x > 0 {
		digits = 2
	}
	text := fmt.Sprintf("%.*f", min(digits, 6), x)
	for len(text) > 2 && text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return text + " %"
}

func millis(ms float64) string {
	if ms >= 10_000 {
		return fmt.Sprintf("%g s", ms/1000)
	}
	return fmt.Sprintf("%g ms", ms)
}
