package canary

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rank puts first what failed, then what is undecided, then by how many margins of harm there are and how sure they are.
func rank(found []Found, measures []Measure) {
	by := map[string]*Measure{}
	for i := range measures {
		by[measures[i].Name] = &measures[i]
	}
	gravity := func(f *Found) int {
		switch {
		case f.FailedAt >= 0 && f.Action == Fails:
			return 0
		case f.FailedAt >= 0:
			return 1
		case f.Verdict == Hold:
			return 2
		}
		return 3
	}
	weight := func(f *Found) float64 {
		harm := by[f.Name].harm()
		effect, sigmas := f.Effect*harm, f.Sigmas*harm
		if harm == 0 {
			effect, sigmas = math.Abs(f.Effect), math.Abs(f.Sigmas)
		}
		if m := math.Abs(f.Margin); m > 0 {
			return math.Min(effect/m, 10) * math.Max(sigmas, 0)
		}
		return sigmas
	}
	slices.SortStableFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(gravity(&a), gravity(&b)), cmp.Compare(weight(&b), weight(&a)))
	})
}

// failure says what failed, when and with which figures, and what all polls come to, those after it too: what has failed may look well since, as one that gets no
// traffic any more does.
func (w *watch) failure() string {
	var out []string
	for i := range w.measures {
		f := &w.measures[i].found
		if f.FailedAt < 0 || f.Action != Fails {
			continue
		}
		text := "at " + clock(f.Failed) + " with " + f.FailedAs
		if f.Words() != f.FailedAs {
			text += ", over all polls " + f.figures()
		}
		out = append(out, text)
	}
	return "failed " + strings.Join(out, "; ")
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

func passed(found []Found) string {
	var out []string
	for i := range found {
		if f := &found[i]; f.Action == Fails {
			out = append(out, fmt.Sprintf("%s at most %s", f.Name, f.amount(f.Most)))
		}
	}
	return "harm that would matter is excluded: " + strings.Join(out, ", ")
}

// undecided says what is missing.
func (w *watch) undecided(found []Found) string {
	for i := range w.measures {
		d := &w.measures[i]
		if d.m.Action != Fails || !d.known {
			continue
		}
		switch e := &d.est; {
		case e.hosts[baseline] < w.r.MinBaseline:
			return fmt.Sprintf("the baseline has %s, and %d are needed to see how much hosts differ", count(e.hosts[baseline], "host"), w.r.MinBaseline)
		case e.hosts[canaries] < w.r.MinCanary:
			return fmt.Sprintf("the canary has %s, and %d are asked for", count(e.hosts[canaries], "host"), w.r.MinCanary)
		case d.polls < w.r.MinPolls:
			return fmt.Sprintf("%s of at least %d", count(d.polls, "poll"), w.r.MinPolls)
		case d.m.Kind == Ratio && (e.n[baseline] < w.r.MinRequests || e.n[canaries] < w.r.MinRequests):
			return fmt.Sprintf("%.0f requests of the canary and %.0f of the baseline, and %.0f of each are needed", e.n[canaries], e.n[baseline], w.r.MinRequests)
		}
	}
	for i := range found {
		if f := &found[i]; f.Action == Fails && f.Verdict == Hold {
			return fmt.Sprintf("%s may be worse by up to %s, and from %s on it would matter", f.Name, f.amount(f.Most), f.amount(f.Margin))
		}
	}
	return "not all measures pass"
}

// Words is the measure in one sentence.
func (f *Found) Words() string { return f.Name + " " + f.figures() }

func (f *Found) figures() string {
	level := figure
	if f.Kind == Ratio {
		level = share
	}
	return fmt.Sprintf("%s%s → %s%s (%s; from %s to %s)", level(f.Baseline), f.unit, level(f.Canary), f.unit, f.amount(f.Effect), f.amount(f.Lo), f.amount(f.Hi))
}

// amount is a change, with its sign: of a share in points, of others in percent.
func (f *Found) amount(x float64) string {
	if math.IsNaN(x) {
		return "unknown"
	}
	unit := " %"
	if f.Kind == Ratio {
		unit = " points"
	}
	if x > 10 && f.Kind != Ratio {
		return "×" + figure(1+x)
	}
	return signed(x*100) + unit
}

func signed(x float64) string {
	text := figure(x)
	if x > 0 {
		text = "+" + text
	}
	return strings.Replace(text, "-", "−", 1)
}

func share(x float64) string { return figure(100*max(x, 0)) + " %" }

// figure is a number with as many digits as people read.
func figure(x float64) string {
	switch a := math.Abs(x); {
	case a >= 100 || a == 0:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case a >= 0.01:
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strconv.FormatFloat(x, 'g', 2, 64)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
