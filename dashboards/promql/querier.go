package promql

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// querier reads the windows for one query.
type querier struct {
	board     *dashboards.Board
	owns      func(service, env string) bool
	from, to  int64
	maxSeries int
}

// found is one series: its labels, and where its points are. Where a version or a track changed and came back there are several spans. One about a service as a
// whole has no instance.
type found struct {
	labels  labels.Labels
	in      *dashboards.RawInstance
	col     *dashboards.RawColumn
	spans   []span
	service *dashboards.RawService
	figure  dashboards.Figure
}

// span is from when until when (exclusive, Unix ms) an instance had the labels of a series.
type span struct{ from, to int64 }

// tooMany is what a query hears that touches more series than it may.
type tooMany struct{ limit int }

func (e tooMany) Error() string {
	return fmt.Sprintf("query selects more than %d series; name a metric, a job or an instance, or raise dashboards.promql.max_series", e.limit)
}

// each gives the series that match, those about services first, then an instance at a time, until fn says false.
func (q *querier) each(ctx context.Context, from, to int64, ms []*labels.Matcher, fn func(found) bool) error {
	var left []*labels.Matcher
	by := map[string][]*labels.Matcher{}
	for _, m := range ms {
		switch m.Name {
		case "job", "env", "instance", model.MetricNameLabel:
			by[m.Name] = append(by[m.Name], m)
		default:
			left = append(left, m)
		}
	}
	fits := func(name, value string) bool {
		for _, m := range by[name] {
			if !m.Matches(value) {
				return false
			}
		}
		return true
	}
	more := true
	q.services(from, fits, left, func(f found) bool {
		more = fn(f)
		return more
	})
	if !more {
		return nil
	}
	var err error
	var base, own []labels.Label
	builder := labels.NewScratchBuilder(16)
	q.board.Raw(
		func(service, env string) bool {
			return err == nil && fits("job", service) && fits("env", env) && q.owns(service, env)
		},
		func(c *dashboards.RawColumn) bool {
			name, quantile := metricName(c)
			c.As, c.Quantile = name, quantile
			return fits(model.MetricNameLabel, name)
		},
		func(in *dashboards.RawInstance, cols []*dashboards.RawColumn) bool {
			if err = ctx.Err(); err != nil {
				return false
			}
			if in.Last < from || !fits("instance", in.Instance) {
				return true
			}
			spans := spansOf(in, from, to)
			seen := make(map[uint64]int, len(cols)*len(spans)) // by the hash of labels: which column has them
			for _, sp := range spans {
				base = target(base, in, sp[0].from)
				for i, c := range cols {
					own = append(own[:0], base...)
					for _, l := range c.Labels {
						own = put(own, promtext.Name(l.Name, false), l.Value, true)
					}
					own = put(own, "quantile", c.Quantile, false)
					builder.Reset()
					builder.Add(model.MetricNameLabel, c.As)
					for _, l := range own {
						builder.Add(l.Name, l.Value)
					}
					builder.Sort()
					ls := builder.Labels()
					if !matchAll(ls, left) {
						continue
					}
					h := ls.Hash()
					if k, ok := seen[h]; ok && k != i {
						continue // of two names that become the same one the first counts
					}
					seen[h] = i
					if !fn(found{labels: ls, in: in, col: c, spans: sp}) {
						return false
					}
				}
			}
			return true
		})
	return err
}

func matchAll(ls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// spansOf divides a time by the versions and tracks that the instance had: the spans of each, in order.
func spansOf(in *dashboards.RawInstance, from, to int64) (out [][]span) {
	edges := []int64{from}
	for _, m := range in.Moves {
		if m.T > from && m.T <= to && m.T != edges[len(edges)-1] {
			edges = append(edges, m.T)
		}
	}
	edges = append(edges, to+1)
	place := map[[2]string]int{}
	for i := range len(edges) - 1 {
		k := [2]string{in.At(dashboards.TagVersion, edges[i]), in.At(dashboards.TagTrack, edges[i])}
		n, ok := place[k]
		if !ok {
			n = len(out)
			place[k], out = n, append(out, nil)
		}
		out[n] = append(out[n], span{edges[i], edges[i+1]})
	}
	return out
}

// Select implements storage.Querier. Points are read when they are asked for.
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	from, to := q.from, q.to
	names := false
	if hints != nil {
		from, to = hints.Start, hints.End
		names = hints.Func == "series"
	}
	set := &seriesSet{q: q, at: -1}
	err := q.each(ctx, from, to, ms, func(f found) bool {
		if len(set.all) >= q.maxSeries {
			set.err = tooMany{q.maxSeries}
			return false
		}
		set.all = append(set.all, f)
		return !names || hints.Limit == 0 || len(set.all) < hints.Limit
	})
	if err != nil {
		set.err = err
	}
	if set.err != nil {
		set.all = nil
	}
	if sorted {
		slices.SortFunc(set.all, func(a, b found) int { return labels.Compare(a.labels, b.labels) })
	}
	return set
}

// LabelValues implements storage.Querier.
func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	values := map[string]struct{}{}
	if len(ms) == 0 && name == model.MetricNameLabel { // no need to look at each instance
		q.board.Raw(func(service, env string) bool { return ctx.Err() == nil && q.owns(service, env) }, func(c *dashboards.RawColumn) bool {
			n, _ := metricName(c)
			values[n] = struct{}{}
			return false
		}, nil)
		q.services(q.from, func(string, string) bool { return true }, nil, func(f found) bool {
			values[figures[f.figure].metric] = struct{}{}
			return true
		})
		return firsts(values, hints), nil, ctx.Err()
	}
	err := q.each(ctx, q.from, q.to, ms, func(f found) bool {
		if v := f.labels.Get(name); v != "" {
			values[v] = struct{}{}
		}
		return true
	})
	return firsts(values, hints), nil, err
}

// LabelNames implements storage.Querier.
func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names := map[string]struct{}{}
	err := q.each(ctx, q.from, q.to, ms, func(f found) bool {
		f.labels.Range(func(l labels.Label) {
			if _, ok := names[l.Name]; !ok {
				names[l.Name] = struct{}{}
			}
		})
		return true
	})
	return firsts(names, hints), nil, err
}

// firsts is a set in order, as much of it as is wanted.
func firsts(set map[string]struct{}, hints *storage.LabelHints) []string {
	out := slices.Sorted(maps.Keys(set))
	if hints != nil && hints.Limit > 0 {
		out = out[:min(len(out), hints.Limit)]
	}
	return out
}

// Close implements storage.Querier.
func (q *querier) Close() error { return nil }
