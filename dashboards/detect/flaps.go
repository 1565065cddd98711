package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// judgeFlaps opens, updates and ends the finding about instances that come and go: a release that crashes as it starts, a check that is too short.
func (d *Detector) judgeFlaps(now time.Time, b *dashboards.Board, s *dashboards.Signals, w *watch) {
	o := w.flaps
	switch n := len(s.Flapping); {
	case o == nil && n == 0:
	case o == nil:
		o = d.begin(s, "flaps", now)
		o.finding.Metric = "instances"
		w.flaps = o
		d.tellFlaps(now, b, s, o)
		f := &o.finding
		d.cfg.Log.Info("finding opened", "id", f.ID, "service", s.Service, "env", s.Env, "title", f.Title, "only", f.Only)
	case n > 0:
		o.calm = 0
		d.tellFlaps(now, b, s, o)
	default:
		if o.calm++; o.calm == 1 {
			o.first = now
		}
		if o.calm >= silentPolls {
			d.end(o, o.first)
			w.flaps = nil
		}
	}
}

// tellFlaps writes the words.
func (d *Detector) tellFlaps(now time.Time, b *dashboards.Board, s *dashboards.Signals, o *open) {
	f, n := &o.finding, len(s.Flapping)
	of := max(s.Expected, n)
	f.News = fmt.Sprintf("%d of %d instances come and go", n, of)
	f.Why = f.News
	f.Title = fmt.Sprintf("%s: %s since %s", s.Service, f.News, o.since.UTC().Format("15:04:05 UTC"))
	away := map[string]bool{}
	for _, m := range slices.Concat(s.Missing, s.Silent) {
		away[m.Instance] = true
	}
	k := 0
	for _, m := range s.Flapping {
		if away[m.Instance] {
			k++
		}
	}
	f.Regions = regionsOf(s.Flapping)
	f.Only = fmt.Sprintf("Each joined and left again and again; %d of them are away or silent now.", k)
	if shared, _ := common(s.Flapping, b, s); len(shared) > 0 {
		f.Title += ", " + together(n, shared[0])
	} else if names := namesOf(s.Flapping); names != "" {
		f.Only = strings.TrimSpace(f.Only + " " + names)
	}
	o.worstWhy, o.n = f.Why, n
	f.Level = dashboards.LevelWarn
	if float64(n) >= manyGone*float64(of) {
		f.Level = dashboards.LevelBad
	}
	f.Events = b.Events(s.Service, s.Env, o.since.Add(-5*time.Minute), now)
	if k := len(f.Events); k > 8 {
		f.Events = f.Events[k-8:]
	}
}
