package export

import (
	"cmp"
	"slices"

	"github.com/segmentio/kafka-go"
)

// balancer gives a partition of both lanes to one member, always: it goes by the numbers of partitions alone, where kafka-go's own ones go by the order in which a
// broker happens to name them.
type balancer struct{}

// ProtocolName implements kafka.GroupBalancer.
func (balancer) ProtocolName() string { return "rollcall-lanes" }

// UserData implements kafka.GroupBalancer.
func (balancer) UserData() ([]byte, error) { return nil, nil }

// AssignGroups implements kafka.GroupBalancer: partitions go round the members in the order of their ids.
func (balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	out := kafka.GroupMemberAssignments{}
	if len(members) == 0 {
		return out
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b kafka.GroupMember) int { return cmp.Compare(a.ID, b.ID) })
	partitions = slices.Clone(partitions)
	slices.SortFunc(partitions, func(a, b kafka.Partition) int { return cmp.Compare(a.ID, b.ID) })
	for _, p := range partitions {
		m := members[p.ID%len(members)]
		if !slices.Contains(m.Topics, p.Topic) {
			continue // of another group's making: every member of ours reads both lanes
		}
		if out[m.ID] == nil {
			out[m.ID] = map[string][]int{}
		}
		out[m.ID][p.Topic] = append(out[m.ID][p.Topic], p.ID)
	}
	return out
}
