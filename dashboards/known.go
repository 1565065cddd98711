package dashboards

import (
	"maps"
	"math"
	"slices"
)

// MetricNames are the names of a service's metrics, sorted; nil where it is not known.
func (b *Board) MetricNames(name, env string) []string {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := map[string]bool{}
	for i := range s.cols {
		if s.cols[i].instances > 0 {
			names[s.cols[i].metric] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Dimensions are the names by which a metric of a service can be told apart, sorted: those that every instance has, its tags by their short or full names, and the
// metric's own labels.
func (b *Board) Dimensions(name, env, metric string) []string {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := map[string]bool{"instance": true}
	for short := range tagAliases {
		names[short] = true
	}
	for _, in := range s.instances {
		for tag := range in.allTags() {
			names[tag] = true
		}
	}
	for i := range s.cols {
		if c := &s.cols[i]; c.metric == metric || c.raw == metric {
			for _, l := range c.labels {
				names[l.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// DimensionValues are what the instances of a service say for a dimension, or said, sorted; labelled is whether a metric has labels of that name, whose values come and go.
func (b *Board) DimensionValues(name, env, metric, dimension string) (sorted []string, labelled bool) {
	s := b.find(name, env)
	if s == nil {
		return nil, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	values := map[string]bool{}
	for _, in := range s.instances {
		values[in.dimension(dimension, math.MinInt64)] = true
		for i := range in.moves { // what it was before counts for a while that is over
			values[in.dimension(dimension, in.moves[i].T)] = true
		}
	}
	for i := range s.cols {
		if c := &s.cols[i]; c.metric == metric || c.raw == metric {
			labelled = labelled || c.label(dimension) != ""
		}
	}
	delete(values, "")
	return slices.Sorted(maps.Keys(values)), labelled
}
