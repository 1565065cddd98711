// Package rollup is what services did by dimension: the records of the topic rollcall.rollups, both ways, and the windows of the last day that are made of them.
//
// It owns the format and the History. What goes into a rollup is the Board's to say, where records come from the feed's.
package rollup

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// record is a rollup on the wire. A slice is [rate, errors, latency lo, estimate, hi, instances], with null for what is not known.
type record struct {
	V       int                                              `json:"v"`
	Service string                                           `json:"service"`
	Env     string                                           `json:"env"`
	T       int64                                            `json:"t"`
	Step    int64                                            `json:"step"`
	AsOf    int64                                            `json:"as_of"`
	N       int                                              `json:"n"`
	M       int                                              `json:"m"`
	Latency string                                           `json:"latency,omitempty"`
	All     dashboards.Nums                                  `json:"all"`
	By      map[string]map[string]dashboards.Nums            `json:"by,omitempty"`
	Pinned  map[string]map[string]map[string]dashboards.Nums `json:"pinned,omitempty"`  // metric, dimension, value: [figure, instances]
	Metrics map[string]metric                                `json:"metrics,omitempty"` // over the minute that ends with the slot
	Events  []dashboards.Event                               `json:"events,omitempty"`
	Row     *dashboards.Row                                  `json:"row,omitempty"`
}

type metric struct {
	Kind  string         `json:"kind"`
	Value dashboards.Num `json:"value"`
	N     int            `json:"n"`
}

const (
	maxRecord = 4 << 20
	maxEvents = 1000
)

// Key is the record's key: a service's rollups stand in one partition, in their order.
func Key(r *dashboards.Rollup) string { return r.Service + "/" + r.Env }

// QueueKey tells rollups that wait apart: each slot's stands for itself.
func QueueKey(r *dashboards.Rollup) string { return Key(r) + "@" + strconv.FormatInt(r.T, 10) }

// Append appends the rollup as JSON.
func Append(dst []byte, r *dashboards.Rollup) []byte {
	w := record{V: 1, Service: r.Service, Env: r.Env, T: r.T, Step: r.Step, AsOf: r.AsOf, N: r.N, M: r.M, Latency: r.LatencyName, Events: r.Events, Row: r.Row}
	for i := range r.Slices {
		switch s := &r.Slices[i]; {
		case s.Metric != "":
			put(&w.Pinned, s.Metric, s.Dim, s.Value, dashboards.Nums{s.Rate, dashboards.Num(s.N)})
		case s.Dim == "":
			w.All = figures(s)
		default:
			if w.By == nil {
				w.By = map[string]map[string]dashboards.Nums{}
			}
			if w.By[s.Dim] == nil {
				w.By[s.Dim] = map[string]dashboards.Nums{}
			}
			w.By[s.Dim][s.Value] = figures(s)
		}
	}
	if len(r.Metrics) > 0 {
		w.Metrics = make(map[string]metric, len(r.Metrics))
		for _, m := range r.Metrics {
			w.Metrics[m.Name] = metric{m.Kind, m.Value, m.N}
		}
	}
	b, err := json.Marshal(&w)
	if err != nil { // texts and figures only
		return dst
	}
	return append(dst, b...)
}

func put(to *map[string]map[string]map[string]dashboards.Nums, metric, dim, value string, v dashboards.Nums) {
	if *to == nil {
		*to = map[string]map[string]map[string]dashboards.Nums{}
	}
	if (*to)[metric] == nil {
		(*to)[metric] = map[string]map[string]dashboards.Nums{}
	}
	if (*to)[metric][dim] == nil {
		(*to)[metric][dim] = map[string]dashboards.Nums{}
	}
	(*to)[metric][dim][value] = v
}

func figures(s *dashboards.Slice) dashboards.Nums {
	return dashboards.Nums{s.Rate, s.Errors, dashboards.Num(s.Latency.Lo), dashboards.Num(s.Latency.Est), dashboards.Num(s.Latency.Hi), dashboards.Num(s.N)}
}

func sliceOf(dim, value string, v dashboards.Nums) dashboards.Slice {
	at := func(i int) dashboards.Num {
		if i < len(v) {
			return v[i]
		}
		return dashboards.Unknown()
	}
	s := dashboards.Slice{Dim: dim, Value: value, Rate: at(0), Errors: at(1), Latency: dashboards.Interval{Lo: float64(at(2)), Est: float64(at(3)), Hi: float64(at(4))}}
	if n := float64(at(5)); n >= 0 && n < 1e9 {
		s.N = int(n)
	}
	return s
}

// Decode reads a record of the topic. Fields that are not known are passed over.
func Decode(b []byte) (r dashboards.Rollup, err error) {
	if len(b) > maxRecord {
		return r, fmt.Errorf("read rollup: %d bytes are more than one has", len(b))
	}
	var w record
	if err := json.Unmarshal(b, &w); err != nil {
		return r, fmt.Errorf("read rollup: %w", err)
	}
	if w.V != 1 || w.Service == "" || w.T <= 0 || w.T > math.MaxInt64/4 || w.Step < 1000 || w.Step > 3_600_000 || w.T%w.Step != 0 || w.All == nil {
		return r, fmt.Errorf("read rollup: one of version %d that is not whole", w.V)
	}
	r = dashboards.Rollup{Service: w.Service, Env: w.Env, T: w.T, Step: w.Step, AsOf: w.AsOf, N: w.N, M: w.M, LatencyName: w.Latency, Events: w.Events[:min(len(w.Events), maxEvents)], Row: w.Row}
	r.Slices = append(r.Slices, sliceOf("", "", w.All))
	for _, dim := range sorted(w.By) {
		for _, v := range sorted(w.By[dim]) {
			r.Slices = append(r.Slices, sliceOf(dim, v, w.By[dim][v]))
		}
	}
	for _, m := range sorted(w.Pinned) {
		for _, dim := range sorted(w.Pinned[m]) {
			for _, v := range sorted(w.Pinned[m][dim]) {
				s := sliceOf(dim, v, w.Pinned[m][dim][v][:min(1, len(w.Pinned[m][dim][v]))])
				s.Metric = m
				if f := w.Pinned[m][dim][v]; len(f) > 1 && f[1] >= 0 && f[1] < 1e9 {
					s.N = int(f[1])
				}
				r.Slices = append(r.Slices, s)
			}
		}
	}
	for _, name := range sorted(w.Metrics) {
		m := w.Metrics[name]
		r.Metrics = append(r.Metrics, dashboards.RolledMetric{Name: name, Kind: m.Kind, Value: m.Value, N: m.N})
	}
	return r, nil
}

func sorted[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
