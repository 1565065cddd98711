package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Several replicas divide the services, and a place may be in trouble whose services are divided too. Each tells the others what is in trouble in its own services and
// where (Detector.Troubles), each brings all of it together, and so comes to the same places. The finding about a place is made by the owner of the service that
// began; the others keep what they say of their own services until they have heard it, and then leave the word to it.

// Trouble is an open finding about one service as evidence for one about a place.
type Trouble struct {
	ID      string         `json:"id"`
	Service string         `json:"service"`
	Env     string         `json:"env"`
	Metric  string         `json:"metric"`
	Level   string         `json:"level"`
	Since   int64          `json:"since"`             // Unix ms
	At      []Cond         `json:"at,omitempty"`      // where it is, by each name of that place; the first is the one that the finding tells
	Size    dashboards.Num `json:"size,omitempty"`    // the more, the worse
	Why     string         `json:"why"`               // in a few words, at its worst
	N       int            `json:"n,omitempty"`       // instances gone or silent, where it is about instances
	Clear   bool           `json:"clear,omitempty"`   // all the rest is well
	Signals []string       `json:"signals,omitempty"` // which lines of its service are in trouble
	Went    *went          `json:"went,omitempty"`    // how they left, of instances that did
	// Recovered is since when it is well again, and Closes when it is over if it stays so; Unix ms, 0: it is not well.
	Recovered int64 `json:"recovered,omitempty"`
	Closes    int64 `json:"closes,omitempty"`
}

// Told is what another replica that answers tells.
type Told struct {
	From     string
	Owns     func(service, env string) bool // whose trouble it would tell
	Troubles []Trouble
}

const (
	// MaxTroubles bounds what one replica tells, MaxAt the names of a place in it.
	MaxTroubles = 1000
	MaxAt       = 16
	// lostFor is how long a trouble counts of which nobody tells any more because its owner is gone: the next one must find it anew.
	lostFor = 30 * time.Second
)

// valid reports whether it can have been told by one of ours.
func (t *Trouble) valid(now time.Time) bool {
	text := func(s string, least, most int) bool { return len(s) >= least && len(s) <= most && utf8.ValidString(s) }
	ok := text(t.ID, 1, dashboards.MaxName) && text(t.Service, 1, dashboards.MaxName) && text(t.Env, 0, dashboards.MaxName) && (t.Metric == "instances" || rank(t.Metric) >= 0) &&
		(t.Level == dashboards.LevelBad || t.Level == dashboards.LevelWarn) && text(t.Why, 0, dashboards.MaxWords) && t.N >= 0 && t.N < 1e6 && len(t.At) <= MaxAt &&
		t.Since > 0 && t.Since < now.Add(time.Hour).UnixMilli() && t.Recovered >= 0 && t.Closes >= t.Recovered && t.Closes < now.Add(time.Hour).UnixMilli() && (t.Went == nil || t.Went.valid())
	for _, signal := range t.Signals[:min(len(t.Signals), len(dashboards.SignalNames))] {
		ok = ok && slices.Contains(dashboards.SignalNames, signal)
	}
	ok = ok && len(t.Signals) <= len(dashboards.SignalNames)
	for _, c := range t.At {
		ok = ok && text(c.Dim, 1, dashboards.MaxName) && text(c.Value, 0, dashboards.MaxName)
	}
	return ok
}

// troubleKey is which trouble: a service has one of each kind at a time, whoever tells it.
type troubleKey struct {
	service, env string
	members      bool
}

func keyOf(service, env, metric string) troubleKey {
	return troubleKey{service, env, metric == "instances"}
}

// foreign is a trouble that another replica tells, or told.
type foreign struct {
	*open
	from  string
	heard time.Time
}

// Troubles is what this process tells the others, as of its last judgement. It may be called at any time.
func (d *Detector) Troubles() []Trouble {
	if ts := d.mine.Load(); ts != nil {
		return *ts
	}
	return nil
}

// tellOthers makes what Troubles gives.
func (d *Detector) tellOthers() {
	if d.cfg.Owns == nil {
		return
	}
	out := []Trouble{}
	for _, w := range d.services {
		for _, o := range []*open{w.signal, w.members} {
			ms := meetingsOf(o)
			if o == nil || o.shared == nil && len(ms) == 0 {
				continue
			}
			f := &o.finding
			t := Trouble{ID: f.ID, Service: f.Service, Env: f.Env, Metric: f.Metric, Level: f.Level, Since: o.since.UnixMilli(), Size: dashboards.Num(o.size()), Why: o.worstWhy, N: o.n, Clear: len(o.where.Cleared) > 0,
				Signals: f.Signals[f.Service], Recovered: f.Recovered, Closes: f.Closes}
			if o.went.N > 0 {
				left := o.went
				t.Went = &left
			}
			for _, m := range ms {
				t.At = append(t.At, m.Cond)
			}
			t.At = t.At[:min(len(t.At), MaxAt)]
			out = append(out, t)
		}
	}
	// Of more than are told the newest are: what began long ago has met whom it meets.
	slices.SortFunc(out, func(a, b Trouble) int { return cmp.Or(cmp.Compare(b.Since, a.Since), strings.Compare(a.ID, b.ID)) })
	out = out[:min(len(out), MaxTroubles)]
	d.mine.Store(&out)
}

// hear takes in what the others tell.
func (d *Detector) hear(now time.Time) {
	if d.cfg.Owns == nil || d.cfg.Others == nil {
		return
	}
	told := d.cfg.Others()
	for _, by := range told {
		for i := range by.Troubles[:min(len(by.Troubles), MaxTroubles)] {
			t := &by.Troubles[i]
			if !t.valid(now) {
				continue
			}
			k := keyOf(t.Service, t.Env, t.Metric)
			x := d.others[k]
			if x != nil && x.finding.ID != t.ID && x.from == by.From && !x.lost {
				x.over, x = true, nil // that is over, or told by the place for good: this is something else
			}
			if x == nil {
				x = &foreign{open: &open{}}
				d.others[k] = x
			} else if x.heard.Equal(now) && x.finding.ID <= t.ID {
				continue // two tell of it, for the moment in which it changes hands
			}
			x.take(t)
			x.from, x.heard, x.lost = by.From, now, false
		}
	}
	for k, x := range d.others {
		if x.heard.Equal(now) && !d.tells(k) {
			continue
		}
		i := slices.IndexFunc(told, func(t Told) bool { return t.From == x.from })
		// Whoever told it answers, owns the service and tells it no more: then it is over. Else somebody is about to find it anew.
		if x.lost = true; d.tells(k) || i >= 0 && told[i].Owns(k.service, k.env) || now.Sub(x.heard) >= lostFor {
			x.over = true
			delete(d.others, k)
		}
	}
}

// take takes over what is told.
func (x *foreign) take(t *Trouble) {
	o := x.open
	o.finding = dashboards.Finding{ID: t.ID, Service: t.Service, Env: t.Env, Metric: t.Metric, Level: t.Level, Since: t.Since, Recovered: t.Recovered, Closes: t.Closes,
		Signals: map[string][]string{t.Service: t.Signals}}
	if o.went = (went{}); t.Went != nil {
		o.went = *t.Went
	}
	o.far, o.since, o.worstWhy, o.n = true, time.UnixMilli(t.Since), t.Why, t.N
	o.peak = Verdict{Metric: t.Metric, Is: float64(t.Size), Of: 1}
	o.where = Place{Names: t.At}
	if len(t.At) > 0 {
		o.where.Conds = t.At[:1]
	}
	if t.Clear {
		o.where.Cleared = []string{""}
	}
}

// tells reports whether this process has found that trouble itself.
func (d *Detector) tells(k troubleKey) bool {
	w := d.services[[2]string{k.service, k.env}]
	return w != nil && (k.members && w.members != nil || !k.members && w.signal != nil)
}

// leave gives up a service that is gone, or that another replica owns from now on: then what is wrong with it is lost until that one tells of it.
func (d *Detector) leave(name [2]string, w *watch, now time.Time) {
	delete(d.services, name)
	for _, o := range []*open{w.signal, w.members, w.apart} {
		switch {
		case o == nil:
		case d.cfg.Others != nil && !d.owns(name[0], name[1]) && o.shared != nil && o != w.apart:
			o.lost = true
			d.others[keyOf(name[0], name[1], o.finding.Metric)] = &foreign{open: o, heard: now}
		default:
			o.over = true
		}
	}
}

func (d *Detector) owns(service, env string) bool {
	return d.cfg.Owns == nil || d.cfg.Owns(service, env)
}

// known is the findings about places that stand, whoever made them: several may have begun one about the same place before they heard of each other, and the oldest
// is the one that goes on.
func (d *Detector) known(b *dashboards.Board) map[meeting]*dashboards.Finding {
	if d.cfg.Owns == nil {
		return nil
	}
	out := map[meeting]*dashboards.Finding{}
	all := b.Findings()
	for i := range all {
		f := &all[i]
		dim, value, ok := strings.Cut(f.Place, "=")
		if f.Ended != nil || !ok {
			continue
		}
		m := meeting{f.Env, Cond{dim, value}}
		if old := out[m]; old == nil || f.Since < old.Since || f.Since == old.Since && f.ID < old.ID {
			out[m] = f
		}
	}
	return out
}

// follow goes on with a finding about the place that is known already.
func (sh *shared) follow(f *dashboards.Finding) {
	sh.finding.ID, sh.finding.Service, sh.finding.Since = f.ID, f.Service, f.Since
	if at := time.UnixMilli(f.Since); at.Before(sh.since) {
		sh.since = at
	}
	for _, s := range f.Services {
		if !slices.Contains(sh.all, s) {
			sh.all = append(sh.all, s)
		}
	}
}

// tellsOf reports whether this process makes the finding about a place: it owns the service that began, and has seen something of it that was not lost. Until then
// the Board goes on with the one that another has made.
func (d *Detector) tellsOf(sh *shared) bool {
	return d.owns(sh.finding.Service, sh.finding.Env) && (sh.told || slices.ContainsFunc(sh.members, func(o *open) bool { return !o.lost }))
}

// part reports whether a finding is told by one about a place: this process's, or another's that has been heard.
func (d *Detector) part(o *open, known map[meeting]*dashboards.Finding) bool {
	if o.shared == nil {
		return false
	}
	if d.tellsOf(o.shared) {
		return true
	}
	f := known[o.shared.at]
	return f != nil && slices.Contains(f.Services, o.finding.Service)
}
