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
	mu       sync.Mutex
	m        map[[3]string]*exceeder
	counters map[string]*metrics.Counter
}

type exceeder struct {
	Exceeded
	day int32
}

const (
	mostExceeders = 1000 // that are named; all are counted
	mostCounters  = 500  // services with a metric of their own
	population    = 4096 // series that are looked at to find out what varies
)

// exceeded counts and names who is over a limit.
func (e *Enricher) exceeded(w *walker) {
	sh, x := w.sh, &e.over
	x.mu.Lock()
	defer x.mu.Unlock()
	for why := targetLimit; why <= noMemory; why++ {
		n := w.leftOut[why]
		if n == 0 {
			continue
		}
		w.s.LeftOut += n
		svc := sh.book.of.String()
		x.counter(e.set, svc, why).Add(n)
		key := [3]string{svc, "", why.String()}
		if why == targetLimit {
			key[1] = w.s.Instance.Addr()
		}
		o := x.m[key]
		if o == nil || o.day < sh.day {
			if o == nil && len(x.m) >= mostExceeders {
				continue
			}
			o = &exceeder{day: sh.day, Exceeded: Exceeded{Service: key[0], Instance: key[1], Limit: key[2], Since: w.s.Time, By: w.s.Instance.Addr()}}
			switch why {
			case targetLimit:
				o.Max = w.p.limits.Target
			case serviceLimit:
				o.Max = w.p.limits.Service
			}
			o.Example, o.Varies = w.explain(why)
			if x.m == nil {
				x.m = map[[3]string]*exceeder{}
			}
			x.m[key] = o
			e.log.Warn("more series than a day may have; new ones are left out, what is known keeps flowing", "service", o.Service, "instance", o.By, "limit", o.Limit, "max", o.Max,
				"example", o.Example, "varies", o.Varies, "until", time.Unix((int64(sh.day)+1)*86400, 0).UTC())
		}
		o.Last = w.s.Time
		o.LeftOut += uint64(n)
	}
}

// counter is a service's, or that of all the others.
func (x *exceeders) counter(set *metrics.Set, service string, why past) *metrics.Counter {
	name := service + "\x00" + why.String()
	c := x.counters[name]
	if c == nil {
		if len(x.counters) >= mostCounters {
			service = "(others)"
			name = service + "\x00" + why.String()
		}
		c = set.GetOrCreateCounter(fmt.Sprintf("rollcall_series_left_out_samples_total{service=%q,limit=%q}", service, why))
		if x.counters == nil {
			x.counters = map[string]*metrics.Counter{}
		}
		x.counters[name] = c
	}
	return c
}

// list is who was over a limit today, those with most samples left out first.
func (x *exceeders) list() []Exceeded {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []Exceeded
	for _, o := range x.m {
		out = append(out, o.Exceeded)
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
	maps.DeleteFunc(x.m, func(_ [3]string, o *exceeder) bool { return o.day < day })
}

// explain names a series that was left out, and which part of it varies.
func (w *walker) explain(why past) (example, varying string) {
	sh := w.sh
	rows, left := sh.rows, sh.left
	if w.moved {
		rows, left = w.new.rows, w.new.left
	}
	var of *def
	for i := range left {
		if left[i] == why {
			of = rows[i] // the newest
		}
	}
	if of == nil {
		return w.example, ""
	}
	all := slices.Clone(rows[:min(len(rows), population)])
	sh.book.of.mu.Lock()
	for _, d := range sh.book.defs {
		if len(all) >= 2*population {
			break
		}
		all = append(all, d)
	}
	sh.book.of.mu.Unlock()
	return seriesText(&collector.Sample{Name: of.name, Labels: of.labels}), varies(of, all)
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
	for i := range parts {
		clear(values)
		for _, d := range all {
			p := partsOf(d.name)
			if len(p) == len(parts) && (len(p) == 1 || agree(p, parts, i)) {
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
