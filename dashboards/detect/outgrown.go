package detect

import (
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// A finding about a place tells of its services for as long as the place is what is wrong with them. What else goes wrong with one of them has a finding of its own:
// in one about somewhere else it would stay unsaid, it would share that one's silence, and keep it from ending.

const (
	lookEvery  = 5 * time.Second
	strayLooks = 3 // in a row at which the place is well and the service is not, for something else that is too small to be seen by itself
	refined    = 12
)

// outgrown reports whether something else is wrong with a service than what the finding about a place tells of it, and since when: elsewhere something began later,
// or goes on although the place is well again.
func (d *Detector) outgrown(b *dashboards.Board, g *glance, w *watch) (began time.Time, yes bool) {
	s, o := &g.signals, w.signal
	to := s.Newest.Add(s.Width)
	least := 3 * s.Width // holds a whole interval of everybody's, however late the newest scrapes are
	look := max(5*time.Second, least)
	from, first := to.Add(-look), o.since.Add(max(10*time.Second, least)) // what is new has not been there until first
	if from.Before(first) {
		return began, false
	}
	a := &aside{b: b, s: s, w: w, place: o.shared.at.Cond, past: map[lineOf][]dashboards.Leaf{}}
	was, worst := shift(o.verdict.Metric, a.leaves(&o.verdict, o.since, first, true))
	_, is := shift(o.verdict.Metric, a.leaves(&o.verdict, to.Add(-calmTicks*s.Width), to, true))
	well := !math.IsNaN(worst) && (math.IsNaN(is) || math.Abs(is-was) < calmShare*math.Abs(worst-was))
	if o.stray++; !well || o.calm > 0 {
		o.stray = 0
	}
	for i := range g.verdicts {
		v := &g.verdicts[i]
		others := a.leaves(v, from, to, false)
		if !certain(v, others, &g.lines, to.Sub(from), d.cfg.Certainty) {
			continue
		}
		was, is := shift(v.Metric, others)
		half := func(from time.Time, span time.Duration) bool {
			_, x := shift(v.Metric, a.leaves(v, from, from.Add(span), false))
			return (x-was)/(is-was) > 0.5
		}
		switch {
		case !half(to.Add(-least), least): // it is over already
		case half(o.since, first.Sub(o.since)): // as old as the finding: it may be a part of it
			if well {
				return o.since, true
			}
		default:
			lo, hi := o.since, from
			for range refined {
				mid := lo.Add((hi.Sub(lo) / 2).Truncate(s.Width))
				if !mid.After(lo) {
					break
				}
				if half(mid, least) {
					hi = mid
				} else {
					lo = mid
				}
			}
			return hi, true
		}
	}
	return from, o.stray >= strayLooks
}

// outgrow leaves what is told of a service to the place, and begins anew with what else is wrong with it.
func (d *Detector) outgrow(now time.Time, b *dashboards.Board, g *glance, w *watch, began time.Time) {
	o, s := w.signal, &g.signals
	d.cfg.Log.Info("something else is wrong than a place", "service", s.Service, "env", s.Env, "place", one(o.shared.at.Cond), "since", began)
	w.past(o.since.Add(-2*s.Width), began)
	d.end(o, began)
	w.signal, w.left, w.early = nil, o.shared, began
	g.lines.fill(s, w)
	g.verdicts = g.lines.verdicts(d.cfg.Certainty)
	d.judgeSignals(now, b, g, w)
}

// past remembers a span in which something was wrong: it is no history.
func (w *watch) past(from, to time.Time) {
	w.calm = append(w.calm, [2]time.Time{from, to})
	if len(w.calm) > maxCalm {
		w.calm = w.calm[1:]
	}
}

// stands reports whether a place is still in trouble.
func (d *Detector) stands(sh *shared) bool { return sh != nil && d.places[sh.at] == sh }

// aside tells those of a service who are at a place from all others.
type aside struct {
	b     *dashboards.Board
	s     *dashboards.Signals
	w     *watch
	place Cond
	past  map[lineOf][]dashboards.Leaf // what they did before the service was in trouble
}

type lineOf struct {
	metric, name string
	byLabel      bool
}

// leaves is what those who are there, or all others, did over a span, beside what they did before. Nothing, where nobody is known to be there.
func (a *aside) leaves(v *Verdict, from, to time.Time, there bool) []dashboards.Leaf {
	for _, byLabel := range []bool{false, true} {
		k := lineOf{v.Metric, v.Name, byLabel}
		if _, known := a.past[k]; !known {
			h0, h1 := a.w.history(a.w.signal.since, a.s.Width)
			a.past[k] = leavesOf(a.b, a.s, v, h0, h1, h1, byLabel)
		}
		now := leavesOf(a.b, a.s, v, from, from, to, byLabel)
		if slices.ContainsFunc(a.past[k], a.place.has) || slices.ContainsFunc(now, a.place.has) {
			return slices.DeleteFunc(dashboards.JoinLeaves(a.past[k], now), func(l dashboards.Leaf) bool { return a.place.has(l) != there })
		}
	}
	return nil
}

// has reports whether somebody has the tag, or is counted apart by the label.
func (c Cond) has(l dashboards.Leaf) bool {
	return l.Tags[c.Dim] == c.Value || slices.ContainsFunc(l.Labels, func(p collector.LabelPair) bool { return p.Name == c.Dim && p.Value == c.Value })
}

// likeness is the golden signal that a metric is judged like.
func likeness(metric string) string {
	switch metric {
	case "exceptions":
		return "errors"
	case "saturation":
		return "latency"
	}
	return metric
}

func totals(ls []dashboards.Leaf) (before, after dashboards.Sums) {
	for i := range ls {
		for _, p := range [2][2]*dashboards.Sums{{&before, &ls[i].Before}, {&after, &ls[i].After}} {
			sum, x := p[0], p[1]
			sum.Errors, sum.Requests, sum.Seconds = sum.Errors+x.Errors, sum.Requests+x.Requests, max(sum.Seconds, x.Seconds)
			if !math.IsNaN(x.Latency) {
				sum.Latency += x.Latency * x.Requests
			}
		}
	}
	return before, after
}

// shift is a signal of leaves all together, before and after; NaN where nothing is known.
func shift(metric string, ls []dashboards.Leaf) (was, is float64) {
	before, after := totals(ls)
	switch likeness(metric) {
	case "errors":
		return (before.Errors + priorErrors) / (before.Requests + priorErrors/priorRatio), after.Errors / after.Requests
	case "rate":
		return before.Requests / before.Seconds, after.Requests / after.Seconds
	}
	return before.Latency / before.Requests, after.Latency / after.Requests
}

// certain reports whether a change of leaves is too large for chance, and large enough for a word.
func certain(v *Verdict, ls []dashboards.Leaf, l *signalLines, span time.Duration, certainty float64) bool {
	was, is := shift(v.Metric, ls)
	before, after := totals(ls)
	switch likeness(v.Metric) {
	case "errors":
		if after.Errors < riseErrors || is < was*riseFactor || is < was+riseRatio {
			return false
		}
		ticks := max(int(span/l.s.Width), 1)
		e := l.e
		if v.Metric != "errors" {
			e = nil // how exceptions come in calm times is not among the lines
		}
		return math.Sqrt(twoRates(after.Errors, after.Requests, before.Errors+priorErrors, before.Requests+priorErrors/priorRatio)/dispersion(chunked(l.n[:len(e)], e, l.base, ticks), was)) >= certainty
	case "rate":
		usual := was * after.Seconds
		return is < was*dropFactor && (usual-after.Requests)/math.Sqrt(max(usual, 1)) >= certainty
	}
	p := newTable("latency", ls).scan()
	return 2*p.Sure >= certainty*certainty && p.Ratio >= was*slowFactor && (v.Metric != "latency" || p.Ratio >= was+slowMillis)
}
