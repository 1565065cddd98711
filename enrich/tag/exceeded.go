package tag

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Exceeded is a target or a service that has more series than its job allows.
type Exceeded struct {
	Service  string    `json:"service"`            // with its environment
	Instance string    `json:"instance,omitempty"` // host:port; empty where the service is over its limit, over all its instances
	Limit    string    `json:"limit"`              // target, service, or memory: no room to tell what is new
	Max      int       `json:"max,omitempty"`      // of series a day
	LeftOut  uint64    `json:"left_out"`           // samples, since then
	Since    time.Time `json:"since"`              // today
	Last     time.Time `json:"last"`
	Example  string    `json:"example"`          // a series that was left out
	Varies   string    `json:"varies,omitempty"` // which part of the series differs from one to the next
	By       string    `json:"by,omitempty"`     // the instance that the example is of
}

// exceeders are those of the day, by service and instance.
type exceeders struct {
	mu        sync.Mutex
	m         map[exceederKey]*exceeder
	explained map[exceederKey]*explanation // by service and limit, without an instance
	counters  map[exceederKey]*metrics.Counter
}

type exceederKey struct {
	service, instance string
	limit             past
}

type exceeder struct {
	Exceeded
	day int32
	why *explanation
}

// explanation is what a service's series have too much of. It is found once a day, for whoever was the first over the limit, and holds for all its instances.
type explanation struct {
	day                 int32
	example, varies, by string // empty while it is looked for; guarded by the exceeders
}

const (
	mostExceeders = 1000 // that are named; all are counted
	mostCounters  = 500  // services with a metric of their own
	population    = 256  // series that are looked at to find out what varies
)

// exceeded counts and names who is over a limit. The first of a service in a day finds out what varies, and says so in the log, while nobody waits for it.
func (e *Enricher) exceeded(w *walker) {
	for why := targetLimit; why <= noMemory; why++ {
		if w.leftOut[why] == 0 {
			continue
		}
		w.s.LeftOut += w.leftOut[why]
		o, first := e.over.count(e.set, w, why)
		if !first {
			continue
		}
		example, varying := w.explain(why)
		e.over.mu.Lock()
		o.why.example, o.why.varies = example, varying
		said := o.told()
		e.over.mu.Unlock()
		e.log.Warn("more series than a day may have; new ones are left out, what is known keeps flowing", "service", said.Service, "instance", said.By, "limit", said.Limit, "max", said.Max,
			"example", said.Example, "varies", said.Varies, "until", time.Unix((int64(w.sh.day)+1)*86400, 0).UTC())
	}
}

// count counts the samples that a snapshot has left out; first is true for the first of its service in a day, which is to be explained.
func (x *exceeders) count(set *metrics.Set, w *walker, why past) (o *exceeder, first bool) {
	sh, n := w.sh, w.leftOut[why]
	of := exceederKey{sh.book.of.text, "", why}
	key := of
	if why == targetLimit {
		key.instance = w.s.Instance.Addr()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counter(set, of).Add(n)
	o = x.m[key]
	if o == nil || o.day < sh.day {
		if o == nil && len(x.m) >= mostExceeders {
			return nil, false
		}
		if x.m == nil {
			x.m, x.explained = map[exceederKey]*exceeder{}, map[exceederKey]*explanation{}
		}
		if why := x.explained[of]; why == nil || why.day < sh.day {
			first = true
			x.explained[of] = &explanation{day: sh.day, by: w.s.Instance.Addr()}
		}
		o = &exceeder{day: sh.day, why: x.explained[of], Exceeded: Exceeded{Service: key.service, Instance: key.instance, Limit: why.String(), Since: w.s.Time}}
		switch why {
		case targetLimit:
			o.Max = w.p.limits.Target
		case serviceLimit:
			o.Max = w.p.limits.Service
		}
		x.m[key] = o
	}
	o.Last = w.s.Time
	o.LeftOut += uint64(n)
	return o, first
}

// told is an exceeder with its explanation. The exceeders are locked.
func (o *exceeder) told() Exceeded {
	out := o.Exceeded
	out.Example, out.Varies, out.By = o.why.example, o.why.varies, o.why.by
	return out
}

// counter is a service's, or that of all the others.
func (x *exceeders) counter(set *metrics.Set, of exceederKey) *metrics.Counter {
	c := x.counters[of]
	if c == nil {
		if len(x.counters) >= mostCounters {
			of.service = "(others)"
			if c = x.counters[of]; c != nil {
				return c
			}
		}
		c = set.GetOrCreateCounter(fmt.Sprintf("rollcall_series_left_out_samples_total{service=%s,limit=%q}", promtext.Quote(of.service), of.limit))
		if x.counters == nil {
			x.counters = map[exceederKey]*metrics.Counter{}
		}
		x.counters[of] = c
	}
	return c
}

// list is who was over a limit today, those with most samples left out first.
func (x *exceeders) list() []Exceeded {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []Exceeded
	for _, o := range x.m {
		out = append(out, o.told())
	}
	slices.SortFunc(out, func(a, b Exceeded) int {
		return cmp.Or(cmp.Compare(b.LeftOut, a.LeftOut), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Limit, b.Limit))
	})
	return out
}

// sweep forgets those of other days.
func (x *exceeders) sweep(now time.Time) {
	day := int32(now.Unix() / 86400)
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.m, func(_ exceederKey, o *exceeder) bool { return o.day < day })
	maps.DeleteFunc(x.explained, func(_ exceederKey, why *explanation) bool { return why.day < day })
}

// explain names a series that was left out, and which part of it varies.
func (w *walker) explain(why past) (example, varying string) {
	of, all := w.population(why)
	if of == nil {
		return w.example, ""
	}
	return seriesText(&collector.Sample{Name: of.name, Labels: of.labels}), varies(of, all)
}

// population is the last series that was left out, and some others to compare it with: those left out before it, its neighbours in the body, and the service's.
func (w *walker) population(why past) (of *def, all []*def) {
	rows, left := w.sh.rows, w.sh.left
	if w.moved {
		rows, left = w.new.rows, w.new.left
	}
	last := len(left) - 1
	for last >= 0 && left[last] != why {
		last--
	}
	if last < 0 {
		return nil, nil
	}
	all = make([]*def, 0, population)
	for i := last; i >= 0 && len(all) < population/2; i-- {
		if left[i] == why {
			all = append(all, rows[i])
		}
	}
	for i := max(0, min(last-population/8, len(rows)-population/4)); i < len(rows) && len(all) < population*3/4; i++ {
		all = append(all, rows[i])
	}
	svc := w.sh.book.of
	svc.mu.Lock()
	for _, d := range w.sh.book.defs {
		if len(all) >= population {
			break
		}
		all = append(all, d)
	}
	svc.mu.Unlock()
	return rows[last], all
}

// varies says which part of a series has the most values among others of its form.
func varies(of *def, all []*def) string {
	best, text := 1, ""
	values := map[string]bool{}
	for i, l := range of.labels {
		clear(values)
		for _, d := range all {
			if d.name == of.name && len(d.labels) == len(of.labels) && d.labels[i].Name == l.Name {
				values[d.labels[i].Value] = true
			}
		}
		if len(values) > best {
			best, text = len(values), fmt.Sprintf("the label %s", l.Name)
		}
	}
	parts := partsOf(of.name)
	var names [][][2]string // of as many parts
	for _, d := range all {
		if p := partsOf(d.name); len(p) == len(parts) {
			names = append(names, p)
		}
	}
	for i := range parts {
		clear(values)
		for _, p := range names {
			if len(p) == 1 || agree(p, parts, i) {
				values[p[i][0]] = true
			}
		}
		if len(values) > best {
			best, text = len(values), "the name: "
			for j, p := range parts {
				if j == i {
					p[0] = "*"
				}
				text += p[0] + p[1]
			}
		}
	}
	return text
}

// agree reports whether two names have a part in common beside the i-th.
func agree(a, b [][2]string, i int) bool {
	for j := range a {
		if j != i && a[j][0] == b[j][0] {
			return true
		}
	}
	return false
}

// partsOf takes a name apart: each part with the separator behind it.
func partsOf(name string) (out [][2]string) {
	for len(out) < 32 {
		i := strings.IndexAny(name, "/._-: ")
		if i < 0 {
			break
		}
		out = append(out, [2]string{name[:i], name[i : i+1]})
		name = name[i+1:]
	}
	return append(out, [2]string{name, ""})
}

// seriesText is a series for people, cut to 200 bytes.
func seriesText(s *collector.Sample) string {
	var b strings.Builder
	b.WriteString(s.Name)
	for i, l := range s.Labels {
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		fmt.Fprintf(&b, "%s=%q", l.Name, l.Value)
	}
	if len(s.Labels) > 0 {
		b.WriteByte('}')
	}
	if t := b.String(); len(t) > 200 {
		return strings.ToValidUTF8(t[:200], "") + "…"
	}
	return b.String()
}
