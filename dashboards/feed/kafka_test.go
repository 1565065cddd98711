package feed

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// The same against Kafka itself: records are seen at once, a killed broker is said to be dead, and after its return nothing is missing or double. Where Kafka
// is not to be had, TestBrokerAway has shown it on the embedded broker.
func TestRealKafka(t *testing.T) {
	k, ok := testenv.Kafka(t)
	if !ok {
		return
	}
	r := &rig{t: t, addr: k.Brokers[0], seq: map[int]uint64{}}
	r.newBoard()
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	r.live()
	for i := range 50 {
		at := time.Now()
		r.produce(topics.Snapshots, i%3, at, r.snapshot(i%3, "10.0.0.1:80", at, 10*i))
		r.until("the record is seen", 5*time.Second, func() bool { return r.board.Stats().Seen == uint64(i+1) })
	}
	t.Logf("freshness %+v", r.board.Stats().Freshness)
	if f := r.board.Stats().Freshness; f.P50 > 200 {
		t.Errorf("freshness is %+v", f)
	}
	k.Kill()
	took := r.until("death is said", 15*time.Second, func() bool { return r.is(dashboards.FeedDead) })
	t.Logf("dead after %s: %s", took, r.board.Feed().Error)
	k.Start()
	r.until("the broker takes records again", 30*time.Second, func() bool { return len(k.Topics()) >= 3 })
	r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), 1000))
	r.until("it is seen", 30*time.Second, func() bool { return r.board.Stats().Seen == 51 })
	r.live()
	if s := r.board.Stats(); s.Lost != 0 || s.Duplicated != 0 {
		t.Errorf("stats are %+v", s)
	}
}
