package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// signals says of each golden signal which metric means it, and why.
func (r *report) signals() {
	is := r.Is
	for _, s := range []struct {
		what   string
		is     *dashboards.RecognisedSignal
		kind   string // that it has to be
		words  []string
		remedy string
	}{
		{"rate", &is.Rate, "counter", []string{"request", "query", "queries", "call", "hit", "message", "job", "processed", "handled"}, "count requests as `requests`"},
		{"errors", &is.Errors, "counter", []string{"error", "fail", "exception", "5xx", "fault", "abort"}, "count requests that fail as `errors`, or give the counter of requests a label `code`"},
		{"latency", &is.Latency, "distribution", []string{"latency", "duration", "time", "elapsed", "took", "_ms", "seconds"}, "measure how long requests take as `request_latency_ms`, best as a histogram"},
	} {
		switch {
		case s.is.None:
			r.add(s.what, Note, "", "%s: %s", s.is.Words(), from(r.Said.From, "golden."+s.what))
			continue
		case len(s.is.Metrics) == 0:
			r.add(s.what, Missing, r.like(s.what, s.kind, s.words, s.remedy), "no metric of it is known to mean that")
			continue
		}
		text := fmt.Sprintf("%s%s: %s", some(s.is.Metrics), series(s.is.Series), s.is.Words())
		if s.is.ByRule {
			text += " (" + from(r.Said.From, "golden."+s.what) + ")"
		}
		if s.what != "latency" {
			r.add(s.what, Good, "", "%s", text)
			continue
		}
		r.latency(text)
	}
	if len(is.Uses) == 0 {
		r.add("saturation", Note, "name gauges in pairs, such as pool_busy and pool_size, or "+r.file("`golden: {saturation: [USED of LIMIT, QUEUE waits]}`"), "nothing is known that may run full or wait")
	} else {
		r.add("saturation", Good, "", "%s", some(is.Uses))
	}
	if is.Classes > 0 {
		r.add("exceptions", Good, "", "told apart by %s", plural(is.Classes, "class", "classes"))
	}
	if n := len(is.Lifetime); n > 0 && !(n == 1 && slices.Contains(is.Latency.Metrics, is.Lifetime[0])) {
		r.add("windows", Note, "nothing is to be done where the mean is enough", "%s of %s are of the whole life of a process: of them the mean of each interval is used", "percentiles", some(is.Lifetime))
	}
}

// latency says which figure of it speaks of now.
func (r *report) latency(text string) {
	is := r.Is
	switch {
	case is.LatencyName == "mean" && is.LatencyWindow == "lifetime":
		r.add("latency", Missing, "export a histogram, or, of Ostrich, set ostrich_period in the job",
			"%s; its percentiles are of the whole life of a process and say nothing about now, so that only the mean is known", text)
	case is.LatencyName == "mean":
		r.add("latency", Missing, "export a histogram, or say with `distributions` in the job what the percentiles speak of", "%s; only the mean of it is known", text)
	case len(is.Bounds) > 0:
		r.add("latency", Good, "", "%s; %s from a histogram of %d bounds", text, is.LatencyName, len(is.Bounds))
	case is.Native:
		r.add("latency", Good, "", "%s; %s from a native histogram", text, is.LatencyName)
	default:
		r.add("latency", Good, "", "%s; %s, %s", text, is.LatencyName, window(is.LatencyWindow))
	}
}

// window says what percentiles speak of.
func window(w string) string {
	switch w {
	case "", "unknown":
		return "over a window that is not known"
	case "interval":
		return "of the interval"
	}
	return w
}

// like says which metrics may be meant, and how to name one.
func (r *report) like(what, kind string, words []string, otherwise string) string {
	var may, wrong []string
	for _, m := range r.Is.Metrics {
		low := strings.ToLower(m.Name)
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(low, w) }) {
			continue
		}
		if m.Kind == kind || kind == "counter" && m.Kind == "delta" || kind == "distribution" && strings.HasSuffix(m.Name, "_bucket") {
			may = append(may, m.Name)
		} else if m.Kind != "distribution" || kind != "distribution" {
			wrong = append(wrong, m.Name+" is a "+m.Kind)
		}
	}
	switch {
	case len(may) > 0:
		return fmt.Sprintf("is it %s? Then %s; else %s", one(may), r.file(fmt.Sprintf("`golden: {%s: %s}`", what, strconv.Quote(may[0]))), otherwise)
	case len(wrong) > 0 && kind == "counter":
		return fmt.Sprintf("only what counts up can be read so, and %s; %s", one(wrong), otherwise)
	}
	return otherwise
}

// rules says of each pattern that somebody has written whether it fits anything.
func (r *report) rules() {
	g := r.Said.Golden
	for _, s := range []struct {
		what, kind string
		of         []string
		is         *dashboards.RecognisedSignal
	}{
		{"rate", "counter", g.Rate, &r.Is.Rate}, {"errors", "counter", g.Errors, &r.Is.Errors}, {"latency", "distribution", g.Latency, &r.Is.Latency},
	} {
		if len(s.of) == 0 || s.is.ByRule || s.is.None {
			continue
		}
		text := fmt.Sprintf("golden.%s, by %s: %s fits no %s of it", s.what, from(r.Said.From, "golden."+s.what), some(s.of), map[string]string{"counter": "counter", "distribution": "distribution or histogram"}[s.kind])
		for _, m := range r.Is.Metrics {
			if slices.ContainsFunc(s.of, func(p string) bool { return dashboards.Matches(p, m.Name) }) && m.Kind != s.kind {
				text += fmt.Sprintf("; %s is a %s", m.Name, m.Kind)
				break
			}
		}
		if len(s.is.Metrics) > 0 {
			text += "; taken instead is " + some(s.is.Metrics)
		}
		r.add("rules", Missing, "mend the name there: `rollcall get "+r.Source.Service+" '*'` lists what it says", "%s", text)
	}
	for _, rule := range g.Saturation {
		if rule == dashboards.NoMetric {
			continue
		}
		name, limit, pair := strings.Cut(strings.TrimSuffix(rule, " waits"), " of ")
		fits := func(p string) bool {
			return slices.ContainsFunc(r.Is.Metrics, func(m dashboards.Metric) bool { return m.Kind == "gauge" && dashboards.Matches(p, m.Name) })
		}
		for _, p := range []string{name, limit}[:1+b2i(pair)] {
			if !fits(p) {
				r.add("rules", Missing, "mend the name there", "golden.saturation, by %s: %s fits no gauge of it", from(r.Said.From, "golden.saturation"), p)
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// promises says how what the service promises stands.
func (r *report) promises() {
	if len(r.Said.Objectives) == 0 {
		r.add("slo", Note, r.file("`slo: [{objective: 99.9%}]`"), "it promises nothing: nobody is called when its errors eat up a budget")
		return
	}
	by := r.Said.From["slo"]
	for i := range r.Said.Objectives {
		o := &r.Said.Objectives[i]
		what := fmt.Sprintf("%s, by %s: %s of requests %s, over %d days", o.Name, by, share(o.Target), map[bool]string{true: "within " + millis(o.Under), false: "without error"}[o.Under > 0], int(o.Window.Hours()/24))
		k := -1
		for j := range r.Promises {
			if r.Promises[j].Name == o.Name {
				k = j
			}
		}
		switch {
		case k < 0:
			r.add("slo", Good, "", "%s", what)
		case r.Promises[k].Why != "" && o.Under > 0 && r.Is != nil && len(r.Is.Bounds) == 0 && !r.Is.Native:
			r.add("slo", Missing, fmt.Sprintf("export the latency as a histogram with a bound at %s", millis(o.Under)), "%s: not possible, as percentiles do not tell how many requests take longer", what)
		case r.Promises[k].Why != "":
			remedy := "it follows from the requests and errors above"
			if o.Under > 0 {
				remedy = "it follows from the latency above"
			}
			r.add("slo", Missing, remedy, "%s: %s", what, r.Promises[k].Why)
		default:
			p := &r.Promises[k]
			text := ""
			if p.Good.Known() {
				text = fmt.Sprintf("; %s within a day, which took %s of the budget", share(float64(p.Good)), share(float64(p.Spent)))
			}
			if p.Alert != nil {
				text += "; it burns: " + p.Words()
			}
			r.add("slo", Good, "", "%s%s", what, text)
			r.between(o)
		}
	}
}

// between says where the limit of a promise lies between two bounds of a histogram.
func (r *report) between(o *dashboards.Objective) {
	if o.Under == 0 || len(r.Is.Bounds) == 0 {
		return
	}
	i, at := slices.BinarySearch(r.Is.Bounds, o.Under*(1-1e-9))
	switch {
	case at || i < len(r.Is.Bounds) && r.Is.Bounds[i] <= o.Under*(1+1e-9):
	case i == len(r.Is.Bounds):
		r.add("slo", Missing, fmt.Sprintf("give the histogram a bound at %s", millis(o.Under)), "%s: %s is above the last bound, %s: all requests above that one count as too slow", o.Name, millis(o.Under), millis(r.Is.Bounds[i-1]))
	default:
		lo := 0.0
		if i > 0 {
			lo = r.Is.Bounds[i-1]
		}
		r.add("slo", Note, fmt.Sprintf("promise one of the two, or give the histogram a bound at %s", millis(o.Under)), "%s: %s lies between the bounds %s and %s, and is estimated", o.Name, millis(o.Under), millis(lo), millis(r.Is.Bounds[i]))
	}
}

// canary says which cohorts there are, and whether what they are to be judged by is there.
func (r *report) canary() {
	if r.Is != nil {
		switch c := &r.Cohorts; {
		case c.Reason != "":
			r.add("canary", Note, "", "%s", c.Reason)
		default:
			r.add("canary", Good, "", "%s %s (%s) against %s %s (%s), by %s", c.Canary.Name, c.Canary.Version, plural(len(c.Canary.Members), "instance", "instances"), c.Baseline.Name, c.Baseline.Version, plural(len(c.Baseline.Members), "instance", "instances"), c.By)
		}
	}
	for i := range r.Said.Canary.Measures {
		m := &r.Said.Canary.Measures[i]
		text := fmt.Sprintf("judged by %s, by %s: %s is harm, %s matters, it may %s", m.Name, r.Said.From["canary"], map[canary.Direction]string{canary.Increase: "more", canary.Decrease: "less", canary.Either: "any change"}[m.Direction], share(m.Margin), m.Action)
		if m.Metric == "" || r.Is == nil {
			r.add("canary", Good, "", "%s", text)
			continue
		}
		at := slices.IndexFunc(r.Is.Metrics, func(x dashboards.Metric) bool { return x.Name == m.Metric })
		switch {
		case at < 0:
			r.add("canary", Missing, "mend the name there", "%s; no metric of it is called %s", text, m.Metric)
		case r.Is.Metrics[at].Kind == "distribution" && !slices.Contains(r.Is.Metrics[at].Fields, m.Field):
			r.add("canary", Missing, "set field to one of "+strings.Join(r.Is.Metrics[at].Fields, ", "), "%s; it is a distribution, which has no field %q", text, m.Field)
		case m.Kind == canary.Ratio && r.Is.Metrics[at].Kind != "counter":
			r.add("canary", Missing, "use kind: gauge", "%s; it is a %s, and a ratio of requests needs a counter", text, r.Is.Metrics[at].Kind)
		default:
			r.add("canary", Good, "", "%s", text)
		}
	}
}

func from(all map[string]string, key string) string {
	if f := all[key]; f != "" {
		return f
	}
	return "dashboards.golden"
}

// some names the first of several things.
func some(all []string) string {
	all = slices.Clone(all)
	for i := range all {
		if all[i] == dashboards.NoMetric {
			all[i] = "none"
		}
	}
	if len(all) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:3], ", "), len(all)-3)
	}
	return strings.Join(all, ", ")
}

// one offers several things.
func one(all []string) string {
	return strings.Join(all[:min(len(all), 3)], " or ")
}

func series(n int) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf(" (%d series)", n)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func share(x float64) string { return strconv.FormatFloat(x*100, 'g', 5, 64) + " %" }

func millis(ms float64) string { return strconv.FormatFloat(ms, 'g', 6, 64) + " ms" }
