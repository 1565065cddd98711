package dashboards

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// SideKind is what a Line is about.
type SideKind uint8

// The kinds of lines that detection looks at beside rate, errors and latency.
const (
	SideException SideKind = iota // one class of exceptions, thrown a second
	SideUse                       // how much of something that ends is used, 0..1
	SideQueue                     // how much waits, an instance
)

// SideLine is one figure of a service over its newest ticks, oldest first: beside the golden signals, and told when none of them says as much.
type SideLine struct {
	Kind   SideKind
	Name   string    // the class of the exceptions, or the metric
	Values []float64 // as long as the service's other lines, or shorter: then they are the newest; NaN: not known
	// First is how many of the newest ticks passed since the class was first counted by anybody, while the service was watched; -1: it was always there.
	First int
}

const (
	lineTicks  = 120 // how many ticks of a line are kept
	maxClasses = 32  // lines of exceptions of one service; those beyond are in its errors
	maxUses    = 16
)

// line is a SideLine as it is kept: which columns it is made of, and a ring of its ticks.
type line struct {
	kind   SideKind
	name   string
	cols   []uint32 // what is counted or used
	of     []uint32 // what there is of it; empty: the figure is a share or an amount by itself
	scale  float64  // what the figure is multiplied with
	first  int64    // tick at which it first was more than nothing; 0: not yet
	last   int64    // newest tick in the ring
	always bool     // it was there when the service was first seen
	ring   []float32
	at     [2][2]int // places of cols and of in the plan
}

// exceptionPatterns are names of counters whose rest is the class: what is behind the pattern's last /.
var exceptionPatterns = []string{"exceptions/*", "*/exceptions/*", "failures/*", "srv/*/failures/*", "*/failures/*", "exception/*", "*/exception/*"}

// classLabels are labels whose value is the class of a counter of exceptions.
var classLabels = []string{"class", "exception", "exception_class", "exception.type", "type", "error", "error_type", "name"}

// exceptionClass is the class that a column counts, "" if it does not count exceptions by class.
func exceptionClass(c *column) string {
	if strings.Contains(strings.ToLower(c.metric), "exception") {
		for _, l := range c.labels {
			if slices.Contains(classLabels, strings.ToLower(l.Name)) {
				return shortClass(l.Value)
			}
		}
	}
	if len(c.labels) > 0 || side(c.metric) {
		return ""
	}
	for _, p := range exceptionPatterns {
		if glob(p, c.metric) {
			dir := strings.Trim(p, "*/")
			_, class, _ := cutFold(c.metric, dir[strings.LastIndexByte(dir, '/')+1:]+"/")
			// Finagle counts a failure by its class, and again by its class and its cause.
			if !strings.Contains(class, "/") && looksLikeClass(class) {
				return shortClass(class)
			}
		}
	}
	return ""
}

func cutFold(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(strings.ToLower(s), sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// looksLikeClass tells a class (java.io.IOException, CardDeclined, timeout_error) from other things that are counted below failures.
func looksLikeClass(s string) bool {
	return s != "" && !isDigits(s) && !slices.Contains([]string{"total", "count", "rate", "sourcedfailures", "restartable", "interrupted", "rejected"}, strings.ToLower(s))
}

// shortClass is a class without its package.
func shortClass(s string) string {
	if i := strings.LastIndexAny(s, ".$"); i >= 0 && i+1 < len(s) {
		return s[i+1:]
	}
	return s
}

// Words in the names of gauges: of what is used, and of what there is of it.
var (
	usedWords  = []string{"used", "busy", "active", "in_use", "inuse", "open", "current", "checked_out", "borrowed"}
	limitWords = []string{"max", "limit", "size", "capacity", "maximum", "total"}
	shareWords = []string{"utilization", "utilisation", "saturation", "cpu_percent", "cpu_usage", "cpu_load", "process_cpu_load", "cpu_used_ratio", "used_percent", "used_ratio", "usage_percent"}
	queueWords = []string{"queue", "queued", "backlog", "waiters", "waiting", "pending"}
)

// lines finds the lines among the columns: what was known keeps its ring. Where rules name what is used or waits, nothing else is taken for it.
func (k *knowing) lines(cols []column, old []*line) []*line {
	byName := map[string]*line{}
	for _, l := range old {
		byName[lineKey(l.kind, l.name)] = l
	}
	var out []*line
	n := [3]int{}
	taken := map[*line]bool{}
	get := func(kind SideKind, name string) *line {
		key := lineKey(kind, name)
		l := byName[key]
		if l == nil {
			l = &line{kind: kind, name: name}
			byName[key] = l
		}
		if !taken[l] {
			if most := map[SideKind]int{SideException: maxClasses}[kind]; n[kind] >= cmp.Or(most, maxUses) {
				return nil
			}
			n[kind]++
			taken[l] = true
			l.cols, l.of, l.scale = nil, nil, 1
			out = append(out, l)
		}
		return l
	}
	for _, t := range k.thrown {
		if isCounted(&cols[t.col]) {
			if l := get(SideException, t.class); l != nil {
				l.cols = append(l.cols, t.col)
			}
		}
	}
	gauges := map[string][]uint32{}
	for m, g := range k.gauges {
		for _, c := range g.cols {
			if cols[c].kindNow() == collector.Gauge {
				gauges[m] = append(gauges[m], c)
			}
		}
	}
	names := slices.Sorted(maps.Keys(gauges))
	if len(k.by.Saturation) > 0 {
		namedLines(k.by.Saturation, names, gauges, get)
		return out
	}
	byNorm := make(map[string]string, len(names)) // of two that are written differently the first
	for _, m := range names {
		if norm := k.gauges[m].norm; byNorm[norm] == "" {
			byNorm[norm] = m
		}
	}
	for _, m := range names {
		norm := k.gauges[m].norm
		limit := limitOf(norm, byNorm)
		switch {
		case limit != "":
			if l := get(SideUse, m); l != nil {
				l.cols, l.of = append(l.cols, gauges[m]...), append(l.of, gauges[limit]...)
			}
		case hasWords(norm, shareWords) && len(gauges[m]) == 1:
			if l := get(SideUse, m); l != nil {
				l.cols, l.scale = append(l.cols, gauges[m]...), 1
				if unitOf(m) == "percent" {
					l.scale = 0.01
				}
			}
		case hasWords(norm, queueWords) && !hasWords(norm, limitWords):
			if l := get(SideQueue, m); l != nil {
				l.cols = append(l.cols, gauges[m]...)
			}
		}
	}
	return out
}

// namedLines takes what rules name: "used of limit", "queue waits", or a share by its own name.
func namedLines(rules, names []string, gauges map[string][]uint32, get func(SideKind, string) *line) {
	for _, rule := range rules {
		if rule == NoMetric {
			return
		}
		used, limit, pair := strings.Cut(rule, " of ")
		queue, waits := strings.CutSuffix(rule, " waits")
		for _, m := range names {
			switch {
			case pair && glob(used, m):
				var of []uint32
				for _, l := range names {
					if glob(limit, l) {
						of = append(of, gauges[l]...)
					}
				}
				if len(of) == 0 {
					continue
				}
				if l := get(SideUse, m); l != nil {
					l.cols, l.of = append(l.cols, gauges[m]...), of
				}
			case pair:
			case waits && glob(queue, m):
				if l := get(SideQueue, m); l != nil {
					l.cols = append(l.cols, gauges[m]...)
				}
			case !waits && glob(rule, m) && len(gauges[m]) == 1:
				if l := get(SideUse, m); l != nil {
					l.cols, l.scale = append(l.cols, gauges[m]...), 1
					if unitOf(m) == "percent" {
						l.scale = 0.01
					}
				}
			}
		}
	}
}

func lineKey(kind SideKind, name string) string { return string(rune('0'+kind)) + name }

// hasWords reports whether one of the words stands in a name in _ notation, between its ends or underscores.
func hasWords(name string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains("_"+name+"_", "_"+w+"_") })
}

// plainName is a metric's name in _ notation.
func plainName(m string) string { return normal(strings.ReplaceAll(m, "/", "_")) }

// limitOf is the gauge that says how much there is of what another one says is used, "" if there is none: the same name but for one word. Names are in _ notation,
// byNorm tells the gauge of each.
func limitOf(norm string, byNorm map[string]string) string {
	for _, u := range usedWords {
		if !hasWords(norm, []string{u}) {
			continue
		}
		for _, w := range limitWords {
			want := strings.Trim(strings.Replace("_"+norm+"_", "_"+u+"_", "_"+w+"_", 1), "_")
			if m := byNorm[want]; m != "" {
				return m
			}
		}
	}
	return ""
}

// planLines lays the columns of all lines out for one scan.
func (s *service) planLines() {
	var set goldenSet
	for _, l := range s.beside {
		for k, cs := range [2][]uint32{l.cols, l.of} {
			l.at[k][0] = len(set.rate)
			set.rate = append(set.rate, cs...)
			l.at[k][1] = len(set.rate)
		}
	}
	s.linePlan = makePlan(s.cols, set, 0)
}

// tickLines brings the lines up to tick `newest`, from tick `lo` on. The caller holds the lock.
func (s *service) tickLines(lo, newest int64) {
	if len(s.beside) == 0 || newest < lo {
		return
	}
	lo = max(lo, newest-lineTicks+1)
	n := int(newest - lo + 1)
	times := make([]int64, n)
	for i := range times {
		times[i] = (lo + int64(i)) * s.ring.width
	}
	sum, of := make([]float64, n*len(s.beside)), make([]float64, n*len(s.beside))
	heard := make([]bool, n)
	var at []int32
	for _, in := range s.instances {
		at = s.linePlan.find(in, at[:0])
		s.cells(in, &s.linePlan, at, times[0], times[n-1], func(c *cell) {
			from, _ := slices.BinarySearch(times, c.to)
			for j, l := range s.beside {
				x, most := 0.0, 0.0
				if l.kind == SideException {
					if x = c.sum(l.at[0][0], l.at[0][1]) / c.seconds(); math.IsNaN(x) {
						x = 0 // never thrown here
					}
				} else {
					x, most = c.level(l.at[0]), 1
					if len(l.of) > 0 {
						most = c.level(l.at[1])
					}
					if math.IsNaN(x) || !(most > 0) {
						continue
					}
					x *= l.scale
				}
				for i := from; i < n && times[i] < c.until; i++ {
					heard[i] = true
					sum[j*n+i] += x
					of[j*n+i] += most
				}
			}
		})
	}
	begun := s.firstSeen/s.ring.width + settle.Milliseconds()/s.ring.width + 1
	for j, l := range s.beside {
		if l.ring == nil {
			l.ring = make([]float32, lineTicks)
			for i := range l.ring {
				l.ring[i] = float32(math.NaN())
			}
			l.always = lo <= begun
		}
		for k := max(l.last+1, newest-lineTicks+1); l.last > 0 && k < lo; k++ {
			l.ring[k%lineTicks] = float32(math.NaN()) // nobody has looked
		}
		l.last = newest
		for i := range n {
			x := sum[j*n+i]
			switch {
			case l.kind == SideException && !heard[i], l.kind != SideException && !(of[j*n+i] > 0):
				x = math.NaN()
			case l.kind != SideException:
				x /= of[j*n+i]
			}
			l.ring[(lo+int64(i))%lineTicks] = float32(x)
			if x > 0 && l.first == 0 {
				l.first = lo + int64(i)
				l.always = l.always && l.first <= begun
			}
		}
	}
}

// level adds up what gauges say; NaN where none says anything.
func (c *cell) level(at [2]int) float64 {
	t := math.NaN()
	for _, x := range c.vals[at[0]:at[1]] {
		if !math.IsNaN(x) {
			if math.IsNaN(t) {
				t = 0
			}
			t += x
		}
	}
	return t
}

// tellLines is what Signals says of the lines, for its newest k ticks.
func (s *service) tellLines(k int) (out []SideLine) {
	g := &s.ring
	for _, l := range s.beside {
		if l.ring == nil {
			continue
		}
		v := SideLine{Kind: l.kind, Name: l.name, First: -1}
		if l.kind == SideException && l.first > 0 && !l.always {
			v.First = int(g.last - l.first + 1)
		}
		for i := g.last - int64(min(k, lineTicks)) + 1; i <= g.last; i++ {
			v.Values = append(v.Values, float64(l.ring[i%lineTicks]))
		}
		out = append(out, v)
	}
	return out
}

// sideLeaves is SideLeaves. The caller holds the lock.
func (s *service) sideLeaves(kind SideKind, name string, from, cut, to int64) []Leaf {
	i := slices.IndexFunc(s.beside, func(l *line) bool { return l.kind == kind && l.name == name })
	if i < 0 {
		return nil
	}
	l := s.beside[i]
	// The golden plan brings the requests; the line's columns come behind.
	set := goldenSet{rate: s.golden.set.rate, errors: slices.Concat(l.cols, l.of)}
	p := makePlan(s.cols, set, 0)
	first := p.nRate
	mid, end := first+len(l.cols), first+len(l.cols)+len(l.of)
	var out []Leaf
	for _, in := range s.sorted() {
		leaf := Leaf{Instance: in.addr, Tags: in.tagsDuring(cut, to)}
		leaf.Before.Latency, leaf.After.Latency = math.NaN(), math.NaN()
		s.cells(in, &p, p.find(in, nil), from, to, func(c *cell) {
			side := &leaf.Before
			switch {
			case c.from < from || c.to > to:
				return
			case c.from >= cut:
				side = &leaf.After
			case c.to > cut:
				return
			}
			side.Seconds += c.seconds()
			if kind == SideException {
				if !math.IsNaN(c.req) {
					side.Requests += c.req
				}
				if x := c.sum(first, mid); !math.IsNaN(x) {
					side.Errors += x
				}
				return
			}
			x := c.level([2]int{first, mid}) * l.scale
			if len(l.of) > 0 {
				x /= c.level([2]int{mid, end})
			}
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				side.Requests++
				side.latency(x, 1)
			}
		})
		if leaf.Before.Seconds+leaf.After.Seconds > 0 {
			out = append(out, leaf)
		}
	}
	return out
}
