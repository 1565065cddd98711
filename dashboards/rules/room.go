package rules

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// room is how many alerts all rules may have together, those that were over of late too. Half of it is divided among the rules, so that one that gives ever new alerts
// leaves each of the others a part; of the other half each takes what it needs while it lasts.
type room struct {
	most   int64
	part   atomic.Int64 // that each rule has to itself
	common atomic.Int64 // of the other half: what is taken
}

// divide says how many rules there are that give alerts. What a rule has taken is counted by its new part from its next evaluation on.
func (r *room) divide(rules int) { r.part.Store(r.most / 2 / int64(max(rules, 1))) }

// take makes room for all alerts of a rule, where had is what it has taken of the common half so far. It reports whether there is as much; if not, had stays as it is.
func (r *room) take(had *int64, alerts int) bool {
	need := max(int64(alerts)-r.part.Load(), 0)
	if more := need - *had; r.common.Add(more) > r.most-r.most/2 && more > 0 {
		r.common.Add(-more)
		return false
	}
	*had = need
	return true
}

// makeRoom makes room for alerts that begin. Those that are over give way, the oldest first: past as many as a rule may have, and all of them where there is no other
// room. It says how many did, and whether there is room. The caller holds the lock.
func (s *ruleState) makeRoom(r *room, begin map[uint64]*alert) (forgot int, ok bool) {
	for _, keep := range []int{MaxAlerts, 0} {
		forgot += s.forget(keep)
		all := len(s.active)
		for h := range begin {
			if s.active[h] == nil {
				all++
			}
		}
		if r.take(&s.common, all) {
			return forgot, true
		}
	}
	return forgot, false
}

// forget lets go of the alerts that are over but for so many, the oldest first.
func (s *ruleState) forget(keep int) int {
	var over []uint64
	for h, x := range s.active {
		if x.state == dashboards.AlertInactive {
			over = append(over, h)
		}
	}
	if len(over) <= keep {
		return 0
	}
	slices.SortFunc(over, func(a, b uint64) int {
		return cmp.Or(s.active[a].resolvedAt.Compare(s.active[b].resolvedAt), cmp.Compare(a, b))
	})
	over = over[:len(over)-keep]
	for _, h := range over {
		s.dropped(s.active[h], s.active[h].resolvedAt)
		delete(s.active, h)
	}
	return len(over)
}
