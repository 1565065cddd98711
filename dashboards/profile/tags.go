package profile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// The tags in which a member says of its service what a file of services.d does. Owner, chat and runbook are the Board's to find.
const (
	tagGolden = "rollcall.golden." // and the signal: patterns parted by commas
	tagSLO    = "rollcall.slo"     // 99.9%; 99% < 300ms; fast: 90% < 100ms over 7d
	tagCanary = "rollcall.canary"  // heap_used increase 20% warn, cache_hits decrease
)

// ofTags reads what members say in their metadata. What cannot be read is told and left out.
func ofTags(tag func(names ...string) string) (e *Entry, wrong []string) {
	e = &Entry{}
	fault := func(name string, err error) { wrong = append(wrong, fmt.Sprintf("%s: %s", name, err)) }
	for signal, to := range map[string]*[]string{"rate": &e.Golden.Rate, "errors": &e.Golden.Errors, "latency": &e.Golden.Latency, "saturation": &e.Golden.Saturation} {
		if text := tag(tagGolden + signal); text != "" {
			var err error
			if *to, err = patterns(parts(text, ",")); err != nil {
				fault(tagGolden+signal, err)
			}
		}
	}
	for _, text := range parts(tag(tagSLO), ";") {
		var y sloYAML
		if name, rest, ok := strings.Cut(text, ":"); ok {
			y.Name, text = strings.TrimSpace(name), rest
		}
		text, y.Window, _ = strings.Cut(text, " over ")
		y.Objective, y.Latency, _ = strings.Cut(text, "<")
		y.Objective, y.Latency, y.Window = strings.TrimSpace(y.Objective), strings.TrimSpace(y.Latency), strings.TrimSpace(y.Window)
		o, _, err := objective(&y)
		switch {
		case err != nil:
			fault(tagSLO, err)
		case slices.ContainsFunc(e.Objectives, func(p dashboards.Objective) bool { return p.Name == o.Name }):
			fault(tagSLO, fmt.Errorf("two objectives are called %s; give one of them a name, as in fast: 90%% < 100ms", o.Name))
		case len(e.Objectives) < maxObjectives:
			e.Objectives = append(e.Objectives, o)
		}
	}
	for _, text := range parts(tag(tagCanary), ",") {
		y, err := measureWords(text)
		if err == nil {
			m, _, err2 := measure(&y)
			if err = err2; err == nil {
				if e.Canary == nil {
					e.Canary = &Canary{}
				}
				if len(e.Canary.Measures) < maxMeasures {
					e.Canary.Measures = append(e.Canary.Measures, m)
				}
			}
		}
		if err != nil {
			fault(tagCanary, err)
		}
	}
	return e, wrong
}

// measureWords reads "heap_used increase 20% warn": the metric, and what else is said of it in any order.
func measureWords(text string) (y measureYAML, err error) {
	for i, w := range strings.Fields(text) {
		switch {
		case i == 0 && (w == "errors" || w == "latency" || w == "rate"):
			y.Name = w
		case i == 0:
			y.Metric = w
		case w == "increase" || w == "decrease" || w == "either":
			y.Direction = w
		case w == "fail" || w == "warn":
			y.Action = w
		case w == "ratio" || w == "level" || w == "gauge":
			y.Kind = w
		case strings.HasSuffix(w, "%"):
			y.Margin = w
		default:
			return y, fmt.Errorf("%q in %q is no direction, margin, kind or action", w, text)
		}
	}
	return y, nil
}

// parts is the parts of a text, without those that are empty.
func parts(text, by string) (out []string) {
	for _, p := range strings.Split(text, by) {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
