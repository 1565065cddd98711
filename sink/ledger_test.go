package sink

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is moved, in whatever order and from however many goroutines: every report is balanced, service by service, and agrees with its total.
func TestLedgerBalancesAtEveryInstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLedger(Identity{1, 1}, time.Unix(1, 0))
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		plans := make([][]int, workers)
		for i := range plans {
			plans[i] = rapid.SliceOfN(rapid.IntRange(0, 5), 1, 60).Draw(t, "moves")
		}
		stop := make(chan struct{})
		var watch, wg sync.WaitGroup
		var failed error
		watch.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := balanced(l.Report(time.Now())); err != nil {
						failed = err
						return
					}
				}
			}
		})
		for i, plan := range plans {
			wg.Go(func() {
				var held []Count
				seq := uint64(0)
				for _, m := range plan {
					switch m {
					case 0, 1, 2:
						held = append(held, Count{Account: l.Scraped(fmt.Sprint("s", m), "e"), N: 1})
					case 3:
						held = append(held, Count{Account: l.Published("roster"), N: 1})
					case 4:
						l.Acknowledged(Lane(len(held)%2), held...)
						held = nil
					case 5:
						n := uint64(len(held))
						l.Dropped(Loss{Reason: DroppedBudget, Partition: int32(i), First: seq + 1, Last: seq + n}, held...)
						seq += n
						held = nil
					}
				}
			})
		}
		wg.Wait()
		close(stop)
		watch.Wait()
		if failed != nil {
			t.Fatal(failed)
		}
		if err := balanced(l.Report(time.Now())); err != nil {
			t.Fatal(err)
		}
	})
}

func balanced(r Report) error {
	var sum Sums
	for _, s := range r.Services {
		if !s.Balanced() {
			return fmt.Errorf("%s does not balance: %+v", s.Service, s.Sums)
		}
		sum.Scraped += s.Scraped
		sum.InMemory += s.InMemory
		sum.Acknowledged += s.Acknowledged
		sum.Dropped += s.Dropped
	}
	for _, s := range r.Topics {
		if !s.Balanced() {
			return fmt.Errorf("%s does not balance: %+v", s.Topic, s.Sums)
		}
	}
	if t := r.Total; t.Scraped != sum.Scraped || t.InMemory != sum.InMemory || t.Acknowledged != sum.Acknowledged || t.Dropped != sum.Dropped {
		return fmt.Errorf("the total %+v is not the sum %+v", t, sum)
	}
	var lost uint64
	for _, o := range r.Losses {
		lost += o.N
	}
	want := r.Total.Dropped
	for _, s := range r.Topics {
		want += s.Dropped
	}
	if lost+r.Unlisted != want {
		return fmt.Errorf("losses list %d and leave out %d, dropped are %d", lost, r.Unlisted, want)
	}
	return nil
}

func TestLossesJoin(t *testing.T) {
	l := NewLedger(Identity{0xabc, 3}, time.Unix(1, 0))
	a := l.Scraped("checkout", "prod")
	for range 30 {
		l.Scraped("checkout", "prod")
	}
	l.Dropped(Loss{At: 1, Reason: DroppedBudget, Partition: 2, First: 1, Last: 10, Oldest: 100, Newest: 200}, Count{Account: a, N: 10})
	l.Dropped(Loss{At: 2, Reason: DroppedBudget, Partition: 3, First: 1, Last: 1}, Count{Account: a, N: 1})
	l.Dropped(Loss{At: 3, Reason: DroppedBudget, Partition: 2, First: 11, Last: 15, Oldest: 90, Newest: 150}, Count{Account: a, N: 5})
	l.Dropped(Loss{At: 4, Reason: DroppedBudget, Partition: 2, First: 17, Last: 17}, Count{Account: a, N: 1})
	l.Dropped(Loss{At: 5, Reason: DroppedOversize, Partition: -1}, Count{Account: a, N: 1})
	l.Dropped(Loss{At: 6, Reason: DroppedOversize, Partition: -1}, Count{Account: a, N: 1})
	l.MarkUnclean(Unclean{Start: 2, Saved: 7})
	r := l.Report(time.Unix(2, 0))
	if err := balanced(r); err != nil {
		t.Error(err)
	}
	got, _ := json.Marshal(r.Losses)
	const want = `[{"at":3,"reason":"budget","partition":2,"first":1,"last":15,"oldest":90,"newest":200,"n":15,"services":{"checkout/prod":15}},` +
		`{"at":2,"reason":"budget","partition":3,"first":1,"last":1,"n":1,"services":{"checkout/prod":1}},` +
		`{"at":4,"reason":"budget","partition":2,"first":17,"last":17,"n":1,"services":{"checkout/prod":1}},` +
		`{"at":6,"reason":"oversize","partition":-1,"n":2,"services":{"checkout/prod":2}}]`
	if string(got) != want {
		t.Errorf("losses\n%s\nwant\n%s", got, want)
	}
	all, _ := json.Marshal(r)
	const head = `{"collector":"0000000000000abc","start":3,"began":1000,"as_of":2000,"unclean":{"start":2,"saved":7},"total":{"scraped":31,"in_memory":12,"acknowledged":0,"dropped":19,"reasons":{"budget":17,"oversize":2}},`
	if string(all[:min(len(all), len(head))]) != head {
		t.Errorf("report\n%s", all)
	}
}

func TestLossesAreBounded(t *testing.T) {
	l := NewLedger(Identity{1, 1}, time.Now())
	for i := range uint64(3 * maxLosses) {
		a := l.Scraped("s", "e")
		l.Dropped(Loss{Reason: DroppedBudget, First: 2 * i, Last: 2 * i}, Count{Account: a, N: 1})
	}
	r := l.Report(time.Now())
	if len(r.Losses) != maxLosses || r.Unlisted != 2*maxLosses {
		t.Errorf("%d listed, %d not", len(r.Losses), r.Unlisted)
	}
	if err := balanced(r); err != nil {
		t.Error(err)
	}
}

func TestLanes(t *testing.T) {
	l := NewLedger(Identity{1, 1}, time.Now())
	a := l.Scraped("s", "e")
	l.Scraped("s", "e")
	l.Acknowledged(Live, Count{Account: a, N: 1})
	l.Acknowledged(Backfill, Count{Account: a, N: 1})
	if got := l.Report(time.Now()).Total.Lanes; got["live"] != 1 || got["backfill"] != 1 {
		t.Error(got)
	}
}

func BenchmarkLedger(b *testing.B) {
	l := NewLedger(Identity{1, 1}, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		l.Acknowledged(Live, Count{Account: l.Scraped("checkout", "prod"), N: 1})
	}
}
