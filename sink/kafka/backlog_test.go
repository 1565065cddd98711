package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// newTestBacklog is a backlog whose partitions are known and that nobody empties.
func newTestBacklog(t testing.TB, partitions int, change func(*Config)) (*backlog, *packer, func(dst, src []byte) ([]byte, error)) {
	t.Helper()
	c := Config{Brokers: []string{"127.0.0.1:1"}, Ledger: sink.NewLedger(sink.Identity{Collector: 7, Start: 1}, time.Now())}
	if change != nil {
		change(&c)
	}
	c.fill()
	l := newBacklog(&c, newMeters(c.Metrics))
	l.recall(state{}, partitions)
	l.learn(l.snapshots, partitions)
	p, unzip := testPacker(t)
	return l, p, unzip
}

func (l *backlog) putTest(service string, ts int64, bodies ...string) {
	var bs [][]byte
	for _, b := range bodies {
		bs = append(bs, []byte(b))
	}
	l.snapshot(l.ledger.Scraped(service, "prod"), ts, bs)
}

// sealAll closes and compresses everything.
func (l *backlog) sealAll(p *packer) {
	l.mu.Lock()
	for q := range l.all() {
		if q.open != nil {
			l.close(q)
		}
	}
	n := len(l.sealing.batches)
	l.mu.Unlock()
	for range n {
		l.sealOne(p)
	}
}

func TestLaneIsChosenByAgeAtTheFirstSend(t *testing.T) {
	l, p, _ := newTestBacklog(t, 1, nil)
	now := time.UnixMilli(1_000_000)
	for _, age := range []int64{60_000, 30_000, 20_001, 20_000, 5_000} {
		l.putTest("s", now.UnixMilli()-age, "{}")
		l.sealAll(p)
	}
	q := l.snapshots.queues[0]
	var live, late []int64
	drain := func(kind sink.Lane, now time.Time) (out []int64) {
		for {
			b, _ := l.take(q.lanes[kind], now)
			if b == nil {
				return out
			}
			out = append(out, now.UnixMilli()-b.newest)
		}
	}
	live, late = drain(sink.Live, now), drain(sink.Backfill, now)
	if !slices.Equal(live, []int64{20_000, 5_000}) || !slices.Equal(late, []int64{60_000, 30_000, 20_001}) {
		t.Errorf("live %v, backfill %v", live, late)
	}
	l.putTest("s", now.UnixMilli(), "{}")
	l.sealAll(p)
	if b, wait := l.take(q.lanes[sink.Backfill], now); b != nil || wait != 20_001*time.Millisecond {
		t.Errorf("backfill takes %v, waits %v", b, wait)
	}
	if got := drain(sink.Backfill, now.Add(20_001*time.Millisecond)); len(got) != 1 {
		t.Errorf("backfill later: %v", got)
	}
}

func TestOverBudgetTheOldestNeverAttemptedGoes(t *testing.T) {
	l, p, _ := newTestBacklog(t, 4, func(c *Config) { c.MemoryBytes = 4 << 20 })
	body := string(make([]byte, 400<<10)) // two a batch, as they are
	var taken *batch
	for i := range 30 {
		l.putTest(fmt.Sprint("service-", i%3), int64(1000+i), body)
		if i == 2 {
			for _, q := range l.snapshots.queues {
				if q.open != nil {
					l.mu.Lock()
					l.close(q)
					l.mu.Unlock()
				}
			}
			l.sealOne(p)
			for _, q := range l.snapshots.queues {
				if b, _ := l.take(q.lanes[sink.Backfill], time.Now()); b != nil && taken == nil {
					taken = b
				}
			}
		}
		if l.bytes > l.budget {
			t.Fatalf("%d bytes in memory, budget %d", l.bytes, l.budget)
		}
	}
	r := l.ledger.Report(time.Now())
	if !r.Total.Balanced() || r.Total.Reasons[sink.DroppedBudget] == 0 || r.Total.Dropped != r.Total.Reasons[sink.DroppedBudget] {
		t.Errorf("%+v", r.Total)
	}
	if taken == nil || taken.gone {
		t.Error("what is being attempted was dropped")
	}
	newestLost := int64(0)
	for _, o := range r.Losses {
		newestLost = max(newestLost, o.Newest)
	}
	for q := range l.all() {
		for _, b := range q.ready {
			if b.newest < newestLost {
				t.Errorf("kept %d, lost %d: not the oldest went", b.newest, newestLost)
			}
		}
	}
}

func TestShutCountsWhatIsLeft(t *testing.T) {
	l, p, _ := newTestBacklog(t, 2, nil)
	for i := range 10 {
		l.putTest(fmt.Sprint("s", i), time.Now().UnixMilli(), "{}")
	}
	l.sealAll(p)
	l.putTest("s1", time.Now().UnixMilli(), "{}") // open
	l.publish(l.ledger.Published("rollcall.roster"), "rollcall.roster", "k", 1, []byte("{}"))
	for _, q := range l.snapshots.queues {
		if b, _ := l.take(q.lanes[sink.Live], time.Now()); b != nil {
			b.unclear = true
		}
	}
	l.shut()
	r := l.ledger.Report(time.Now())
	if r.Total.InMemory != 0 || r.Total.Reasons[sink.DroppedUnclear] != 10 || r.Total.Reasons[sink.DroppedShutdown] != 1 || r.Topics[0].Dropped != 1 {
		t.Errorf("%+v %+v", r.Total, r.Topics)
	}
	if l.bytes != 0 || l.batches != 0 {
		t.Errorf("%d bytes in %d batches are left", l.bytes, l.batches)
	}
}

// Whatever number of partitions Kafka turns out to have, and whenever: what was never attempted ends in the partition of its key, under a new id, and
// the ledger explains every sequence that is not used.
func TestRekey(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		believed, is := rapid.IntRange(1, 8).Draw(rt, "believed"), rapid.IntRange(1, 8).Draw(rt, "is")
		l, p, unzip := newTestBacklog(t, believed, nil)
		all := map[string]bool{}
		var taken []*batch
		step := func(n int) {
			for i := range n {
				body := fmt.Sprintf(`,"n":%d}`, len(all))
				service := fmt.Sprint("service-", rapid.IntRange(0, 9).Draw(rt, "service"))
				if rapid.IntRange(0, 9).Draw(rt, "parts") == 0 {
					body, second := `,"parts":2`+body, `,"parts":2,"second":1`+body
					all[body], all[second] = true, true
					l.putTest(service, int64(1000+i), body, second)
				} else {
					all[body] = true
					l.putTest(service, int64(1000+i), body)
				}
				if rapid.IntRange(0, 5).Draw(rt, "seal") == 0 {
					l.sealAll(p)
				}
			}
		}
		step(rapid.IntRange(0, 30).Draw(rt, "before"))
		if rapid.Bool().Draw(rt, "attempt") {
			for _, q := range l.snapshots.queues {
				if b, _ := l.take(q.lanes[sink.Backfill], time.Now()); b != nil {
					taken = append(taken, b)
				}
			}
		}
		if rapid.Bool().Draw(rt, "twice") {
			l.learn(l.snapshots, rapid.IntRange(1, 8).Draw(rt, "was"))
			step(rapid.IntRange(0, 10).Draw(rt, "between"))
			for range rapid.IntRange(0, 4).Draw(rt, "some") {
				if _, err := l.rekey(context.Background(), p, unzip); err != nil {
					rt.Fatal(err)
				}
			}
		}
		l.learn(l.snapshots, is)
		step(rapid.IntRange(0, 10).Draw(rt, "after"))
		for more := true; more; {
			var err error
			if more, err = l.rekey(context.Background(), p, unzip); err != nil {
				rt.Fatal(err)
			}
		}
		l.sealAll(p)
		used := map[wire.ID]bool{}
		last := map[int32]uint64{}
		look := func(b *batch, moved bool) {
			records, err := b.records(unzip)
			if err != nil {
				rt.Fatal(err)
			}
			for _, r := range records {
				id, body, err := wire.CutHead(r.value)
				if err != nil || used[id] {
					rt.Fatalf("%v twice, or %v", id, err)
				}
				used[id] = true
				last[id.Partition] = max(last[id.Partition], id.Sequence)
				if !all[string(body)] {
					rt.Fatalf("%s is unknown, or there twice", body)
				}
				delete(all, string(body))
				if moved && (id.Partition != wire.Partition(string(r.key), is) || id.Partition != b.q.part) {
					rt.Fatalf("%s of %s is in partition %d", id, r.key, b.q.part)
				}
			}
		}
		for _, b := range taken {
			look(b, false)
		}
		for _, q := range l.snapshots.queues {
			for _, b := range q.ready {
				look(b, true)
			}
		}
		if len(all) != 0 {
			rt.Fatalf("%d records are lost", len(all))
		}
		explained := map[wire.ID]bool{}
		report := l.ledger.Report(time.Now())
		for _, o := range report.Losses {
			if o.Reason != lossRekeyed || o.N != 0 {
				rt.Fatalf("loss %+v", o)
			}
			for seq := o.First; seq <= o.Last; seq++ {
				explained[wire.ID{Partition: o.Partition, Sequence: seq}] = true
			}
		}
		whole := map[wire.ID]bool{}
		for id := range used {
			whole[wire.ID{Partition: id.Partition, Sequence: id.Sequence}] = true
		}
		for part, n := range last {
			for seq := uint64(1); seq <= n; seq++ {
				if id := (wire.ID{Partition: part, Sequence: seq}); !whole[id] && !explained[id] {
					rt.Fatalf("sequence %d of partition %d is neither used nor explained", seq, part)
				}
			}
		}
		for _, b := range taken {
			l.acknowledged(b, sink.Live)
		}
		if r := l.ledger.Report(time.Now()); !r.Total.Balanced() || r.Total.Dropped != 0 {
			rt.Fatalf("%+v", r.Total)
		}
		l.shut()
		if r := l.ledger.Report(time.Now()); r.Total.InMemory != 0 || !r.Total.Balanced() || l.bytes != 0 {
			rt.Fatalf("after the end: %+v, %d bytes", r.Total, l.bytes)
		}
	})
}

// The halves of a batch that may be in the topic may be there, too: whatever becomes of them, the ledger does not call them lost for sure, and they keep their ids.
func TestHalvesOfAnUnclearBatch(t *testing.T) {
	for _, tc := range []struct {
		name          string
		partitions    int // afterwards
		end           func(*backlog)
		unclear, lost uint64
	}{
		{"over the budget", 1, func(l *backlog) { l.mu.Lock(); l.budget = 0; l.makeRoom(); l.mu.Unlock() }, 4, 0},
		{"at the end", 1, func(l *backlog) { l.shut() }, 4, 0},
		{"partitions are added", 2, func(l *backlog) { l.shut() }, 4, 0},
		{"the partition is gone", 0, func(l *backlog) { l.shut() }, 0, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, p, unzip := newTestBacklog(t, 1, nil)
			for range 4 {
				l.putTest("s", time.Now().UnixMilli(), "{}")
			}
			l.sealAll(p)
			b, _ := l.take(l.snapshots.queues[0].lanes[sink.Live], time.Now())
			b.unclear = true
			if ok, err := l.divide(b, p, unzip); !ok || err != nil {
				t.Fatalf("%t %v", ok, err)
			}
			l.learn(l.snapshots, tc.partitions)
			tc.end(l)
			r := l.ledger.Report(time.Now()).Total
			if r.InMemory != 0 || r.Reasons[sink.DroppedUnclear] != tc.unclear || r.Reasons[sink.DroppedShutdown] != tc.lost {
				t.Errorf("%+v", r)
			}
		})
	}
}

// What of the roster waits goes before any snapshot, however old that is.
func TestOverBudgetTheRosterYields(t *testing.T) {
	l, _, _ := newTestBacklog(t, 2, func(c *Config) { c.MemoryBytes = 4 << 20 })
	roster, record := sink.DefaultTopics().Roster, make([]byte, 300<<10)
	for i := range 10 {
		l.putTest("service", int64(1000+i), string(record))
	}
	for i := range 20 {
		l.publish(l.ledger.Published(roster), roster, "service/prod", int64(2000+i), record)
	}
	if age := l.waited(roster, time.UnixMilli(4000)); age < 1980*time.Millisecond || age > 2*time.Second {
		t.Errorf("the oldest of the roster has waited %v", age)
	}
	if age := l.waited(sink.DefaultTopics().Findings, time.UnixMilli(4000)); age != 0 {
		t.Errorf("where nothing is it has waited %v", age)
	}
	r := l.ledger.Report(time.Now())
	if len(r.Losses) == 0 || r.Total.Dropped != 0 || l.bytes > l.budget {
		t.Errorf("%d bytes of %d, %d snapshots dropped while records of the roster were there; losses %+v", l.bytes, l.budget, r.Total.Dropped, r.Losses)
	}
}
