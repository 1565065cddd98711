package serverset

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
)

const vectorPrefix = "vector_"

// VectorName is the name to create a vector by, in sequential mode.
const VectorName = vectorPrefix

// FilteredOut is the weight by which an operator takes a member out of its serverset without ending it.
const FilteredOut = -1.0

// Vector is the data of a vector_%010d beside Finagle's members: weights for some of them. It never changes; a new one takes its place.
type Vector struct {
	Vector []Descriptor `json:"vector"`
}

// Descriptor gives a weight to whom it selects: inet=host:port, member=member_0000000012, or shard=3.
type Descriptor struct {
	Select   string  `json:"select"`
	Weight   float64 `json:"weight"`
	Priority int     `json:"priority"`
}

// Encode renders the data of a vector.
func (v Vector) Encode() ([]byte, error) { return json.Marshal(v) }

// IsVector reports the name of a sibling that holds weights. It is no member.
func (o Options) IsVector(name string) bool {
	return strings.HasPrefix(name, vectorPrefix) && (o.Format == "" || o.Format == Finagle)
}

// ParseVector reads weights. As Finagle's reader does, it passes over descriptors that select in a way that it does not know; a descriptor without a weight
// has 1, one without a priority 1.
func ParseVector(data []byte) (Vector, error) {
	if len(data) > MaxVector {
		return Vector{}, fmt.Errorf("parse vector: data of %d bytes, over the limit of %d", len(data), MaxVector)
	}
	var w struct {
		Vector []struct {
			Select   text     `json:"select"`
			Weight   *float64 `json:"weight"`
			Priority *int     `json:"priority"`
		} `json:"vector"`
	}
	if err := parseJSON(data, &w); err != nil {
		return Vector{}, fmt.Errorf("parse vector: %w", err)
	}
	var out Vector
	for _, d := range w.Vector {
		v := Descriptor{Select: string(d.Select), Weight: 1, Priority: 1}
		if d.Weight != nil {
			v.Weight = *d.Weight
		}
		if d.Priority != nil {
			v.Priority = *d.Priority
		}
		if v.selects() {
			out.Vector = append(out.Vector, v)
		}
	}
	return out, nil
}

// selects reports a selector that Finagle knows.
func (d *Descriptor) selects() bool {
	kind, arg, _ := strings.Cut(d.Select, "=")
	switch kind {
	case "member":
		return arg != ""
	case "inet":
		_, _, err := discovery.SplitAddr(arg)
		return err == nil
	case "shard":
		_, err := strconv.Atoi(arg)
		return err == nil
	}
	return false
}

// Weights are all vectors of a serverset in one: what several say of a member is multiplied, as Finagle does.
type Weights struct{ by map[string]weight }

type weight struct {
	weight   float64
	priority int
	out      bool
}

// WeightsOf puts vectors together, in any order; nil where they say nothing.
func WeightsOf(vectors ...Vector) *Weights {
	w := &Weights{by: map[string]weight{}}
	for _, v := range vectors {
		for _, d := range v.Vector {
			have, ok := w.by[d.Select]
			if !ok {
				have.weight = 1
			}
			w.by[d.Select] = have.and(weight{d.Weight, d.Priority, d.Weight == FilteredOut})
		}
	}
	if len(w.by) == 0 {
		return nil
	}
	return w
}

func (a weight) and(b weight) weight {
	return weight{a.weight * b.weight, max(a.priority, b.priority), a.out || b.out}
}

// The tags that the formats' own fields become, so that rules, the roster and charts can tell by them.
const (
	TagWeight     = "serverset.weight"     // Finagle's vectors, Nerve's weight
	TagPriority   = "serverset.priority"   // Finagle's vectors
	TagFiltered   = "serverset.filtered"   // true: a vector gives it the weight -1, so no client of it sends anything
	TagPersistent = "serverset.persistent" // true: its node is not ephemeral, so nothing takes it away when it dies
)

// Apply puts the weight of a Finagle member into its tags and __meta_serverset_ labels, and takes out what other weights had put there. A nil w gives none.
func (w *Weights) Apply(i *discovery.Instance) {
	if i.Format != string(Finagle) || i.Host == "" {
		return
	}
	got, found := w.of(i)
	said := map[string]string{"weight": "", "priority": "", "filtered": ""}
	if found {
		said["weight"], said["priority"] = strconv.FormatFloat(got.weight, 'g', -1, 64), strconv.Itoa(got.priority)
		if got.out {
			said["weight"], said["filtered"] = "-1", "true"
		}
	}
	if i.Meta.Get("__meta_serverset_weight") == said["weight"] && i.Meta.Get("__meta_serverset_priority") == said["priority"] {
		return
	}
	tags, meta := map[string]string{}, map[string]string{}
	for k, v := range said {
		tags["serverset."+k], meta["__meta_serverset_"+k] = v, v
	}
	i.Tags, i.Meta = i.Tags.With(tags), i.Meta.With(meta)
}

func (w *Weights) of(i *discovery.Instance) (got weight, found bool) {
	if w == nil {
		return got, false
	}
	got.weight = 1
	selects := []string{"member=" + i.Member, "inet=" + i.Addr()}
	if i.StatsPort != 0 && i.StatsPort != i.Port {
		selects = append(selects, "inet="+net.JoinHostPort(i.Host, strconv.Itoa(int(i.StatsPort))))
	}
	if i.Shard != discovery.NoShard {
		selects = append(selects, "shard="+strconv.Itoa(int(i.Shard)))
	}
	for _, s := range selects {
		if one, ok := w.by[s]; ok {
			got, found = got.and(one), true
		}
	}
	return got, found
}

// Owners of nodes that are no sessions: a container's, and the first byte of those with a time to live.
const (
	containerOwner = -1 << 63
	ttlOwner       = 0xff
)

// Ephemeral reports whether a node's ephemeralOwner is a session.
func Ephemeral(owner int64) bool {
	return owner != 0 && owner != containerOwner && uint64(owner)>>56 != ttlOwner
}

// Held notes the session that holds a member's node, the node's ephemeralOwner. One that nobody holds where its format has it ephemeral stays when its
// application dies: that is said by the tag TagPersistent and the label __meta_serverset_persistent, for a rule to act on.
func Held(i *discovery.Instance, owner int64) {
	if Ephemeral(owner) {
		i.Owner = owner
	}
	if i.Owner != 0 || i.Host == "" {
		return
	}
	if t := i.Meta.Get("__meta_curator_service_type"); t == "STATIC" || t == "PERMANENT" {
		return // meant to be
	}
	i.Tags = i.Tags.With(map[string]string{TagPersistent: "true"})
	i.Meta = i.Meta.With(map[string]string{"__meta_serverset_persistent": "true"})
}
