package detect

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Whoever had stopped answering left because of the hosts; of others only that they left is known.
func TestWent(t *testing.T) {
	gone := func(outcomes ...collector.Outcome) (out []dashboards.Member) {
		for i, o := range outcomes {
			out = append(out, dashboards.Member{Since: start.Add(time.Duration(2*i) * time.Second), Outcome: o})
		}
		return out
	}
	dead, alive := collector.Refused, collector.OK
	for _, tc := range []struct {
		gone []dashboards.Member
		want string
	}{
		{gone(dead, dead, dead), "They stopped answering and left the roster within 4 s of each other: the hosts, not ZooKeeper; nothing replaced them."},
		{gone(dead), "It stopped answering and left the roster: the hosts, not ZooKeeper; nothing replaced it."},
		{gone(alive, alive), "They left the roster within 2 s of each other; nothing replaced them."},
		{gone(alive), "It left the roster; nothing replaced it."},
		{gone(dead, alive, dead), "They left the roster within 4 s of each other, 2 of them after they had stopped answering; nothing replaced them."},
	} {
		w := wentOf(tc.gone)
		if got := w.words("the hosts"); got != tc.want || !w.valid() {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	if w := (went{N: 1, Failed: 2}); w.valid() {
		t.Error("more had stopped answering than left, and nobody minds")
	}
}
