package dashboards

import (
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// knowing is what the names of a service's metrics tell, each looked at once: which patterns of the golden signals they match, what they count by class, and what they say
// of something that runs full. To find the signals anew costs what the names do that may be one, however many others there are.
type knowing struct {
	by     Golden // the configuration that it was made with
	stops  [3]int // of each signal, place of the configured pattern that says that there is no more; none: there is no such
	status int    // place among the patterns of errors at which those among the series of the rate are looked for
	seen   int    // columns that were looked at
	names  map[string]int32
	likely []likely // what may be a signal, or belong to one
	fivexx []uint32 // columns that are labelled 5xx
	thrown []thrown // columns that count exceptions by class
	gauges map[string]*sideGauge
}

// thrown is a column that counts the exceptions of a class.
type thrown struct {
	col   uint32
	class string
}

// sideGauge is a metric whose name says that it runs full, or what there is of something.
type sideGauge struct {
	norm string // its name in _ notation
	cols []uint32
}

// likely is one metric that may be a golden signal.
type likely struct {
	metric  string
	cols    []uint32
	buckets []uint32 // of the metric with _bucket behind its name
	matches [3][]int // patterns of each signal that its name matches: the configured ones first, then those known
	words   uint8    // what its name says that it counts
	dotted  bool     // it is counted apart by a dotted label
}

const (
	signalRate = iota
	signalErrors
	signalLatency
)

const (
	wordRate uint8 = 1 << iota
	wordErrors
)

// none is a place behind all patterns.
const none = math.MaxInt

var (
	rateWords  = []string{"requests", "request", "hits", "queries", "calls", "messages"}
	errorWords = []string{"errors", "error", "failures", "failure", "failed", "exceptions", "5xx"}
)

func newKnowing(g Golden) *knowing {
	k := &knowing{by: g, status: len(g.Errors) + slices.Index(errorPatterns, byStatus), names: map[string]int32{}, gauges: map[string]*sideGauge{}}
	for of, configured := range k.configured() {
		if k.stops[of] = slices.Index(configured, NoMetric); k.stops[of] < 0 {
			k.stops[of] = none
		}
	}
	return k
}

func (k *knowing) configured() [3][]string { return [3][]string{k.by.Rate, k.by.Errors, k.by.Latency} }

func knownPatterns() [3][]string { return [3][]string{ratePatterns, errorPatterns, latencyPatterns} }

// pattern is the text of one, behind a = if it is a configured one.
func (k *knowing) pattern(of, i int) string {
	own := k.configured()[of]
	if i < len(own) {
		return "=" + own[i]
	}
	return knownPatterns()[of][i-len(own)]
}

// learn looks at the columns that are new, and reports whether any of them may change what is found.
func (k *knowing) learn(cols []column) (news bool) {
	for ; k.seen < len(cols); k.seen++ {
		n, c := uint32(k.seen), &cols[k.seen]
		metric, bucket := c.metric, false
		if c.kind != collector.Distribution && c.label("le") != "" {
			metric, bucket = strings.CutSuffix(c.metric, "_bucket")
		}
		if l := k.metric(metric); l != nil {
			news = true
			if bucket {
				l.buckets = append(l.buckets, n)
			} else {
				l.cols = append(l.cols, n)
			}
			l.dotted = l.dotted || slices.ContainsFunc(c.labels, func(p collector.LabelPair) bool { return strings.Contains(p.Name, ".") })
		}
		if slices.ContainsFunc(c.labels, func(p collector.LabelPair) bool {
			return strings.EqualFold(p.Value, "5xx") && isServerError(p.Name, p.Value)
		}) && !side(c.metric) {
			news = true
			k.fivexx = append(k.fivexx, n)
		}
		if c.kind != collector.Gauge && c.kind != collector.Distribution {
			if class := exceptionClass(c); class != "" {
				news = true
				k.thrown = append(k.thrown, thrown{n, class})
			}
		}
		if c.kind == collector.Gauge || c.kind == collector.Untyped {
			news = k.gauge(n, c) || news
		}
	}
	return news
}

// metric is what is known of a metric that may be a signal or belong to one; nil: it is none.
func (k *knowing) metric(name string) *likely {
	if i, ok := k.names[name]; ok {
		if i < 0 {
			return nil
		}
		return &k.likely[i]
	}
	l := likely{metric: name}
	norm := normal(name)
	known := knownPatterns()
	beside, asked := false, false
	any := strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum")
	for of, configured := range k.configured() {
		for i, p := range configured {
			if p != NoMetric && Glob(normal(p), norm) {
				l.matches[of] = append(l.matches[of], i)
			}
		}
		for i, p := range known[of] {
			if p == byStatus || !Glob(p, norm) {
				continue
			}
			if !asked && strings.Contains(p, "*") {
				beside, asked = side(name), true
			}
			if !beside || !strings.Contains(p, "*") {
				l.matches[of] = append(l.matches[of], len(configured)+i)
			}
		}
		any = any || len(l.matches[of]) > 0
	}
	for _, t := range tokens(name) {
		if slices.Contains(rateWords, t) {
			l.words |= wordRate
		}
		if slices.Contains(errorWords, t) {
			l.words |= wordErrors
		}
	}
	if !any && l.words == 0 {
		k.names[name] = -1
		return nil
	}
	k.names[name] = int32(len(k.likely))
	k.likely = append(k.likely, l)
	return &k.likely[len(k.likely)-1]
}

func isCounted(c *column) bool {
	kind := c.kindNow()
	return kind == collector.Counter || kind == collector.Delta
}

// counts reports whether any column of the metric is a counter.
func (l *likely) counts(cols []column) bool {
	return slices.ContainsFunc(l.cols, func(n uint32) bool { return isCounted(&cols[n]) })
}

// counted appends those of its columns that are counters.
func (l *likely) counted(cols []column, out []uint32) []uint32 {
	for _, n := range l.cols {
		if isCounted(&cols[n]) {
			out = append(out, n)
		}
	}
	return out
}

func (k *knowing) countedBy(cols []column, metric string) []uint32 {
	if i, ok := k.names[metric]; ok && i >= 0 {
		return k.likely[i].counted(cols, nil)
	}
	return nil
}

// shapes reports whether the metric is a distribution, or has buckets.
func (l *likely) shapes(cols []column) bool {
	return len(l.buckets) > 0 || slices.ContainsFunc(l.cols, func(n uint32) bool { return cols[n].kind == collector.Distribution })
}

// shaped is the fields of the distribution, and its buckets, in the order of the columns.
func (l *likely) shaped(cols []column) []uint32 {
	out := slices.Clone(l.buckets)
	for _, n := range l.cols {
		if cols[n].kind == collector.Distribution {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// runsFull reports whether a gauge says of its name how full something is, what its limit is, or what waits: by the rules, or where there are none by its words.
func (k *knowing) runsFull(metric, norm string) bool {
	if len(k.by.Saturation) == 0 {
		return hasWords(norm, usedWords) || hasWords(norm, limitWords) || hasWords(norm, shareWords) || hasWords(norm, queueWords)
	}
	return slices.ContainsFunc(k.by.Saturation, func(rule string) bool {
		used, limit, pair := strings.Cut(rule, " of ")
		if pair {
			return glob(used, metric) || glob(limit, metric)
		}
		return glob(strings.TrimSuffix(rule, " waits"), metric)
	})
}

// gauge takes a column in that may be a gauge, and reports whether its name says that it runs full or is a limit.
func (k *knowing) gauge(n uint32, c *column) bool {
	if c.field != "" {
		return false
	}
	g, ok := k.gauges[c.metric]
	if !ok {
		if norm := plainName(c.metric); k.runsFull(c.metric, norm) {
			g = &sideGauge{norm: norm}
			k.gauges[c.metric] = g
		}
	}
	if g == nil {
		return false
	}
	g.cols = append(g.cols, n)
	return true
}
