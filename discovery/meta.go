package discovery

import (
	"iter"
	"strconv"
)

// MetaLabels walks the labels for relabelling, __meta_*, as Prometheus names them. What only says again what the instance says otherwise is made here and not kept in
// Meta: of a fleet that registers as KingPin does that is all of it.
func (i *Instance) MetaLabels() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if i.Format == "kingpin" && i.Host != "" {
			said := [...][2]string{
				{"__meta_serverset_endpoint_host", i.Host}, {"__meta_serverset_endpoint_port", strconv.Itoa(int(i.Port))},
				// The path is the serverset's, not the member's: a member that joins again has a new name and is the same instance.
				{"__meta_serverset_path", i.Path}, {"__meta_serverset_status", i.Status}, {"__meta_serverset_shard", ""},
			}
			if i.Shard != NoShard {
				said[len(said)-1][1] = strconv.Itoa(int(i.Shard))
			}
			for _, l := range said {
				if l[1] != "" && !yield(l[0], l[1]) {
					return
				}
			}
		}
		for n, v := range i.Meta.All() {
			if !yield(n, v) {
				return
			}
		}
	}
}

// MetaMap is a copy of MetaLabels; never nil.
func (i *Instance) MetaMap() map[string]string {
	m := map[string]string{}
	for n, v := range i.MetaLabels() {
		m[n] = v
	}
	return m
}
