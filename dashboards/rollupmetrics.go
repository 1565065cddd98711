package dashboards

import (
	"math"
	"slices"

	"github.com/rollcall-metrics/rollcall/collector"
)

// rolledColumns are the columns of a metric that are added up: the one without labels where there is one. Of a distribution count and sum.
func (s *service) rolledColumns() (names []string, of map[string][]uint32) {
	of = map[string][]uint32{}
	plain := map[string]bool{}
	for i := range s.cols {
		c := &s.cols[i]
		if c.instances == 0 || c.field != "" && c.field != "count" && c.field != "sum" || c.label("le") != "" {
			continue
		}
		if of[c.metric] == nil {
			names = append(names, c.metric)
		}
		plain[c.metric] = plain[c.metric] || len(c.labels) == 0
		of[c.metric] = append(of[c.metric], uint32(i))
	}
	for m, cols := range of {
		if plain[m] {
			of[m] = slices.DeleteFunc(cols, func(n uint32) bool { return len(s.cols[n].labels) > 0 })
		}
	}
	slices.Sort(names)
	return names, of
}

// overSpan walks what each instance said in [from, to) of some columns: fn gets for each column the rate a second of one that rises, else the mean; NaN: not known.
func (s *service) overSpan(cols []uint32, from, to int64, fn func(in *instance, v []float64)) {
	at := make([]int32, len(cols))
	v, n := make([]float64, len(cols)), make([]float64, len(cols))
	var last scanned
	for _, in := range s.instances {
		if in.last < from || in.begun >= to {
			continue
		}
		for i, c := range cols {
			at[i] = -1
			if k, ok := in.index[c]; ok {
				at[i] = k
			}
		}
		clear(v)
		clear(n)
		have := false
		in.scan(from, to-1, at, func(r scanned) {
			if r.outcome != collector.OK {
				return
			}
			follows := have && r.follows(&last)
			for i, c := range cols {
				x := r.vals[i]
				switch {
				case math.IsNaN(x):
				case !s.cols[c].rises():
					if r.t >= from {
						v[i] += x
						n[i]++
					}
				case follows && !math.IsNaN(last.vals[i]):
					if x -= last.vals[i]; x < 0 {
						x = r.vals[i] // it began anew
					}
					v[i] += x
					n[i] += float64(r.t-last.t) / 1000
				}
			}
			vals := append(last.vals[:0], r.vals...)
			last, have = r, true
			last.vals = vals
		})
		for i := range v {
			if n[i] == 0 {
				v[i] = math.NaN()
			} else {
				v[i] /= n[i]
			}
		}
		fn(in, v)
	}
}

// rollMetrics is every metric that has no place among the golden signals, over a minute.
func (s *service) rollMetrics(from, to int64) (out []RolledMetric) {
	names, of := s.rolledColumns()
	names = names[:min(len(names), maxMetrics)]
	var cols []uint32
	var first []int
	for _, m := range names {
		first = append(first, len(cols))
		cols = append(cols, of[m]...)
	}
	sum, n := make([]float64, len(cols)), make([]int, len(cols))
	s.overSpan(cols, from, to, func(_ *instance, v []float64) {
		for i, x := range v {
			if !math.IsNaN(x) {
				sum[i] += x
				n[i]++
			}
		}
	})
	for k, m := range names {
		out = append(out, s.rolledMetric(m, of[m], sum[first[k]:], n[first[k]:]))
	}
	return slices.DeleteFunc(out, func(m RolledMetric) bool { return m.N == 0 })
}

// rolledMetric makes one figure of the columns of a metric.
func (s *service) rolledMetric(name string, cols []uint32, sum []float64, n []int) RolledMetric {
	out := RolledMetric{Name: name, Kind: s.cols[cols[0]].kindNow().String(), Value: Unknown()}
	var total, count float64
	parts := 0
	for i, c := range cols {
		if n[i] == 0 {
			continue
		}
		out.N = max(out.N, n[i])
		parts += n[i]
		if col := &s.cols[c]; col.field == "count" {
			count += sum[i]
		} else {
			total += sum[i]
		}
	}
	switch {
	case out.N == 0:
	case s.cols[cols[0]].kindNow() == collector.Distribution:
		if count > 0 {
			out.Value = Num(total / count)
		}
	case s.cols[cols[0]].rises() || s.cols[cols[0]].kindNow() == collector.Delta:
		out.Value = Num(total)
	default:
		out.Value = Num(total / float64(parts))
	}
	return out
}

// rollPinned adds what is pinned by each dimension.
func (s *service) rollPinned(o *Options, out []Slice, dims []string, t, end int64) []Slice {
	if len(o.Pinned) == 0 {
		return out
	}
	names, of := s.rolledColumns()
	for _, m := range names {
		if !slices.ContainsFunc(o.Pinned, func(p string) bool { return glob(p, m) }) {
			continue
		}
		type part struct {
			sum []float64
			n   []int
		}
		parts := map[[2]string]*part{}
		// A slot may hold no scrape: the one before it speaks for it, where it follows.
		s.overSpan(of[m], t-s.interval.Milliseconds(), end, func(in *instance, v []float64) {
			keys := [][2]string{{"", ""}}
			for _, d := range dims {
				if x := in.tag(d); x != "" {
					keys = append(keys, [2]string{d, x})
				}
			}
			for _, k := range keys {
				a := parts[k]
				if a == nil {
					a = &part{make([]float64, len(of[m])), make([]int, len(of[m]))}
					parts[k] = a
				}
				for i, x := range v {
					if !math.IsNaN(x) {
						a.sum[i] += x
						a.n[i]++
					}
				}
			}
		})
		keys := make([][2]string, 0, len(parts))
		for k := range parts {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
		for _, k := range keys {
			if r := s.rolledMetric(m, of[m], parts[k].sum, parts[k].n); r.N > 0 && len(out) < 4000 {
				out = append(out, Slice{Metric: m, Dim: k[0], Value: k[1], N: r.N, Rate: r.Value, Errors: Unknown(), Latency: Interval{math.NaN(), math.NaN(), math.NaN()}})
			}
		}
	}
	return out
}
