package rules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/rollcall-metrics/rollcall/dashboards/promql/floats"
)

// Bounds of a Store.
const (
	maxSeries = 100_000
	maxPoints = 4_000_000 // 16 bytes each
	sweepEach = 10_000    // appended points between two looks for series that have ended long ago
)

// Store keeps the series that rules give, in memory, for so long as the windows go back. It is a storage.Queryable.
type Store struct {
	window time.Duration

	mu     sync.RWMutex
	by     map[uint64][]*line // by the hash of labels
	names  map[string][]*line // by the metric's name
	series int
	points int
	since  int // points appended since the last sweep
	newest int64
}

// line is one series, oldest first.
type line struct {
	labels labels.Labels
	points []point
}

type point struct {
	t int64
	v float64
}

// NewStore makes a Store that remembers for so long.
func NewStore(window time.Duration) *Store {
	return &Store{window: window, by: map[uint64][]*line{}, names: map[string][]*line{}}
}

// Append keeps a value as of t (Unix ms). One that is not newer than those of its series is passed over.
func (s *Store) Append(ls labels.Labels, t int64, v float64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := ls.Hash()
	var l *line
	for _, x := range s.by[h] {
		if labels.Equal(x.labels, ls) {
			l = x
			break
		}
	}
	s.newest = max(s.newest, t)
	switch {
	case l == nil && value.IsStaleNaN(v):
		return nil // what is not there need not end
	case l == nil && (s.series >= maxSeries || s.points >= maxPoints):
		if s.sweep(); s.series >= maxSeries || s.points >= maxPoints {
			return fmt.Errorf("the series of all rules are %d with %d values; %d and %d are the most", s.series, s.points, maxSeries, maxPoints)
		}
		fallthrough
	case l == nil:
		l = &line{labels: ls}
		s.by[h] = append(s.by[h], l)
		s.names[ls.Get(model.MetricNameLabel)] = append(s.names[ls.Get(model.MetricNameLabel)], l)
		s.series++
	}
	n := len(l.points)
	if n > 0 && (l.points[n-1].t >= t || value.IsStaleNaN(v) && value.IsStaleNaN(l.points[n-1].v)) {
		return nil
	}
	s.trim(l)
	if s.points >= maxPoints {
		return fmt.Errorf("the values of all rules' series are %d, the most that are kept", s.points)
	}
	l.points = append(l.points, point{t, v})
	s.points++
	if s.since++; s.since >= sweepEach {
		s.sweep()
	}
	return nil
}

// trim forgets values of a series that are too old.
func (s *Store) trim(l *line) {
	from := s.newest - s.window.Milliseconds()
	n := 0
	for n < len(l.points) && l.points[n].t < from {
		n++
	}
	if n > 0 && (n > len(l.points)/4 || n > 64) { // not one by one
		l.points = slices.Clone(l.points[n:])
		s.points -= n
	}
}

// sweep forgets series that have ended before the window.
func (s *Store) sweep() {
	s.since = 0
	from := s.newest - s.window.Milliseconds()
	ended := func(l *line) bool { return len(l.points) == 0 || l.points[len(l.points)-1].t < from }
	for h, ls := range s.by {
		kept := slices.DeleteFunc(ls, func(l *line) bool {
			if !ended(l) {
				s.trim(l)
				return false
			}
			s.points -= len(l.points)
			s.series--
			return true
		})
		if s.by[h] = kept; len(kept) == 0 {
			delete(s.by, h)
		}
	}
	for name, ls := range s.names {
		if s.names[name] = slices.DeleteFunc(ls, ended); len(s.names[name]) == 0 {
			delete(s.names, name)
		}
	}
}

// Size is how many series and values there are.
func (s *Store) Size() (series, values int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.series, s.points
}

// Querier implements storage.Queryable.
func (s *Store) Querier(from, to int64) (storage.Querier, error) {
	return &storeQuerier{s, from, to}, nil
}

type storeQuerier struct {
	s        *Store
	from, to int64
}

// each gives the series that match.
func (q *storeQuerier) each(ctx context.Context, from, to int64, ms []*labels.Matcher, fn func(*line, []point)) {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	for name, ls := range q.s.names {
		if slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Name == model.MetricNameLabel && !m.Matches(name) }) {
			continue
		}
		for _, l := range ls {
			if ctx.Err() != nil {
				return
			}
			if slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(l.labels.Get(m.Name)) }) {
				continue
			}
			lo := sort.Search(len(l.points), func(i int) bool { return l.points[i].t >= from })
			hi := sort.Search(len(l.points), func(i int) bool { return l.points[i].t > to })
			if lo < hi {
				fn(l, l.points[lo:hi])
			}
		}
	}
}

// Select implements storage.Querier. Points are only ever appended, or cloned: what was found stays as it is.
func (q *storeQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	from, to := q.from, q.to
	if hints != nil {
		from, to = hints.Start, hints.End
	}
	var all []storage.Series
	q.each(ctx, from, to, ms, func(l *line, ps []point) { all = append(all, found{l.labels, ps}) })
	if sorted {
		slices.SortFunc(all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	}
	return &seriesSet{all, -1, ctx.Err()}
}

// LabelValues implements storage.Querier.
func (q *storeQuerier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	set := map[string]bool{}
	q.each(ctx, q.from, q.to, ms, func(l *line, _ []point) {
		if v := l.labels.Get(name); v != "" {
			set[v] = true
		}
	})
	return slices.Sorted(maps.Keys(set)), nil, ctx.Err()
}

// LabelNames implements storage.Querier.
func (q *storeQuerier) LabelNames(ctx context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	set := map[string]bool{}
	q.each(ctx, q.from, q.to, ms, func(l *line, _ []point) { l.labels.Range(func(x labels.Label) { set[x.Name] = true }) })
	return slices.Sorted(maps.Keys(set)), nil, ctx.Err()
}

// Close implements storage.Querier.
func (q *storeQuerier) Close() error { return nil }

type seriesSet struct {
	all []storage.Series
	at  int
	err error
}

func (s *seriesSet) Next() bool                        { s.at++; return s.err == nil && s.at < len(s.all) }
func (s *seriesSet) At() storage.Series                { return s.all[s.at] }
func (s *seriesSet) Err() error                        { return s.err }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

func (p point) Time() int64    { return p.t }
func (p point) Float() float64 { return p.v }

type found struct {
	labels labels.Labels
	points []point
}

func (f found) Labels() labels.Labels { return f.labels }

func (f found) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it := floats.Over[point](reuse)
	it.List = f.points
	return it
}
