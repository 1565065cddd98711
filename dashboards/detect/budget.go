package detect

import (
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
)

// MetricBudget is the metric of findings about an error budget.
const MetricBudget = "budget"

const (
	budgetEvery = 10 * time.Second // rollups come no faster
	// budgetCalm is how long nothing must call for a finding about a budget to end.
	budgetCalm = 30 * time.Second
)

// budget is what is known of a service's promises.
type budget struct {
	asked time.Time
	worst *slo.Standing // that calls somebody; nil: none does
	open  *open
	calm  time.Time // since when none does, while it is open
	other time.Time // when a finding of the ordinary kind was open last
}

// count asks how the service's promises stand.
func (d *Detector) count(now time.Time, s *dashboards.Signals, w *watch) {
	if d.cfg.Promises == nil || now.Sub(w.budget.asked) < budgetEvery {
		return
	}
	w.budget.asked, w.budget.worst = now, slo.Gravest(d.cfg.Promises(s.Service, s.Env, now))
}

// burns is what a finding of the ordinary kind adds about the budget: one cause is one finding.
func (w *watch) burns() (text, level string) {
	if b := w.budget.worst; b != nil {
		return "it burns its budget: " + b.Words(), b.Alert.Level
	}
	return "", ""
}

// judgeBudget opens, updates and ends the finding about a service's error budget. While another says what is wrong with the service, that one tells of the budget too;
// and what it has spent calls nobody once more when that is over, before the short window of the alert is.
func (d *Detector) judgeBudget(now time.Time, b *dashboards.Board, s *dashboards.Signals, w *watch) {
	if d.cfg.Promises == nil {
		return
	}
	k := &w.budget
	if w.signal != nil {
		k.other = now
		if k.open != nil { // the Board says of which it is a part
			k.open.over = true
			k.open = nil
		}
		return
	}
	switch {
	case k.worst == nil && k.open == nil:
	case k.worst == nil:
		if k.calm.IsZero() {
			k.calm = now
		}
		if now.Sub(k.calm) >= budgetCalm {
			k.tell(s.Service, true)
			d.end(k.open, k.calm)
			k.open, k.calm = nil, time.Time{}
		}
	case k.open == nil:
		if !k.other.IsZero() && now.Sub(k.other) < time.Duration(k.worst.Alert.ShortMS)*time.Millisecond {
			return
		}
		k.open, k.calm = d.begin(s, MetricBudget, now), time.Time{}
		k.describe(b, s, now)
		d.cfg.Log.Info("finding opened", "id", k.open.finding.ID, "service", s.Service, "env", s.Env, "title", k.open.finding.Title)
	default:
		k.calm = time.Time{}
		k.describe(b, s, now)
	}
}

// describe takes over how bad it is now.
func (k *budget) describe(b *dashboards.Board, s *dashboards.Signals, now time.Time) {
	o, a := k.open, k.worst.Alert
	o.verdict = Verdict{Metric: MetricBudget, Name: k.worst.Words(), Was: a.Limit, Is: float64(a.Burn)}
	o.finding.Level, o.finding.Signals = a.Level, hit(s.Service, k.worst.Signal)
	o.finding.News = fmt.Sprintf("%.3g ×", o.verdict.Is)
	o.finding.Why = "burns its budget: " + o.verdict.Name
	o.where.Sure = 0
	o.also = o.also[:0]
	if spent := k.worst.SpentWords(); spent != "" {
		o.also = append(o.also, spent)
	}
	o.finding.Events = b.Events(s.Service, s.Env, o.since.Add(-time.Duration(a.LongMS)*time.Millisecond), now)
	if n := len(o.finding.Events); n > 8 {
		o.finding.Events = o.finding.Events[n-8:]
	}
	k.tell(s.Service, false)
}

// tell writes the headline.
func (k *budget) tell(service string, over bool) {
	o := k.open
	verb := "burns"
	if over {
		verb = "burned"
	}
	o.finding.Title = service + " " + verb + " its budget: " + o.verdict.Name
	for _, also := range o.also {
		o.finding.Title += "; " + also
	}
}
