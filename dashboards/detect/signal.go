package detect

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

const (
	calmTicks   = 4             // ticks in a row that must be calm before a finding ends
	calmShare   = 0.3           // of the rise that may be left in a calm tick
	newNormal   = 6 * time.Hour // a finding that lasts so long is how things are now
	relocate    = 2 * time.Second
	placeWindow = 60 * time.Second
	placeBefore = 3 * time.Minute
	lookBack    = 10 * time.Minute // for a history without findings
	mostAlso    = 3                // other changes that a title tells
	maxCalm     = 16               // past findings that are remembered as no history
)

// judgeSignals opens, updates and ends the finding about a service's errors, latency and rate. There is one at a time: what else has changed is told in it.
func (d *Detector) judgeSignals(now time.Time, b *dashboards.Board, g *glance, w *watch) {
	if !w.tick {
		return
	}
	s, l, verdicts := &g.signals, &g.lines, g.verdicts
	if w.signal == nil {
		if len(verdicts) == 0 {
			w.early = time.Time{}
			return
		}
		v := verdicts[0]
		if !s.Settled {
			if w.early.IsZero() { // nothing opens while a service gathers, but what goes wrong meanwhile is no history
				w.early = s.Newest.Add(-time.Duration(v.Ticks) * s.Width)
			}
			return
		}
		w.early = time.Time{}
		o := d.begin(s, v.Metric, s.Newest.Add(-time.Duration(v.Ticks)*s.Width))
		if d.stands(w.left) {
			o.left = w.left
		}
		o.verdict, o.peak, o.seen = v, v, s.Newest.Add(-time.Duration(v.Seen)*s.Width)
		w.signal = o
		d.describe(now, b, s, w, verdicts)
		d.cfg.Log.Info("finding opened", "id", o.finding.ID, "service", s.Service, "env", s.Env, "title", o.finding.Title, "only", o.finding.Only)
		return
	}
	o := w.signal
	if o.shared != nil && now.Sub(o.looked) >= lookEvery {
		o.looked = now
		if began, yes := d.outgrown(b, g, w); yes {
			d.outgrow(now, b, g, w, began)
			return
		}
	}
	if len(verdicts) > 0 && rank(verdicts[0].Metric) < rank(o.verdict.Metric) && now.Sub(o.since) < time.Minute {
		o.turn(verdicts[0], s) // what looked like latency has become errors: one cause, told by its worst sign
	}
	is, calm := l.now(&o.peak)
	if !math.IsNaN(is) {
		o.verdict.Is, o.verdict.Of = is, l.requests()
		if worse(&o.verdict, &o.peak) {
			o.peak = o.verdict
		}
	}
	switch {
	case calm && o.calm == 0:
		o.calm, o.first = 1, s.Newest
	case calm:
		o.calm++
	case !math.IsNaN(is):
		o.calm = 0
	}
	if o.calm >= calmTicks && now.Sub(o.since) <= newNormal {
		if i := slices.IndexFunc(verdicts, func(v Verdict) bool { _, calm := l.now(&v); return !calm }); i >= 0 {
			o.turn(verdicts[i], s) // that is over, but something else that came with it is not
		}
	}
	if o.calm >= calmTicks || now.Sub(o.since) > newNormal {
		at := o.first
		if o.calm == 0 {
			at = now
		}
		o.keepWorst()
		o.verdict, o.peak, o.where, o.also = o.worst, o.worst, o.worstWhere, nil
		o.finding.Metric = o.verdict.Metric
		d.retitle(s, o, true)
		d.end(o, at)
		w.past(o.since.Add(-2*s.Width), at.Add(calmTicks*s.Width))
		w.signal = nil
		return
	}
	d.describe(now, b, s, w, verdicts)
	d.heal(s, o)
}

// heal says of a finding that is calm and waits for whether it stays so that it was, since when it is not, and when it will be over.
func (d *Detector) heal(s *dashboards.Signals, o *open) {
	o.finding.Recovered, o.finding.Closes = 0, 0
	if o.calm == 0 {
		return
	}
	is := o.verdict
	o.verdict = o.peak
	d.retitle(s, o, true)
	o.verdict = is
	o.finding.Heal(o.first, o.first.Add((calmTicks-1)*s.Width))
}

// turn makes another signal the one that the finding tells first.
func (o *open) turn(v Verdict, s *dashboards.Signals) {
	o.keepWorst()
	o.verdict, o.peak, o.where, o.located, o.calm = v, v, Place{}, time.Time{}, 0
	o.finding.Metric, o.seen = v.Metric, s.Newest.Add(-time.Duration(v.Seen)*s.Width)
}

// keepWorst remembers the worst sign that the finding has had: by it the finding is told when it is over.
func (o *open) keepWorst() {
	if o.worst.Metric == "" || rank(o.peak.Metric) < rank(o.worst.Metric) || o.peak.Metric == o.worst.Metric && worse(&o.peak, &o.worst) {
		o.worst, o.worstWhere = o.peak, o.where
	}
}

// signalLines are a service's lines as the tests want them. What belongs to a finding that is over is unknown in them, so that no window reaches into it.
type signalLines struct {
	s             *dashboards.Signals
	n, e          []float64 // requests and errors of each tick, not a second
	rate, latency []float64
	base          []bool // may serve as history
	past          []bool // belongs to a finding that is over
	whole         bool   // nothing does
}

func lines(s *dashboards.Signals, w *watch) *signalLines {
	l := &signalLines{}
	l.fill(s, w)
	return l
}

// fill is lines in memory that was another's.
func (l *signalLines) fill(s *dashboards.Signals, w *watch) {
	l.s, l.whole = s, true
	sec := s.Width.Seconds()
	l.n, l.e, l.base, l.past = l.n[:0], l.e[:0], l.base[:0], l.past[:0]
	for _, r := range s.Rate {
		l.n = append(l.n, r*sec)
	}
	for _, e := range s.Errors {
		l.e = append(l.e, e*sec)
	}
	clear := len(s.Rate)
	for _, since := range []time.Time{w.early, w.since()} {
		if !since.IsZero() {
			clear = min(clear, l.before(since))
		}
	}
	for i := range s.Rate {
		l.base, l.past = append(l.base, i < clear), append(l.past, false)
	}
	for _, f := range w.calm {
		for i := l.before(f[0]); i < l.before(f[1]); i++ {
			l.base[i], l.past[i], l.whole = false, true, false
		}
	}
	if l.e, l.rate, l.latency = l.without(l.e), l.without(s.Rate), l.without(s.Latency); s.Errors == nil {
		l.e = nil
	}
}

// since is when the finding that is open began; zero: none is.
func (w *watch) since() (t time.Time) {
	if w.signal != nil {
		t = w.signal.since
	}
	return t
}

// before is how many of the ticks are before a moment.
func (l *signalLines) before(t time.Time) int {
	d := l.s.Newest.Sub(t)
	after := d / l.s.Width // ticks, the newest aside, that are not
	if d < 0 && d%l.s.Width != 0 {
		after--
	}
	return min(max(len(l.s.Rate)-1-int(after), 0), len(l.s.Rate))
}

// without is the newest figures of a line, unknown where they belong to a finding that is over.
func (l *signalLines) without(x []float64) []float64 {
	if l.whole {
		return x
	}
	past := l.past[len(l.past)-len(x):]
	out := slices.Clone(x)
	for i := range out {
		if past[i] {
			out[i] = math.NaN()
		}
	}
	return out
}

func rank(metric string) int {
	return slices.Index([]string{"errors", "rate", "latency", "exceptions", "saturation"}, metric)
}

// verdicts is everything that has changed, the worst kind first.
func (l *signalLines) verdicts(certainty float64) (out []Verdict) {
	sec := l.s.Width.Seconds() // the tests count requests by the tick
	if l.e != nil {
		v, ok := ratioRisen(l.n, l.e, l.base, certainty)
		if !ok {
			v, ok = ratioDrifted(l.n, l.e, l.base, l.s.Width, certainty)
		}
		if !ok {
			v, ok = ratioEarly(l.n, l.e, l.base, certainty)
		}
		if ok {
			v.Of /= sec
			out = append(out, v)
		}
	}
	if v, ok := collapsed(l.rate, l.n, l.s.Answering, l.base, certainty); ok {
		out = append(out, v)
	}
	v, ok := slower(l.latency, l.n, l.s.LatencyP, l.base, certainty)
	if !ok {
		v, ok = slowDrifted(l.latency, l.n, l.s.LatencyP, l.base, l.s.Width, certainty)
	}
	if ok {
		v.Of /= sec
		out = append(out, v)
	}
	return append(out, l.besides(certainty)...)
}

// now is the signal of a verdict over the newest ticks, and whether it is back to what it was.
func (l *signalLines) now(v *Verdict) (is float64, calm bool) {
	k := min(3, len(l.n))
	n := l.n[len(l.n)-k:]
	switch v.Metric {
	case "exceptions", "saturation":
		return l.besideNow(v)
	case "errors":
		if l.e == nil || !(sumOf(n) > 0) {
			return math.NaN(), false
		}
		is = sumOf(l.e[len(l.e)-k:]) / sumOf(n)
		last := l.e[len(l.e)-1] / l.n[len(l.n)-1]
		return is, last < v.Was+max(calmShare*(v.Is-v.Was), riseRatio/2) && is < v.Was+max((v.Is-v.Was)*0.8, riseRatio)
	case "latency":
		x := l.s.Latency[len(l.s.Latency)-k:]
		if math.IsNaN(sumOf(x)) {
			return math.NaN(), false
		}
		var sum float64
		for _, y := range x {
			sum += math.Log(max(y, 1e-3))
		}
		last := x[len(x)-1]
		return math.Exp(sum / float64(k)), last < v.Was*max(math.Pow(max(v.Is/v.Was, 1), calmShare), 1.1)
	case "rate":
		r := l.s.Rate[len(l.s.Rate)-k:]
		if math.IsNaN(sumOf(r)) {
			return math.NaN(), false
		}
		return sumOf(r) / float64(k), r[len(r)-1] > v.Is+(v.Was-v.Is)*(1-calmShare)
	}
	return math.NaN(), false
}

// requests is how many there are a second, over the newest ticks.
func (l *signalLines) requests() float64 {
	k := min(3, len(l.s.Rate))
	return sumOf(l.s.Rate[len(l.s.Rate)-k:]) / float64(k)
}

// worse reports whether a says more than b.
func worse(a, b *Verdict) bool {
	if a.Metric == "rate" {
		return a.Is < b.Is
	}
	return a.Is > b.Is
}

// describe writes the finding's words anew, and asks where it is when that may have become clearer.
func (d *Detector) describe(now time.Time, b *dashboards.Board, s *dashboards.Signals, w *watch, verdicts []Verdict) {
	o := w.signal
	o.also = o.also[:0]
	metrics := []string{o.verdict.Metric}
	for i := range verdicts {
		if (verdicts[i].Metric != o.verdict.Metric || verdicts[i].Name != o.verdict.Name) && len(o.also) < mostAlso {
			o.also = append(o.also, sentence(&verdicts[i], s.LatencyName))
		}
		metrics = append(metrics, verdicts[i].Metric)
	}
	o.finding.Signals = hit(s.Service, metrics...)
	every := relocate
	if now.Sub(o.since) > time.Minute {
		every = 15 * time.Second
	}
	if now.Sub(o.located) >= every {
		o.located = now
		if p := d.locate(b, s, o, w); p.Sure > 0 || o.where.Sure == 0 {
			o.where = p
		}
	}
	o.finding.Events = b.Events(s.Service, s.Env, o.since.Add(-5*time.Minute), now)
	o.cause = deployed(o.finding.Events, o.since)
	if k := len(o.finding.Events); k > 8 {
		o.finding.Events = o.finding.Events[k-8:]
	}
	d.retitle(s, o, false)
	if burns, level := w.burns(); burns != "" {
		o.finding.Only = strings.TrimSpace(o.finding.Only + " " + rest([]string{burns}))
		if level == dashboards.LevelBad {
			o.finding.Level = level
		}
	}
	o.finding.Events = marked(o.finding.Events, dashboards.Event{T: o.finding.Since, Kind: dashboards.EventFinding, Text: onset(o.verdict.Metric)})
}

// marked puts the mark of what began among events. It is known to a second at best: behind what happened in the same one, which may have caused it.
func marked(events []dashboards.Event, mark dashboards.Event) []dashboards.Event {
	i := 0
	for i < len(events) && events[i].T/1000 <= mark.T/1000 {
		mark.T = max(mark.T, events[i].T)
		i++
	}
	return slices.Insert(events, i, mark)
}

// locate asks who carries the excess, since the finding began or in its last minute, against the newest history that no finding lies in.
func (d *Detector) locate(b *dashboards.Board, s *dashboards.Signals, o *open, w *watch) Place {
	to := s.Newest.Add(s.Width)
	from := o.since
	if window := max(placeWindow, 6*s.Width); to.Sub(from) > window {
		from = to.Add(-window)
	}
	h0, h1 := w.history(o.since, s.Width)
	away := 0 // instances that are left out
	leaves := func(byLabel bool) []dashboards.Leaf {
		ls := dashboards.JoinLeaves(leavesOf(b, s, &o.verdict, h0, h1, h1, byLabel), leavesOf(b, s, &o.verdict, from, from, to, byLabel))
		if o.left != nil { // what is wrong there is told of the place
			all := len(ls)
			ls = slices.DeleteFunc(ls, o.left.at.has)
			if !byLabel {
				away = all - len(ls)
			}
		}
		return ls
	}
	p := Locate(likeness(o.verdict.Metric), leaves(false), leaves(true))
	p.Of += away
	return p
}

// leavesOf is what those who make up a signal did in [from, cut) and in [cut, to); of what stands beside the golden signals nothing is known by label.
func leavesOf(b *dashboards.Board, s *dashboards.Signals, v *Verdict, from, cut, to time.Time, byLabel bool) []dashboards.Leaf {
	kind := dashboards.SideUse
	switch {
	case v.Metric != "exceptions" && v.Metric != "saturation":
		return b.Leaves(s.Service, s.Env, from, cut, to, byLabel)
	case byLabel:
		return nil
	case v.Metric == "exceptions":
		kind = dashboards.SideException
	case v.Waits:
		kind = dashboards.SideQueue
	}
	return b.SideLeaves(s.Service, s.Env, kind, v.Name, from, cut, to)
}

// deployed is the largest deploy from shortly before a finding began, "" if there was none; and how far it has gone on since, if it has.
func deployed(events []dashboards.Event, since time.Time) (text string) {
	most := 0
	for _, e := range events {
		if t := time.UnixMilli(e.T); e.Kind == dashboards.EventDeploy && t.After(since.Add(-90*time.Second)) && t.Before(since.Add(10*time.Second)) && e.N > most {
			text, most = e.Text, e.N
		}
	}
	_, what, _ := strings.Cut(text, " went ")
	all := 0
	for _, e := range events {
		if _, w, _ := strings.Cut(e.Text, " went "); e.Kind == dashboards.EventDeploy && w == what {
			all += e.N
		}
	}
	if all > most {
		text += fmt.Sprintf(" (%d in all so far)", all)
	}
	return text
}

// history is the newest stretch before a moment that is long enough and in which nothing was wrong; where there is none, the longest.
func (w *watch) history(before time.Time, width time.Duration) (from, to time.Time) {
	enough := max(20*time.Second, 10*width)
	end := before
	for i := len(w.calm) - 1; i >= -1; i-- {
		begin := before.Add(-max(lookBack, 20*width))
		if i >= 0 && w.calm[i][1].After(begin) {
			begin = w.calm[i][1]
		}
		if end.Sub(begin) > to.Sub(from) {
			from, to = begin, end
		}
		if to.Sub(from) >= enough || i < 0 {
			break
		}
		if w.calm[i][0].Before(end) {
			end = w.calm[i][0]
		}
	}
	if least := to.Add(-max(placeBefore, 10*width)); from.Before(least) {
		from = least
	}
	return from, to
}
