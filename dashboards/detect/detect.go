// Package detect says what is in trouble now, and where.
//
// It owns the judgement over a Board's windows: errors risen, latency risen, requests collapsed, instances gone or silent. Each is compared with the
// service's own last minutes, so that nothing is configured and nothing is learned but a baseline; a finding needs to be large, certain and still
// there in two polls. Where it is comes from a scan over the tags and labels of those who carry the excess. The functions are pure; Detector only
// remembers what is open. It knows no service, no metric and no fault by name.
package detect

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
)

// Config shapes a Detector; the zero value is what it was tested with.
type Config struct {
	// Certainty is how many standard deviations a change must be away from chance, default 6. It is high because every service is looked at every
	// second, and a page that cries wolf is not read.
	Certainty float64
	// History is how many ticks (seconds at short intervals, else scrapes) a service is compared with, default 600.
	History int
	// KeepEnded is how long a finding stays listed after its end, default one hour.
	KeepEnded time.Duration
	// Promises is how a service's objectives stand; nil: nobody promises anything.
	Promises func(service, env string, now time.Time) []slo.Standing
	// Owns says whose findings this process makes, as the Board's does, and Others what the replicas that make the others' tell, of those who answer now: without
	// waiting, at each judgement. nil: this process owns everybody.
	Owns    func(service, env string) bool
	Others  func() []Told
	Log     *slog.Logger
	Metrics *metrics.Set
}

func (c *Config) defaults() {
	c.Certainty = cmp.Or(c.Certainty, 6)
	c.History = cmp.Or(c.History, 600)
	c.KeepEnded = cmp.Or(c.KeepEnded, time.Hour)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Certainty < 2 {
		errs = append(errs, fmt.Errorf("certainty %g finds something in every noise; give 2 or more", c.Certainty))
	}
	if c.History < 60 || c.History > 3600 {
		errs = append(errs, fmt.Errorf("history of %d ticks is not within 60..3600", c.History))
	}
	if c.KeepEnded < 0 {
		errs = append(errs, fmt.Errorf("ended findings cannot be kept for %s", c.KeepEnded))
	}
	return errors.Join(errs...)
}

// Detector remembers what is open between ticks. Its Judge is a dashboards.Options.Judge; calls must not overlap.
type Detector struct {
	cfg      Config
	services map[[2]string]*watch
	places   map[meeting]*shared
	others   map[troubleKey]*foreign
	mine     atomic.Pointer[[]Trouble]
	ended    []dashboards.Finding
	glances  [atOnce]glance
	opened   *metrics.Counter
}

// watch is what is known to be wrong with one service.
type watch struct {
	signal  *open   // errors, latency or rate
	members *open   // instances gone or silent
	apart   *open   // those of them who are not at the place whose finding tells members
	left    *shared // whose finding told of signal until something else was wrong
	flaps   *open   // instances that come and go
	budget  budget
	calm    [][2]time.Time
	early   time.Time // since when it has been in trouble while it gathered; zero: it was not
	seen    time.Time // newest tick judged
	tick    bool      // it is new since the last judgement
	mark    bool
}

// maxEnded bounds the list of findings that are over.
const maxEnded = 100

// New makes a Detector. The error names every option that cannot be.
func New(c Config) (*Detector, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("make detector: %w", err)
	}
	d := &Detector{cfg: c, services: map[[2]string]*watch{}, places: map[meeting]*shared{}, others: map[troubleKey]*foreign{}}
	d.opened = c.Metrics.GetOrCreateCounter("rollcall_detect_findings_opened_total")
	return d, nil
}

// Judge looks at every service and gives the whole list of findings: open ones first, newest first. While the feed is not live nothing opens or closes:
// what stands still is not calm, and what is missing was perhaps only not read yet.
func (d *Detector) Judge(now time.Time, b *dashboards.Board) []dashboards.Finding {
	live := b.Feed().State == dashboards.FeedLive
	for _, w := range d.services {
		w.mark = false
	}
	names := b.Names()
	for _, name := range names {
		w := d.services[name]
		if w == nil {
			w = &watch{}
			d.services[name] = w
		}
		w.mark = true
	}
	for from := 0; from < len(names) && live; from += atOnce {
		some := names[from:min(from+atOnce, len(names))]
		dashboards.Split(len(some), func(_, i int) { d.glances[i].look(b, some[i], d.services[some[i]], &d.cfg) })
		for i, name := range some {
			g, w := &d.glances[i], d.services[name]
			if !g.there {
				continue
			}
			s := &g.signals
			d.count(now, s, w)
			d.judgeSignals(now, b, g, w)
			d.judgeBudget(now, b, s, w)
			d.judgeMembers(now, b, s, w)
			d.judgeFlaps(now, b, s, w)
		}
	}
	for name, w := range d.services {
		if !w.mark {
			d.leave(name, w, now)
		}
	}
	known := d.known(b)
	d.hear(now)
	d.meet(now, known)
	d.tellOthers()
	var out []dashboards.Finding
	for _, sh := range d.places {
		if sh.told {
			out = append(out, sh.finding)
		}
	}
	for _, w := range d.services {
		for _, o := range []*open{w.signal, w.budget.open, w.members, w.apart, w.flaps} {
			if o == nil {
				continue
			}
			if o.folded = d.part(o, known); !o.folded && !o.minor {
				o.finding.Was, o.finding.Is = dashboards.Num(o.verdict.Was), dashboards.Num(o.verdict.Is)
				out = append(out, o.finding)
			}
		}
	}
	d.ended = slices.DeleteFunc(d.ended, func(f dashboards.Finding) bool { return now.UnixMilli()-*f.Ended > d.cfg.KeepEnded.Milliseconds() })
	slices.SortFunc(out, func(a, b dashboards.Finding) int {
		return cmp.Or(cmp.Compare(b.Since, a.Since), cmp.Compare(a.Level, b.Level), cmp.Compare(a.ID, b.ID)) // bad before warn
	})
	return append(out, d.ended...)
}

// atOnce is how many services are looked at together.
const atOnce = 128

// glance is what one service did lately and what of it has changed, in memory that was another's before.
type glance struct {
	there    bool
	signals  dashboards.Signals
	lines    signalLines
	verdicts []Verdict
}

// look takes a glance at a service. Of two it may be done at the same time.
func (g *glance) look(b *dashboards.Board, name [2]string, w *watch, c *Config) {
	s := &g.signals
	if g.there = b.SignalsInto(s, name[0], name[1], c.History) && len(s.Rate) > 0; !g.there {
		return
	}
	w.tick = s.Newest.After(w.seen)
	w.seen = s.Newest
	if w.tick {
		g.lines.fill(s, w)
		g.verdicts = g.lines.verdicts(c.Certainty)
	}
}

// open is a finding that is not over.
type open struct {
	finding  dashboards.Finding
	verdict  Verdict
	where    Place
	since    time.Time
	located  time.Time // when where was last asked for
	calm     int       // ticks in a row without trouble
	first    time.Time // the first of them
	peak     Verdict
	seen     time.Time // when a class of exceptions that is new was first seen
	also     []string  // what else has changed
	cause    string    // a deploy from shortly before
	worstWhy string    // the peak in a few words
	// The worst sign of all, where a finding has had several.
	worst      Verdict
	worstWhere Place
	shared     *shared   // it belongs to a place
	left       *shared   // it is what else went wrong with a service of that place, and never belongs to it
	looked     time.Time // when it was last asked whether something else is wrong
	stray      int       // looks in a row at which the place was well, and it was not
	went       went      // how instances went, of a finding about instances
	folded     bool      // the finding about that place tells it
	minor      bool      // alone it is not worth a word
	n          int       // instances, of a finding about instances
	far        bool      // another replica tells it
	lost       bool      // nobody does: its service is changing hands
	over       bool
}

// begin opens a finding.
func (d *Detector) begin(s *dashboards.Signals, metric string, since time.Time) *open {
	d.opened.Inc()
	o := &open{since: since}
	o.finding = dashboards.Finding{ID: findingID(s.Service, s.Env, metric, since), Service: s.Service, Env: s.Env, Metric: metric, Since: since.UnixMilli(),
		Cleared: []string{}, Events: []dashboards.Event{}}
	return o
}

// end closes a finding as of a moment.
func (d *Detector) end(o *open, at time.Time) {
	o.over = true
	if !o.folded && !o.minor {
		d.list(o.finding, at)
	}
}

// list puts a finding that is over among those that are.
func (d *Detector) list(f dashboards.Finding, at time.Time) {
	f.Unheal()
	t := max(at.UnixMilli(), f.Since)
	f.Ended = &t
	d.ended = slices.Insert(d.ended, 0, f)
	if len(d.ended) > maxEnded {
		d.ended = d.ended[:maxEnded]
	}
	d.cfg.Log.Info("finding ended", "id", f.ID, "service", f.Service, "env", f.Env, "title", f.Title)
}

func findingID(service, env, metric string, since time.Time) string {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(service + "/" + env + "/" + metric + "/" + since.UTC().Format(time.RFC3339Nano)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("f%010x", h>>24)
}
