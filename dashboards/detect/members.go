package detect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// What counts as instances in trouble.
const (
	silentPolls = 2    // failed scrapes in a row when several fail together
	lonelyPolls = 3    // when one does
	worthAWord  = 0.02 // of a service: below, one instance alone that left is how fleets live, unless other services lose one in the same place
	manyGone    = 0.34 // of a service: from here it is bad
)

// troubled picks who is in trouble for certain: those who left, and those who have failed often enough. Those who come and go have a finding of their own.
func troubled(s *dashboards.Signals) (gone, silent []dashboards.Member) {
	flaps := map[string]bool{}
	for _, m := range s.Flapping {
		flaps[m.Instance] = true
	}
	others := func(ms []dashboards.Member) []dashboards.Member {
		return slices.DeleteFunc(slices.Clone(ms), func(m dashboards.Member) bool { return flaps[m.Instance] })
	}
	gone = others(s.Missing)
	several := 0
	quiet := others(s.Silent)
	for _, m := range quiet {
		if m.Fails >= silentPolls || m.Stale {
			several++
		}
	}
	for _, m := range quiet {
		if m.Fails >= lonelyPolls || m.Stale || m.Fails >= silentPolls && several > 1 {
			silent = append(silent, m)
		}
	}
	return gone, silent
}

// judgeMembers opens, updates and ends the finding about a service's instances; two, where one is told by a finding about a place and others are in trouble elsewhere.
func (d *Detector) judgeMembers(now time.Time, b *dashboards.Board, s *dashboards.Signals, w *watch) {
	gone, silent := troubled(s)
	if w.members == nil {
		w.members, w.apart = w.apart, nil
	}
	if w.members == nil || w.members.shared == nil && w.apart == nil {
		d.judgeWave(now, b, s, &w.members, gone, silent)
		return
	}
	var at Cond
	if len(w.members.where.Conds) > 0 {
		at = w.members.where.Conds[0]
	}
	if w.members.shared != nil {
		at = w.members.shared.at.Cond
	}
	there := func(m dashboards.Member) bool { return m.Tags[at.Dim] == at.Value }
	d.judgeWave(now, b, s, &w.members, some(gone, there, true), some(silent, there, true))
	d.judgeWave(now, b, s, &w.apart, some(gone, there, false), some(silent, there, false))
}

func some(of []dashboards.Member, who func(dashboards.Member) bool, yes bool) (out []dashboards.Member) {
	for _, m := range of {
		if who(m) == yes {
			out = append(out, m)
		}
	}
	return out
}

// judgeWave opens, updates and ends a finding about those who are gone and silent.
func (d *Detector) judgeWave(now time.Time, b *dashboards.Board, s *dashboards.Signals, at **open, gone, silent []dashboards.Member) {
	n := len(gone) + len(silent)
	if *at == nil {
		// A wave is told when it is whole: not before the second poll after it was first seen.
		if n == 0 || !s.Settled || now.Sub(newestLeave(gone)) < min(s.Width, 2*time.Second) {
			return
		}
		*at = d.begin(s, "instances", firstTrouble(gone, silent, now))
		d.tellMembers(now, b, s, *at, gone, silent)
		f := &(*at).finding
		d.cfg.Log.Info("finding opened", "id", f.ID, "service", s.Service, "env", s.Env, "title", f.Title, "only", f.Only)
		return
	}
	o := *at
	if n > 0 {
		o.calm = 0
		d.tellMembers(now, b, s, o, gone, silent)
		return
	}
	if o.calm++; o.calm == 1 {
		o.first = now
	}
	if o.calm >= silentPolls {
		d.end(o, o.first)
		*at = nil
	}
}

func newestLeave(gone []dashboards.Member) (t time.Time) {
	for _, m := range gone {
		if m.Since.After(t) {
			t = m.Since
		}
	}
	return t
}

func firstTrouble(gone, silent []dashboards.Member, now time.Time) time.Time {
	t := now
	for _, m := range slices.Concat(gone, silent) {
		if m.Since.Before(t) && m.Since.Unix() > 0 {
			t = m.Since
		}
	}
	return t
}

// tellMembers writes the words.
func (d *Detector) tellMembers(now time.Time, b *dashboards.Board, s *dashboards.Signals, o *open, gone, silent []dashboards.Member) {
	f := &o.finding
	of := max(s.Expected, len(gone)+len(silent))
	shared, exact := common(slices.Concat(gone, silent), b, s)
	at := o.since.UTC().Format("15:04:05 UTC")
	what := ""
	switch {
	case len(gone) > 0 && len(silent) > 0:
		f.News = fmt.Sprintf("%d of %d instances gone or silent", len(gone)+len(silent), of)
		f.Why = fmt.Sprintf("%d gone, %d silent", len(gone), len(silent))
	case len(gone) > 0:
		f.News = fmt.Sprintf("%d of %d instances gone", len(gone), of)
		f.Why = f.News
		went := wentOf(gone)
		what = went.words("the hosts or the applications")
	default:
		verb := "do not answer"
		if len(silent) == 1 {
			verb = "does not answer"
		}
		f.News = fmt.Sprintf("%d of %d instances %s", len(silent), of, verb)
		f.Why = fmt.Sprintf("%d of %d silent", len(silent), of)
	}
	f.Title = fmt.Sprintf("%s: %s since %s", s.Service, f.News, at)
	if len(gone)+len(silent) == of && of > 1 {
		f.Title = fmt.Sprintf("%s has stopped: %s since %s", s.Service, f.News, at)
	}
	if len(shared) > 0 {
		f.Title += ", " + together(len(gone)+len(silent), shared[0])
	}
	if o := outcomes(silent); o != "" {
		what = strings.TrimSpace(what + " " + o)
	}
	if names := namesOf(slices.Concat(gone, silent)); len(shared) == 0 && names != "" {
		what = strings.TrimSpace(what + " " + names)
	}
	f.Only, f.Regions = what, regionsOf(slices.Concat(gone, silent))
	o.worstWhy, o.minor = f.Why, len(silent) == 0 && len(gone) == 1 && float64(len(gone)) < worthAWord*float64(s.Expected)
	o.n, o.went = len(gone)+len(silent), wentOf(gone)
	f.Cleared = []string{}
	if o.where = (Place{}); len(shared) > 0 {
		o.where.Conds, o.where.Names = shared[:1], shared[:exact]
		if o.n == len(s.Missing)+len(s.Silent) && o.n < of { // all others answer
			o.where.Cleared = []string{known(nil).theRest(shared[0], nil)}
			f.Cleared = append(f.Cleared, o.where.Cleared...)
		}
	}
	f.Where, f.Signals = o.where.holds(), hit(s.Service, f.Metric)
	f.Level = dashboards.LevelWarn
	if float64(len(gone)+len(silent)) >= manyGone*float64(of) {
		f.Level = dashboards.LevelBad
	}
	f.Events = b.Events(s.Service, s.Env, o.since.Add(-5*time.Minute), now)
	if k := len(f.Events); k > 8 {
		f.Events = f.Events[k-8:]
	}
}

// together says where all of them are.
func together(n int, c Cond) string {
	text := "all "
	if n == 1 {
		text = ""
	}
	switch c.Dim {
	case dashboards.TagZone, dashboards.TagRegion:
		return text + "in " + one(c)
	}
	return text + "on " + one(c)
}

func span(d time.Duration) string {
	switch s := int(d.Seconds() + 0.999); {
	case s <= 1:
		return "a second"
	case s < 120:
		return fmt.Sprintf("%d s", s)
	default:
		return fmt.Sprintf("%d min", s/60)
	}
}

// outcomes counts how the silent fail.
func outcomes(silent []dashboards.Member) string {
	if len(silent) == 0 {
		return ""
	}
	n := map[string]int{}
	for _, m := range silent {
		word := m.Outcome.String()
		if m.Outcome == collector.OK {
			word = "not scraped any more"
		}
		n[word]++
	}
	words := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(n[b]-n[a], strings.Compare(a, b)) })
	parts := make([]string, 0, len(words))
	for _, w := range words {
		parts = append(parts, fmt.Sprintf("%s %d", w, n[w]))
	}
	text := "Scrapes end: " + strings.Join(parts, ", ") + "."
	if r := silent[0].Reason; r != "" && len(words) == 1 {
		text = fmt.Sprintf("Scrapes end: %s (%s).", words[0], r)
	}
	return text
}

// namesOf lists a few.
func namesOf(ms []dashboards.Member) string {
	if len(ms) == 0 || len(ms) > 5 {
		return ""
	}
	var names []string
	for _, m := range ms {
		names = append(names, m.Instance)
	}
	slices.Sort(names)
	return strings.Join(names, ", ") + "."
}

// common finds the tag values that all of them share, most telling first: fewest others have it, and not everybody does. Nobody else has the first `exact`.
func common(ms []dashboards.Member, b *dashboards.Board, s *dashboards.Signals) (out []Cond, exact int) {
	if len(ms) == 0 {
		return nil, 0
	}
	in := map[string]bool{}
	for _, m := range ms {
		in[m.Instance] = true
	}
	type cand struct {
		Cond
		others, of int
	}
	var cands []cand
	for dim, v := range ms[0].Tags {
		if slices.Contains(noDims, dim) || !slices.ContainsFunc(ms, func(m dashboards.Member) bool { return m.Tags[dim] != v }) && v == "" {
			continue
		}
		if slices.ContainsFunc(ms, func(m dashboards.Member) bool { return m.Tags[dim] != v }) {
			continue
		}
		cands = append(cands, cand{Cond: Cond{dim, v}})
	}
	for _, l := range b.Roster(func(l *dashboards.RosterLine) bool {
		return l.Service == s.Service && l.Env == s.Env && !in[l.Instance]
	}) {
		for i := range cands {
			cands[i].of++
			if l.Tags[cands[i].Dim] == cands[i].Value {
				cands[i].others++
			}
		}
	}
	// Those who share it are mostly those in trouble: at least twice as dense there as elsewhere would be by chance.
	cands = slices.DeleteFunc(cands, func(c cand) bool { return c.of == 0 || c.others > len(ms) || c.others*2 > c.of })
	slices.SortFunc(cands, func(x, y cand) int {
		return cmp.Or(cmp.Compare(x.others, y.others), cmp.Compare(dimRank(x.Dim), dimRank(y.Dim)), strings.Compare(x.Dim, y.Dim))
	})
	for _, c := range cands {
		if out = append(out, c.Cond); c.others == 0 {
			exact++
		}
	}
	return out, exact
}
