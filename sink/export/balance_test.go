package export

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
)

// In whatever order a broker names them, both lanes of a partition go to one member, each to one, and the members have about equally many.
func TestBalancer(t *testing.T) {
	for range 200 {
		var members []kafka.GroupMember
		for i := range 1 + rand.IntN(5) {
			members = append(members, kafka.GroupMember{ID: fmt.Sprint("member-", i), Topics: []string{"live", "late"}})
		}
		n := 1 + rand.IntN(20)
		var all []kafka.Partition
		for p := range n {
			all = append(all, kafka.Partition{Topic: "live", ID: p}, kafka.Partition{Topic: "late", ID: p})
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		got, owner := balancer{}.AssignGroups(members, all), map[int]string{}
		for id, topics := range got {
			if !slices.Equal(topics["live"], topics["late"]) || len(topics["live"]) > (n+len(members)-1)/len(members) {
				t.Fatalf("%d partitions, %d members: %v", n, len(members), got)
			}
			for _, p := range topics["live"] {
				if owner[p] != "" {
					t.Fatalf("%d is twice in %v", p, got)
				}
				owner[p] = id
			}
		}
		if len(owner) != n {
			t.Fatalf("%d of %d partitions: %v", len(owner), n, got)
		}
	}
}
