package promql

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/rollcall-metrics/rollcall/dashboards/promql/floats"
)

// told is a series that another replica has told of; its points stay packed until they are asked for.
type told struct {
	labels labels.Labels
	points packed
}

func (s *told) Labels() labels.Labels { return s.labels }

func (s *told) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it := floats.Over[stamped](reuse)
	it.Fail = s.points.unpack(func(t int64, v uint64) { it.List = append(it.List, stamped{t, v}) })
	return it
}

// merged is several series of the same labels, as where a service, or a group of rules, has gone from one replica to another: a point stands once, and an end does not
// hide a value.
type merged []storage.Series

func (m merged) Labels() labels.Labels { return m[0].Labels() }

func (m merged) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it := floats.Over[stamped](reuse)
	for _, s := range m {
		from := s.Iterator(nil)
		for from.Next() == chunkenc.ValFloat {
			t, v := from.At()
			it.List = append(it.List, stamped{t, math.Float64bits(v)})
		}
		it.Fail = errors.Join(it.Fail, from.Err())
	}
	it.List = inOrder(it.List)
	return it
}

// stamped is a float as it was told, with what kind of NaN it is.
type stamped struct {
	t int64
	v uint64
}

func (s stamped) Time() int64    { return s.t }
func (s stamped) Float() float64 { return math.Float64frombits(s.v) }

// inOrder puts points in order, and of those of one time leaves one: a value where there is one, and no end.
func inOrder(list []stamped) []stamped {
	ends := func(x stamped) int {
		if x.v == value.StaleNaN {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b stamped) int { return cmp.Or(cmp.Compare(a.t, b.t), ends(a)-ends(b)) })
	return slices.CompactFunc(list, func(a, b stamped) bool { return a.t == b.t })
}
