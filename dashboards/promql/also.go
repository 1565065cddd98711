package promql

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/rollcall-metrics/rollcall/dashboards/promql/expr"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Instant answers a query as of a time, as Prometheus evaluates rules: a vector, of a scalar one without labels. It is held to the bounds of every query. Where
// another replica does not answer, or something is not read yet, the error says so: half of what there is is no answer.
func (a *API) Instant(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	if _, err := expr.Parse(a.parser, query); err != nil {
		return nil, badData("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	q, err := a.engine.NewInstantQuery(ctx, a, promql.NewPrometheusQueryOpts(false, 0), query, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	if a.cfg.Others != nil {
		warn := res.Warnings
		if _, lack := a.cfg.Others(nil, at.UnixMilli()); lack != "" { // something was given away while it was read
			warn.Add(lacking(lack))
		}
		if err := lacks(warn); err != nil {
			return nil, err
		}
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return slices.Clone(v), nil // the engine uses its own again
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	}
	return nil, fmt.Errorf("the query gives a %s, and neither a vector nor a scalar", res.Value.Type())
}

// LabelName is what a tag is called as a label.
func LabelName(tag string) string { return promtext.Name(tag, false) }

// with joins what stands beside the Board to a querier of it.
func (a *API) with(own storage.Querier, from, to int64) (storage.Querier, error) {
	if a.cfg.Also == nil {
		return own, nil
	}
	other, err := a.cfg.Also.Querier(from, to)
	if err != nil {
		return nil, err
	}
	return &both{own, other}, nil
}

// both is two queriers as one.
type both struct{ own, other storage.Querier }

// Select implements storage.Querier.
func (b *both) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	own := b.own.Select(ctx, sorted, hints, ms...)
	other := b.other.Select(ctx, false, hints, ms...)
	var more []storage.Series
	for other.Next() {
		more = append(more, other.At())
	}
	if err := other.Err(); err != nil {
		return storage.ErrSeriesSet(err)
	}
	if len(more) == 0 {
		return own
	}
	taken := map[uint64]bool{}
	for _, s := range more {
		taken[s.Labels().Hash()] = false
	}
	var all []storage.Series
	for own.Next() {
		s := own.At()
		h := s.Labels().Hash()
		if _, same := taken[h]; same {
			taken[h] = true
		}
		all = append(all, s)
	}
	if err := own.Err(); err != nil {
		return storage.ErrSeriesSet(err)
	}
	for _, s := range more {
		if !taken[s.Labels().Hash()] {
			all = append(all, s)
		}
	}
	if sorted {
		slices.SortFunc(all, func(x, y storage.Series) int { return labels.Compare(x.Labels(), y.Labels()) })
	}
	return &joined{&listed{all, -1}, own.Warnings()}
}

// listed is series that were found.
type listed struct {
	all []storage.Series
	at  int
}

func (l *listed) Next() bool                        { l.at++; return l.at < len(l.all) }
func (l *listed) At() storage.Series                { return l.all[l.at] }
func (l *listed) Err() error                        { return nil }
func (l *listed) Warnings() annotations.Annotations { return nil }

// joined is series with warnings.
type joined struct {
	set      storage.SeriesSet
	warnings annotations.Annotations
}

func (j *joined) Next() bool                        { return j.set.Next() }
func (j *joined) At() storage.Series                { return j.set.At() }
func (j *joined) Err() error                        { return j.set.Err() }
func (j *joined) Warnings() annotations.Annotations { return j.warnings }

// LabelValues implements storage.Querier.
func (b *both) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return union(hints, func(q storage.Querier) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, hints, ms...)
	}, b.own, b.other)
}

// LabelNames implements storage.Querier.
func (b *both) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return union(hints, func(q storage.Querier) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, hints, ms...)
	}, b.own, b.other)
}

func union(hints *storage.LabelHints, ask func(storage.Querier) ([]string, annotations.Annotations, error), qs ...storage.Querier) ([]string, annotations.Annotations, error) {
	set := map[string]struct{}{}
	var warn annotations.Annotations
	for _, q := range qs {
		vs, w, err := ask(q)
		if err != nil {
			return nil, warn, err
		}
		warn = warn.Merge(w)
		for _, v := range vs {
			set[v] = struct{}{}
		}
	}
	return firsts(set, hints), warn, nil
}

// Close implements storage.Querier.
func (b *both) Close() error { return nil }
