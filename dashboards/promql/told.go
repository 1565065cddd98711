package promql

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// told is a series that another replica has told of; its points stay packed until they are asked for.
type told struct {
	labels labels.Labels
	points packed
}

func (s *told) Labels() labels.Labels { return s.labels }

func (s *told) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it := reuseBits(reuse)
	it.fail = s.points.unpack(func(t int64, v uint64) { it.list = append(it.list, stamped{t, v}) })
	return it
}

// merged is several series of the same labels, as where a service, or a group of rules, has gone from one replica to another: a point stands once, and an end does not
// hide a value.
type merged []storage.Series

func (m merged) Labels() labels.Labels { return m[0].Labels() }

func (m merged) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it := reuseBits(reuse)
	for _, s := range m {
		from := s.Iterator(nil)
		for from.Next() == chunkenc.ValFloat {
			t, v := from.At()
			it.list = append(it.list, stamped{t, math.Float64bits(v)})
		}
		it.fail = errors.Join(it.fail, from.Err())
	}
	it.inOrder()
	return it
}

// bitPoints iterates over floats as they were told, with what kind of NaN they are.
type bitPoints struct {
	list []stamped
	at   int
	fail error
}

type stamped struct {
	t int64
	v uint64
}

func reuseBits(it chunkenc.Iterator) *bitPoints {
	if p, ok := it.(*bitPoints); ok {
		p.list, p.at, p.fail = p.list[:0], -1, nil
		return p
	}
	return &bitPoints{at: -1}
}

func (p *bitPoints) kind() chunkenc.ValueType {
	if p.fail != nil || p.at >= len(p.list) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

func (p *bitPoints) Next() chunkenc.ValueType {
	p.at = min(p.at+1, len(p.list))
	return p.kind()
}

func (p *bitPoints) Seek(t millis) chunkenc.ValueType {
	p.at = max(p.at, 0)
	n, _ := slices.BinarySearchFunc(p.list[min(p.at, len(p.list)):], t, func(x stamped, t int64) int {
		if x.t < t {
			return -1
		}
		return 1
	})
	p.at += n
	return p.kind()
}

// inOrder puts points in order, and of those of one time leaves one: a value where there is one, and no end.
func (p *bitPoints) inOrder() {
	ends := func(x stamped) int {
		if x.v == value.StaleNaN {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(p.list, func(a, b stamped) int { return cmp.Or(cmp.Compare(a.t, b.t), ends(a)-ends(b)) })
	p.list = slices.CompactFunc(p.list, func(a, b stamped) bool { return a.t == b.t })
}

func (p *bitPoints) AtT() int64  { return p.list[p.at].t }
func (p *bitPoints) AtST() int64 { return 0 }
func (p *bitPoints) Err() error  { return p.fail }
func (p *bitPoints) At() (int64, float64) {
	return p.list[p.at].t, math.Float64frombits(p.list[p.at].v)
}

func (p *bitPoints) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return p.AtT(), nil // never asked for: all values are floats
}

func (p *bitPoints) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return p.AtT(), nil
}
