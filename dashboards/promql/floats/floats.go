// Package floats gives lists of floats to Prometheus' engine, in whatever form they are kept.
package floats

import (
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Point is a float at a time, in Unix milliseconds.
type Point interface {
	Time() int64
	Float() float64
}

// Iterator implements chunkenc.Iterator over a list in the order of time.
type Iterator[P Point] struct {
	List []P
	Fail error // told by Err, and nothing is given then
	at   int
}

// Over begins before the first point. Its iterator is the one to reuse, with an empty list and its memory, if that is one of the kind.
func Over[P Point](reuse chunkenc.Iterator) *Iterator[P] {
	if p, ok := reuse.(*Iterator[P]); ok {
		p.List, p.Fail, p.at = p.List[:0], nil, -1
		return p
	}
	return &Iterator[P]{at: -1}
}

func (p *Iterator[P]) kind() chunkenc.ValueType {
	if p.Fail != nil || p.at >= len(p.List) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// Next implements chunkenc.Iterator.
func (p *Iterator[P]) Next() chunkenc.ValueType {
	p.at = min(p.at+1, len(p.List))
	return p.kind()
}

type millis = int64

// Seek implements chunkenc.Iterator.
func (p *Iterator[P]) Seek(t millis) chunkenc.ValueType {
	p.at = max(p.at, 0)
	n, _ := slices.BinarySearchFunc(p.List[min(p.at, len(p.List)):], t, func(x P, t int64) int {
		if x.Time() < t {
			return -1
		}
		return 1
	})
	p.at += n
	return p.kind()
}

// At implements chunkenc.Iterator.
func (p *Iterator[P]) At() (int64, float64) { return p.List[p.at].Time(), p.List[p.at].Float() }

// AtT implements chunkenc.Iterator.
func (p *Iterator[P]) AtT() int64 { return p.List[p.at].Time() }

// AtST implements chunkenc.Iterator.
func (p *Iterator[P]) AtST() int64 { return 0 }

// Err implements chunkenc.Iterator.
func (p *Iterator[P]) Err() error { return p.Fail }

// AtHistogram implements chunkenc.Iterator. It is never asked for: all values are floats.
func (p *Iterator[P]) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return p.AtT(), nil
}

// AtFloatHistogram implements chunkenc.Iterator. It is never asked for either.
func (p *Iterator[P]) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return p.AtT(), nil
}
