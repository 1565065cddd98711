package promql

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// seriesSet is what was found.
type seriesSet struct {
	q   *querier
	all []found
	at  int
	err error
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.all) }
func (s *seriesSet) At() storage.Series                { return series{s.q, &s.all[s.at]} }
func (s *seriesSet) Err() error                        { return s.err }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// series is one of them; its points are read from the windows each time that it is iterated over.
type series struct {
	q *querier
	f *found
}

func (s series) Labels() labels.Labels { return s.f.labels }

func (s series) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*points)
	if !ok {
		it = &points{}
	}
	it.at, it.list = -1, it.list[:0]
	if s.f.service != nil {
		it.list = s.q.board.FigurePoints(it.list, s.f.service, s.f.figure, s.q.from, s.q.to)
	}
	for _, sp := range s.f.spans {
		it.list = s.q.board.Points(it.list, s.f.in, s.f.col, max(sp.from, s.q.from), min(sp.to-1, s.q.to))
		// Another series goes on where the labels change.
		if n := len(it.list); n > 0 && sp.to <= s.q.to && !math.IsNaN(it.list[n-1].V) {
			it.list = append(it.list, dashboards.RawPoint{T: sp.to, V: math.NaN()})
		}
	}
	return it
}

// millis are Unix milliseconds.
type millis = int64

// points iterates over floats; where there is none any more it gives Prometheus' marker of staleness.
type points struct {
	list []dashboards.RawPoint
	at   int
}

func (p *points) Next() chunkenc.ValueType {
	p.at = min(p.at+1, len(p.list))
	return p.kind()
}

func (p *points) kind() chunkenc.ValueType {
	if p.at >= len(p.list) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

func (p *points) Seek(t millis) chunkenc.ValueType {
	p.at = max(p.at, 0)
	rest := p.list[min(p.at, len(p.list)):]
	n, _ := slices.BinarySearchFunc(rest, t, func(x dashboards.RawPoint, t int64) int {
		if x.T < t {
			return -1
		}
		return 1
	})
	p.at += n
	return p.kind()
}

func (p *points) At() (int64, float64) {
	x := p.list[p.at]
	if math.IsNaN(x.V) {
		return x.T, math.Float64frombits(value.StaleNaN)
	}
	return x.T, x.V
}

func (p *points) AtT() int64  { return p.list[p.at].T }
func (p *points) AtST() int64 { return 0 }
func (p *points) Err() error  { return nil }

func (p *points) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return p.list[p.at].T, nil // never asked for: all values are floats
}

func (p *points) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return p.list[p.at].T, nil
}
