package feed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// History is read from as far back as the window reaches, then what comes is there at once.
func TestHistoryThenLive(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	now := time.Now()
	r.produce(topics.Snapshots, 1, now.Add(-2*time.Hour), r.snapshot(1, "10.0.0.1:80", now.Add(-2*time.Hour), 1))
	for i := range 30 {
		at := now.Add(time.Duration(i-30) * time.Second)
		r.produce(topics.Snapshots, 1, at, r.snapshot(1, "10.0.0.1:80", at, 100+10*i))
	}
	r.run()
	r.live()
	if n := r.board.Stats().Seen; n != 30 {
		t.Errorf("%d records seen of the last hour, want 30", n)
	}
	r.until("the rate is there", 5*time.Second, func() bool {
		rows := r.board.Rows()
		return len(rows) == 1 && rows[0].Owner == "payments"
	})
	for i := range 20 {
		at := time.Now()
		r.produce(topics.Snapshots, 1, at, r.snapshot(1, "10.0.0.1:80", at, 400+10*i))
		r.until("the record is seen", 2*time.Second, func() bool { return r.board.Stats().Seen == uint64(31+i) })
	}
	s := r.board.Stats()
	if s.Lost != 0 || s.Duplicated != 0 || s.Freshness.Count != 20 || s.Freshness.P99 > 500 {
		t.Errorf("stats are %+v", s)
	}
	t.Logf("freshness %+v", s.Freshness)
}

// Both lanes make one sequence: a hole in one that the other fills is none, and what comes twice counts once.
func TestLanes(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	now := time.Now()
	var recs [][]byte
	for i := range 10 {
		recs = append(recs, r.snapshot(0, "10.0.0.1:80", now.Add(time.Duration(i-10)*time.Second), i))
	}
	r.produce(topics.Snapshots, 0, now, recs[0], recs[1], recs[5], recs[6], recs[9])
	r.until("five are seen", 10*time.Second, func() bool { return r.board.Stats().Seen == 5 })
	r.until("five holes are counted", 10*time.Second, func() bool { return r.board.Stats().Lost == 5 }) // once the feed has read all there is
	r.produce(topics.Backfill, 0, now, recs[2], recs[3], recs[4], recs[5])
	r.until("the holes are filled", 10*time.Second, func() bool { return r.board.Stats().Seen == 8 })
	if s := r.board.Stats(); s.Lost != 2 || s.Duplicated != 1 || s.Backfilled != 3 {
		t.Errorf("stats are %+v", s)
	}
}

// A record that cannot be read is counted, and hurts no other.
func TestPoison(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	now := time.Now()
	r.produce(topics.Snapshots, 2, now, []byte("{"), nil, []byte(`{"v":9}`), r.snapshot(2, "10.0.0.1:80", now, 1))
	r.produce(topics.Roster, 2, now, []byte("no"))
	r.until("the good one is seen, the others are counted", 10*time.Second, func() bool { return r.board.Stats().Seen == 1 && r.feed.bad.Get() == 4 })
}

// Topics that are not there yet are waited for; partitions that are added are read.
func TestTopicsAndPartitionsAppear(t *testing.T) {
	r := newRig(t)
	r.run()
	r.until("it says what it waits for", 5*time.Second, func() bool {
		f := r.board.Feed()
		return f.State == dashboards.FeedConnecting && strings.Contains(f.Error, "is not there yet")
	})
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.live()
	res, err := r.client().CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topics.Snapshots, Count: 5}}})
	if err != nil || res.Errors[topics.Snapshots] != nil {
		t.Fatal(err, res)
	}
	r.produce(topics.Snapshots, 4, time.Now(), r.snapshot(4, "10.0.0.1:80", time.Now(), 1))
	r.until("the new partition is read", 10*time.Second, func() bool { return r.board.Stats().Seen == 1 })
}

// A broker that goes away is said to be dead, and when it comes back nothing is missing and nothing is double.
func TestBrokerAway(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	r.live()
	r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), 1))
	r.until("the first is seen", 5*time.Second, func() bool { return r.board.Stats().Seen == 1 })
	r.stop()
	took := r.until("death is said", 10*time.Second, func() bool { return r.is(dashboards.FeedDead) })
	r.until("the reason is said", 5*time.Second, func() bool { return strings.Contains(r.board.Feed().Error, "does not answer") })
	t.Logf("dead after %s: %s", took, r.board.Feed().Error)
	if f := r.board.Feed(); f.Since > time.Now().Add(-2*time.Second).UnixMilli() {
		t.Errorf("feed is %+v", f)
	}
	r.startBroker()
	r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), 2))
	r.produce(topics.Snapshots, 1, time.Now(), r.snapshot(1, "10.0.0.2:80", time.Now(), 2))
	r.until("all are seen", 15*time.Second, func() bool { return r.board.Stats().Seen == 3 })
	r.live()
	if s := r.board.Stats(); s.Lost != 0 || s.Duplicated != 0 {
		t.Errorf("stats are %+v", s)
	}
}

// A topic that was made anew is read from its beginning.
func TestTopicMadeAnew(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	r.live()
	for i := range 5 {
		r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), i))
	}
	r.until("five are seen", 5*time.Second, func() bool { return r.board.Stats().Seen == 5 })
	if _, err := r.client().DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{topics.Snapshots}}); err != nil {
		t.Fatal(err)
	}
	r.makeTopics(topics.Snapshots)
	r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), 9))
	r.until("the sixth is seen", 20*time.Second, func() bool { return r.board.Stats().Seen == 6 })
}

// A reader that goes on while the ends are asked for is ahead of the answer, and no sign of a topic made anew.
func TestReaderAheadOfTheAnswer(t *testing.T) {
	f, err := New(Config{Board: newRig(t).board, Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	p := partition{topics.Snapshots, 0}
	r := &reader{f: f, p: p}
	f.readers[p] = r
	w := &watcher{f: f, behind: map[partition]int{}}
	for end := int64(100); end < 110; end++ {
		r.next.Store(end + 2)
		w.check(t.Context(), nil, p, end-1, end)
	}
	if n := f.restarts.Get(); n != 0 || r.end.Load() != 109 {
		t.Errorf("%d restarts, the end is at %d", n, r.end.Load())
	}
}

// Silence while instances are expected is death, not calm.
func TestSilence(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	r.live()
	for i := range 3 {
		r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), i))
	}
	r.until("silence is said", 10*time.Second, func() bool {
		f := r.board.Feed()
		return f.State == dashboards.FeedDead && strings.Contains(f.Error, "1 instance is expected")
	})
	r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.1:80", time.Now(), 9))
	r.live()
}

func TestRoster(t *testing.T) {
	r := newRig(t)
	r.makeTopics(topics.Snapshots, topics.Backfill, topics.Roster)
	r.run()
	now := time.Now()
	entry := func(host string, s discovery.State) discovery.Change {
		return discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: host, Port: 80}, Source: "apps",
			Path: "/discovery/checkout/prod", Format: "kingpin"}, State: s, Since: now, Joined: now, Verified: now}, At: now}
	}
	send := func(rec wire.RosterRecord) {
		rec.Collector, rec.Start, rec.TS, rec.Service, rec.Env = 7, 1, now.UnixMilli(), "checkout", "prod"
		r.produce(topics.Roster, 0, now, rec.Append(nil))
	}
	states := func() string {
		s := ""
		for _, l := range r.board.Roster(nil) {
			s += l.Instance + " " + l.State + ";"
		}
		return s
	}
	want := func(what string) {
		t.Helper()
		r.until(what, 5*time.Second, func() bool { return states() == what })
	}
	r.live()
	send(wire.RosterRecord{Version: 1, Changes: []discovery.Change{entry("10.0.0.1", discovery.Present), entry("10.0.0.2", discovery.Present)}})
	want("10.0.0.1:80 present;10.0.0.2:80 present;")
	send(wire.RosterRecord{Version: 2, Changes: []discovery.Change{entry("10.0.0.2", discovery.Departed)}})
	want("10.0.0.1:80 present;10.0.0.2:80 departed;")
	// A full state in two parts counts when both are there; who is not in it is gone.
	send(wire.RosterRecord{Version: 3, Full: true, Part: 1, Parts: 2, Changes: []discovery.Change{entry("10.0.0.1", discovery.Failing)}})
	send(wire.RosterRecord{Version: 3, Full: true, Part: 2, Parts: 2, Changes: []discovery.Change{entry("10.0.0.3", discovery.Present)}})
	r.until("the full state", 5*time.Second, func() bool {
		return strings.Contains(states(), "10.0.0.1:80 failing;") && strings.Contains(states(), "10.0.0.3:80 present;") && !strings.Contains(states(), "10.0.0.2:80 present;")
	})
	// From joining to the first snapshot.
	r.produce(topics.Snapshots, 0, time.Now(), r.snapshot(0, "10.0.0.3:80", time.Now(), 1))
	r.until("the join is counted", 5*time.Second, func() bool { return r.board.Stats().Join.Count == 1 })
}

func TestConfig(t *testing.T) {
	b, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ok := Config{Board: b, Brokers: []string{"x:1"}}
	for _, tc := range []struct {
		name string
		set  func(*Config)
		want string
	}{
		{"whole", func(*Config) {}, ""},
		{"no board", func(c *Config) { c.Board = nil }, "no board"},
		{"no brokers", func(c *Config) { c.Brokers = nil }, "kafka.brokers"},
		{"window", func(c *Config) { c.Window = -1 }, "negative"},
		{"topics", func(c *Config) { c.Snapshots = "rollcall.roster" }, "one name"},
		{"mechanism", func(c *Config) { c.SASL = login.SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"} }, "GSSAPI"},
		{"no user", func(c *Config) { c.SASL = login.SASL{Mechanism: "PLAIN", Password: "p"} }, "username"},
		{"two passwords", func(c *Config) {
			c.SASL = login.SASL{Mechanism: "PLAIN", Username: "u", Password: "p", PasswordFile: "f"}
		}, "one of password"},
		{"several", func(c *Config) { c.Board, c.Brokers = nil, nil }, "no brokers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := ok
			tc.set(&c)
			_, err := New(c)
			if got := fmt.Sprint(err); tc.want == "" && err != nil || !strings.Contains(got, tc.want) {
				t.Errorf("error is %v, want %q in it", err, tc.want)
			}
		})
	}
}
