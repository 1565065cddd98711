package dashboards

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Query asks for one metric of one service over time.
type Query struct {
	Service, Env, Metric string
	Field                string        // of a distribution; empty: p99 where it says something about now, else the mean
	By                   string        // empty: one line; instance, a tag by its full or short name, or a label of the metric
	Where                []Where       // all must hold; empty: all instances
	From, To             time.Time     // default: the last 15 minutes
	Step                 time.Duration // default: the service's interval, or more where that were too many points
}

// Where is a condition on an instance, or on a label of the metric: one of the values. Name is as in By, or region.
type Where struct {
	Name   string
	Values []string
}

// Bounds of a query.
const (
	MaxLines  = 24 // beside them the rest as one line, "other"
	MaxPoints = 2000
	fewPoints = 900 // what a default step aims below
)

// Series is the answer to a Query. A point k of a line speaks for [T0+k·Step, T0+(k+1)·Step).
type Series struct {
	Metric string  `json:"metric"`
	Kind   string  `json:"kind"`
	Field  string  `json:"field,omitempty"`
	Unit   string  `json:"unit"`
	Agg    string  `json:"agg"` // sum, mean, min, max, percentile; "as reported": lo and hi bound what the instances say, there is no one number
	T0     int64   `json:"t0"`
	Step   int64   `json:"step"`
	Of     string  `json:"of"` // n of m instances
	AsOf   int64   `json:"as_of"`
	Lines  []Line  `json:"series"`
	Events []Event `json:"events"`
}

// Line is one group's figures.
type Line struct {
	Name      string `json:"name"`
	Instances int    `json:"instances"`
	Values    Nums   `json:"values"`
	Lo        Nums   `json:"lo"` // nil unless the figures are intervals
	Hi        Nums   `json:"hi"`
}

// What a query may complain of; the text says how to mend it.
var (
	ErrNoService = errors.New("no such service")
	ErrNoMetric  = errors.New("no such metric")
	ErrQuery     = errors.New("bad query")
)

// Series answers a query from the windows. The error is one of the above with the remedy.
func (b *Board) Series(q Query) (*Series, error) {
	s := b.find(q.Service, q.Env)
	if s == nil {
		return nil, fmt.Errorf("%w: %s/%s is not known here; /api/v1/search finds services", ErrNoService, q.Service, q.Env)
	}
	now := b.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := q.complete(now, s); err != nil {
		return nil, err
	}
	cols, labels := s.chosen(&q)
	if len(cols) == 0 {
		return nil, fmt.Errorf("%w: %s/%s has no %q; /api/v1/service lists its metrics", ErrNoMetric, q.Service, q.Env, q.Metric)
	}
	c := &s.cols[cols[0]]
	step := q.Step.Milliseconds()
	t0 := ms(q.From) / step * step
	points := int((ms(q.To) - t0 + step - 1) / step)
	to := min(t0+int64(points)*step, ms(now)) // a step that is half asked for is told whole, if it is over
	out := &Series{Metric: c.metric, Kind: c.kindNow().String(), Unit: unitOf(c.metric), T0: t0, Step: step, AsOf: ms(now), Lines: []Line{},
		Events: b.withTold(s.events.told(t0, ms(q.To)), q.Service, q.Env, time.UnixMilli(t0), q.To)}
	d := &drawing{s: s, q: &q, out: out, cols: cols, labels: labels, moving: q.moves(labels), points: points, to: to, of: map[*instance]bool{}, groups: map[string]*group{}}
	d.cols = slices.DeleteFunc(cols, func(n uint32) bool { return !d.holds(&s.cols[n]) })
	d.choose()
	switch k := c.kindNow(); {
	case len(d.cols) == 0: // no label has such a value
	case k == collector.Distribution:
		if err := d.distribution(b.opts.Percentile); err != nil {
			return nil, err
		}
	case k == collector.Counter || k == collector.Delta:
		out.Unit, out.Agg = strings.TrimSpace(out.Unit+" per second"), "sum"
		d.rates(d.cols)
	default:
		out.Agg = "mean"
		d.means()
	}
	d.finish(now.UnixMilli())
	return out, nil
}

func (q *Query) complete(now time.Time, s *service) error {
	if q.To.IsZero() || q.To.After(now) {
		q.To = now
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-15 * time.Minute)
	}
	span := q.To.Sub(q.From)
	if span <= 0 {
		return fmt.Errorf("%w: from is not before to", ErrQuery)
	}
	if span > 24*time.Hour {
		return fmt.Errorf("%w: %s is longer than a day; ask for less at a time", ErrQuery, span)
	}
	if q.Step == 0 {
		q.Step = max(s.finest(now.UnixMilli()).Round(time.Second), time.Second)
		for _, nice := range []time.Duration{0, 2, 5, 10, 15, 30, 60, 120, 300} {
			if q.Step = max(q.Step, nice*time.Second); span/q.Step <= fewPoints {
				break
			}
		}
	}
	if q.Step < time.Second || q.Step%time.Second != 0 {
		return fmt.Errorf("%w: step is not whole seconds", ErrQuery)
	}
	if span/q.Step > MaxPoints {
		return fmt.Errorf("%w: %d points; at most %d: take a step of %s or more", ErrQuery, span/q.Step, MaxPoints, (span/MaxPoints + time.Second).Truncate(time.Second))
	}
	return nil
}

// chosen is the columns of the metric: of several series the one without labels, unless the query goes by labels or has conditions on them; labels are the names
// of those.
func (s *service) chosen(q *Query) (out []uint32, labels []string) {
	plain := false
	for i := range s.cols {
		c := &s.cols[i]
		if c.metric != q.Metric && c.raw != q.Metric {
			continue
		}
		if c.raw == q.Metric && c.metric != q.Metric {
			return []uint32{uint32(i)}, nil // one series by its own name
		}
		plain = plain || len(c.labels) == 0
		out = append(out, uint32(i))
		if q.By != "" && c.label(q.By) != "" {
			labels = append(labels, q.By)
		}
		for _, w := range q.Where {
			if c.label(w.Name) != "" {
				labels = append(labels, w.Name)
			}
		}
	}
	slices.Sort(labels)
	labels = slices.Compact(labels)
	return slices.DeleteFunc(out, func(n uint32) bool {
		c := &s.cols[n]
		if len(labels) == 0 {
			return plain && len(c.labels) > 0
		}
		return slices.ContainsFunc(labels, func(name string) bool { return c.label(name) == "" })
	}), labels
}

// drawing is a query under way.
type drawing struct {
	s      *service
	q      *Query
	out    *Series
	cols   []uint32
	labels []string // of those columns: what the query goes by, or has conditions on
	points int
	to     int64
	of     map[*instance]bool // who has contributed
	groups map[string]*group
	keep   map[string]bool // names of groups that get a line of their own; nil: all
	moving []string        // tags with a past that it tells instances apart by
	buf    []spell
}

type group struct {
	name    string
	members map[*instance]bool
	n, sum  []float64
	lo, hi  []float64
	est     []float64
	dists   [][]Dist
}

// holds reports whether the conditions on labels hold for a column.
func (d *drawing) holds(c *column) bool {
	for _, w := range d.q.Where {
		if slices.Contains(d.labels, w.Name) && !slices.Contains(w.Values, c.label(w.Name)) {
			return false
		}
	}
	return true
}

func (d *drawing) group(name string) *group {
	g := d.groups[name]
	if g == nil {
		g = &group{name: name, members: map[*instance]bool{}, n: make([]float64, d.points), sum: make([]float64, d.points)}
		d.groups[name] = g
	}
	return g
}

func (d *drawing) contributes(g *group, in *instance) {
	g.members[in] = true
	d.of[in] = true
}

// choose picks the groups that get a line when there are too many: those with the most instances, and of instances those with the greatest newest values.
func (d *drawing) choose() {
	if d.q.By == "" {
		return
	}
	weight := map[string]float64{}
	for _, in := range d.s.instances {
		for _, n := range d.cols {
			c, ok := in.index[n]
			if !ok {
				continue
			}
			col := &d.s.cols[n]
			w := 1.0
			if d.q.By == "instance" || len(col.labels) > 0 {
				w = in.newestIncrease(col, c)
			}
			for _, sp := range d.spells(in, col) {
				if sp.holds {
					weight[sp.name] += w
				}
			}
		}
	}
	if len(weight) <= MaxLines {
		return
	}
	names := make([]string, 0, len(weight))
	for n := range weight {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(weight[b], weight[a]), strings.Compare(a, b)) })
	d.keep = map[string]bool{}
	for _, n := range names[:MaxLines] {
		d.keep[n] = true
	}
}

// newestIncrease is the newest value of a column, or what it grew by if it is a total.
func (in *instance) newestIncrease(col *column, c int32) float64 {
	var last, before float64
	n := 0
	for i := len(in.head) - 1; i >= 0 && n < 2; i-- {
		if x := in.head[i].at(c); !math.IsNaN(x) {
			if n == 0 {
				last = x
			} else {
				before = x
			}
			n++
		}
	}
	if n == 2 && col.rises() {
		return last - before
	}
	return last
}

// rates draws totals: each increase is spread over the time between its scrapes, and the newest one holds until it is too old.
func (d *drawing) rates(cols []uint32) {
	from, step := d.out.T0, d.out.Step
	grown, covered := make([]float64, d.points), make([]float64, d.points)
	for _, in := range d.s.sorted() {
		for _, n := range cols {
			c, ok := in.index[n]
			if !ok {
				continue
			}
			col := &d.s.cols[n]
			spells, on, any := d.spells(in, col), 0, false
			count := func() {
				if any && spells[on].holds {
					g := d.group(spells[on].name)
					d.contributes(g, in)
					for k := range grown {
						if covered[k] > 0 {
							g.n[k]++
							g.sum[k] += grown[k] / covered[k] * 1000
						}
					}
				}
				if any {
					clear(grown)
					clear(covered)
					any = false
				}
			}
			w := in.window(col, c, from, d.to)
			last := Increase{}
			w.Increases(func(inc Increase) bool {
				// It is told by the scrape that ends it, and so it is of the version that this one came from.
				if k := later(spells, on, inc.To); k != on {
					count()
					on = k
				}
				any = spread(inc, inc.From, inc.To, from, step, grown, covered) || any
				last = inc
				return true
			})
			// Where the newest increase leaves off the rate holds, in steps that know nothing yet.
			if last.To > last.From && in.last <= last.To {
				end := min(last.To+tooLong(in.pause()), d.to)
				held := Increase{From: last.To, To: end, By: last.By / float64(last.To-last.From) * float64(end-last.To)}
				if k := (last.To - from) / step; k >= 0 && end > last.To {
					if int(k) < d.points && covered[k] > 0 {
						k++
					}
					any = spread(held, max(last.To, from+k*step), end, from, step, grown, covered) || any
				}
			}
			count()
		}
	}
	for _, g := range d.groups {
		g.est = make([]float64, d.points)
		for k := range g.est {
			g.est[k] = math.NaN()
			if g.n[k] > 0 {
				g.est[k] = g.sum[k]
			}
		}
	}
}

// spread lays the part of an increase between a and b over the steps.
func spread(inc Increase, a, b, t0, step int64, grown, covered []float64) (any bool) {
	if b <= a || inc.To <= inc.From {
		return false
	}
	rate := inc.By / float64(inc.To-inc.From)
	for k := max((a-t0)/step, 0); k < int64(len(grown)); k++ {
		lo, hi := max(a, t0+k*step), min(b, t0+(k+1)*step)
		if hi <= lo {
			if t0+k*step >= b {
				break
			}
			continue
		}
		grown[k] += rate * float64(hi-lo)
		covered[k] += float64(hi - lo)
		any = true
	}
	return any
}

// means draws gauges: the mean over instances of the mean within the step, or of the value before while it is fresh.
func (d *drawing) means() { d.combine("mean") }

// combine draws values by mean, min or max over instances.
func (d *drawing) combine(agg string) {
	from, step := d.out.T0, d.out.Step
	sum, n := make([]float64, d.points), make([]float64, d.points)
	for _, in := range d.s.sorted() {
		for _, num := range d.cols {
			c, ok := in.index[num]
			if !ok {
				continue
			}
			col := &d.s.cols[num]
			w := in.window(col, c, from, d.to)
			spells, on := d.spells(in, col), 0
			hold := tooLong(in.pause())
			for i := 0; i < len(w.Points); {
				on = later(spells, on, w.Points[i].T)
				next := i + 1
				for next < len(w.Points) && later(spells, on, w.Points[next].T) == on {
					next++
				}
				if spells[on].holds {
					clear(sum)
					clear(n)
					w.hold(i, next, hold, from, step, sum, n)
					g := d.group(spells[on].name)
					d.contributes(g, in)
					g.combine(agg, sum, n)
				}
				i = next
			}
		}
	}
}

// hold lays the points from i up to next over the steps: their sum and how many they are, or the one before while it is fresh.
func (w *Window) hold(i, next int, fresh, from, step int64, sum, n []float64) {
	for ; i < next; i++ {
		p := w.Points[i]
		until := p.T + fresh
		if i+1 < len(w.Points) && !w.Points[i+1].Gap { // whatever the interval was then
			until = w.Points[i+1].T
		} else if i+1 < len(w.Points) {
			until = min(until, w.Points[i+1].T)
		}
		first := (p.T - from) / step
		if p.T < from {
			first = -1
		}
		for k := max(first, 0); k < int64(len(sum)) && from+k*step < until; k++ {
			if k == first {
				sum[k], n[k] = sum[k]+p.V, n[k]+1
			} else if n[k] == 0 && from+(k+1)*step > p.T {
				// Held over from before; a point of the step itself replaces it.
				if i+1 < len(w.Points) && (w.Points[i+1].T-from)/step == k {
					break
				}
				sum[k], n[k] = p.V, 1
			}
		}
	}
}

// combine adds one instance's steps to the group's.
func (g *group) combine(agg string, sum, n []float64) {
	if g.est == nil {
		g.est = unknowns(len(sum))
	}
	for k := range sum {
		if n[k] == 0 {
			continue
		}
		v := sum[k] / n[k]
		g.n[k]++
		switch {
		case agg == "mean":
			g.sum[k] += v
			g.est[k] = g.sum[k] / g.n[k]
		case math.IsNaN(g.est[k]) || agg == "min" && v < g.est[k] || agg == "max" && v > g.est[k]:
			g.est[k] = v
		}
	}
}

// finish makes lines of the groups.
func (d *drawing) finish(now int64) {
	for _, g := range d.groups {
		l := Line{Name: g.name, Instances: len(g.members), Values: nums(g.est), Lo: nums(g.lo), Hi: nums(g.hi)}
		d.out.Lines = append(d.out.Lines, l)
	}
	slices.SortFunc(d.out.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(b2i(a.Name == "other"), b2i(b.Name == "other")), b.Instances-a.Instances, strings.Compare(a.Name, b.Name))
	})
	d.out.Of = fmt.Sprintf("%d of %d instances", len(d.of), max(d.s.count(now, nil, nil).expected, len(d.of)))
}

func nums(v []float64) Nums {
	if v == nil {
		return nil
	}
	n := make(Nums, len(v))
	for i, x := range v {
		n[i] = Num(x)
	}
	return n
}
